//! `/api/items` and `/api/item/{item}`: what is sold, a page at a time or one by one, in Gorse's shape with title, text and
//! price added; taking new items in (their shape is in [`super::sent`]), changing one, taking it off the shelf. What was
//! acknowledged holds from the next request on.

use super::app::App;
use super::error::{Answer, Refusal};
use super::feedback::Touched;
use super::params::{Body, Id, Ids, MAX_N, Query, read, read_all};
use super::recommend::external;
use super::sent::{self, Amended, Sent};
use super::serving::Serving;
use super::similar::meant;
use super::timestamp;
use crate::store::{Good, NewItem, Withdrawal};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lingxi_data::ItemId;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

/// Most items in one request.
pub const MAX_BATCH: usize = 1000;

/// Most goods that may come between two builds.
pub(super) const MAX_GOODS: usize = 5000;

/// One item as it is sold.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Item {
    item_id: String,
    is_hidden: bool,
    categories: Vec<String>,
    timestamp: String,
    labels: Value,
    comment: String,
    title: String,
    text: String,
    price: Option<f32>,
}

/// A page of items, and where the next one starts; empty at the end.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Items {
    cursor: String,
    items: Vec<Item>,
}

/// A page of the catalogue, in its order; hidden items are in it and say so, deleted ones are not. With `q` the goods that a
/// text means, best first, on one page.
pub async fn list(State(app): State<App>, query: Query) -> Answer<Json<Items>> {
    let query = query.only(&["n", "cursor", "q"])?;
    let (n, cursor) = (query.n()?, query.get("cursor").unwrap_or_default().to_owned());
    let text = query.get("q").is_some().then(|| query.text("q")).transpose()?;
    app.compute(move |_, serving| {
        let catalog = serving.engine().catalog();
        let deleted = serving.withdrawn().deleted.clone();
        if let Some(text) = text {
            let found = meant(serving, &text, n + deleted.len().min(MAX_N))?.into_iter().map(|(item, _)| item);
            let left = found.filter(|item| !deleted.contains(item)).take(n);
            return Ok(Json(Items {
                cursor: String::new(),
                items: left.map(|item| describe(serving, item)).collect(),
            }));
        }
        let from = if cursor.is_empty() { 0 } else { catalog.ids.get(&cursor).ok_or_else(|| lost(&cursor))? };
        let mut left = (from..catalog.len() as u32).map(ItemId).filter(|item| !deleted.contains(item));
        let items = left.by_ref().take(n).map(|item| describe(serving, item)).collect();
        let cursor = left.next().map_or_else(String::new, |item| external(catalog, item).to_owned());
        Ok(Json(Items { cursor, items }))
    })
    .await
}

/// One item.
pub async fn get(State(app): State<App>, Id(item): Id, query: Query) -> Answer<Json<Item>> {
    query.only(&[])?;
    let serving = app.serving();
    Ok(Json(describe(&serving, known(&serving, &item)?)))
}

/// Takes one item into the catalogue, or corrects it.
pub async fn post(State(app): State<App>, query: Query, Body(body): Body) -> Answer<Json<Touched>> {
    query.only(&[])?;
    let sent: Sent = read(&body, "an object such as {\"ItemId\": \"tea-9\", \"Comment\": \"Green tea\"}")?;
    take_in(app, vec![sent]).await
}

/// Takes a batch of items into the catalogue, whole or not at all.
pub async fn post_all(State(app): State<App>, query: Query, Body(body): Body) -> Answer<Json<Touched>> {
    query.only(&[])?;
    let expected = "an array of items such as {\"ItemId\": \"tea-9\", \"Comment\": \"Green tea\"}";
    take_in(app, read_all(&body, MAX_BATCH, expected)?).await
}

/// Changes an item: what is absent or null stays as it is.
pub async fn patch(State(app): State<App>, Id(item): Id, query: Query, Body(body): Body) -> Answer<Json<Touched>> {
    query.only(&[])?;
    let amended: Amended = read(&body, "an object such as {\"IsHidden\": true}")?;
    let serving = app.serving();
    let now = state(&serving, known(&serving, &item)?);
    let what = amended.is_hidden.map_or(now, |hidden| if hidden { Withdrawal::Hidden } else { Withdrawal::Shown });
    if !amended.describes() {
        amended.is_hidden.ok_or_else(|| {
            Refusal::input("body", "at least one field that is not null", "none").remedy("say what is to change")
        })?;
        return store(&app, vec![Good { item, what, body: None }]).await;
    }
    can_read(&app)?;
    let body = amended.apply(current(&serving, known(&serving, &item)?))?;
    describe_anew(app, vec![Good { item, what, body: Some(body) }]).await
}

/// Deletes an item: it is answered with 404 from now on.
pub async fn delete(State(app): State<App>, Id(item): Id, query: Query) -> Answer<Json<Touched>> {
    query.only(&[])?;
    known(&app.serving(), &item)?;
    store(&app, vec![Good { item, what: Withdrawal::Deleted, body: None }]).await
}

/// Puts an item into a category as well.
pub async fn put_category(State(app): State<App>, ids: Ids<2>, query: Query) -> Answer<Json<Touched>> {
    query.only(&[])?;
    recategorise(app, ids, true).await
}

/// Takes an item out of a category.
pub async fn delete_category(State(app): State<App>, ids: Ids<2>, query: Query) -> Answer<Json<Touched>> {
    query.only(&[])?;
    recategorise(app, ids, false).await
}

