//! `POST /api/session/recommend`: a slate for somebody of whom only this session's feedback is known, in Gorse's shape. Nothing
//! of it is stored: neither the feedback nor the decision, which no later feedback could answer.

use super::app::App;
use super::error::Answer;
use super::feedback::{Who, parse};
use super::params::{Body, Id, Query};
use super::recommend::{category_of, scored};
use super::similar::Near;
use crate::pipeline::Ask;
use axum::Json;
use axum::extract::State;
use lingxi_data::Context;

/// Goods for a session, without those that it is about.
pub async fn post(State(app): State<App>, query: Query, body: Body) -> Answer<Json<Vec<Near>>> {
    recommend(app, None, query, body).await
}

/// The same within a category.
pub async fn post_within(
    State(app): State<App>,
    Id(category): Id,
    query: Query,
    body: Body,
) -> Answer<Json<Vec<Near>>> {
    recommend(app, Some(category), query, body).await
}

async fn recommend(app: App, category: Option<String>, query: Query, Body(body): Body) -> Answer<Json<Vec<Near>>> {
    let query = query.only(&["n", "offset", "category"])?;
    let (n, offset, category) = (query.n()?, query.offset()?, category_of(category, &query)?);
    let events = parse(&body, None, app.now(), Who::Anyone)?;
    app.compute(move |app, serving| {
        let history = serving.session(&events);
        let context = Context { user: None, history: history.rows(), now: app.now() };
        let mut withdrawn = serving.withdrawn().all.clone();
        withdrawn.extend(history.rows().items);
        let (id, goods) = (app.store().next_decision_id(), category.map(|c| serving.of_category(&c)));
        let (seed, within) = (app.seed_of(id), goods.as_deref());
        let (taught, n, withdrawn, explore) = (serving.policy(), offset + n, &withdrawn, 1.0);
        let policy = taught.as_deref();
        let ask = Ask { context: &context, n, id, seed, withdrawn, within, explore, policy };
        let slate = serving.engine().recommend(&ask).decision;
        let slots = slate.slots.get(offset..).unwrap_or_default();
        Ok(Json(scored(serving.engine().catalog(), slots)))
    })
    .await
}
