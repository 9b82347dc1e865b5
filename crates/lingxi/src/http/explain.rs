//! `GET /api/explain/{user}/{item}`: why this item for this shopper, or why not? Its score in parts that add up, its rank among
//! the candidates, the place that it has on a slate drawn now, and the rule that keeps it away. Nothing is logged: nothing is
//! shown.

use super::app::App;
use super::error::{Answer, Refusal};
use super::goods;
use super::params::{Ids, Query};
use super::phrased::{phrased, writer};
use super::recommend::not_for;
use crate::pipeline::{Ask, Made};
use crate::reasons::Part;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lingxi_data::{Context, Slot};
use serde::Serialize;

/// What can be said of an item for a shopper.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Explanation {
    user_id: String,
    item_id: String,
    title: String,
    score: f32,
    /// They add up to the score.
    parts: Vec<Part>,
    reason: String,
    /// The same in the small model's words; null if that was not asked for, or nothing speaks for the item.
    phrase: Option<String>,
    rules: Vec<String>,
    /// The place among the candidates by score, from 1; null if it is none.
    rank: Option<usize>,
    candidates: usize,
    /// The place on a slate of `n`, from 1; null if it is not on it.
    place: Option<usize>,
    /// The probability with which the policy put it there.
    propensity: Option<f32>,
    /// What keeps it off the slate: a rule, or that it is hidden or put away; null if nothing does.
    kept_away: Option<String>,
}

/// Explains one item.
pub async fn get(State(app): State<App>, ids: Ids<2>, query: Query) -> Answer<Json<Explanation>> {
    let Ids([user, item]) = ids;
    let query = query.only(&["n", "phrase"])?;
    let (n, phrase) = (query.n()?, query.flag("phrase")?);
    app.compute(move |app, serving| {
        let engine = serving.engine();
        let writer = writer(engine, phrase, 1)?;
        let id = goods::known(serving, &item)?;
        let (history, now) = (serving.history(&user), app.now());
        let context = Context { user: history.user, history: history.rows(), now };
        let (withdrawn, decision) = (serving.withdrawn(), app.store().next_decision_id());
        let withdrawn = not_for(&withdrawn, &history, now);
        let (seed, dealt, taught) = (app.seed_of(decision), app.experiments.deal(&user), serving.policy());
        let policy = dealt.policy().or(taught.as_deref());
        let (withdrawn, explore) = (&withdrawn, dealt.explore(1.0));
        let ask = Ask { context: &context, n, id: decision, seed, withdrawn, within: None, explore, policy };
        let standing = engine.consider(&ask, id).ok_or_else(|| {
            Refusal::new(StatusCode::NOT_FOUND, "no_score", format!("no model of this snapshot knows item {item:?}"))
                .remedy("it is scored after the next build")
        })?;
        let Made { decision: slate, kept_away, .. } = engine.recommend(&ask);
        let place = slate.slots.iter().position(|slot| slot.item == id);
        let slot = place.map(|place| slate.slots[place].clone());
        let propensity = slot.as_ref().map(|slot| slot.propensity);
        let slot = slot.unwrap_or(Slot { item: id, score: standing.score, propensity: 0.0, explored: false });
        let reason = engine.reason(&context, &slot, if place.is_some() { &kept_away } else { &[] });
        let title = engine.catalog().label(id).to_owned();
        let phrase = writer.and_then(|writer| phrased(writer, &title, &reason));
        let put_away = history.put_away.iter().any(|(away, from)| *away == id && *from <= now);
        let rule = standing.rule.or_else(|| kept_away.iter().find(|kept| kept.item == id).map(|kept| kept.rule));
        let kept = match (serving.withdrawn().hides(id), put_away, rule) {
            (true, ..) => Some("hidden by the shop".to_owned()),
            (_, true, _) => Some("shown before and put away".to_owned()),
            (.., rule) => rule.filter(|_| place.is_none()).map(|rule| rule.to_string()),
        };
        Ok(Json(Explanation {
            user_id: user.clone(),
            title,
            item_id: reason.item,
            score: reason.score,
            parts: reason.parts,
            reason: reason.sentence,
            phrase,
            rules: reason.rules,
            rank: standing.rank.map(|rank| rank + 1),
            candidates: standing.candidates,
            place: place.map(|place| place + 1),
            propensity,
            kept_away: kept,
        }))
    })
    .await
}
