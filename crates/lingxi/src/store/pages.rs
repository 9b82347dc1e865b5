//! How all of it comes back, for whoever copies the store: a page at a time, each page one short look at the file, so that a
//! slow copy holds nothing up.

use super::error::Result;
use super::reader::{EVENT, Reader, SHOWN, event, not_ours, read_error, shown};
use super::record::{Shown, StoredEvent};
use rusqlite::params;

/// A slate with what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// What was shown.
    pub shown: Shown,
    /// The place and the kind of each event that answered it.
    pub feedback: Vec<(usize, String)>,
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

    /// At most `limit` slates after this decision, in the order of their ids.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn slates_after(&self, decision: i64, limit: usize) -> Result<Vec<Answered>> {
        let sql = format!(
            "SELECT {SHOWN}, (SELECT json_group_array(json_array(place, kind)) FROM feedback WHERE decision = id)
             FROM decisions WHERE id > ? ORDER BY id LIMIT ?"
        );
        let mut statement = self.0.prepare_cached(&sql).map_err(read_error)?;
        let rows = statement.query_map(params![decision, limit as i64], |row| {
            let feedback = serde_json::from_str(row.get_ref(8)?.as_str()?).map_err(|why| not_ours(8, why))?;
            Ok(Answered { shown: shown(row)?, feedback })
        });
        rows.map_err(read_error)?.collect::<rusqlite::Result<Vec<_>>>().map_err(read_error)
    }

    /// Number of places of slates in the store.
    ///
    /// # Errors
    /// As [`Reader::events_after`].
    pub fn place_count(&self) -> Result<u64> {
        let sql = "SELECT coalesce(sum(json_array_length(slots)), 0) FROM decisions";
        self.0.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|n| n as u64).map_err(read_error)
    }
}
