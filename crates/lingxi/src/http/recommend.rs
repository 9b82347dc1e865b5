//! `GET /api/recommend/{user}?n=&explain=`: the slate as an array of ids, as Gorse answers, or with `explain=true` as an
//! array of places with their scores, propensities and reasons. The decision's id is in the header `Lingxi-Decision`,
//! unless it may not have been logged.

use super::app::{App, Serving};
use super::error::Answer;
use super::params::{Id, Query};
use crate::pipeline::Ask;
use crate::reasons::Part;
use crate::store::Shown;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use lingxi_data::{Catalog, Context, Decision, ItemId, Slot};
use lingxi_decide::KeptAway;
use serde::Serialize;

/// One place of an explained slate.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Place {
    item_id: String,
    title: String,
    score: f32,
    propensity: f32,
    explored: bool,
    reason: String,
    parts: Vec<Part>,
    rules: Vec<String>,
}

/// Chooses, logs and answers a slate. An unknown shopper gets the default slate.
pub async fn get(State(app): State<App>, Id(user): Id, query: Query) -> Answer<Response> {
    let query = query.only(&["n", "explain"])?;
    let (n, explain) = (query.n()?, query.flag("explain")?);
    app.compute(move |app, serving| slate(app, serving, &user, n, explain)).await
}

fn slate(app: &App, serving: &Serving, user: &str, n: usize, explain: bool) -> Answer<Response> {
    let history = serving.history(user);
    let context = Context { user: history.user, history: history.rows(), now: app.now() };
    let id = app.store().next_decision_id();
    let withdrawn = serving.withdrawn();
    let ask = Ask { context: &context, n, id, seed: app.seed_of(id), withdrawn: &withdrawn.all };
    let (decision, kept_away) = serving.engine().recommend(&ask);
    let catalog = serving.engine().catalog();
    // Logged before it is answered. While the disk takes no writes shoppers are shown slates all the same, and the missing
    // header says that this one may be a hole in later estimates.
    let logged = app.store().record(Shown::new(&decision, user, |item| external(catalog, item)))?;
    let header = logged.then(|| [("lingxi-decision", id.to_string())]);
    if explain {
        return Ok((header, Json(explained(serving, &context, &decision, &kept_away))).into_response());
    }
    let ids: Vec<&str> = decision.slots.iter().map(|slot| external(catalog, slot.item)).collect();
    Ok((header, Json(ids)).into_response())
}

fn explained(serving: &Serving, context: &Context<'_>, decision: &Decision, kept_away: &[KeptAway]) -> Vec<Place> {
    let catalog = serving.engine().catalog();
    let place = |slot: &Slot| {
        let reason = serving.engine().reason(context, slot, kept_away);
        Place {
            item_id: reason.item,
            title: catalog.label(slot.item).to_owned(),
            score: slot.score,
            propensity: slot.propensity,
            explored: slot.explored,
            reason: reason.sentence,
            parts: reason.parts,
            rules: reason.rules,
        }
    };
    decision.slots.iter().map(place).collect()
}

/// The shop's id of an item of the snapshot.
pub(super) fn external(catalog: &Catalog, item: ItemId) -> &str {
    catalog.ids.name(item.0).expect("the engine names items of its own catalogue")
}
