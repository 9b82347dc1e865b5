//! What happened? `GET /api/feedback`, by type, by shopper, by item and between the two, newest first, in Gorse's shape
//! with titles added.
//!
//! Lists in pages hold what arrived since the server was first started; lists of one shopper or item hold the log that the
//! snapshot was built from as well.

use super::app::App;
use super::error::{Answer, Refusal};
use super::params::{Id, Ids, MAX_N, Query, checked_kind};
use super::recommend::external;
use super::serving::Serving;
use super::timestamp;
use crate::store::{StoredEvent, Which};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lingxi_data::{EventKind, ItemId, UserId};
use serde::Serialize;

/// An event.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    feedback_type: &'static str,
    user_id: String,
    item_id: String,
    timestamp: String,
    value: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    title: String,
    /// For the order only.
    #[serde(skip)]
    at: i64,
}

/// A page of events, and where the next one starts; empty at the end.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Events {
    cursor: String,
    feedback: Vec<Event>,
}

/// Positions in a sequence stay below this; a time of this century lies above.
const PLACES: i64 = 946_684_800;

/// What arrived. The cursor is the number of the oldest event shown.
pub async fn list(State(app): State<App>, query: Query) -> Answer<Json<Events>> {
    page(app, query, None).await
}

/// What arrived of one type.
pub async fn of_kind(State(app): State<App>, Id(kind): Id, query: Query) -> Answer<Json<Events>> {
    let kind = checked_kind("type", &kind)?;
    page(app, query, Some(kind)).await
}

/// What a shopper did last. Nobody is unknown: a new shopper has done nothing yet.
pub async fn of_user(State(app): State<App>, Id(user): Id, query: Query) -> Answer<Json<Vec<Event>>> {
    all(app, query, Some(user), None, None).await
}

/// What a shopper did of one type.
pub async fn of_user_and_kind(State(app): State<App>, ids: Ids<2>, query: Query) -> Answer<Json<Vec<Event>>> {
    let Ids([user, kind]) = ids;
    all(app, query, Some(user), None, Some(checked_kind("type", &kind)?)).await
}

/// What was done with an item last.
pub async fn of_item(State(app): State<App>, Id(item): Id, query: Query) -> Answer<Json<Vec<Event>>> {
    all(app, query, None, Some(item), None).await
}

/// What was done of one type with an item.
pub async fn of_item_and_kind(State(app): State<App>, ids: Ids<2>, query: Query) -> Answer<Json<Vec<Event>>> {
    let Ids([item, kind]) = ids;
    all(app, query, None, Some(item), Some(checked_kind("type", &kind)?)).await
}

/// What a shopper did with an item.
pub async fn between(State(app): State<App>, ids: Ids<2>, query: Query) -> Answer<Json<Vec<Event>>> {
    let Ids([user, item]) = ids;
    all(app, query, Some(user), Some(item), None).await
}

/// The last time that a shopper did one thing with an item.
pub async fn one(State(app): State<App>, ids: Ids<3>, query: Query) -> Answer<Json<Event>> {
    let Ids([kind, user, item]) = ids;
    query.only(&[])?;
    let kind = checked_kind("type", &kind)?;
    app.compute(move |app, serving| {
        let which = Which { user: Some(&user), item: Some(&item), kind: Some(kind), ..Which::default() };
        gather(app, serving, &which, 1)?.pop().map(Json).ok_or_else(|| {
            let message = format!("shopper {user:?} did not {} item {item:?}", kind.name());
            Refusal::new(StatusCode::NOT_FOUND, "no_such_feedback", message)
        })
    })
    .await
}

