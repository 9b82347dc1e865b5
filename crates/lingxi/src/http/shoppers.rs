//! `/api/users`, `/api/user/{user}/feedback` and `GET /api/feedback`: who there is and what they did, newest first, in
//! Gorse's shape with titles added.

use super::app::{App, Serving};
use super::error::{Answer, Refusal};
use super::params::{Id, Query};
use super::timestamp;
use axum::Json;
use axum::extract::State;
use lingxi_data::{EventKind, ItemId, UserId};
use serde::Serialize;
use std::collections::BTreeMap;

/// A shopper of the snapshot.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct User {
    user_id: String,
    labels: BTreeMap<String, String>,
    events: usize,
}

/// A page of shoppers, and where the next one starts; empty at the end.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Users {
    cursor: String,
    users: Vec<User>,
}

/// An event.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    feedback_type: &'static str,
    user_id: String,
    item_id: String,
    timestamp: String,
    value: f32,
    title: String,
}

/// A page of events, and where the next one starts; empty at the end.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Events {
    cursor: String,
    feedback: Vec<Event>,
}

/// A page of the shoppers that the snapshot knows, in its order.
pub async fn list(State(app): State<App>, query: Query) -> Answer<Json<Users>> {
    let query = query.only(&["n", "cursor"])?;
    let (n, cursor) = (query.n()?, query.get("cursor").unwrap_or_default().to_owned());
    app.compute(move |_, serving| {
        let known = serving.engine().known();
        let lost =
            || Refusal::input("cursor", "the Cursor of the page before", &cursor).remedy("start without a cursor");
        let from = if cursor.is_empty() { 0 } else { known.users.get(&cursor).ok_or_else(lost)? };
        let to = (from as usize + n).min(known.users.len()) as u32;
        let users = (from..to).map(|id| user(serving, UserId(id))).collect();
        Ok(Json(Users { cursor: known.users.name(to).unwrap_or_default().to_owned(), users }))
    })
    .await
}

/// What a shopper did last: in the log and since. Nobody is unknown: a new shopper has done nothing yet.
pub async fn of_user(State(app): State<App>, Id(name): Id, query: Query) -> Answer<Json<Vec<Event>>> {
    let n = query.only(&["n"])?.n()?;
    app.compute(move |_, serving| {
        let history = serving.history(&name);
        let rows = history.rows();
        let timed = serving.engine().front().timed;
        let event = |i: usize| {
            // What is not a time was given a place in the order only.
            let at = (timed || rows.at[i] > PLACES).then_some(rows.at[i]);
            event(serving, rows.kinds[i], &name, rows.items[i], at, rows.values[i])
        };
        Ok(Json((0..rows.len()).rev().take(n).map(event).collect()))
    })
    .await
}

/// Positions in a sequence stay below this; a time of this century lies above.
const PLACES: i64 = 946_684_800;

/// What arrived since the server was first started, newest first. The cursor is the number of the oldest event shown.
pub async fn events(State(app): State<App>, query: Query) -> Answer<Json<Events>> {
    let query = query.only(&["n", "cursor"])?;
    let n = query.n()?;
    let before = match query.get("cursor").filter(|cursor| !cursor.is_empty()) {
        None => i64::MAX,
        Some(cursor) => cursor.parse().map_err(|_| {
            Refusal::input("cursor", "the Cursor of the page before", cursor).remedy("start without a cursor")
        })?,
    };
    app.compute(move |app, serving| {
        let stored = app.store().read(|reader| reader.events_before(before, n))?;
        let cursor = stored.last().filter(|_| stored.len() == n).map_or_else(String::new, |e| e.seq.to_string());
        let items = serving.engine().known().items;
        let feedback = stored.into_iter().map(|stored| {
            let e = stored.event;
            let title = items.get(&e.item).map_or(e.item.as_str(), |id| serving.engine().catalog().label(ItemId(id)));
            Event {
                feedback_type: e.kind.name(),
                timestamp: timestamp::text(e.at),
                value: e.value,
                title: title.to_owned(),
                user_id: e.user,
                item_id: e.item.clone(),
            }
        });
        Ok(Json(Events { cursor, feedback: feedback.collect() }))
    })
    .await
}

pub(super) fn user(serving: &Serving, id: UserId) -> User {
    let known = serving.engine().known();
    let labels = serving.engine().labels(id).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    User {
        user_id: known.users.name(id.0).unwrap_or_default().to_owned(),
        labels: labels.collect(),
        events: known.log.of(id).len(),
    }
}

fn event(serving: &Serving, kind: EventKind, user: &str, item: ItemId, at: Option<i64>, value: f32) -> Event {
    let catalog = serving.engine().catalog();
    Event {
        feedback_type: kind.name(),
        user_id: user.to_owned(),
        item_id: super::recommend::external(catalog, item).to_owned(),
        timestamp: at.map_or_else(String::new, timestamp::text),
        value,
        title: catalog.label(item).to_owned(),
    }
}
