//! How is the server doing? Counters and latency histograms by matched path in Prometheus' text format, and the two
//! health checks.
//!
//! Paths are those of the routes (`/api/recommend/{user}`), never of the requests: the number of series stays small.

use super::app::App;
use super::error::{Answer, Refusal};
use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const REQUESTS: &str = "lingxi_http_requests_total";
const SECONDS: &str = "lingxi_http_request_seconds";

/// A request that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(30);

/// So many answers are remembered for the percentiles on the page.
const LATEST: usize = 2048;

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The counters of one server.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    started: Instant,
    requests: AtomicU64,
    refused: AtomicU64,
    /// Seconds of the latest answers to API requests, in no order; `at` is the next place to write.
    latest: Mutex<Latest>,
}

#[derive(Default)]
struct Latest {
    seconds: Vec<f32>,
    at: usize,
}

/// How busy the server is.
pub struct Load {
    /// Since it started.
    pub uptime: Duration,
    /// Requests answered or refused.
    pub requests: u64,
    /// Those answered with 429, 503 or 5xx.
    pub refused: u64,
    /// Median of the latest answers, in seconds.
    pub p50: f64,
    /// 99th percentile of the latest answers, in seconds.
    pub p99: f64,
}

impl Telemetry {
    pub(super) fn new() -> Telemetry {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full(SECONDS.into()), &BUCKETS);
        let recorder = builder.expect("the buckets are not empty").build_recorder();
        let handle = recorder.handle();
        let (started, latest) = (Instant::now(), Mutex::default());
        Telemetry { recorder, handle, started, requests: AtomicU64::new(0), refused: AtomicU64::new(0), latest }
    }

    /// Folds what was observed into the buckets; called now and then, so that observations do not pile up.
    pub(super) fn fold(&self) {
        self.handle.run_upkeep();
    }

    /// The numbers of the moment.
    pub(super) fn load(&self) -> Load {
        let mut seconds = self.latest.lock().unwrap_or_else(PoisonError::into_inner).seconds.clone();
        seconds.sort_unstable_by(f32::total_cmp);
        let at = |q: f64| seconds.get((q * seconds.len() as f64) as usize).map_or(0.0, |s| f64::from(*s));
        Load {
            uptime: self.started.elapsed(),
            requests: self.requests.load(Relaxed),
            refused: self.refused.load(Relaxed),
            p50: at(0.5),
            p99: at(0.99),
        }
    }

    fn observe(&self, path: &str, method: &str, status: StatusCode, seconds: f64) {
        self.requests.fetch_add(1, Relaxed);
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            self.refused.fetch_add(1, Relaxed);
        }
        // The page asks for the dashboard all the time; what shoppers feel is the rest.
        if path.starts_with("/api") && !path.starts_with("/api/dashboard") {
            let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            let at = latest.at;
            match latest.seconds.get_mut(at) {
                Some(place) => *place = seconds as f32,
                None => latest.seconds.push(seconds as f32),
            }
            latest.at = (at + 1) % LATEST;
        }
        let labels = [("path", path.to_owned()), ("method", method.to_owned()), ("status", status.as_str().to_owned())];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(REQUESTS, &labels).increment(1);
            metrics::histogram!(SECONDS, "path" => path.to_owned()).record(seconds);
        });
    }
}

/// Around every request: refuses what is too much, gives up what takes too long, counts and times the rest.
pub async fn watch(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let path = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = known_method(request.method());
    let response = match app.enter() {
        None => Refusal::busy("too many requests are under way").into_response(),
        Some(_under_way) => match tokio::time::timeout(TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took over 30 seconds")
                .remedy("send it again; a slow sender should send smaller batches")
                .into_response(),
        },
    };
    app.telemetry.observe(&path, method, response.status(), started.elapsed().as_secs_f64());
    response
}

/// A method invented by a caller must not become a series.
fn known_method(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// `GET /metrics`.
pub async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let counts = app.store().counts();
    metrics::with_local_recorder(&app.telemetry.recorder, || {
        metrics::gauge!("lingxi_store_queue").set(app.store().queued() as f64);
        metrics::gauge!("lingxi_store_failing").set(f64::from(u8::from(counts.failing.load(Relaxed))));
        metrics::gauge!("lingxi_http_under_way").set(app.under_way.load(Relaxed) as f64);
        // One that learns a long log just now is asked the next time.
        if let Ok(Some(learner)) = app.try_learner().as_deref() {
            let reward = learner.curve().last().map_or(0.0, |point| point.reward / point.slates.max(1) as f64);
            metrics::gauge!("lingxi_policy_reward").set(reward);
            metrics::gauge!("lingxi_policy_drift_tension").set(learner.drift().tension());
            metrics::counter!("lingxi_policy_lessons_total").absolute(learner.lessons());
            metrics::counter!("lingxi_policy_drifts_total").absolute(learner.drift().changes());
        }
        for (name, value) in [
            ("lingxi_events_stored_total", counts.events.load(Relaxed)),
            ("lingxi_events_on_unknown_items_total", app.serving().unknown_items()),
            ("lingxi_decisions_total", counts.decisions.load(Relaxed)),
            ("lingxi_decisions_lost_total", counts.decisions_lost.load(Relaxed)),
            ("lingxi_feedback_joined_total", counts.joined.load(Relaxed)),
            ("lingxi_store_commits_total", counts.commits.load(Relaxed)),
        ] {
            metrics::counter!(name).absolute(value);
        }
    });
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.telemetry.handle.render())
}

/// `GET /health/live`: the process answers.
pub async fn live() -> Json<serde_json::Value> {
    Json(serde_json::json!({"status": "live"}))
}

/// `GET /health/ready`: a snapshot is loaded, the store takes events, and the server is not stopping.
pub async fn ready(State(app): State<App>) -> Answer<Json<serde_json::Value>> {
    if app.is_stopping() {
        return Err(Refusal::busy("the server is stopping"));
    }
    if !app.store().is_open() {
        return Err(Refusal::busy("the store takes no events"));
    }
    let serving = app.serving();
    let (snapshot, items) = (serving.engine().fingerprint(), serving.engine().catalog().len());
    Ok(Json(serde_json::json!({"status": "ready", "snapshot": snapshot, "items": items})))
}
