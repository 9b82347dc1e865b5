//! `/api/experiments`: what is tried on the shoppers, started, watched and stopped. What is answered costs a few sums per
//! arm, whatever was logged. While a server runs it looks at every experiment each second, and stops an arm that surely
//! loses more than a guardrail tolerates by itself.

use super::app::App;
use super::error::{Answer, Refusal};
use super::params::{Body, Id, Query, read};
use crate::experiments::{ExperimentConfig, Kept, MOST, Wrong, look};
use crate::store::Trial;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::Duration;

mod answer;

pub use answer::Experiment;

/// How often the guardrails are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Longest reason for a stop, in bytes.
pub const MAX_WHY: usize = 500;

/// All experiments.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Experiments {
    experiments: Vec<Experiment>,
}

/// What was taken away.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Removed {
    removed: String,
}

/// Why an experiment is stopped; nothing need be said.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Sent {
    why: Option<String>,
}

/// All of them, the last that was started first.
pub async fn list(State(app): State<App>, query: Query) -> Answer<Json<Experiments>> {
    query.only(&[])?;
    app.compute(|app, _| {
        let kept = kept(app)?;
        Ok(Json(Experiments { experiments: kept.iter().rev().map(Experiment::of).collect() }))
    })
    .await
}

/// One of them.
pub async fn get(State(app): State<App>, Id(name): Id, query: Query) -> Answer<Json<Experiment>> {
    query.only(&[])?;
    app.compute(move |app, _| Ok(Json(Experiment::of(&find(app, &name)?)))).await
}

/// Starts one: from the next slate on shoppers are dealt its arms.
pub async fn start(State(app): State<App>, query: Query, Body(body): Body) -> Answer<Json<Experiment>> {
    query.only(&[])?;
    let config: ExperimentConfig = read(&body, "an experiment as in lingxi experiment start --help")?;
    config.check().map_err(|why| refused(why, StatusCode::BAD_REQUEST))?;
    app.compute(move |app, _| {
        let _alone = app.experiments.change();
        let all = kept(app)?;
        if all.iter().any(|other| other.config.name == config.name) {
            let message = format!("there is an experiment {:?} already", config.name);
            return Err(Refusal::new(StatusCode::CONFLICT, "experiment_exists", message)
                .remedy("give it another name, which deals the shoppers anew"));
        }
        if all.len() >= MOST {
            let message = format!("expected at most {MOST} experiments, running and ended, got one more");
            return Err(Refusal::new(StatusCode::CONFLICT, "too_many_experiments", message)
                .remedy("remove one that ended: DELETE /api/experiments/{name}"));
        }
        let running: Vec<&ExperimentConfig> = all.iter().filter(|kept| kept.runs()).map(|kept| &kept.config).collect();
        config.check_beside(&running).map_err(|why| refused(why, StatusCode::CONFLICT))?;
        let name = config.name.clone();
        change(app, &Trial::Start { config: Box::new(config), at: app.now() })?;
        Ok(Json(Experiment::of(&find(app, &name)?)))
    })
    .await
}

/// Stops one: from the next slate on all its shoppers get what is served. Twice is once.
pub async fn stop(State(app): State<App>, Id(name): Id, query: Query, Body(body): Body) -> Answer<Json<Experiment>> {
    query.only(&[])?;
    let expected = "nothing, or an object such as {\"Why\": \"enough was learnt\"}";
    let Sent { why } = if body.is_empty() { Sent::default() } else { read(&body, expected)? };
    let why = why.filter(|why| !why.trim().is_empty()).unwrap_or_else(|| "somebody stopped it".into());
    if why.len() > MAX_WHY {
        return Err(Refusal::input("Why", format!("at most {MAX_WHY} bytes"), format!("{} bytes", why.len())));
    }
    app.compute(move |app, _| {
        let _alone = app.experiments.change();
        change(app, &Trial::End { experiment: find(app, &name)?.id, at: app.now(), why })?;
        Ok(Json(Experiment::of(&find(app, &name)?)))
    })
    .await
}

/// Takes one that ended away, with all that was counted in it.
pub async fn remove(State(app): State<App>, Id(name): Id, query: Query) -> Answer<Json<Removed>> {
    query.only(&[])?;
    app.compute(move |app, _| {
        let _alone = app.experiments.change();
        let kept = find(app, &name)?;
        if kept.runs() {
            let message = format!("experiment {name:?} runs");
            return Err(Refusal::new(StatusCode::CONFLICT, "experiment_runs", message).remedy("stop it first"));
        }
        change(app, &Trial::Remove { experiment: kept.id })?;
        Ok(Json(Removed { removed: name }))
    })
    .await
}

/// Looks at the guardrails for as long as the server runs.
pub(super) async fn watch(app: &App) {
    let mut failing = false;
    loop {
        tokio::time::sleep(LOOK).await;
        if !app.experiments.any() {
            continue;
        }
        let looked = app.clone();
        let failure = match tokio::task::spawn_blocking(move || guard(&looked)).await {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(format!("{why:?}")),
            Err(why) => Some(why.to_string()),
        };
        // Once, and not every second.
        if let Some(why) = failure.as_ref().filter(|_| !failing) {
            tracing::error!("experiments: their guardrails cannot be looked at: {why}");
        }
        failing = failure.is_some();
    }
}

/// Stops what must be stopped.
fn guard(app: &App) -> Answer<()> {
    let _alone = app.experiments.change();
    for kept in kept(app)?.iter().filter(|kept| kept.runs()) {
        let now = app.now();
        let losing = look(kept).losing(kept, now);
        let last = losing.len() + 1 >= kept.going().len();
        for (arm, stopped) in losing {
            let (name, arm_name) = (&kept.config.name, &kept.config.arms[arm].name);
            tracing::warn!("experiment {name}: arm {arm_name} is stopped: {}", stopped.why);
            change(app, &Trial::StopArm { experiment: kept.id, arm, stopped })?;
        }
        if last {
            let why = "every arm but the control was stopped".to_owned();
            change(app, &Trial::End { experiment: kept.id, at: now, why })?;
        }
    }
    Ok(())
}

/// Changes what is kept, and deals by it.
fn change(app: &App, trial: &Trial) -> Answer<()> {
    app.store().experiment(trial)?;
    app.experiments.put(&kept(app)?);
    Ok(())
}

fn kept(app: &App) -> Answer<Vec<Kept>> {
    Ok(app.store().read(|reader| reader.experiments())?)
}

fn find(app: &App, name: &str) -> Answer<Kept> {
    kept(app)?.into_iter().find(|kept| kept.config.name == name).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "unknown_experiment", format!("there is no experiment {name:?}"))
            .remedy("ask GET /api/experiments which there are")
    })
}

/// The refusal of an experiment that is wrong by itself, or in the way of another.
fn refused(why: Wrong, status: StatusCode) -> Refusal {
    let Wrong { field, expected, got } = why;
    Refusal::input(field, expected, got).with_status(status)
}
