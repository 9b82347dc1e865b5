//! Reads what stands in the address: ids in the path, `n` and flags behind the question mark. Unknown parameters are
//! refused, so that a misspelt one is not silently ignored.

use super::error::{Answer, Refusal};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use lingxi_data::EventKind;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest external id, in bytes.
pub const MAX_ID: usize = 512;

/// Longest search text, in bytes.
pub const MAX_QUERY: usize = 4096;

/// How many items come back if `n` is not given.
pub const DEFAULT_N: usize = 10;

/// Most items that one request may ask for.
pub const MAX_N: usize = 1000;

/// Most items that may be passed over before the first one.
pub const MAX_OFFSET: usize = 1000;

/// The one id in the path, as UTF-8 text.
pub struct Id(pub String);

/// The ids in the path, in their order.
pub struct Ids<const N: usize>(pub [String; N]);

/// A whole body within the limit.
pub struct Body(pub Bytes);

/// The parameters behind the question mark, in their order.
pub struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Answer<Body> {
        Bytes::from_request(request, state).await.map(Body).map_err(refuse_body)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Id> {
        Ids::from_request_parts(parts, state).await.map(|Ids([id])| Id(id))
    }
}

impl<S: Send + Sync, const N: usize> FromRequestParts<S> for Ids<N> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Ids<N>> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|e| Refusal::input("path", "UTF-8 text, percent-encoded", e).remedy("encode the id as UTF-8"))?;
        let ids = params.iter().map(|(name, id)| checked_id(name, id).map(str::to_owned));
        let ids = ids.collect::<Answer<Vec<_>>>()?;
        ids.try_into().map(Ids).map_err(|_| Refusal::internal(format!("a route without {N} ids")))
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Answer<Query> {
        let pairs = parts.uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode("query", name)?, decode(name, value)?))
        });
        pairs.collect::<Answer<Vec<_>>>().map(Query)
    }
}

impl Query {
    /// Refuses any parameter that is not in `known`, and any that is given twice.
    pub fn only(self, known: &[&str]) -> Answer<Query> {
        for (at, (name, value)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(Refusal::input("query", format!("parameters {}", known.join(", ")), name)
                    .remedy("remove or correct the parameter"));
            }
            if self.0[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Refusal::input(name.as_str(), "one value", format!("another, {value}")));
            }
        }
        Ok(self)
    }

    /// A parameter, if it is given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// `n`, the number of items asked for: 1 to [`MAX_N`], [`DEFAULT_N`] if absent.
    pub fn n(&self) -> Answer<usize> {
        let Some(text) = self.get("n") else { return Ok(DEFAULT_N) };
        let n = text.parse::<usize>().ok().filter(|n| (1..=MAX_N).contains(n));
        n.ok_or_else(|| Refusal::input("n", format!("a whole number from 1 to {MAX_N}"), text))
    }

    /// `offset`, the number of items to pass over: 0 to [`MAX_OFFSET`], 0 if absent.
    pub fn offset(&self) -> Answer<usize> {
        let Some(text) = self.get("offset") else { return Ok(0) };
        let offset = text.parse::<usize>().ok().filter(|offset| *offset <= MAX_OFFSET);
        offset.ok_or_else(|| Refusal::input("offset", format!("a whole number from 0 to {MAX_OFFSET}"), text))
    }

    /// A text of 1 to [`MAX_QUERY`] bytes.
    pub fn text(&self, name: &str) -> Answer<String> {
        let text = self.get(name).map_or("", str::trim).to_owned();
        if text.is_empty() || text.len() > MAX_QUERY {
            let got = if text.is_empty() { "none".to_owned() } else { format!("{} bytes", text.len()) };
            return Err(Refusal::input(name, format!("a text of 1 to {MAX_QUERY} bytes"), got)
                .remedy("ask as in /api/search?q=oat+milk"));
        }
        Ok(text)
    }

    /// `explore`, how much the policy may explore: 0 (the best only) to 1 (as the recipe says), 1 if absent.
    pub fn explore(&self) -> Answer<f64> {
        let Some(text) = self.get("explore") else { return Ok(1.0) };
        let explore = text.parse::<f64>().ok().filter(|explore| (0.0..=1.0).contains(explore));
        explore.ok_or_else(|| Refusal::input("explore", "a number from 0 to 1", text))
    }

    /// A flag: `true` or `false`, false if absent.
    pub fn flag(&self, name: &str) -> Answer<bool> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(other) => Err(Refusal::input(name, "true or false", other)),
        }
    }
}

