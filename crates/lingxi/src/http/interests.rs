//! `GET /api/user/{user}/interests`: how much a shopper cares for each category, with uncertainty, as it stands after the
//! last event. A shopper of whom nothing is known has the shop's own shares.

use super::app::App;
use super::error::Answer;
use super::params::{Id, Query};
use axum::Json;
use axum::extract::State;
use serde::Serialize;

/// The degree of one interest.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Interest {
    category: String,
    /// Expected share of the next events, 0 to 1.
    degree: f64,
    /// It lies between these with probability 0.9.
    low: f64,
    high: f64,
    /// Events that speak for it; older ones count less.
    events: f64,
}

/// The greatest first.
pub async fn of_user(State(app): State<App>, Id(user): Id, query: Query) -> Answer<Json<Vec<Interest>>> {
    let n = query.only(&["n"])?.n()?;
    app.compute(move |app, serving| {
        let (engine, history) = (serving.engine(), serving.history(&user));
        let degrees = engine.interests(history.rows(), app.now(), n).into_iter();
        let interest = |degree: lingxi_decide::Degree| {
            let [low, high] = degree.interval;
            let category = engine.catalog().categories.name(degree.category.0).unwrap_or_default().to_owned();
            Interest { category, degree: degree.degree, low, high, events: degree.events }
        };
        Ok(Json(degrees.map(interest).collect()))
    })
    .await
}
