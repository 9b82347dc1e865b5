//! `/api/builds`: the shop learns while it serves. What is kept, what is being built, how to start a build, and how to go
//! back to a kept snapshot. Whatever happens, the snapshot that answers goes on answering until another is whole.

use super::app::App;
use super::error::{Answer, Refusal};
use super::params::{Id, Query};
use super::timestamp;
use crate::failure;
use crate::kept::Card;
use crate::workshop::{Told, Workshop};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

/// What there is to tell of builds.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Builds {
    running: Option<Running>,
    last: Option<Last>,
    kept: Vec<Kept>,
    /// Hours between two builds; null if they are only made when somebody asks.
    every_hours: Option<f64>,
}

/// A build under way.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Running {
    stage: String,
    done: u64,
    total: Option<u64>,
    /// Since the build began.
    seconds: f64,
}

/// How the last build ended.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Last {
    ok: bool,
    error: Option<String>,
    seconds: f64,
    finished: String,
}

/// A snapshot to go back to.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    id: u64,
    built: String,
    snapshot: String,
    events: u64,
    items: u64,
    metric: String,
    value: Option<f64>,
    serving: bool,
}

/// What was started or put in place.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Done {
    status: &'static str,
}

/// All that is known.
pub async fn list(State(app): State<App>, query: Query) -> Answer<Json<Builds>> {
    query.only(&[])?;
    app.compute(|app, _| Ok(Json(told(workshop(app)?.told())))).await
}

/// Starts a build in the background.
pub async fn start(State(app): State<App>, query: Query) -> Answer<(StatusCode, Json<Done>)> {
    query.only(&[])?;
    if !app.build(workshop(&app)?) {
        return Err(Refusal::new(StatusCode::CONFLICT, "build_running", "a build is running already")
            .remedy("ask GET /api/builds how far it is"));
    }
    Ok((StatusCode::ACCEPTED, Json(Done { status: "started" })))
}

/// Lets a kept snapshot answer from now on.
pub async fn publish(State(app): State<App>, Id(id): Id, query: Query) -> Answer<Json<Done>> {
    query.only(&[])?;
    let id: u64 = id.parse().map_err(|_| Refusal::input("id", "the number of a kept snapshot", &id))?;
    app.compute(move |app, _| {
        let workshop = workshop(app)?;
        if !workshop.told().kept.iter().any(|card| card.id == id) {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "unknown_snapshot", format!("snapshot {id} is not kept"))
                .remedy("ask GET /api/builds which are"));
        }
        workshop.put_in_place(id, |opened| app.put_in_place(opened)).map_err(|why| {
            Refusal::new(StatusCode::CONFLICT, "unreadable_snapshot", failure::judge(&why).lines.join("; "))
                .remedy("choose another; the snapshot before goes on serving")
        })?;
        Ok(Json(Done { status: "serving" }))
    })
    .await
}

fn workshop(app: &App) -> Answer<&Workshop> {
    app.workshop().ok_or_else(|| {
        Refusal::new(StatusCode::NOT_IMPLEMENTED, "no_workshop", "this server does not build")
            .remedy("start it with lingxi serve")
    })
}

fn told(told: Told) -> Builds {
    let Told { running, last, kept, serving, every_hours } = told;
    let running = running.map(|(beat, since)| Running {
        stage: beat.stage,
        done: beat.done,
        total: beat.total,
        seconds: since.as_secs_f64(),
    });
    let last = last.map(|last| Last {
        ok: last.error.is_none(),
        error: last.error,
        seconds: last.took.as_secs_f64(),
        finished: timestamp::text(last.finished),
    });
    let kept = kept.into_iter().map(|card: Card| Kept {
        id: card.id,
        built: timestamp::text(card.built),
        snapshot: card.fingerprint.to_string(),
        events: card.events,
        items: card.items,
        metric: card.recipe.evaluate.main,
        value: card.value,
        serving: Some(card.id) == serving,
    });
    Builds { running, last, kept: kept.collect(), every_hours }
}
