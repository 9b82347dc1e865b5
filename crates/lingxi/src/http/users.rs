//! `/api/users` and `/api/user/{user}`: who there is, in Gorse's shape. Shoppers of the snapshot come first, those that came
//! since after them; what the shop says of a shopper here stands before what the snapshot's files say.

use super::app::App;
use super::error::{Answer, Refusal};
use super::feedback::{Touched, change};
use super::params::{Body, Id, Query, checked_id, read, read_all};
use super::serving::Serving;
use crate::store::{Change, Profile, Reader, Which};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lingxi_data::UserId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Most shoppers in one request.
pub const MAX_BATCH: usize = 1000;

/// Largest labels of a shopper or an item, as JSON, in bytes.
pub const MAX_LABELS: usize = 16 * 1024;

/// Longest comment, in bytes, and most subscriptions.
pub const MAX_COMMENT: usize = 4096;
pub const MAX_SUBSCRIBE: usize = 100;

/// So many names are looked at for one page: where few fit, it is short and its cursor leads on.
const SCAN: usize = 100_000;
const SCAN_NEW: usize = 5_000;

/// A shopper.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct User {
    user_id: String,
    labels: Value,
    comment: String,
    subscribe: Vec<String>,
    /// Events in the log that the snapshot was built from.
    events: usize,
}

/// A page of shoppers, and where the next one starts; empty at the end.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Users {
    pub(super) cursor: String,
    pub(super) users: Vec<User>,
}

/// A shopper as a shop sends them; null is as good as absent.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Sent {
    user_id: String,
    labels: Option<Value>,
    comment: Option<String>,
    subscribe: Option<Vec<String>>,
}

/// What may be changed of a shopper.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Amended {
    labels: Option<Value>,
    comment: Option<String>,
    subscribe: Option<Vec<String>>,
}

/// A page of shoppers, those whose id holds `q` if it is given.
pub async fn list(State(app): State<App>, query: Query) -> Answer<Json<Users>> {
    let query = query.only(&["n", "cursor", "q"])?;
    let (n, cursor) = (query.n()?, query.get("cursor").unwrap_or_default().to_owned());
    let part = query.get("q").unwrap_or_default().to_lowercase();
    app.compute(move |app, serving| {
        let fits = |name: &str| part.is_empty() || name.to_lowercase().contains(&part);
        Ok(Json(app.store().read(|reader| Ok(page(reader, serving, &cursor, n, &fits)))??))
    })
    .await
}

/// One shopper.
pub async fn get(State(app): State<App>, Id(user): Id, query: Query) -> Answer<Json<User>> {
    query.only(&[])?;
    app.compute(move |app, serving| known(app, serving, &user).map(Json)).await
}

/// Keeps what the shop says of one shopper, in place of what it said before.
pub async fn post(State(app): State<App>, query: Query, Body(body): Body) -> Answer<Json<Touched>> {
    query.only(&[])?;
    keep(app, vec![read(&body, "an object such as {\"UserId\": \"ann\", \"Labels\": {\"city\": \"Jinan\"}}")?]).await
}

/// Keeps what the shop says of a batch of shoppers, whole or not at all.
pub async fn post_all(State(app): State<App>, query: Query, Body(body): Body) -> Answer<Json<Touched>> {
    query.only(&[])?;
    keep(app, read_all(&body, MAX_BATCH, "an array of shoppers such as {\"UserId\": \"ann\"}")?).await
}

/// Changes what is said of a shopper: what is absent or null stays.
pub async fn patch(State(app): State<App>, Id(user): Id, query: Query, Body(body): Body) -> Answer<Json<Touched>> {
    query.only(&[])?;
    let Amended { labels, comment, subscribe } = read(&body, "an object such as {\"Comment\": \"likes tea\"}")?;
    let asked = user.clone();
    let now = app.compute(move |app, serving| known(app, serving, &asked)).await?;
    let amended = Sent {
        user_id: user,
        labels: Some(labels.unwrap_or(now.labels)),
        comment: Some(comment.unwrap_or(now.comment)),
        subscribe: Some(subscribe.unwrap_or(now.subscribe)),
    };
    keep(app, vec![amended]).await
}

async fn keep(app: App, sent: Vec<Sent>) -> Answer<Json<Touched>> {
    let changes = sent.into_iter().enumerate().map(|(at, sent)| describe(at, sent)).collect::<Answer<Vec<_>>>()?;
    let row_affected = changes.len();
    change(&app, changes).await?;
    Ok(Json(Touched { row_affected }))
}

