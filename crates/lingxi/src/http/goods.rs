//! `/api/items` and `/api/item/{item}`: what is sold, a page at a time or one by one, in Gorse's shape with title, text and
//! price added; taking new items in, and taking one off the shelf. What was acknowledged holds from the next request on.

use super::app::{App, Serving};
use super::error::{Answer, Refusal};
use super::params::{Body, Id, Query, checked_id};
use super::recommend::external;
use crate::fresh;
use crate::store::{Good, NewItem, Withdrawal};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lingxi_data::ItemId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// Most items in one request.
pub(super) const MAX_BATCH: usize = 1000;

/// Most goods that may come between two builds.
pub(super) const MAX_GOODS: usize = 5000;

/// Longest description of an item, in bytes.
const MAX_TEXT: usize = 16 * 1024;

/// One item as it is sold.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Item {
    item_id: String,
    is_hidden: bool,
    categories: Vec<String>,
    timestamp: String,
    labels: BTreeMap<String, String>,
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

/// An item as a shop sends it: Gorse's fields, and ours.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Sent {
    item_id: String,
    #[serde(default)]
    is_hidden: bool,
    #[serde(default)]
    categories: Vec<String>,
    /// Gorse's own; goods have no time here.
    #[serde(default, rename = "Timestamp")]
    _timestamp: serde::de::IgnoredAny,
    #[serde(default)]
    labels: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    comment: String,
    title: Option<String>,
    text: Option<String>,
    price: Option<f32>,
}

/// What may be changed of an item.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Change {
    is_hidden: bool,
}

/// How many items a change touched, as Gorse says it.
#[derive(Serialize)]
pub struct Touched {
    #[serde(rename = "RowAffected")]
    row_affected: usize,
}