/// An external id: 1 to [`MAX_ID`] bytes without control characters.
pub fn checked_id<'a>(field: &str, id: &'a str) -> Answer<&'a str> {
    let expected = || format!("an id of 1 to {MAX_ID} bytes without control characters");
    if id.is_empty() {
        return Err(Refusal::input(field, expected(), "an empty one"));
    }
    if id.len() > MAX_ID {
        return Err(Refusal::input(field, expected(), format!("{} bytes", id.len())));
    }
    if id.chars().any(char::is_control) {
        return Err(Refusal::input(field, expected(), format!("{id:?}")));
    }
    Ok(id)
}

/// The JSON object of a body, of at most 128 levels.
pub fn read<T: DeserializeOwned>(body: &[u8], expected: &str) -> Answer<T> {
    object("body", json(body, expected)?, expected)
}

/// The JSON array of at most `most` objects of a body.
pub fn read_all<T: DeserializeOwned>(body: &[u8], most: usize, expected: &str) -> Answer<Vec<T>> {
    let rows = match json(body, expected)? {
        Value::Array(rows) => rows,
        other => return Err(Refusal::input("body", expected, type_name(&other)).remedy("put it between [ and ]")),
    };
    if rows.len() > most {
        return Err(
            Refusal::input("body", format!("at most {most} rows"), rows.len()).remedy("send them in several requests")
        );
    }
    rows.into_iter().enumerate().map(|(at, row)| object(&format!("[{at}]"), row, "an object")).collect()
}

fn json(body: &[u8], expected: &str) -> Answer<Value> {
    serde_json::from_slice(body)
        .map_err(|why| Refusal::input("body", expected, why).remedy("correct the JSON at that place"))
}

/// Only an object: serde would take an array of its values as well.
fn object<T: DeserializeOwned>(field: &str, value: Value, expected: &str) -> Answer<T> {
    match value {
        Value::Object(_) => serde_json::from_value(value).map_err(|why| Refusal::input(field, expected, why)),
        other => Err(Refusal::input(field, expected, type_name(&other))),
    }
}

/// What a JSON value is, for messages.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A kind of event by its name or a common synonym.
pub fn checked_kind(field: &str, name: &str) -> Answer<EventKind> {
    EventKind::parse(name).ok_or_else(|| {
        Refusal::input(field, EventKind::ALL.map(EventKind::name).join(", "), name)
            .remedy("use the nearest of these, or \"other\"; common synonyms such as \"purchase\" are understood")
    })
}

fn refuse_body(rejection: BytesRejection) -> Refusal {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is over the limit of 4 MiB")
                .remedy("send it in several requests")
        }
        _ => Refusal::new(StatusCode::BAD_REQUEST, "bad_body", format!("the body could not be read: {rejection}")),
    }
}

/// Percent-decoding of a form parameter; `+` is a space.
fn decode(field: &str, text: &str) -> Answer<String> {
    let refuse = |got: &str| Refusal::input(field, "UTF-8 text, percent-encoded", got).remedy("encode it as UTF-8");
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = text.get(at + 1..at + 3).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok()).ok_or_else(|| refuse(text))?;
                out.push(byte);
                at += 2;
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).map_err(|_| refuse(text))
}

/// The answer for an address that leads nowhere.
pub async fn no_such_path(uri: axum::http::Uri) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", format!("no such path: {}", uri.path()))
        .remedy("use / for the page; /api/openapi.json names every path")
}

/// The answer for a method that the address does not take.
pub async fn no_such_method(method: axum::http::Method, uri: axum::http::Uri) -> Refusal {
    let message = format!("{} does not take {method}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        .remedy("see the Allow header for the methods that it takes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_text_is_decoded_and_what_is_not_utf8_is_refused() {
        let check =
            |text: &str, expected: Option<&str>| assert_eq!(decode("q", text).ok().as_deref(), expected, "{text}");
        check("a+b%20c", Some("a b c"));
        check("%E8%8C%B6", Some("茶"));
        check("%ff", None);
        check("%", None);
        check("%+1", None);
        check("%e", None);
        check("%茶", None);
    }
}
