//! `/api/dashboard/evaluation` and `/api/dashboard/stats`: what the snapshot earned before it was published, and how the
//! server is doing, for the page.

use super::app::App;
use super::error::{Answer, Refusal};
use super::params::Query;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use std::sync::atomic::Ordering::Relaxed;

/// Numbers of the moment.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Stats {
    name: String,
    about: String,
    snapshot: String,
    users: usize,
    items: usize,
    /// Events of the log that the snapshot was built from.
    events: usize,
    /// Events that arrived since the server was started.
    new_events: u64,
    ready: bool,
    uptime_seconds: f64,
    requests: u64,
    refused: u64,
    p50_ms: f64,
    p99_ms: f64,
    version: &'static str,
}

/// The figures, in the shape of `lingxi evaluate --json`.
pub async fn evaluation(State(app): State<App>, query: Query) -> Answer<Json<Value>> {
    query.only(&[])?;
    let figures = app.serving().engine().front().figures.clone();
    if figures.is_null() {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "no_figures", "this snapshot was not measured"));
    }
    Ok(Json(figures))
}

/// How the models that learn in steps came to what they know.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Curves {
    curves: Vec<Curve>,
}

/// A figure over the steps of training.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Curve {
    model: String,
    metric: String,
    points: Vec<(u64, f64)>,
}

/// The curves of the snapshot that answers.
pub async fn curves(State(app): State<App>, query: Query) -> Answer<Json<Curves>> {
    query.only(&[])?;
    let serving = app.serving();
    let curves = serving.engine().front().curves.iter();
    let curve = |c: &crate::stages::fit::Curve| Curve {
        model: c.model.clone(),
        metric: c.metric.clone(),
        points: c.points.clone(),
    };
    Ok(Json(Curves { curves: curves.map(curve).collect() }))
}

/// The numbers.
pub async fn stats(State(app): State<App>, query: Query) -> Answer<Json<Stats>> {
    query.only(&[])?;
    let serving = app.serving();
    let (front, known) = (serving.engine().front(), serving.engine().known());
    let load = app.telemetry.load();
    Ok(Json(Stats {
        name: front.name.clone(),
        about: front.about.clone(),
        snapshot: serving.engine().fingerprint().to_string(),
        users: known.users.len(),
        items: serving.engine().catalog().len(),
        events: known.log.len(),
        new_events: app.store().counts().events.load(Relaxed),
        ready: app.store().is_open() && !app.is_stopping(),
        uptime_seconds: load.uptime.as_secs_f64(),
        requests: load.requests,
        refused: load.refused,
        p50_ms: load.p50 * 1e3,
        p99_ms: load.p99 * 1e3,
        version: env!("CARGO_PKG_VERSION"),
    }))
}
