//! The one thread that writes. Jobs come from a bounded queue; those that wait are stored in one transaction, synced
//! once, and only then told that they are on disk (group commit).
//!
//! No timer is needed to fill a group: while one group is being synced, the next one gathers in the queue.

use super::changing::{Changing, Stored};
use super::error::{Result, StoreError};
use super::record::{Change, Good, Shown};
use super::{StoreCounts, StoreOptions};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;

type Done = Box<dyn FnOnce(Result<Stored>) + Send>;

/// What waits in the queue.
pub enum Job {
    Changes { changes: Vec<Change>, at: i64, done: Done },
    Decision(Shown),
    Goods { goods: Vec<Good>, at: i64, done: Box<dyn FnOnce(Result<()>) + Send> },
}

pub struct Writer {
    connection: Connection,
    /// The number of the last event: never given again, also if that event is deleted.
    last: i64,
    options: StoreOptions,
    counts: Arc<StoreCounts>,
}

impl Writer {
    pub fn new(connection: Connection, last: i64, options: StoreOptions, counts: Arc<StoreCounts>) -> Writer {
        connection.set_prepared_statement_cache_capacity(32);
        Writer { connection, last, options, counts }
    }

    /// Stores groups until every sender is gone, then moves the log into the database.
    pub fn run(mut self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut group = vec![first];
            while group.len() < self.options.group
                && let Ok(job) = queue.try_recv()
            {
                group.push(job);
            }
            self.counts.queued.fetch_sub(group.len() as u64, Relaxed);
            self.store(group);
        }
        if let Err(e) = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!("store: the log stays beside the database until the next start: {e}");
        }
    }

    fn store(&mut self, group: Vec<Job>) {
        let (window, last) = (self.options.join_window, &mut self.last);
        let mut told = Vec::new();
        let mut decisions = 0;
        let written = in_transaction(&mut self.connection, |transaction| {
            for job in group {
                match job {
                    Job::Changes { changes, at, done } => {
                        let result = alone(transaction, |t| Changing { connection: t, last, window, at }.all(changes));
                        told.push(Told::Changes(done, result));
                    }
                    Job::Decision(shown) => match alone(transaction, |t| insert_decision(t, &shown)) {
                        Ok(()) => decisions += 1,
                        Err(e) => tracing::error!(decision = shown.id, "a decision was not stored: {e}"),
                    },
                    Job::Goods { goods, at, done } => {
                        told.push(Told::Goods(done, alone(transaction, |t| stock(t, &goods, at))));
                    }
                }
            }
        });
        match &written {
            Ok(()) => self.count(&told, decisions),
            Err(e) => tracing::error!("a group of {} batches was not stored: {e}", told.len()),
        }
        // In the order of the queue: what is taken back later must not come first.
        for told in told {
            match told {
                Told::Changes(done, result) => done(written.clone().and(result)),
                Told::Goods(done, result) => done(written.clone().and(result)),
            }
        }
    }

    fn count(&self, told: &[Told], decisions: u64) {
        let stored = || told.iter().filter_map(Told::stored);
        self.counts.commits.fetch_add(1, Relaxed);
        self.counts.decisions.fetch_add(decisions, Relaxed);
        self.counts.events.fetch_add(stored().map(|s| s.events.len() as u64).sum(), Relaxed);
        self.counts.joined.fetch_add(stored().map(|s| s.joined as u64).sum(), Relaxed);
        let erasing = stored().filter(|s| !s.erased.is_empty() || !s.hidden.is_empty());
        self.counts.erasures.fetch_add(erasing.count() as u64, Relaxed);
    }
}

/// Who waits to hear what became of a job.
enum Told {
    Changes(Done, Result<Stored>),
    Goods(Box<dyn FnOnce(Result<()>) + Send>, Result<()>),
}

impl Told {
    fn stored(&self) -> Option<&Stored> {
        match self {
            Told::Changes(_, result) => result.as_ref().ok(),
            Told::Goods(..) => None,
        }
    }
}

/// Runs `work` and commits, which syncs the disk.
fn in_transaction(connection: &mut Connection, work: impl FnOnce(&mut Transaction<'_>)) -> Result<()> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(write_error)?;
    work(&mut transaction);
    transaction.commit().map_err(write_error)
}

/// Runs one job inside the group's transaction so that its failure undoes it alone.
fn alone<T>(transaction: &mut Transaction<'_>, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
    let point = transaction.savepoint().map_err(write_error)?;
    let value = work(&point).map_err(write_error)?;
    point.commit().map_err(write_error)?;
    Ok(value)
}

/// Keeps what became of goods; a description stays until there is a new one.
fn stock(connection: &Connection, goods: &[Good], at: i64) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO goods (item, what, body, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET what = ?2, body = coalesce(?3, body), at = ?4",
    )?;
    for good in goods {
        let body = good.body.as_ref().map(|body| json!(body).to_string());
        insert.execute(params![good.item, good.what.name(), body, at])?;
    }
    Ok(())
}

fn insert_decision(connection: &Connection, shown: &Shown) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO decisions (id, user, at, policy, snapshot, seed) VALUES (?, ?, ?, ?, ?, ?)")?
        .execute(params![shown.id as i64, shown.user, shown.at, shown.policy, shown.snapshot, shown.seed as i64])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO slots (decision, place, item, score, propensity, explored) VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    for (place, slot) in (shown.first..).zip(&shown.slots) {
        insert.execute(params![
            shown.id as i64,
            place as i64,
            slot.item,
            slot.score,
            slot.propensity,
            slot.explored
        ])?;
    }
    Ok(())
}

fn write_error(e: rusqlite::Error) -> StoreError {
    StoreError::Write(e.to_string())
}
