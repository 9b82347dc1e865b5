//! How stored events, decisions and their feedback come back: each call sees one consistent state of the file.

use super::error::{Result, StoreError};
use super::record::{Good, NewEvent, Shown, ShownSlot, StoredEvent, Withdrawal};
use super::schema;
use lingxi_data::EventKind;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::Path;

pub(super) const EVENT: &str = "seq, user, item, events.kind, value, at, comment";

/// A connection that only reads.
pub struct Reader(pub(super) Connection);

/// An event with the decision that it answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// The decision's id.
    pub decision: u64,
    /// The place of the slate, from 0.
    pub place: usize,
    /// The event.
    pub event: StoredEvent,
}

impl Reader {
    /// Opens the store at `path` to read.
    ///
    /// # Errors
    /// [`StoreError::Read`] if there is none.
    pub fn open(path: &Path) -> Result<Reader> {
        schema::open_to_read(path).map(Reader)
    }

    /// Calls `each` with every event that arrived after `seq`, in the order of arrival, holding one at a time.
    ///
    /// # Errors
    /// [`StoreError::Read`] if the query fails or a row is not ours.
    pub fn events_after(&self, seq: i64, mut each: impl FnMut(StoredEvent)) -> Result<()> {
        let sql = format!("SELECT {EVENT} FROM events WHERE seq > ? ORDER BY seq");
        let mut statement = self.0.prepare_cached(&sql).map_err(read_error)?;
        let rows = statement.query_map([seq], event).map_err(read_error)?;
        for row in rows {
            each(row.map_err(read_error)?);
        }
        Ok(())
    }

    /// The newest `limit` events that arrived before the event `seq`, newest first.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn events_before(&self, seq: i64, limit: usize) -> Result<Vec<StoredEvent>> {
        let sql = format!("SELECT {EVENT} FROM events WHERE seq < ? ORDER BY seq DESC LIMIT ?");
        let mut statement = self.0.prepare_cached(&sql).map_err(read_error)?;
        let rows = statement.query_map(params![seq, limit as i64], event).map_err(read_error)?;
        rows.collect::<rusqlite::Result<Vec<_>>>().map_err(read_error)
    }

    /// What is known of goods beyond the build, in the order of their ids.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn goods(&self) -> Result<Vec<Good>> {
        let mut statement = self.0.prepare_cached("SELECT item, what, body FROM goods").map_err(read_error)?;
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
        });
        rows.map_err(read_error)?.map(|row| row.map_err(read_error).and_then(good)).collect()
    }

    /// The last `limit` events of a shopper, in time order.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn recent(&self, user: &str, limit: usize) -> Result<Vec<StoredEvent>> {
        let sql = format!("SELECT {EVENT} FROM events WHERE user = ? ORDER BY at DESC, seq DESC LIMIT ?");
        let mut statement = self.0.prepare_cached(&sql).map_err(read_error)?;
        let rows = statement.query_map(params![user, limit as i64], event).map_err(read_error)?;
        let mut events = rows.collect::<rusqlite::Result<Vec<_>>>().map_err(read_error)?;
        events.reverse();
        Ok(events)
    }

    /// Number of events in the store.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn event_count(&self) -> Result<u64> {
        let count = self.0.query_row("SELECT count(*) FROM events", [], |row| row.get::<_, i64>(0));
        count.map(|n| n as u64).map_err(read_error)
    }

    /// One decision as it was shown, if it is stored.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn decision(&self, id: u64) -> Result<Option<Shown>> {
        self.find_decision(id as i64).map_err(read_error)
    }

    /// All feedback that answers a decision, in the order of arrival.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn feedback_of(&self, decision: u64) -> Result<Vec<Joined>> {
        let sql = format!(
            "SELECT {EVENT}, feedback.place FROM feedback JOIN events ON events.seq = feedback.event
             WHERE feedback.decision = ? ORDER BY seq"
        );
        let mut statement = self.0.prepare_cached(&sql).map_err(read_error)?;
        let joined = |row: &Row<'_>| Ok(Joined { decision, place: row.get::<_, i64>(7)? as usize, event: event(row)? });
        let rows = statement.query_map([decision as i64], joined).map_err(read_error)?;
        rows.collect::<rusqlite::Result<Vec<_>>>().map_err(read_error)
    }

    fn find_decision(&self, id: i64) -> rusqlite::Result<Option<Shown>> {
        let mut decision =
            self.0.prepare_cached("SELECT user, at, policy, snapshot, seed FROM decisions WHERE id = ?")?;
        let mut slots = self
            .0
            .prepare_cached("SELECT item, score, propensity, explored FROM slots WHERE decision = ? ORDER BY place")?;
        let shown = decision.query_row([id], |row| {
            Ok(Shown {
                id: id as u64,
                user: row.get(0)?,
                at: row.get(1)?,
                policy: row.get(2)?,
                snapshot: row.get(3)?,
                seed: row.get::<_, i64>(4)? as u64,
                slots: Vec::new(),
            })
        });
        let Some(mut shown) = shown.optional()? else { return Ok(None) };
        let rows = slots.query_map([id], |row| {
            Ok(ShownSlot { item: row.get(0)?, score: row.get(1)?, propensity: row.get(2)?, explored: row.get(3)? })
        })?;
        shown.slots = rows.collect::<rusqlite::Result<_>>()?;
        Ok(Some(shown))
    }
}

pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let kind: String = row.get(3)?;
    Ok(StoredEvent {
        seq: row.get(0)?,
        event: NewEvent {
            user: row.get(1)?,
            item: row.get(2)?,
            kind: EventKind::parse(&kind).unwrap_or(EventKind::Other),
            value: row.get(4)?,
            at: row.get(5)?,
            comment: row.get(6)?,
            key: None,
        },
    })
}

fn good((item, what, body): (String, String, Option<String>)) -> Result<Good> {
    let wrong = |why: String| StoreError::Read(format!("item {item:?}: {why}"));
    let known =
        Withdrawal::parse(&what).ok_or_else(|| wrong(format!("expected shown, hidden or deleted, got {what:?}")))?;
    let body = body.map(|body| serde_json::from_str(&body)).transpose().map_err(|why| wrong(why.to_string()))?;
    Ok(Good { item, what: known, body })
}

pub(super) fn read_error(e: rusqlite::Error) -> StoreError {
    StoreError::Read(e.to_string())
}
