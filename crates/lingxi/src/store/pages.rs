//! How all of it comes back, for whoever copies the store: a page at a time, each page one short look at the file, so that a
//! slow copy holds nothing up.

use super::error::Result;
use super::reader::{EVENT, Reader, event, read_error};
use super::record::{ShownSlot, StoredEvent};
use rusqlite::params;

/// One place of a slate, with whom it was shown to and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownPlace {
    /// The decision's id.
    pub decision: u64,
    /// The place, from 0.
    pub place: u64,
    /// The shop's id of the shopper.
    pub user: String,
    /// When, unix seconds.
    pub at: i64,
    /// Name and parameters of the policy.
    pub policy: String,
    /// Fingerprint of the snapshot that scored.
    pub snapshot: String,
    /// Seed of the policy's random stream.
    pub seed: u64,
    /// The item with its score and propensity.
    pub slot: ShownSlot,
    /// Kinds of the events that answered it.
    pub feedback: Vec<String>,
}

impl Reader {
    /// The number of the last event; 0 if there is none.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn last_event(&self) -> Result<i64> {
        self.0.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0)).map_err(read_error)
    }

    /// At most `limit` events that arrived after the event `seq` and no later than the event `last`, in their order.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn events_between(&self, seq: i64, last: i64, limit: usize) -> Result<Vec<StoredEvent>> {
        let sql = format!("SELECT {EVENT} FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?");
        let mut statement = self.0.prepare_cached(&sql).map_err(read_error)?;
        let rows = statement.query_map(params![seq, last, limit as i64], event).map_err(read_error)?;
        rows.collect::<rusqlite::Result<Vec<_>>>().map_err(read_error)
    }

    /// At most `limit` shoppers with events whose id comes after `user`, by id.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn users_after(&self, user: &str, limit: usize) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT user FROM events WHERE user > ? ORDER BY user LIMIT ?";
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let rows = statement.query_map(params![user, limit as i64], |row| row.get(0)).map_err(read_error)?;
        rows.collect::<rusqlite::Result<Vec<_>>>().map_err(read_error)
    }

    /// At most `limit` places of slates after this decision and place, in their order.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn places_after(&self, (decision, place): (i64, i64), limit: usize) -> Result<Vec<ShownPlace>> {
        let sql = "SELECT decision, place, user, at, policy, snapshot, seed, item, score, propensity, explored,
                     (SELECT group_concat(kind) FROM feedback
                      WHERE feedback.decision = slots.decision AND feedback.place = slots.place)
                   FROM slots JOIN decisions ON decisions.id = slots.decision
                   WHERE (decision, place) > (?, ?) ORDER BY decision, place LIMIT ?";
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let rows = statement.query_map(params![decision, place, limit as i64], |row| {
            let kinds: Option<String> = row.get(11)?;
            Ok(ShownPlace {
                decision: row.get::<_, i64>(0)? as u64,
                place: row.get::<_, i64>(1)? as u64,
                user: row.get(2)?,
                at: row.get(3)?,
                policy: row.get(4)?,
                snapshot: row.get(5)?,
                seed: row.get::<_, i64>(6)? as u64,
                slot: ShownSlot {
                    item: row.get(7)?,
                    score: row.get(8)?,
                    propensity: row.get(9)?,
                    explored: row.get(10)?,
                },
                feedback: kinds.iter().flat_map(|kinds| kinds.split(',')).map(str::to_owned).collect(),
            })
        });
        rows.map_err(read_error)?.collect::<rusqlite::Result<Vec<_>>>().map_err(read_error)
    }

    /// Number of places of slates in the store.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn place_count(&self) -> Result<u64> {
        let count = self.0.query_row("SELECT count(*) FROM slots", [], |row| row.get::<_, i64>(0));
        count.map(|n| n as u64).map_err(read_error)
    }
}