async fn page(app: App, query: Query, kind: Option<EventKind>) -> Answer<Json<Events>> {
    let query = query.only(&["n", "cursor"])?;
    let n = query.n()?;
    let before = query.get("cursor").filter(|cursor| !cursor.is_empty());
    let lost = |got| Refusal::input("cursor", "the Cursor of the page before", got).remedy("start without a cursor");
    let before = before.map(|cursor| cursor.parse().map_err(|_| lost(cursor))).transpose()?;
    app.compute(move |app, serving| {
        let stored = app.store().read(|reader| reader.newest(&Which { kind, before, ..Which::default() }, n))?;
        let cursor = stored.last().filter(|_| stored.len() == n).map_or_else(String::new, |e| e.seq.to_string());
        Ok(Json(Events { cursor, feedback: stored.into_iter().map(|event| arrived(serving, event)).collect() }))
    })
    .await
}

async fn all(
    app: App,
    query: Query,
    user: Option<String>,
    item: Option<String>,
    kind: Option<EventKind>,
) -> Answer<Json<Vec<Event>>> {
    let n = query.only(&["n"])?.n()?;
    app.compute(move |app, serving| {
        let which = Which { user: user.as_deref(), item: item.as_deref(), kind, ..Which::default() };
        Ok(Json(gather(app, serving, &which, n)?))
    })
    .await
}

/// The last `n` events of a shopper or an item or both: those of the log, and those that arrived after it.
fn gather(app: &App, serving: &Serving, which: &Which<'_>, n: usize) -> Answer<Vec<Event>> {
    let after = Some(serving.built_with());
    let stored = app.store().read(|reader| reader.newest(&Which { after, ..*which }, MAX_N))?;
    let mut events: Vec<Event> = stored.into_iter().map(|event| arrived(serving, event)).collect();
    events.extend(logged(serving, which));
    // Of one moment the one that arrived last comes first; events of the log have no number and come after.
    events.sort_by_key(|event| std::cmp::Reverse(event.at));
    events.truncate(n);
    Ok(events)
}

/// The events of the log; newest first for one shopper. For an item alone this looks at the whole log.
fn logged(serving: &Serving, which: &Which<'_>) -> Vec<Event> {
    let known = serving.engine().known();
    let item = match which.item.map(|item| known.items.get(item).map(ItemId)) {
        Some(None) => return Vec::new(),
        Some(item) => item,
        None => None,
    };
    let users: Vec<UserId> = match (which.user, item) {
        (Some(user), _) => known.users.get(user).map(UserId).into_iter().collect(),
        (None, Some(item)) => {
            known.log.users().filter(|(_, rows)| rows.items.contains(&item)).map(|(user, _)| user).collect()
        }
        (None, None) => Vec::new(),
    };
    let mut events = Vec::new();
    for user in users {
        let name = known.users.name(user.0).unwrap_or_default();
        let history = serving.logged(user);
        let rows = history.rows();
        for i in (0..rows.len()).rev() {
            let fits = item.is_none_or(|item| item == rows.items[i]) && which.kind.is_none_or(|k| k == rows.kinds[i]);
            if fits {
                events.push(of_log(serving, name, rows.items[i], rows.kinds[i], rows.at[i], rows.values[i]));
            }
        }
    }
    events
}

fn of_log(serving: &Serving, user: &str, item: ItemId, kind: EventKind, at: i64, value: f32) -> Event {
    let catalog = serving.engine().catalog();
    // What is not a time was given a place in the order only.
    let timed = serving.engine().front().timed || at > PLACES;
    Event {
        feedback_type: kind.name(),
        user_id: user.to_owned(),
        item_id: external(catalog, item).to_owned(),
        timestamp: if timed { timestamp::text(at) } else { String::new() },
        value,
        comment: None,
        title: catalog.label(item).to_owned(),
        at,
    }
}

fn arrived(serving: &Serving, stored: StoredEvent) -> Event {
    let e = stored.event;
    let item = serving.engine().known().items.get(&e.item);
    let title = item.map_or(e.item.as_str(), |id| serving.engine().catalog().label(ItemId(id))).to_owned();
    Event {
        feedback_type: e.kind.name(),
        timestamp: timestamp::text(e.at),
        value: e.value,
        comment: e.comment,
        title,
        user_id: e.user,
        item_id: e.item,
        at: e.at,
    }
}
