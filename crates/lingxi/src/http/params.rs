//! Reads what stands in the address: ids in the path, `n` and flags behind the question mark. Unknown parameters are
//! refused, so that a misspelt one is not silently ignored.

use super::error::{Answer, Refusal};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;

/// Longest external id, in bytes.
pub const MAX_ID: usize = 512;

/// Longest search text, in bytes.
pub const MAX_QUERY: usize = 4096;

/// How many items come back if `n` is not given.
pub const DEFAULT_N: usize = 10;

/// Most items that one request may ask for.
pub const MAX_N: usize = 1000;

/// The one id in the path, as UTF-8 text.
pub struct Id(pub String);

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
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|e| Refusal::input("path", "UTF-8 text, percent-encoded", e).remedy("encode the id as UTF-8"))?;
        let (name, id) = params.iter().next().ok_or_else(|| Refusal::internal("a route without an id"))?;
        checked_id(name, id).map(|id| Id(id.to_owned()))
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
    Refusal::new(StatusCode::NOT_FOUND, "not_found", format!("no such path: {}", uri.path())).remedy(
        "use / for the page, or /api/feedback, /api/recommend/{user}, /api/search, /api/item-to-item/similar/{item}, \
         /api/item/{item}, /api/items, /api/users, /api/user/{user}/feedback, /api/dashboard/stats, \
         /api/dashboard/evaluation, /api/export/{what}, /api/import/{what}, /api/imports, /health/live, /health/ready, /metrics",
    )
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
