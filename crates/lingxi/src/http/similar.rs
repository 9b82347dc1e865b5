//! `GET /api/item-to-item/similar/{item}?n=` and `GET /api/search?q=&n=`: items near an item, items near a text. Both
//! answer as Gorse does, `[{"Id", "Score"}]`, with the title added.

use super::app::{App, Serving};
use super::error::{Answer, Refusal};
use super::goods;
use super::params::{Id, MAX_N, MAX_QUERY, Query};
use super::recommend::external;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lingxi_data::ItemId;
use serde::Serialize;

/// An item and how near it is, best first.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Near {
    id: String,
    score: f32,
    title: String,
}

/// Items like one item.
pub async fn similar(State(app): State<App>, Id(item): Id, query: Query) -> Answer<Json<Vec<Near>>> {
    let n = query.only(&["n"])?.n()?;
    app.compute(move |_, serving| {
        let id = goods::known(serving, &item)?;
        Ok(named(serving, n, serving.engine().similar(id, with_spares(serving, n))))
    })
    .await
}

/// Items that a text means.
pub async fn search(State(app): State<App>, query: Query) -> Answer<Json<Vec<Near>>> {
    let query = query.only(&["q", "n"])?;
    let n = query.n()?;
    let text = query.get("q").map_or("", str::trim).to_owned();
    if text.is_empty() || text.len() > MAX_QUERY {
        let got = if text.is_empty() { "none".to_owned() } else { format!("{} bytes", text.len()) };
        return Err(Refusal::input("q", format!("a text of 1 to {MAX_QUERY} bytes"), got)
            .remedy("ask as in /api/search?q=oat+milk"));
    }
    app.compute(move |_, serving| {
        let found = serving.engine().search(&text, with_spares(serving, n)).ok_or_else(|| {
            Refusal::new(StatusCode::NOT_IMPLEMENTED, "no_language_model", "this snapshot has no language model")
                .remedy("build it with a recipe that names an encoder")
        })?;
        Ok(named(serving, n, found))
    })
    .await
}

/// The first `n` of what is found that are for sale, with their names.
fn named(serving: &Serving, n: usize, found: Vec<(ItemId, f32)>) -> Json<Vec<Near>> {
    let catalog = serving.engine().catalog();
    let near =
        |(item, score)| Near { id: external(catalog, item).to_owned(), score, title: catalog.label(item).to_owned() };
    let withdrawn = serving.withdrawn();
    Json(found.into_iter().filter(|(item, _)| !withdrawn.hides(*item)).take(n).map(near).collect())
}

/// How many to look for, so that `n` are left without those that were taken away.
fn with_spares(serving: &Serving, n: usize) -> usize {
    n + serving.withdrawn().all.len().min(MAX_N)
}
