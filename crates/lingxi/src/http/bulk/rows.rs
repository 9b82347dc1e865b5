//! The rows of each sort of export, in Gorse's names where Gorse has them, made one by one.
//!
//! Events are those of the log that the snapshot was built from, then those of the store that came since, in the order of
//! their arrival. Deleted goods are left out of the items, hidden ones say so. The store is read a page at a time, so that a
//! slow reader does not hold its log back; what arrives meanwhile is not in.

use super::What;
use super::export::Sheet;
use crate::http::app::App;
use crate::http::serving::Serving;
use crate::http::{goods, timestamp, users};
use crate::store::Answered;
use lingxi_data::records::Holds;
use lingxi_data::{EventKind, ItemId, UserId};
use serde::Serialize;
use std::io;

/// Rows of the store that are read at once.
const PAGE: usize = 4096;
/// Slates of the store that are read at once; each is many rows.
const SLATES: usize = 256;

/// Name and content of each column of a Parquet file.
pub type Columns = &'static [(&'static str, Holds)];

/// The columns of each sort.
pub fn columns(what: What) -> Columns {
    use Holds::{Flag, Json, Number, Text, Texts, Time, Whole};
    match what {
        What::Events => &[
            ("FeedbackType", Text),
            ("UserId", Text),
            ("ItemId", Text),
            ("Timestamp", Time),
            ("Value", Number),
            ("Comment", Text),
        ],
        What::Items => &[
            ("ItemId", Text),
            ("IsHidden", Flag),
            ("Categories", Texts),
            ("Timestamp", Text),
            ("Labels", Json),
            ("Comment", Text),
            ("Title", Text),
            ("Text", Text),
            ("Price", Number),
        ],
        What::Users => &[("UserId", Text), ("Labels", Json), ("Comment", Text), ("Subscribe", Texts)],
        What::Decisions => &[
            ("DecisionId", Whole),
            ("Place", Whole),
            ("UserId", Text),
            ("ItemId", Text),
            ("Timestamp", Time),
            ("Score", Number),
            ("Propensity", Number),
            ("Explored", Flag),
            ("Feedback", Texts),
            ("Policy", Text),
            ("Snapshot", Text),
            ("Seed", Text),
        ],
    }
}

/// About how many rows there are.
pub fn count(app: &App, serving: &Serving, what: What) -> crate::store::Result<u64> {
    let engine = serving.engine();
    Ok(match what {
        What::Events => engine.known().log.len() as u64 + app.store().read(|reader| reader.event_count())?,
        What::Items => engine.catalog().len() as u64,
        What::Users => engine.known().users.len() as u64,
        What::Decisions => app.store().read(|reader| reader.place_count())?,
    })
}

/// Writes every row.
pub fn visit(app: &App, what: What, to: &mut Sheet) -> io::Result<()> {
    let serving = app.serving();
    match what {
        What::Events => events(app, &serving, to),
        What::Items => items(&serving, to),
        What::Users => users(app, &serving, to),
        What::Decisions => decisions(app, to),
    }
}

/// An event, as it can be imported again.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'a> {
    feedback_type: &'static str,
    user_id: &'a str,
    item_id: &'a str,
    timestamp: String,
    value: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
}

fn events(app: &App, serving: &Serving, to: &mut Sheet) -> io::Result<()> {
    let known = serving.engine().known();
    let event = |kind: EventKind, at, value| (kind.name(), timestamp::text(at), value);
    for user in (0..known.log.n_users() as u32).map(UserId) {
        // Without what was erased since.
        for row in serving.logged(user).rows().iter(user) {
            let (feedback_type, timestamp, value) = event(row.kind, row.at, row.value);
            let user_id = known.users.name(user.0).unwrap_or_default();
            let item_id = known.items.name(row.item.0).unwrap_or_default();
            to.row(&Event { feedback_type, user_id, item_id, timestamp, value, comment: None })?;
        }
    }
    let last = app.store().read(|reader| reader.last_event()).map_err(io::Error::other)?;
    let mut after = serving.built_with();
    while after < last {
        let page = app.store().read(|reader| reader.events_between(after, last, PAGE)).map_err(io::Error::other)?;
        let Some(newest) = page.last() else { break };
        after = newest.seq;
        for stored in &page {
            let e = &stored.event;
            let (feedback_type, timestamp, value) = event(e.kind, e.at, e.value);
            let (user_id, item_id, comment) = (e.user.as_str(), e.item.as_str(), e.comment.as_deref());
            to.row(&Event { feedback_type, user_id, item_id, timestamp, value, comment })?;
        }
    }
    Ok(())
}

fn items(serving: &Serving, to: &mut Sheet) -> io::Result<()> {
    let withdrawn = serving.withdrawn();
    let items = (0..serving.engine().catalog().len() as u32).map(ItemId);
    for item in items.filter(|item| !withdrawn.deleted.contains(item)) {
        to.row(&goods::describe(serving, item))?;
    }
    Ok(())
}

/// Shoppers of the log, then those who came since, as `GET /api/users` tells them.
fn users(app: &App, serving: &Serving, to: &mut Sheet) -> io::Result<()> {
    let mut cursor = String::new();
    loop {
        let page = app.store().read(|reader| Ok(users::page(reader, serving, &cursor, PAGE, &|_| true)));
        let page = page.map_err(io::Error::other)?.map_err(|refusal| io::Error::other(refusal.why.message))?;
        for user in &page.users {
            to.row(user)?;
        }
        if page.cursor.is_empty() {
            return Ok(());
        }
        cursor = page.cursor;
    }
}

/// A place of a slate with what came of it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Place<'a> {
    decision_id: u64,
    place: usize,
    user_id: &'a str,
    item_id: &'a str,
    timestamp: &'a str,
    score: f32,
    propensity: f32,
    explored: bool,
    feedback: Vec<&'a str>,
    policy: &'a str,
    snapshot: &'a str,
    /// Sixty-four bits are more than numbers in JSON keep everywhere.
    seed: String,
}

fn decisions(app: &App, to: &mut Sheet) -> io::Result<()> {
    let mut after = -1;
    loop {
        let page = app.store().read(|reader| reader.slates_after(after, SLATES)).map_err(io::Error::other)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.shown.id as i64;
        for Answered { shown, feedback } in &page {
            let timestamp = timestamp::text(shown.at);
            for (place, slot) in (shown.first..).zip(&shown.slots) {
                let kinds = feedback.iter().filter(|(answered, _)| *answered == place);
                to.row(&Place {
                    decision_id: shown.id,
                    place,
                    user_id: &shown.user,
                    item_id: &slot.item,
                    timestamp: &timestamp,
                    score: slot.score,
                    propensity: slot.propensity,
                    explored: slot.explored,
                    feedback: kinds.map(|(_, kind)| kind.as_str()).collect(),
                    policy: &shown.policy,
                    snapshot: &shown.snapshot,
                    seed: shown.seed.to_string(),
                })?;
            }
        }
    }
}
