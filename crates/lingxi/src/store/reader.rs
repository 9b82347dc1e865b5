//! How stored events, decisions and their feedback come back: each call sees one consistent state of the file.

use super::error::{Result, StoreError};
use super::record::{Erased, Erasure, Good, NewEvent, Profile, Shown, StoredEvent, Withdrawal};
use super::{schema, slate};
use lingxi_data::EventKind;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use std::path::Path;

pub(super) const SHOWN: &str = "id, user, at, policy, snapshot, seed, first, slots";
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

/// Which events are looked for; what is `None` is not asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which<'a> {
    /// Those of this shopper.
    pub user: Option<&'a str>,
    /// Those on this item.
    pub item: Option<&'a str>,
    /// Those of this kind.
    pub kind: Option<EventKind>,
    /// Those that arrived after this one.
    pub after: Option<i64>,
    /// Those that arrived before this one.
    pub before: Option<i64>,
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

    /// The newest `limit` events by arrival, newest first.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn newest(&self, which: &Which<'_>, limit: usize) -> Result<Vec<StoredEvent>> {
        let kind = which.kind.map(EventKind::name);
        let limit = limit as i64;
        let asked: [(&str, Option<&dyn ToSql>); 5] = [
            ("user = ?", which.user.as_ref().map(|v| v as &dyn ToSql)),
            ("item = ?", which.item.as_ref().map(|v| v as &dyn ToSql)),
            ("kind = ?", kind.as_ref().map(|v| v as &dyn ToSql)),
            ("seq > ?", which.after.as_ref().map(|v| v as &dyn ToSql)),
            ("seq < ?", which.before.as_ref().map(|v| v as &dyn ToSql)),
        ];
        let (mut tests, mut values) = (vec!["TRUE"], Vec::new());
        for (test, value) in asked {
            if let Some(value) = value {
                tests.push(test);
                values.push(value);
            }
        }
        values.push(&limit);
        let sql = format!("SELECT {EVENT} FROM events WHERE {} ORDER BY seq DESC LIMIT ?", tests.join(" AND "));
        let mut statement = self.0.prepare_cached(&sql).map_err(read_error)?;
        let rows = statement.query_map(values.as_slice(), event).map_err(read_error)?;
        rows.collect::<rusqlite::Result<Vec<_>>>().map_err(read_error)
    }

    /// What was erased of the logs: a build leaves these events out of the files that it reads. Events of the store are
    /// deleted, and need no such word.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn erased(&self) -> Result<Vec<Erased>> {
        let mut statement = self.0.prepare_cached("SELECT user, item, kind, until FROM erased").map_err(read_error)?;
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let rows = statement.query_map([], |row| {
            let (user, item, kind) = (row.get(0)?, some(row.get(1)?), some(row.get(2)?));
            let kind = kind.map(|kind| EventKind::parse(&kind).unwrap_or(EventKind::Other));
            Ok(Erased { what: Erasure { user, item, kind }, until: row.get(3)? })
        });
        rows.map_err(read_error)?.map(|row| row.map_err(read_error)).collect()
    }

    /// What the shop said of a shopper: `None` if nothing, `Some(None)` if it was that they are gone.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn profile(&self, user: &str) -> Result<Option<Option<Profile>>> {
        let mut statement = self.0.prepare_cached("SELECT body FROM users WHERE user = ?").map_err(read_error)?;
        let row = statement.query_row([user], |row| row.get::<_, Option<String>>(0)).optional().map_err(read_error)?;
        row.map(|body| body.map(|body| profile(user, &body)).transpose()).transpose()
    }

    /// At most `limit` shoppers of whom the shop said something or who did something, by id from `from` on.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn heard_of(&self, from: &str, limit: usize) -> Result<Vec<String>> {
        // From name to name in both indexes: a shopper with a million events costs as little as one with none.
        let sql = "WITH RECURSIVE next (user) AS (
                     SELECT min(user) FROM (SELECT min(user) AS user FROM users WHERE user >= ?1
                                            UNION ALL SELECT min(user) FROM events WHERE user >= ?1)
                     UNION ALL
                     SELECT (SELECT min(user) FROM (SELECT min(user) AS user FROM users WHERE user > next.user
                                                    UNION ALL SELECT min(user) FROM events WHERE user > next.user))
                     FROM next WHERE next.user IS NOT NULL)
                   SELECT user FROM next WHERE user IS NOT NULL LIMIT ?2";
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let rows = statement.query_map(params![from, limit as i64], |row| row.get(0)).map_err(read_error)?;
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
        let sql = format!("SELECT {SHOWN} FROM decisions WHERE id = ?");
        self.0.prepare_cached(&sql)?.query_row([id], shown).optional()
    }
}

pub(super) fn shown(row: &Row<'_>) -> rusqlite::Result<Shown> {
    Ok(Shown {
        id: row.get::<_, i64>(0)? as u64,
        user: row.get(1)?,
        at: row.get(2)?,
        policy: row.get(3)?,
        snapshot: row.get(4)?,
        seed: row.get::<_, i64>(5)? as u64,
        first: row.get::<_, i64>(6)? as usize,
        slots: slate::read(row.get_ref(7)?.as_str()?).map_err(|why| not_ours(7, why))?,
        seen: Vec::new(),
    })
}

/// A column whose text is none of ours.
pub(super) fn not_ours(column: usize, why: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why.into())
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

fn profile(user: &str, body: &str) -> Result<Profile> {
    serde_json::from_str(body).map_err(|why| StoreError::Read(format!("shopper {user:?}: {why}")))
}

pub(super) fn read_error(e: rusqlite::Error) -> StoreError {
    StoreError::Read(e.to_string())
}
