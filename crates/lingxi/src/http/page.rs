//! `/`: the page for people. Its files lie in `page/`, plain HTML, CSS and JavaScript without a build step, and are part of
//! the program; nothing is loaded from elsewhere, and the policy that goes with each file forbids it.

use super::error::Refusal;
use super::params::no_such_path;
use axum::extract::Path;
use axum::http::{HeaderName, Uri, header};
use axum::response::{IntoResponse, Response};

/// Only our own files, no inline code, nobody may frame us.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Name, type and content of each file below `/page/`.
const FILES: [(&str, &str, &str); 6] = [
    ("api.js", JS, include_str!("page/api.js")),
    ("app.js", JS, include_str!("page/app.js")),
    ("draw.js", JS, include_str!("page/draw.js")),
    ("figures.js", JS, include_str!("page/figures.js")),
    ("style.css", CSS, include_str!("page/style.css")),
    ("words.js", JS, include_str!("page/words.js")),
];

/// `/`.
pub async fn index() -> Response {
    file("text/html; charset=utf-8", include_str!("page/index.html"))
}

/// Two minds in tune: two circles that overlap.
const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
<circle cx="6" cy="8" r="5" fill="#0f766e"/><circle cx="10" cy="8" r="5" fill="#f59e0b" fill-opacity=".8"/></svg>"##;

/// `/favicon.ico`.
pub async fn icon() -> Response {
    file("image/svg+xml", ICON)
}

/// `/page/{name}`.
pub async fn asset(Path(name): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, content)) => Ok(file(kind, content)),
        None => Err(no_such_path(uri).await),
    }
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The files change with the program: ask each time, they are small.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, content).into_response()
}
