//! The one shape in which HTTP refuses: `{"error": {code, message, field, expected, got, remedy}}`.

use crate::store::StoreError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The result of a handler.
pub type Answer<T> = Result<T, Refusal>;

/// A refused request: the status, and what the body says.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    status: StatusCode,
    pub(super) why: Box<Why>,
}

/// Why a request is refused. Fields that do not apply are `null`, never absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Why {
    /// For programs: `bad_input`, `not_found`, `busy` ...
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// Where in the request, e.g. `[3].UserId` or `n`.
    pub field: Option<String>,
    /// What fits there.
    pub expected: Option<String>,
    /// What came, cut to a readable length.
    pub got: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
}

impl Refusal {
    /// A refusal with a status and a message; the rest is added by the methods below.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, why: Box::new(Why { code, message: message.into(), ..Why::default() }) }
    }

    /// The input is wrong at `field` (400).
    pub fn input(field: impl Into<String>, expected: impl Into<String>, got: impl std::fmt::Display) -> Refusal {
        let (field, expected, got) = (field.into(), expected.into(), shorten(&got.to_string()));
        let message = format!("{field}: expected {expected}, got {got}");
        let mut refusal = Refusal::new(StatusCode::BAD_REQUEST, "bad_input", message);
        refusal.why.field = Some(field);
        refusal.why.expected = Some(expected);
        refusal.why.got = Some(got);
        refusal
    }

    /// Says what to do.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Refusal {
        self.why.remedy = Some(remedy.into());
        self
    }

    /// The same with another status.
    pub fn with_status(self, status: StatusCode) -> Refusal {
        Refusal { status, ..self }
    }

    /// The server has too much to do (503, with `Retry-After`).
    pub fn busy(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).remedy("send the same request again in a second")
    }

    /// There is no room for more of this just now (429, with `Retry-After`).
    pub fn too_many(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, code, message)
    }

    /// Something broke on our side (500); the cause goes to the log, not to the caller.
    pub fn internal(cause: impl std::fmt::Display) -> Refusal {
        tracing::error!("internal error: {cause}");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed")
            .remedy(
                "send the same request again (with an Idempotency-Key events are stored once); if it fails again, report it \
                 with the server's log",
            )
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        match error {
            StoreError::Busy | StoreError::Closed => Refusal::busy(error.to_string()),
            StoreError::Full => {
                Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", "the disk is full; nothing was stored")
                    .remedy("make room on the server's disk, then send the same request again; no restart is needed")
            }
            StoreError::Write(_) | StoreError::Gone { .. } => {
                tracing::debug!("refused: {error}");
                let message = "the store cannot be written; nothing was stored";
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", message)
                    .remedy("see the server's log, which names the cause, and send the same request again")
            }
            other => Refusal::internal(other),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: Box<Why>,
        }
        let status = self.status;
        let mut response = (status, Json(Body { error: self.why })).into_response();
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// At most 80 characters, so that a refused body of a megabyte is not sent back.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}
