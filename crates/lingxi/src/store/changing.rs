//! One batch of changes to what is known of shoppers, inside a transaction: events in, events away, profiles.
//!
//! An erased event is deleted with its feedback, and its key is kept, so that a batch that is sent again does not bring it
//! back. Where logs hold such events too a row in `erased` says so, for the live histories and for the next build.

use super::record::{Change, Erased, Erasure, NewEvent, Profile, StoredEvent};
use super::{experiments, slate};
use lingxi_data::EventKind;
use rusqlite::{Connection, Result, params};
use serde_json::json;

/// A shop's clock may run ahead of ours: an event this many seconds before the slate may still answer it.
pub(super) const CLOCK_SLACK: i64 = 60;

/// Slates of one shopper that are searched, newest first, for the one an event answers.
const SLATES_SEARCHED: i64 = 50;

/// A batch that is on disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// The events stored, in their order: all but those whose key was stored before.
    pub events: Vec<StoredEvent>,
    /// How many were left out because of their key.
    pub duplicates: usize,
    /// How many answered a decision.
    pub joined: usize,
    /// The shopper and the number of each event that was erased.
    pub erased: Vec<(String, i64)>,
    /// What was erased of the logs.
    pub hidden: Vec<Erased>,
}

/// A batch under way.
pub struct Changing<'a> {
    pub connection: &'a Connection,
    /// The number of the last event.
    pub last: &'a mut i64,
    /// As [`super::StoreOptions::join_window`].
    pub window: i64,
    /// The time of the batch, unix seconds.
    pub at: i64,
    /// Whether experiments run that count what shoppers do.
    pub counts: bool,
}

impl Changing<'_> {
    /// Makes the changes in their order.
    pub fn all(mut self, changes: Vec<Change>) -> Result<Stored> {
        let mut stored = Stored::default();
        for change in changes {
            match change {
                Change::Insert(event) => self.insert(event, &mut stored)?,
                Change::Replace { event, logged } => {
                    if self.is_known(&event)? {
                        stored.duplicates += 1;
                        continue;
                    }
                    let what =
                        Erasure { user: event.user.clone(), item: Some(event.item.clone()), kind: Some(event.kind) };
                    self.erase(what, logged, &mut stored)?;
                    self.insert(event, &mut stored)?;
                }
                Change::Erase { what, logged } => self.erase(what, logged, &mut stored)?,
                Change::Describe(user, profile) => self.describe(&user, Some(&profile))?,
                Change::Forget(user) => self.forget(user, &mut stored)?,
            }
        }
        Ok(stored)
    }

    fn insert(&mut self, event: NewEvent, stored: &mut Stored) -> Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO events (seq, user, item, kind, value, at, comment, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (key) WHERE key IS NOT NULL DO NOTHING",
        )?;
        let NewEvent { user, item, kind, value, at, comment, key } = &event;
        let seq = *self.last + 1;
        if self.is_spent(key.as_deref())?
            || insert.execute(params![seq, user, item, kind.name(), value, at, comment, key])? == 0
        {
            stored.duplicates += 1;
            return Ok(());
        }
        *self.last = seq;
        // What was only shown answers nothing.
        if !event.is_put_away() {
            let answers = join(self.connection, seq, &event, self.window)?;
            stored.joined += usize::from(answers);
            if self.counts {
                experiments::act(self.connection, &event, answers)?;
            }
        }
        stored.events.push(StoredEvent { seq, event });
        Ok(())
    }

    fn is_known(&self, event: &NewEvent) -> Result<bool> {
        let Some(key) = event.key.as_deref() else { return Ok(false) };
        let mut find = self.connection.prepare_cached("SELECT 1 FROM events WHERE key = ?")?;
        Ok(find.exists([key])? || self.is_spent(Some(key))?)
    }

    fn is_spent(&self, key: Option<&str>) -> Result<bool> {
        let Some(key) = key else { return Ok(false) };
        self.connection.prepare_cached("SELECT 1 FROM spent_keys WHERE key = ?")?.exists([key])
    }

    fn erase(&mut self, what: Erasure, logged: bool, stored: &mut Stored) -> Result<()> {
        const WHICH: &str = "user = ?1 AND (?2 IS NULL OR item = ?2) AND (?3 IS NULL OR kind = ?3)";
        let row = params![what.user, what.item, what.kind.map(EventKind::name)];
        let run = |sql: &str| self.connection.prepare_cached(&sql.replace("WHICH", WHICH))?.execute(row);
        run("DELETE FROM feedback WHERE event IN (SELECT seq FROM events WHERE WHICH)")?;
        run("INSERT OR IGNORE INTO spent_keys SELECT key FROM events WHERE WHICH AND key IS NOT NULL")?;
        let mut delete = self.connection.prepare_cached(&format!("DELETE FROM events WHERE {WHICH} RETURNING seq"))?;
        let before = stored.erased.len();
        for seq in delete.query_map(row, |row| row.get(0))? {
            stored.erased.push((what.user.clone(), seq?));
        }
        if self.counts && stored.erased.len() > before {
            experiments::recount(self.connection, &what.user)?;
        }
        // A build that is under way may have read what was just deleted.
        if logged || stored.erased.len() > before {
            self.connection
                .prepare_cached(
                    "INSERT INTO erased (user, item, kind, until, at) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO UPDATE SET until = ?4, at = ?5",
                )?
                .execute(params![
                    what.user,
                    what.item.as_deref().unwrap_or_default(),
                    what.kind.map_or("", EventKind::name),
                    *self.last,
                    self.at
                ])?;
            stored.hidden.push(Erased { what, until: *self.last });
        }
        Ok(())
    }

    fn describe(&self, user: &str, profile: Option<&Profile>) -> Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO users (user, body, at) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET body = ?2, at = ?3",
        )?;
        insert.execute(params![user, profile.map(|profile| json!(profile).to_string()), self.at])?;
        Ok(())
    }

    fn forget(&mut self, user: String, stored: &mut Stored) -> Result<()> {
        let run = |sql: &str| self.connection.prepare_cached(sql)?.execute([&user]);
        experiments::forget(self.connection, &user)?;
        // The one row of all their events says more than those of some.
        run("DELETE FROM erased WHERE user = ?")?;
        self.describe(&user, None)?;
        self.erase(Erasure { user: user.clone(), item: None, kind: None }, true, stored)?;
        run("DELETE FROM decisions WHERE user = ?")?;
        Ok(())
    }
}

/// Joins an event with the newest slate that showed its item to its shopper, if that place was not answered so before.
fn join(connection: &Connection, seq: i64, event: &NewEvent, window: i64) -> Result<bool> {
    let mut recent = connection.prepare_cached(
        "SELECT id, first, slots FROM decisions WHERE user = ? AND at BETWEEN ? AND ?
         ORDER BY at DESC, id DESC LIMIT ?",
    )?;
    let (from, to) = (event.at.saturating_sub(window), event.at.saturating_add(CLOCK_SLACK));
    let mut rows = recent.query(params![event.user, from, to, SLATES_SEARCHED])?;
    while let Some(row) = rows.next()? {
        let Some(slot) = slate::place_of(&event.item, row.get_ref(2)?.as_str()?) else { continue };
        let (decision, place) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)? + slot as i64);
        let mut answer = connection.prepare_cached(
            "INSERT INTO feedback (event, decision, place, kind) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?;
        return Ok(answer.execute(params![seq, decision, place, event.kind.name()])? == 1);
    }
    Ok(false)
}
