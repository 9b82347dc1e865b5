//! `/`: the page for people, and `/docs`: the description of the API for people. Their files lie in `page/`, plain HTML, CSS and
//! JavaScript without a build step, and are part of the program; nothing is loaded from elsewhere, and the policy that goes
//! with each file forbids it.

use super::error::Refusal;
use super::params::no_such_path;
use axum::extract::Path;
use axum::http::{HeaderName, Uri, header};
use axum::response::{IntoResponse, Response};

/// Only our own files, no inline code, nobody may frame us.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Name, type and content of each file below `/page/`.
const FILES: &[(&str, &str, &str)] = &[
    ("api.js", JS, include_str!("page/api.js")),
    ("app.js", JS, include_str!("page/app.js")),
    ("builds.js", JS, include_str!("page/builds.js")),
    ("charts.js", JS, include_str!("page/charts.js")),
    ("docs.js", JS, include_str!("page/docs.js")),
    ("draw.js", JS, include_str!("page/draw.js")),
    ("experiments.js", JS, include_str!("page/experiments.js")),
    ("frame.js", JS, include_str!("page/frame.js")),
    ("goods.js", JS, include_str!("page/goods.js")),
    ("health.js", JS, include_str!("page/health.js")),
    ("learning.js", JS, include_str!("page/learning.js")),
    ("lists.js", JS, include_str!("page/lists.js")),
    ("interests.js", JS, include_str!("page/interests.js")),
    ("notice.js", JS, include_str!("page/notice.js")),
    ("product.js", JS, include_str!("page/product.js")),
    ("quality.js", JS, include_str!("page/quality.js")),
    ("question.js", JS, include_str!("page/question.js")),
    ("schema.js", JS, include_str!("page/schema.js")),
    ("shop.js", JS, include_str!("page/shop.js")),
    ("style.css", CSS, include_str!("page/style.css")),
    ("texts.js", JS, include_str!("page/texts.js")),
    ("try.js", JS, include_str!("page/try.js")),
    ("trial.js", JS, include_str!("page/trial.js")),
    ("words.js", JS, include_str!("page/words.js")),
];

/// `/`.
pub async fn index() -> Response {
    file(HTML, include_str!("page/index.html"))
}

/// `/docs`.
pub async fn docs() -> Response {
    file(HTML, include_str!("page/docs.html"))
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
