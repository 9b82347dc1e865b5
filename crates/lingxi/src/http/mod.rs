//! What does a shop's website ask, and what do we answer? The endpoints, shaped as Gorse's, so that its clients work.
//!
//! A request comes in; a handler reads it ([`params`], [`feedback`]), calls the engine or the store, and answers JSON; a
//! wrong one is refused in one shape ([`error`]). [`embed`] answers programs that want vectors. This folder is the only place that knows async: from a handler to the
//! dot product about six plain calls.

mod admission;
mod app;
mod builds;
mod bulk;
mod connections;
mod dashboard;
pub mod doorway;
mod embed;
mod engine;
mod erase;
mod error;
mod events;
mod experiments;
mod explain;
mod feedback;
mod gate;
mod goods;
mod interests;
mod lists;
mod openapi;
mod page;
mod params;
mod phrased;
mod policy;
mod recommend;
mod sent;
mod serving;
mod session;
mod similar;
mod telemetry;
mod timestamp;
mod users;

pub use app::{App, AppOptions, State};
pub use engine::{Engine, Front};
pub use gate::Gate;
pub use serving::{Serving, Withdrawn};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use std::any::Any;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;

/// Longest body, in bytes.
const MAX_BODY: usize = 4 << 20;

/// How long requests under way may take once no more are accepted.
const DRAIN: Duration = Duration::from_secs(7);

/// All endpoints.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/docs", get(page::docs))
        .route("/page/{name}", get(page::asset))
        .route("/favicon.ico", get(page::icon))
        .route("/api/openapi.json", get(openapi::get))
        .route("/api/feedback", get(events::list).post(feedback::post).put(feedback::put))
        .route("/api/feedback/{type}", get(events::of_kind))
        .route("/api/feedback/{user}/{item}", get(events::between).delete(erase::between))
        .route("/api/feedback/{type}/{user}/{item}", get(events::one).delete(erase::of_kind))
        .route("/api/items", get(goods::list).post(goods::post_all))
        .route("/api/item", post(goods::post))
        .route("/api/item/{item}", get(goods::get).patch(goods::patch).delete(goods::delete))
        .route("/api/item/{item}/category/{category}", put(goods::put_category).delete(goods::delete_category))
        .route("/api/item/{item}/feedback", get(events::of_item))
        .route("/api/item/{item}/feedback/{type}", get(events::of_item_and_kind))
        .route("/api/users", get(users::list).post(users::post_all))
        .route("/api/user", post(users::post))
        .route("/api/user/{user}", get(users::get).patch(users::patch).delete(erase::user))
        .route("/api/user/{user}/feedback", get(events::of_user))
        .route("/api/user/{user}/feedback/{type}", get(events::of_user_and_kind))
        .route("/api/builds", get(builds::list).post(builds::start))
        .route("/api/builds/{id}/publish", post(builds::publish))
        .route("/api/policy", get(policy::get).post(policy::keep))
        .route("/api/policy/{id}/use", post(policy::go_back))
        .route("/api/experiments", get(experiments::list).post(experiments::start))
        .route("/api/experiments/{name}", get(experiments::get).delete(experiments::remove))
        .route("/api/experiments/{name}/stop", post(experiments::stop))
        .route("/api/dashboard/evaluation", get(dashboard::evaluation))
        .route("/api/dashboard/curves", get(dashboard::curves))
        .route("/api/dashboard/categories", get(lists::categories))
        .route("/api/dashboard/stats", get(dashboard::stats))
        .route("/api/export/{what}", get(bulk::export))
        .route("/api/import/{what}", post(bulk::import))
        .route("/api/imports", get(bulk::imports))
        .route("/api/imports/{id}", get(bulk::progress))
        .route("/api/recommend/{user}", get(recommend::get))
        .route("/api/recommend/{user}/", get(recommend::get))
        .route("/api/recommend/{user}/{category}", get(recommend::within))
        .route("/api/session/recommend", post(session::post))
        .route("/api/session/recommend/{category}", post(session::post_within))
        .route("/api/explain/{user}/{item}", get(explain::get))
        .route("/api/popular", get(lists::popular))
        .route("/api/popular/{category}", get(lists::popular_within))
        .route("/api/latest", get(lists::latest))
        .route("/api/latest/{category}", get(lists::latest_within))
        .route("/api/non-personalized/{name}", get(lists::named))
        .route("/api/non-personalized/{name}/{category}", get(lists::named_within))
        .route("/api/item-to-item/similar/{item}", get(similar::similar))
        .route("/api/item/{item}/neighbors", get(similar::similar))
        .route("/api/item/{item}/neighbors/{category}", get(similar::similar_within))
        .route("/api/user-to-user/similar/{user}", get(similar::shoppers))
        .route("/api/user/{user}/neighbors", get(similar::shoppers))
        .route("/api/user/{user}/interests", get(interests::of_user))
        .route("/api/search", get(similar::search))
        .route("/v1/embeddings", post(embed::openai))
        .route("/embed", post(embed::embed))
        .route("/similarity", post(embed::similarity))
        .route("/rerank", post(embed::rerank))
        .route("/health/live", get(telemetry::live))
        .route("/health/ready", get(telemetry::ready))
        .route("/metrics", get(telemetry::metrics))
        .fallback(params::no_such_path)
        .method_not_allowed_fallback(params::no_such_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(app.clone(), gate::admit))
        .layer(from_fn_with_state(app.clone(), telemetry::watch))
        .with_state(app)
}

/// Serves until Ctrl-C or SIGTERM. Then says through `/health/ready` that new work should go elsewhere, goes on for
/// [`AppOptions::farewell`], answers what is under way, stores what waits and closes the store.
///
/// # Errors
/// Whatever the listener or the runtime says.
pub fn serve(listener: TcpListener, app: App) -> io::Result<()> {
    serve_until(listener, app, stop_signal())
}

/// As [`serve`], until `stop` is ready.
///
/// # Errors
/// Whatever the listener or the runtime says.
pub fn serve_until(listener: TcpListener, app: App, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("lingxi-http").build()?;
    let teacher = policy::teach(app.clone())?;
    let served = runtime.block_on(run(listener, app.clone(), stop));
    // Threads that still compute for callers who gave up are not waited for.
    runtime.shutdown_background();
    app.stop();
    if teacher.join().is_err() {
        tracing::error!("the learner panicked; what it learnt is learnt again at the next start");
    }
    app.store().close();
    served
}

async fn run(listener: TcpListener, app: App, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (begin, begun) = tokio::sync::oneshot::channel::<()>();
    let stopping = app.clone();
    let graceful = async move {
        stop.await;
        stopping.stop();
        tokio::time::sleep(stopping.farewell()).await;
        let _ = begin.send(());
    };
    let fold = async {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            app.telemetry.fold();
            app.build_if_due();
        }
    };
    let deadline = async {
        // A server that ends by itself never begins to stop: then there is no deadline either.
        match begun.await {
            Ok(()) => tokio::time::sleep(DRAIN).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = connections::serve(listener, router(app.clone()), graceful) => {}
        () = fold => {}
        () = experiments::watch(&app) => {}
        () = deadline => {
            tracing::warn!("requests were still under way {} seconds after the stop", DRAIN.as_secs());
        }
    }
    Ok(())
}

/// Ready at the first Ctrl-C or SIGTERM.
async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        _ = interrupt => {}
        () = terminate => {}
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    error::Refusal::internal(text.unwrap_or_else(|| "a handler panicked".into())).into_response()
}