/// Checks what was sent; `at` is its place in the batch.
fn describe(at: usize, sent: Sent) -> Answer<Change> {
    let path = |field: &str| format!("[{at}].{field}");
    checked_id(&path("UserId"), &sent.user_id)?;
    let labels = checked_labels(&path("Labels"), sent.labels)?;
    let comment = sent.comment.unwrap_or_default();
    let subscribe = sent.subscribe.unwrap_or_default();
    if comment.len() > MAX_COMMENT {
        let got = format!("{} bytes", comment.len());
        return Err(Refusal::input(path("Comment"), format!("at most {MAX_COMMENT} bytes"), got));
    }
    if subscribe.len() > MAX_SUBSCRIBE {
        return Err(Refusal::input(path("Subscribe"), format!("at most {MAX_SUBSCRIBE} names"), subscribe.len()));
    }
    for name in &subscribe {
        checked_id(&path("Subscribe"), name)?;
    }
    Ok(Change::Describe(sent.user_id, Profile { labels, comment, subscribe }))
}

/// Labels as a shop sends them: any JSON that is not too large.
pub(super) fn checked_labels(field: &str, labels: Option<Value>) -> Answer<Value> {
    let labels = labels.unwrap_or_default();
    let bytes = labels.to_string().len();
    if bytes > MAX_LABELS {
        return Err(Refusal::input(field, format!("at most {MAX_LABELS} bytes of JSON"), format!("{bytes} bytes")));
    }
    Ok(labels)
}

/// A shopper of the snapshot, or one of whom the shop said something, or who did something, and who was not deleted since.
pub(super) fn known(app: &App, serving: &Serving, name: &str) -> Answer<User> {
    let found = app.store().read(|reader| find(reader, serving, name))?;
    found.ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "unknown_user", format!("shopper {name:?} is not known"))
            .remedy("send what is known of them to POST /api/user, or an event to POST /api/feedback")
    })
}

fn find(reader: &Reader, serving: &Serving, name: &str) -> crate::store::Result<Option<User>> {
    let id = serving.engine().known().users.get(name).map(UserId);
    let said = reader.profile(name)?;
    let is_known = match (&said, id) {
        (Some(Some(_)), _) | (None, Some(_)) => true,
        // Deleted, or never heard of: unless they did something since.
        (Some(None), _) | (None, None) => {
            !reader.newest(&Which { user: Some(name), ..Which::default() }, 1)?.is_empty()
        }
    };
    let is_deleted = matches!(said, Some(None));
    Ok(is_known.then(|| user(serving, name, id.filter(|_| !is_deleted), said.flatten())))
}

fn user(serving: &Serving, name: &str, id: Option<UserId>, said: Option<Profile>) -> User {
    let of_files = || {
        let labels = id.map_or_else(Vec::new, |id| serving.engine().labels(id));
        let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), json!(value)));
        Profile { labels: Value::Object(labels.collect()), ..Profile::default() }
    };
    let Profile { labels, comment, subscribe } = said.unwrap_or_else(of_files);
    let events = id.map_or(0, |id| serving.logged_len(id));
    User { user_id: name.to_owned(), labels, comment, subscribe, events }
}

/// A cursor says in which of the two lists the next page starts, and with whom.
pub(super) fn page(
    reader: &Reader,
    serving: &Serving,
    cursor: &str,
    n: usize,
    fits: &dyn Fn(&str) -> bool,
) -> Answer<Users> {
    let names = serving.engine().known().users;
    let lost = || Refusal::input("cursor", "the Cursor of the page before", cursor).remedy("start without a cursor");
    let (list, from) = if cursor.is_empty() { ("known", "") } else { cursor.split_once(':').ok_or_else(lost)? };
    let mut users = Vec::new();
    let mut from = from.to_owned();
    match list {
        "known" => {
            let first = if from.is_empty() { 0 } else { names.get(&from).ok_or_else(lost)? };
            for id in first..names.len() as u32 {
                let name = names.name(id).unwrap_or_default();
                if users.len() == n || (id - first) as usize == SCAN {
                    return Ok(Users { cursor: format!("known:{name}"), users });
                }
                if fits(name) {
                    users.extend(find(reader, serving, name)?);
                }
            }
            from.clear();
        }
        "new" => {}
        _ => return Err(lost()),
    }
    for name in reader.heard_of(&from, SCAN_NEW)? {
        if users.len() == n {
            return Ok(Users { cursor: format!("new:{name}"), users });
        }
        if names.get(&name).is_none() && fits(&name) {
            users.extend(find(reader, serving, &name)?);
        }
        from = name;
    }
    // The scan ended because there was nobody left, or because it had looked at enough.
    let next = reader.heard_of(&format!("{from}\0"), 1)?;
    Ok(Users { cursor: next.first().map_or_else(String::new, |name| format!("new:{name}")), users })
}