async fn recategorise(app: App, Ids([item, category]): Ids<2>, belongs: bool) -> Answer<Json<Touched>> {
    let serving = app.serving();
    let id = known(&serving, &item)?;
    let mut body = current(&serving, id);
    if body.categories.contains(&category) == belongs {
        return Ok(Json(Touched { row_affected: 0 }));
    }
    can_read(&app)?;
    if belongs {
        body.categories.push(category);
    } else {
        body.categories.retain(|name| *name != category);
    }
    let body = sent::checked("", body)?;
    describe_anew(app, vec![Good { item, what: state(&serving, id), body: Some(body) }]).await
}

/// Whether it is for sale, as it stands now.
fn state(serving: &Serving, item: ItemId) -> Withdrawal {
    if serving.withdrawn().hides(item) { Withdrawal::Hidden } else { Withdrawal::Shown }
}

pub(super) fn can_read(app: &App) -> Answer<()> {
    if app.serving().engine().reads_goods() {
        return Ok(());
    }
    let message = "this snapshot has no language model and cannot read what is said of goods";
    Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "no_language_model", message)
        .remedy("build it with a recipe that names an encoder; IsHidden alone can be changed without one"))
}

async fn take_in(app: App, sent: Vec<Sent>) -> Answer<Json<Touched>> {
    let now = app.now();
    // Checked before it is said that nothing can be read: what is wrong stays wrong with another snapshot.
    let serving = app.serving();
    let categories = |item: &str| categories_of(&serving, item);
    let goods = sent.into_iter().enumerate().map(|(at, sent)| sent.good(at, Some(now), &categories));
    let goods = goods.collect::<Answer<Vec<_>>>()?;
    can_read(&app)?;
    describe_anew(app, goods).await
}

/// The categories that an item has now.
pub(super) fn categories_of(serving: &Serving, item: &str) -> Vec<String> {
    let id = serving.engine().known().items.get(item).map(ItemId);
    id.map_or_else(Vec::new, |id| current(serving, id).categories)
}

/// Stores goods and makes them findable before it answers.
async fn describe_anew(app: App, goods: Vec<Good>) -> Answer<Json<Touched>> {
    let held = app.compute(|app, _| Ok(app.store().read(|reader| reader.goods())?)).await?;
    let mut described: HashSet<&str> =
        held.iter().filter(|good| good.body.is_some()).map(|good| good.item.as_str()).collect();
    described.extend(goods.iter().map(|good| good.item.as_str()));
    if described.len() > MAX_GOODS {
        return Err(too_many());
    }
    let touched = store(&app, goods).await?;
    app.conclude(|app, _| Ok(app.restock()?)).await?;
    Ok(touched)
}

/// There is a limit to the goods that come between two builds.
pub(super) fn too_many() -> Refusal {
    let message = format!("more than {MAX_GOODS} goods came since the build");
    Refusal::new(StatusCode::CONFLICT, "too_many_goods", message)
        .remedy("put them into the catalogue file and start lingxi serve again")
}

/// Stores what became of goods; those that are known are hidden or shown from then on.
async fn store(app: &App, goods: Vec<Good>) -> Answer<Json<Touched>> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let row_affected = goods.len();
    app.stock_then(goods, move |result| {
        let _ = tell.send(result);
    })?;
    told.await.map_err(|_| Refusal::internal("the store's writer stopped"))??;
    Ok(Json(Touched { row_affected }))
}

/// The item behind an external id, unless it was deleted.
pub(super) fn known(serving: &Serving, item: &str) -> Answer<ItemId> {
    let id = serving.engine().known().items.get(item).map(ItemId);
    id.filter(|id| !serving.withdrawn().deleted.contains(id)).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "unknown_item", format!("item {item:?} is not in the catalogue"))
            .remedy("use an id of the catalogue that was ingested; new goods appear with the next build")
    })
}

/// What is said of an item: what the shop said last, or what the catalogue says.
pub(super) fn current(serving: &Serving, item: ItemId) -> NewItem {
    if let Some(body) = serving.described().get(&item) {
        return body.clone();
    }
    let catalog = serving.engine().catalog();
    let labels = catalog.attributes.iter().filter_map(|column| {
        let value = column.values.get(item.index()).filter(|value| !value.is_empty())?;
        Some((column.name.clone(), value.clone()))
    });
    let labels: BTreeMap<String, String> = labels.collect();
    let title = catalog.label(item).to_owned();
    NewItem {
        id: external(catalog, item).to_owned(),
        text: Some(catalog.texts[item.index()].clone()),
        categories: catalog.category_name(item).map(str::to_owned).into_iter().collect(),
        price: Some(catalog.price[item.index()]).filter(|price| price.is_finite()),
        sent_labels: json!(labels),
        labels,
        comment: title.clone(),
        title,
        timestamp: None,
    }
}

pub(super) fn describe(serving: &Serving, item: ItemId) -> Item {
    let said = current(serving, item);
    Item {
        is_hidden: serving.withdrawn().hides(item) || !serving.engine().catalog().available[item.index()],
        text: said.text.unwrap_or_else(|| serving.engine().catalog().texts[item.index()].clone()),
        timestamp: said.timestamp.map_or_else(String::new, timestamp::text),
        item_id: said.id,
        categories: said.categories,
        labels: said.sent_labels,
        comment: said.comment,
        title: said.title,
        price: said.price,
    }
}

fn lost(cursor: &str) -> Refusal {
    Refusal::input("cursor", "the Cursor of the page before", cursor).remedy("start again without a cursor")
}
