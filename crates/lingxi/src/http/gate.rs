//! Who comes in? Where the server asks for keys: only who has one, for what it opens, as often as it may. Where it does
//! not, on loopback: programs of this machine, and no page of another site that a browser here happens to show.

use super::app::App;
use super::error::Refusal;
use crate::keys::{Key, Keys, Scope};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How often the file with the keys is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The keys that open a server.
pub struct Gate {
    file: PathBuf,
    state: Mutex<Inside>,
}

struct Inside {
    keys: Keys,
    looked: Instant,
    changed: Option<SystemTime>,
    /// What each key with a rate has left, by its hash.
    left: HashMap<String, Bucket>,
}

/// Requests that a key may make at once, refilled at its rate.
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Gate {
    /// Opens to the keys of a file.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn new(file: PathBuf) -> anyhow::Result<Gate> {
        let (keys, changed) = (Keys::read(&file)?, changed(&file));
        let state = Inside { keys, looked: Instant::now(), changed, left: HashMap::new() };
        Ok(Gate { file, state: Mutex::new(state) })
    }

    /// Lets a request pass, or says why not.
    fn check(&self, given: Option<&str>, scope: Scope, now: Instant) -> Result<(), Closed> {
        let mut inside = self.inside();
        if now.saturating_duration_since(inside.looked) >= LOOK {
            inside.looked = now;
            inside.read_again(&self.file);
        }
        let key = inside.keys.find(given.ok_or(Closed::NoKey)?).ok_or(Closed::WrongKey)?.clone();
        if !key.opens(scope) {
            return Err(Closed::Scope(scope));
        }
        inside.take(&key, now)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Reads the file if it changed. One that does not read opens to nobody: whoever broke it wanted something changed.
    fn read_again(&mut self, file: &std::path::Path) {
        let changed = changed(file);
        if changed == self.changed {
            return;
        }
        self.changed = changed;
        self.keys = Keys::read(file).unwrap_or_else(|why| {
            tracing::error!("no key opens this server any more: {why:#}");
            Keys::default()
        });
        let keys = &self.keys;
        self.left.retain(|hash, _| keys.list().iter().any(|key| key.hash == *hash));
    }

    fn take(&mut self, key: &Key, now: Instant) -> Result<(), Closed> {
        let Some(rate) = key.rate.map(|rate| f64::from(rate.max(1))) else { return Ok(()) };
        let full = || Bucket { tokens: rate, at: now };
        let bucket = self.left.entry(key.hash.clone()).or_insert_with(full);
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        *bucket = Bucket { tokens: (bucket.tokens + since * rate).min(rate), at: now };
        if bucket.tokens < 1.0 {
            return Err(Closed::Rate { rate, wait: (1.0 - bucket.tokens) / rate });
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Closed {
    NoKey,
    WrongKey,
    Scope(Scope),
    Rate { rate: f64, wait: f64 },
    ForeignPage,
}

/// Around every request, before its body is read.
pub async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    match pass(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(closed) => refuse(closed),
    }
}

fn pass(app: &App, request: &Request) -> Result<(), Closed> {
    let Some(scope) = asked_for(request.method(), request.uri()) else { return Ok(()) };
    match app.gate() {
        Some(gate) => gate.check(given(request.headers()), scope, Instant::now()),
        None if is_foreign(request.headers()) => Err(Closed::ForeignPage),
        None => Ok(()),
    }
}

/// What a request asks for; `None` for what is open to all: the page itself, its description, and the health checks.
fn asked_for(method: &Method, uri: &Uri) -> Option<Scope> {
    let path = uri.path();
    if matches!(path, "/v1/embeddings" | "/embed" | "/similarity" | "/rerank") {
        return Some(Scope::Read);
    }
    if !path.starts_with("/api/") && path != "/metrics" {
        return None;
    }
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let writes_back = uri.query().is_some_and(|query| query.contains("write-back-type"));
    let of = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    Some(match path {
        "/api/openapi.json" => return None,
        _ if of("/api/export") || of("/api/import") || of("/api/imports") => Scope::Admin,
        _ if (of("/api/builds") || of("/api/policy") || of("/api/experiments")) && !reads => Scope::Admin,
        _ if of("/api/session/recommend") => Scope::Read,
        _ if reads && !writes_back => Scope::Read,
        _ => Scope::Write,
    })
}

/// The key that came along: `X-API-Key`, as Gorse's clients send it, or `Authorization: Bearer`.
fn given(headers: &HeaderMap) -> Option<&str> {
    let own = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    let bearer = || headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ");
    own.or_else(bearer).filter(|key| !key.is_empty())
}

/// Whether a browser sends this for a page of another site, or under a name that only pretends to be this machine.
fn is_foreign(headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if said("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    let Some(host) = said("host") else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_here =
        name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    !is_here
}

fn refuse(closed: Closed) -> Response {
    let refusal = match closed {
        Closed::NoKey => Refusal::new(StatusCode::UNAUTHORIZED, "no_key", "this server asks for a key")
            .remedy("send it as X-API-Key: KEY; lingxi keys add makes one"),
        Closed::WrongKey => Refusal::new(StatusCode::UNAUTHORIZED, "wrong_key", "this key opens nothing here")
            .remedy("check that it is whole; it may have been taken away"),
        Closed::Scope(scope) => {
            let message = format!("this key does not open what asks for the scope {}", scope.name());
            Refusal::new(StatusCode::FORBIDDEN, "scope", message).remedy("use a key with that scope")
        }
        Closed::Rate { rate, .. } => {
            let message = format!("this key may make {rate} requests a second");
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate", message)
                .remedy("send the request again after Retry-After")
        }
        Closed::ForeignPage => {
            Refusal::new(StatusCode::FORBIDDEN, "foreign_page", "a page of another site may not ask this server")
                .remedy("open it as http://localhost or http://127.0.0.1, or serve it with keys: lingxi serve --keys")
        }
    };
    let mut response = refusal.into_response();
    let headers = response.headers_mut();
    match closed {
        Closed::NoKey | Closed::WrongKey => {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        Closed::Rate { wait, .. } => {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from(wait.ceil().max(1.0) as u64));
        }
        Closed::Scope(_) | Closed::ForeignPage => {}
    }
    response
}

fn changed(file: &std::path::Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|m| m.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn what_a_request_asks_for_follows_from_its_method_and_path() {
        let check = |method: Method, path: &str, expected: Option<Scope>| {
            assert_eq!(asked_for(&method, &path.parse().unwrap()), expected, "{method} {path}");
        };
        for open in ["/", "/page/app.js", "/docs", "/health/ready", "/api/openapi.json"] {
            check(Method::GET, open, None);
        }
        for read in ["/metrics", "/api/recommend/ann", "/api/builds", "/api/search?q=tea", "/api/exporter"] {
            check(Method::GET, read, Some(Scope::Read));
        }
        check(Method::POST, "/api/session/recommend", Some(Scope::Read));
        for (method, write) in [
            (Method::POST, "/api/feedback"),
            (Method::DELETE, "/api/item/tea"),
            (Method::GET, "/api/recommend/ann?write-back-type=view"),
            (Method::PATCH, "/api/nowhere"),
        ] {
            check(method, write, Some(Scope::Write));
        }
        check(Method::GET, "/api/export/events", Some(Scope::Admin));
        check(Method::POST, "/api/import/events", Some(Scope::Admin));
        check(Method::POST, "/api/builds", Some(Scope::Admin));
        check(Method::POST, "/api/builds/3/publish", Some(Scope::Admin));
        check(Method::POST, "/api/policy/3/use", Some(Scope::Admin));
        check(Method::POST, "/api/experiments", Some(Scope::Admin));
        check(Method::POST, "/api/experiments/x/stop", Some(Scope::Admin));
        check(Method::DELETE, "/api/experiments/x", Some(Scope::Admin));
        check(Method::GET, "/api/experiments/x", Some(Scope::Read));
    }

    #[test]
    fn on_loopback_only_pages_of_other_sites_are_kept_out() {
        let check = |pairs: &[(&'static str, &'static str)], foreign: bool| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            assert_eq!(is_foreign(&headers), foreign, "{pairs:?}");
        };
        check(&[], false);
        for here in ["localhost", "LOCALHOST:8088", "127.0.0.1:8088", "127.0.0.2", "[::1]:8088", "[::1]"] {
            check(&[("host", here)], false);
        }
        for there in ["shop.example:8088", "localhost.evil.example", "10.0.0.1", "[::2]:80", ""] {
            check(&[("host", there)], true);
        }
        check(&[("host", "localhost"), ("sec-fetch-site", "cross-site")], true);
        check(&[("host", "localhost"), ("sec-fetch-site", "same-origin")], false);
    }

    #[test]
    fn a_key_with_a_rate_may_ask_that_often_and_waits_as_long_as_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        let mut keys = Keys::default();
        let (slow, free) = (
            keys.add("slow", &[Scope::Read], Some(2), [1; 32], 0).unwrap(),
            keys.add("free", &[Scope::Write], None, [2; 32], 0).unwrap(),
        );
        keys.write(&file).unwrap();
        let (gate, start) = (Gate::new(file.clone()).unwrap(), Instant::now());
        let ask = |key: &str, scope, ms| gate.check(Some(key), scope, start + Duration::from_millis(ms));
        assert_eq!((ask(&slow, Scope::Read, 0), ask(&slow, Scope::Read, 1)), (Ok(()), Ok(())));
        assert!(matches!(ask(&slow, Scope::Read, 2), Err(Closed::Rate { wait, .. }) if wait > 0.4 && wait < 0.5));
        assert_eq!(ask(&slow, Scope::Read, 600), Ok(()));
        assert_eq!(ask(&slow, Scope::Write, 700), Err(Closed::Scope(Scope::Write)));
        for _ in 0..1000 {
            assert_eq!(ask(&free, Scope::Write, 3), Ok(()));
        }
        assert_eq!(gate.check(None, Scope::Read, start), Err(Closed::NoKey));
        assert_eq!(ask("lx_0", Scope::Read, 4), Err(Closed::WrongKey));
        // A key that is taken away opens nothing a second later.
        keys.remove("free").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        keys.write(&file).unwrap();
        assert_eq!(ask(&free, Scope::Write, 1500), Err(Closed::WrongKey));
    }
}
