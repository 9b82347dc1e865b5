//! `/api/policy`: what the policy that answers has learnt, what slates brought while it did, whether the world has changed, and
//! which kept policies one can go back to. Beside it the thread that teaches.

use super::app::App;
use super::error::{Answer, Refusal};
use super::params::{Id, Query};
use super::timestamp;
use crate::learner::{Learner, Point};
use crate::store::KeptPolicy;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lingxi_data::Policy;
use lingxi_decide::explore::Change;
use serde::Serialize;
use std::thread::JoinHandle;
use std::time::Duration;

/// Time between two looks for something to learn, and how long to wait when the store fails.
const LOOK: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(2);

/// What there is to tell.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Told {
    /// Name, parameters and number of lessons; a policy that does not learn has nothing but this.
    version: String,
    learns: bool,
    lessons: u64,
    /// Names what it knows.
    fingerprint: String,
    /// The last decision and the last event that it has learnt from.
    up_to: u64,
    after: i64,
    /// Minutes after which a place that nobody acted on counts as left.
    wait_minutes: f64,
    curve: Vec<Stretch>,
    drift: Drift,
    kept: Vec<Kept>,
}

/// What closed slates brought over a stretch of time.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stretch {
    until: String,
    slates: u64,
    /// Mean reward of a slate.
    reward: f64,
    /// Share of places where the policy explored.
    explored: f64,
    /// Mean reward of a place where it took the best; null without such places.
    best_reward: Option<f64>,
    /// Mean reward of a place where it explored.
    explored_reward: Option<f64>,
}

/// Whether what slates bring has changed.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Drift {
    changes: u64,
    /// How near the next one is, 0 to 1.
    tension: f64,
    last: Option<Changed>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Changed {
    /// After so many slates.
    slates: u64,
    /// Mean reward of a slate.
    before: f64,
    after: f64,
}

/// A policy to go back to.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    id: i64,
    at: String,
    version: String,
    lessons: u64,
    /// Mean reward of a slate since the one before.
    reward: f64,
    /// The kept policy that was gone back to, if it is one.
    back_to: Option<i64>,
}

/// What was done.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Done {
    status: &'static str,
    version: String,
}

/// All that is known.
pub async fn get(State(app): State<App>, query: Query) -> Answer<Json<Told>> {
    query.only(&[])?;
    app.compute(|app, serving| {
        let learner = app.learner();
        let Some(learner) = learner.as_ref() else {
            return Ok(Json(Told {
                version: serving.engine().policy().version(),
                learns: false,
                lessons: 0,
                fingerprint: String::new(),
                up_to: 0,
                after: 0,
                wait_minutes: 0.0,
                curve: Vec::new(),
                drift: Drift::default(),
                kept: Vec::new(),
            }));
        };
        let kept = learner.kept(app.store())?;
        Ok(Json(told(learner, kept)))
    })
    .await
}

fn told(learner: &Learner, kept: Vec<KeptPolicy>) -> Told {
    let drift = learner.drift();
    let changed = |change: Change| Changed { slates: change.rewards, before: change.before, after: change.after };
    Told {
        version: learner.policy().version(),
        learns: true,
        lessons: learner.lessons(),
        fingerprint: learner.fingerprint(),
        up_to: learner.learnt().up_to,
        after: learner.learnt().after,
        wait_minutes: learner.learning().learn.wait_minutes,
        curve: learner.curve().iter().map(stretch).collect(),
        drift: Drift { changes: drift.changes(), tension: drift.tension(), last: drift.last().map(changed) },
        kept: kept.into_iter().map(|policy| kept_as(&policy)).collect(),
    }
}

fn stretch(point: &Point) -> Stretch {
    let mean = |i: usize| (point.places[i] > 0).then(|| point.brought[i] / point.places[i] as f64);
    Stretch {
        until: timestamp::text(point.at),
        slates: point.slates,
        reward: point.reward / point.slates.max(1) as f64,
        explored: point.places[1] as f64 / (point.places[0] + point.places[1]).max(1) as f64,
        best_reward: mean(0),
        explored_reward: mean(1),
    }
}

fn kept_as(policy: &KeptPolicy) -> Kept {
    Kept {
        id: policy.id,
        at: timestamp::text(policy.at),
        version: policy.version.clone(),
        lessons: policy.lessons,
        reward: policy.reward,
        back_to: policy.back_to,
    }
}

/// Keeps the policy as it is now.
pub async fn keep(State(app): State<App>, query: Query) -> Answer<Json<Done>> {
    query.only(&[])?;
    app.compute(|app, serving| {
        let mut learner = app.learner();
        let learner = learner.as_mut().ok_or_else(learns_nothing)?;
        learner.keep_now(app.store(), serving.engine().known().items, app.now())?;
        Ok(Json(Done { status: "kept", version: learner.policy().version() }))
    })
    .await
}

/// Goes back to a kept policy: what was learnt since is forgotten.
pub async fn go_back(State(app): State<App>, Id(id): Id, query: Query) -> Answer<Json<Done>> {
    query.only(&[])?;
    let id: i64 = id.parse().map_err(|_| Refusal::input("id", "the number of a kept policy", &id))?;
    app.compute(move |app, _| {
        let mut learner = app.learner();
        let learner = learner.as_mut().ok_or_else(learns_nothing)?;
        // Under the learner's lock: the snapshot that answers cannot change meanwhile.
        let serving = app.serving();
        if !learner.go_back(id, app.store(), serving.engine().known().items, app.now())? {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "unknown_policy", format!("policy {id} is not kept"))
                .remedy("ask GET /api/policy which are"));
        }
        serving.teach(learner.policy());
        Ok(Json(Done { status: "answers", version: learner.policy().version() }))
    })
    .await
}

fn learns_nothing() -> Refusal {
    Refusal::new(StatusCode::CONFLICT, "learns_nothing", "the policy that answers does not learn")
        .remedy("name one that learns under [serve] policy in the recipe, such as { kind = \"thompson\" }")
}

/// The thread that teaches until the server is asked to stop; then it keeps what was learnt.
pub(super) fn teach(app: App) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("lingxi-learner".into()).spawn(move || {
        let mut fails = false;
        while !app.is_stopping() && app.store().is_open() {
            match app.learn() {
                Ok(true) => continue,
                Ok(false) => fails = false,
                Err(why) => {
                    // Once: a full disk may be where the log goes, too.
                    if !std::mem::replace(&mut fails, true) {
                        tracing::error!("the policy learns nothing for now: {why}");
                    }
                    std::thread::sleep(PATIENCE);
                }
            }
            std::thread::sleep(LOOK);
        }
        let kept = app
            .learner()
            .as_mut()
            .map(|learner| learner.keep(app.store(), app.serving().engine().known().items, app.now()));
        if let Some(Err(why)) = kept {
            tracing::warn!("what was learnt since the last kept policy is learnt again at the next start: {why}");
        }
    })
}