/// A page of the catalogue, in its order; hidden items are in it and say so, deleted ones are not.
pub async fn list(State(app): State<App>, query: Query) -> Answer<Json<Items>> {
    let query = query.only(&["n", "cursor"])?;
    let (n, cursor) = (query.n()?, query.get("cursor").unwrap_or_default().to_owned());
    app.compute(move |_, serving| {
        let catalog = serving.engine().catalog();
        let from = if cursor.is_empty() { 0 } else { catalog.ids.get(&cursor).ok_or_else(|| lost(&cursor))? };
        let deleted = serving.withdrawn().deleted.clone();
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
    let sent: Vec<Sent> = read(&body, "an array of items such as {\"ItemId\": \"tea-9\", \"Comment\": \"Green tea\"}")?;
    if sent.len() > MAX_BATCH {
        return Err(Refusal::input("body", format!("at most {MAX_BATCH} items"), sent.len())
            .remedy("send the items in several requests"));
    }
    take_in(app, sent).await
}

/// Hides an item, or shows it again.
pub async fn patch(State(app): State<App>, Id(item): Id, query: Query, Body(body): Body) -> Answer<Json<Touched>> {
    query.only(&[])?;
    let change: Change = read(&body, "an object such as {\"IsHidden\": true}")?;
    withdraw(&app, item, if change.is_hidden { Withdrawal::Hidden } else { Withdrawal::Shown }).await
}

/// Deletes an item: it is answered with 404 from now on.
pub async fn delete(State(app): State<App>, Id(item): Id, query: Query) -> Answer<Json<Touched>> {
    query.only(&[])?;
    withdraw(&app, item, Withdrawal::Deleted).await
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8], expected: &str) -> Answer<T> {
    serde_json::from_slice(body).map_err(|why| Refusal::input("body", expected, why))
}

/// Stores what became of a known item and lets it hold for the next request.
async fn withdraw(app: &App, item: String, what: Withdrawal) -> Answer<Json<Touched>> {
    known(&app.serving(), &item)?;
    store(app, vec![Good { item, what, body: None }]).await
}

/// Stores goods and makes them findable before it answers.
async fn take_in(app: App, sent: Vec<Sent>) -> Answer<Json<Touched>> {
    if !app.serving().engine().reads_goods() {
        return Err(cannot_read());
    }
    let goods = sent.into_iter().enumerate().map(|(at, sent)| good(at, sent)).collect::<Answer<Vec<_>>>()?;
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

/// New goods need a language model.
pub(super) fn cannot_read() -> Refusal {
    let message = "this snapshot cannot read new goods";
    Refusal::new(StatusCode::NOT_IMPLEMENTED, "no_language_model", message)
        .remedy("build it with a recipe that names an encoder")
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
    let live = app.clone();
    let row_affected = goods.len();
    let states: Vec<(String, Withdrawal)> = goods.iter().map(|good| (good.item.clone(), good.what)).collect();
    app.store().stock_then(goods, app.now(), move |result| {
        // Here and not after `told`: a caller who hangs up must not keep a stored change from holding.
        if result.is_ok() {
            live.serving().withdraw(states.iter().map(|(item, what)| (item.as_str(), *what)));
        }
        let _ = tell.send(result);
    })?;
    told.await.map_err(|_| Refusal::internal("the store's writer stopped"))??;
    Ok(Json(Touched { row_affected }))
}

/// Checks what was sent; `at` is its place in the batch.
pub(super) fn good(at: usize, sent: Sent) -> Answer<Good> {
    let path = |field: &str| format!("[{at}].{field}");
    checked_id(&path("ItemId"), &sent.item_id)?;
    let label = |(name, value): (String, Value)| match value {
        Value::String(text) => Some((name, text)),
        Value::Number(number) => Some((name, number.to_string())),
        Value::Bool(flag) => Some((name, flag.to_string())),
        _ => None,
    };
    let labels: BTreeMap<String, String> = sent.labels.into_iter().flatten().filter_map(label).collect();
    let price = sent.price;
    if price.is_some_and(|price| !(0.0..=1e9).contains(&price)) {
        return Err(Refusal::input(path("Price"), "a price from 0 to 1e9", price.unwrap_or_default()));
    }
    let title = sent.title.unwrap_or(sent.comment);
    let body = NewItem { id: sent.item_id.clone(), title, text: sent.text, categories: sent.categories, price, labels };
    let said = fresh::text_of(&body);
    if said.is_empty() || said.len() > MAX_TEXT {
        let got = if said.is_empty() { "none".to_owned() } else { format!("{} bytes", said.len()) };
        return Err(Refusal::input(path("Comment"), format!("a description of 1 to {MAX_TEXT} bytes"), got)
            .remedy("say what the item is in Comment, Title or Text"));
    }
    let what = if sent.is_hidden { Withdrawal::Hidden } else { Withdrawal::Shown };
    Ok(Good { item: sent.item_id, what, body: Some(body) })
}

/// The item behind an external id, unless it was deleted.
pub(super) fn known(serving: &Serving, item: &str) -> Answer<ItemId> {
    let id = serving.engine().known().items.get(item).map(ItemId);
    id.filter(|id| !serving.withdrawn().deleted.contains(id)).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "unknown_item", format!("item {item:?} is not in the catalogue"))
            .remedy("use an id of the catalogue that was ingested; new goods appear with the next build")
    })
}

pub(super) fn describe(serving: &Serving, item: ItemId) -> Item {
    let catalog = serving.engine().catalog();
    let labels = catalog.attributes.iter().filter_map(|column| {
        let value = column.values.get(item.index()).filter(|value| !value.is_empty())?;
        Some((column.name.clone(), value.clone()))
    });
    let title = catalog.label(item).to_owned();
    Item {
        item_id: external(catalog, item).to_owned(),
        is_hidden: serving.withdrawn().hides(item) || !catalog.available[item.index()],
        categories: catalog.category_name(item).map(str::to_owned).into_iter().collect(),
        timestamp: String::new(),
        labels: labels.collect(),
        comment: title.clone(),
        title,
        text: catalog.texts[item.index()].clone(),
        price: Some(catalog.price[item.index()]).filter(|price| price.is_finite()),
    }
}

fn lost(cursor: &str) -> Refusal {
    Refusal::input("cursor", "the Cursor of the page before", cursor).remedy("start again without a cursor")
}
