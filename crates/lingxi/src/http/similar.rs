//! What is near? Items near an item (`/api/item-to-item/similar/{item}`, and `/api/item/{item}/neighbors` as older clients of
//! Gorse ask), items near a text (`/api/search`), shoppers near a shopper. All answer as Gorse does, `[{"Id", "Score"}]`, with
//! the title added.

use super::app::App;
use super::error::{Answer, Refusal};
use super::goods;
use super::params::{Id, Ids, MAX_N, Query};
use super::recommend::{category_of, external};
use super::serving::Serving;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lingxi_data::{Catalog, ItemId, UserId};
use serde::Serialize;
use std::collections::HashSet;

/// Within a category so many of the nearest are looked through.
const LOOKED_THROUGH: usize = 4096;

/// An item or a shopper and how near it is, best first.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Near {
    id: String,
    score: f32,
    title: String,
}

impl Near {
    /// An item.
    pub fn new(catalog: &Catalog, item: ItemId, score: f32) -> Near {
        Near { id: external(catalog, item).to_owned(), score, title: catalog.label(item).to_owned() }
    }
}

/// A part of a list, within a category if one is named.
struct Part {
    n: usize,
    offset: usize,
    category: Option<String>,
}

impl Part {
    fn read(category: Option<String>, query: &Query) -> Answer<Part> {
        Ok(Part { n: query.n()?, offset: query.offset()?, category: category_of(category, query)? })
    }

    /// How many to look for, so that enough are left without those that were taken away.
    fn depth(&self, serving: &Serving) -> usize {
        let all = self.offset + self.n + serving.withdrawn().all.len().min(MAX_N);
        if self.category.is_some() { all.max(LOOKED_THROUGH) } else { all }
    }

    /// This part of what was found and is for sale, with names.
    fn of(&self, serving: &Serving, found: Vec<(ItemId, f32)>) -> Json<Vec<Near>> {
        let withdrawn = serving.withdrawn();
        let category: Option<HashSet<ItemId>> =
            self.category.as_ref().map(|c| serving.of_category(c).into_iter().collect());
        let fits =
            |item: &ItemId| !withdrawn.hides(*item) && category.as_ref().is_none_or(|goods| goods.contains(item));
        let found = found.into_iter().filter(|(item, _)| fits(item)).skip(self.offset).take(self.n);
        Json(found.map(|(item, score)| Near::new(serving.engine().catalog(), item, score)).collect())
    }
}

/// Items like one item.
pub async fn similar(State(app): State<App>, Id(item): Id, query: Query) -> Answer<Json<Vec<Near>>> {
    like(app, item, None, query).await
}

/// Items of a category like one item.
pub async fn similar_within(State(app): State<App>, ids: Ids<2>, query: Query) -> Answer<Json<Vec<Near>>> {
    let Ids([item, category]) = ids;
    like(app, item, Some(category), query).await
}

async fn like(app: App, item: String, category: Option<String>, query: Query) -> Answer<Json<Vec<Near>>> {
    let part = Part::read(category, &query.only(&["n", "offset", "category"])?)?;
    app.compute(move |_, serving| {
        let id = goods::known(serving, &item)?;
        Ok(part.of(serving, serving.engine().similar(id, part.depth(serving))))
    })
    .await
}

/// Items that a text means.
pub async fn search(State(app): State<App>, query: Query) -> Answer<Json<Vec<Near>>> {
    let query = query.only(&["q", "n", "offset", "category"])?;
    let part = Part::read(None, &query)?;
    let text = query.text("q")?;
    app.compute(move |_, serving| Ok(part.of(serving, meant(serving, &text, part.depth(serving))?))).await
}

/// At most `n` items that a text means, also those that were taken away.
pub(super) fn meant(serving: &Serving, text: &str, n: usize) -> Answer<Vec<(ItemId, f32)>> {
    serving.engine().search(text, n).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_IMPLEMENTED, "no_language_model", "this snapshot has no language model")
            .remedy("build it with a recipe that names an encoder")
    })
}

/// Shoppers of the log who took the same goods as one shopper; see [`crate::crowd`].
pub async fn shoppers(State(app): State<App>, Id(user): Id, query: Query) -> Answer<Json<Vec<Near>>> {
    let query = query.only(&["n", "offset"])?;
    let (n, offset) = (query.n()?, query.offset()?);
    app.compute(move |_, serving| {
        let (known, history) = (serving.engine().known(), serving.history(&user));
        let name = |id: UserId| known.users.name(id.0).unwrap_or_default();
        let basket_of = |id| serving.history(name(id)).rows().items.to_vec();
        let near = serving.crowd().like(&known, history.rows().items, history.user, offset + n, basket_of);
        let near = near.into_iter().skip(offset).map(|(id, score)| {
            let id = name(id).to_owned();
            Near { title: id.clone(), id, score }
        });
        Ok(Json(near.collect()))
    })
    .await
}
