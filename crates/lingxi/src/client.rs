//! How does a command ask a running server? One small client: JSON in, JSON out, and errors that say whose turn it is.
//!
//! What the server refuses is repeated as a [`UserError`] with the server's own remedy; where nothing answers, the remedy
//! is to start it.

use crate::failure::UserError;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::io::Read;
use std::time::Duration;
use ureq::http::{Response, Uri};
use ureq::{Agent, Body, RequestBuilder, SendBody};

/// How long a connection may take to be made; an answer may take as long as it needs.
const CONNECT: Duration = Duration::from_secs(10);

/// Longest answer that is read whole, in bytes.
const MAX_ANSWER: u64 = 64 << 20;

/// A server's address and the key that opens it.
pub struct Client {
    at: String,
    key: Option<String>,
    agent: Agent,
}

impl Client {
    /// A client of the server at `at`, such as `http://127.0.0.1:8088`; `key` is sent as `X-API-Key`.
    ///
    /// # Errors
    /// [`UserError`] if `at` is no such address. Nothing is sent yet.
    pub fn new(at: &str, key: Option<&str>) -> Result<Client> {
        let wrong = |why: &str| {
            UserError::new(
                format!("{at} is no address of a server: {why}"),
                "use an address such as http://127.0.0.1:8088",
            )
        };
        let uri: Uri = at.parse().map_err(|e| wrong("it cannot be read").because(e))?;
        match uri.scheme_str() {
            Some("http") if uri.query().is_none() => {}
            Some("http") => Err(wrong("it has a query"))?,
            Some("https") => Err(wrong("this client speaks plain HTTP only"))?,
            _ => Err(wrong("it does not begin with http://"))?,
        }
        let config = Agent::config_builder().http_status_as_error(false).timeout_connect(Some(CONNECT)).build();
        Ok(Client { at: at.trim_end_matches('/').to_owned(), key: key.map(str::to_owned), agent: config.into() })
    }

    /// What the server answers to GET `path`.
    ///
    /// # Errors
    /// [`UserError`] if the server refuses or nothing answers.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.read(path, self.get_bytes(path)?)
    }

    /// What the server answers to POST `path` with a JSON body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.keyed(self.agent.post(self.url(path))).header("content-type", "application/json");
        let answer = self.checked(path, request.send(body.to_string()))?;
        self.read(path, answer)
    }

    /// What the server answers to DELETE `path`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn delete(&self, path: &str) -> Result<Value> {
        let answer = self.checked(path, self.keyed(self.agent.delete(self.url(path))).call())?;
        self.read(path, answer)
    }

    /// As [`Client::post`], with a body of any length that is read while it is sent, under an idempotency key if there is one.
    /// Nothing is sent before the server is ready to take it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn upload(&self, path: &str, key: Option<&str>, length: u64, mut body: &mut dyn Read) -> Result<Value> {
        let request = self.keyed(self.agent.post(self.url(path)));
        let request = request.header("content-length", length.to_string()).header("expect", "100-continue");
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        let answer = self.checked(path, request.send(SendBody::from_reader(&mut body)))?;
        self.read(path, answer)
    }

    /// The bytes that the server answers to GET `path`, as they come, and about how many rows they hold if it says so.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn download(&self, path: &str) -> Result<(Option<u64>, impl Read + use<>)> {
        let answer = self.get_bytes(path)?;
        let rows = answer.headers().get("lingxi-rows").and_then(|rows| rows.to_str().ok()?.parse().ok());
        Ok((rows, answer.into_body().into_reader()))
    }

    fn get_bytes(&self, path: &str) -> Result<Response<Body>> {
        self.checked(path, self.keyed(self.agent.get(self.url(path))).call())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.at)
    }

    fn keyed<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.key {
            Some(key) => request.header("x-api-key", key),
            None => request,
        }
    }

    /// The answer, unless there is none or it is a refusal.
    fn checked(&self, path: &str, answer: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>> {
        let mut answer = answer.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string().unwrap_or_default();
        Err(refusal(path, status.as_u16(), &text).into())
    }

    fn read(&self, path: &str, mut answer: Response<Body>) -> Result<Value> {
        let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
        let text = text.with_context(|| format!("the answer of {}{path} broke off", self.at))?;
        serde_json::from_str(&text).map_err(|why| {
            let message = format!("{}{path} did not answer in JSON", self.at);
            UserError::new(message, "check that --at names a lingxi server").because(why).into()
        })
    }

    fn unreachable(&self, error: ureq::Error) -> UserError {
        let silent = matches!(&error, ureq::Error::ConnectionFailed | ureq::Error::HostNotFound)
            || matches!(&error, ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused);
        let message = match silent {
            true => format!("nothing answers at {}", self.at),
            false => format!("the connection to {} failed", self.at),
        };
        UserError::new(message, "start lingxi serve, or name its address with --at").because(error)
    }
}

/// What a server refused, in its own words.
fn refusal(path: &str, status: u16, body: &str) -> UserError {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let said = |field: &str| json["error"][field].as_str().unwrap_or_default().to_owned();
    let (code, message, remedy) = (said("code"), said("message"), said("remedy"));
    if code.is_empty() {
        let remedy = "check that --at names a lingxi server";
        return UserError::new(format!("{path}: the server answered with status {status}"), remedy);
    }
    UserError::new(format!("{path}: {message} ({status} {code})"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::judge;

    #[test]
    fn an_address_that_is_none_is_refused_before_anything_is_sent() {
        for at in ["", "127.0.0.1:8088", "https://shop.example", "http://", "http://a/?q=1", "http://a b"] {
            let Err(error) = Client::new(at, None) else { panic!("{at:?} was taken") };
            assert_eq!(judge(&error).code, 2, "{at:?}");
        }
        assert!(Client::new("http://127.0.0.1:8088/", None).is_ok());
    }

    #[test]
    fn where_nothing_answers_the_remedy_is_to_start_the_server() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Client::new(&format!("http://{free}"), None).unwrap().get("/health/live").unwrap_err();
        let said = judge(&error).lines.join("\n");
        assert!(said.contains("nothing answers at http://127.0.0.1") && said.contains("start lingxi serve"), "{said}");
    }

    #[test]
    fn a_refusal_is_repeated_with_its_code_and_remedy() {
        let body = r#"{"error":{"code":"busy","message":"full","remedy":"wait a second"}}"#;
        let said = judge(&refusal("/api/x", 503, body).into()).lines.join("\n");
        assert_eq!(said, "error: /api/x: full (503 busy)\n  try: wait a second");
        let other = judge(&refusal("/api/x", 502, "<html>").into()).lines.join("\n");
        assert!(other.contains("status 502") && other.contains("--at"), "{other}");
    }
}
