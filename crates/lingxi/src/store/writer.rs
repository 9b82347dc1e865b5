//! The one thread that writes. Jobs come from a bounded queue; those that wait are stored in one transaction, synced
//! once, and only then told that they are on disk (group commit).
//!
//! Nobody who waits is kept waiting to fill a group: while one group is being synced, the next one gathers in the queue.

use super::changing::{Changing, Stored};
use super::error::{Result, StoreError};
use super::experiments::{self, Met, Trial};
use super::learnt::{self, Learnt};
use super::place::Place;
use super::queue::Queue;
use super::record::{Change, Good, Shown};
use super::{StoreCounts, StoreOptions, schema, slate};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// SQLite moves the log into the database every four megabytes, but never waits for a reader. From this length on the writer
/// does, so that readers who follow each other without a gap cannot make the log grow for ever.
const LOG_LIMIT: u64 = 64 << 20;
const PATIENCE_WITH_READERS: Duration = Duration::from_millis(250);

type Done = Box<dyn FnOnce(Result<Stored>) + Send>;
type DoneKept = Box<dyn FnOnce(Result<()>) + Send>;
type DoneTrial = Box<dyn FnOnce(Result<bool>) + Send>;

/// What waits in the queue.
pub enum Job {
    Changes { changes: Vec<Change>, at: i64, done: Done },
    Decision(Shown, Vec<Met>),
    Goods { goods: Vec<Good>, at: i64, done: DoneKept },
    Learnt { learnt: Learnt, done: DoneKept },
    Experiment { trial: Trial, done: DoneTrial },
}

impl Job {
    /// Whether somebody waits to hear what became of it.
    pub fn is_urgent(&self) -> bool {
        !matches!(self, Job::Decision(..))
    }
}

/// What the writer knows of the file without looking.
struct Known {
    /// The number of the last event: never given again, also if that event is deleted.
    last: i64,
    /// As [`StoreOptions::join_window`].
    window: i64,
    /// Whether experiments run that count what shoppers do; true as soon as one was started.
    counts: bool,
}

pub struct Writer {
    connection: Connection,
    place: Place,
    known: Known,
    /// Length of the log at which it is next moved into the database, waiting for readers.
    log_limit: u64,
    counts: Arc<StoreCounts>,
}

impl Writer {
    pub fn new(
        connection: Connection,
        place: Place,
        last: i64,
        options: StoreOptions,
        counts: Arc<StoreCounts>,
    ) -> Writer {
        connection.set_prepared_statement_cache_capacity(64);
        // A file that cannot say so will refuse the first write as well, and say why.
        let known = Known { last, window: options.join_window, counts: experiments::any(&connection).unwrap_or(true) };
        Writer { connection, place, known, log_limit: LOG_LIMIT, counts }
    }

    /// Stores groups until the queue is closed and empty, then moves the log into the database and closes it. Gives its place back.
    pub fn run(mut self, queue: &Queue) -> Place {
        while let Some(group) = queue.take() {
            self.store(group);
            self.bound_log();
        }
        if let Err(e) = self.empty_log() {
            tracing::warn!("store: the log stays beside the database until the next start: {e}");
        }
        self.place
    }

    /// Moves a log that grew long into the database. If that fails it is tried again when it has grown by as much.
    fn bound_log(&mut self) {
        let length = std::fs::metadata(self.place.log()).map_or(0, |log| log.len());
        if length < self.log_limit {
            return;
        }
        match self.empty_log() {
            Ok(()) => self.log_limit = LOG_LIMIT,
            Err(e) => {
                tracing::warn!("store: the log has grown to {} MB: {e}", length >> 20);
                self.log_limit = length + LOG_LIMIT;
            }
        }
    }

    fn empty_log(&self) -> Result<()> {
        // No reader may hold up the writer for long, nor the end of the process.
        let truncate = || {
            self.connection.busy_timeout(PATIENCE_WITH_READERS)?;
            let busy = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
            self.connection.busy_timeout(schema::PATIENCE)?;
            busy
        };
        match truncate().map_err(StoreError::of_write)? {
            false => Ok(()),
            true => Err(StoreError::Write("somebody still reads from the log".into())),
        }
    }

    fn store(&mut self, mut group: Vec<Job>) {
        let (known, mut tried) = (&mut self.known, Tried::default());
        let written = in_transaction(&mut self.connection, &self.place, |transaction| {
            group.drain(..).for_each(|job| tried.run(transaction, job, known));
            tried.failure.clone()
        });
        if let Err(e) = &written {
            group.into_iter().for_each(|job| tried.refuse(job, e));
        }
        self.count(&tried, &written);
        tried.tell(&written);
    }

    fn count(&self, tried: &Tried, written: &Result<()>) {
        let failure = written.as_ref().err().or(tried.failure.as_ref());
        let was_failing = self.counts.failing.swap(failure.is_some(), Relaxed);
        match failure {
            // Once, and not for every batch: a full disk may be where the log goes, too.
            Some(e) if !was_failing => tracing::error!("{e}; slates are still answered, decisions are not logged"),
            None if was_failing => tracing::warn!("the store takes writes again"),
            _ => {}
        }
        if written.is_err() {
            self.counts.decisions_lost.fetch_add(tried.decisions + tried.lost, Relaxed);
            return;
        }
        let stored = || tried.told.iter().filter_map(Told::stored);
        self.counts.commits.fetch_add(1, Relaxed);
        self.counts.decisions.fetch_add(tried.decisions, Relaxed);
        self.counts.decisions_lost.fetch_add(tried.lost, Relaxed);
        self.counts.events.fetch_add(stored().map(|s| s.events.len() as u64).sum(), Relaxed);
        self.counts.joined.fetch_add(stored().map(|s| s.joined as u64).sum(), Relaxed);
        let erasing = stored().filter(|s| !s.erased.is_empty() || !s.hidden.is_empty());
        self.counts.erasures.fetch_add(erasing.count() as u64, Relaxed);
    }
}

/// Who waits to hear what became of a job, and what did.
enum Told {
    Changes(Done, Result<Stored>),
    Kept(DoneKept, Result<()>),
    Experiment(DoneTrial, Result<bool>),
}

impl Told {
    fn stored(&self) -> Option<&Stored> {
        match self {
            Told::Changes(_, result) => result.as_ref().ok(),
            Told::Kept(..) | Told::Experiment(..) => None,
        }
    }
}

/// The jobs of a group, in the order of the queue, each with what came of it.
#[derive(Default)]
struct Tried {
    told: Vec<Told>,
    decisions: u64,
    lost: u64,
    /// Of the first job that failed.
    failure: Option<StoreError>,
}

impl Tried {
    fn run(&mut self, transaction: &mut Transaction<'_>, job: Job, known: &mut Known) {
        let failure = match job {
            Job::Changes { changes, at, done } => {
                let Known { last, window, counts } = known;
                let (window, counts) = (*window, *counts);
                let stored =
                    alone(transaction, |connection| Changing { connection, last, window, at, counts }.all(changes));
                let failure = stored.as_ref().err().cloned();
                self.told.push(Told::Changes(done, stored));
                failure
            }
            Job::Decision(shown, met) => {
                let stored = alone(transaction, |t| {
                    insert_decision(t, &shown)?;
                    met.iter().try_for_each(|met| experiments::meet(t, &shown, met, known.last))
                });
                *if stored.is_ok() { &mut self.decisions } else { &mut self.lost } += 1;
                stored.err()
            }
            Job::Goods { goods, at, done } => {
                let stored = alone(transaction, |t| stock(t, &goods, at));
                let failure = stored.as_ref().err().cloned();
                self.told.push(Told::Kept(done, stored));
                failure
            }
            Job::Learnt { learnt, done } => {
                let kept = alone(transaction, |t| learnt::keep(t, &learnt));
                let failure = kept.as_ref().err().cloned();
                self.told.push(Told::Kept(done, kept));
                failure
            }
            Job::Experiment { trial, done } => {
                known.counts = true;
                let changed = alone(transaction, |t| experiments::change(t, &trial));
                let failure = changed.as_ref().err().cloned();
                self.told.push(Told::Experiment(done, changed));
                failure
            }
        };
        self.failure = self.failure.take().or(failure);
    }

    /// A job that was not even tried.
    fn refuse(&mut self, job: Job, why: &StoreError) {
        match job {
            Job::Changes { done, .. } => self.told.push(Told::Changes(done, Err(why.clone()))),
            Job::Decision(..) => self.lost += 1,
            Job::Goods { done, .. } | Job::Learnt { done, .. } => self.told.push(Told::Kept(done, Err(why.clone()))),
            Job::Experiment { done, .. } => self.told.push(Told::Experiment(done, Err(why.clone()))),
        }
    }

    /// Tells each what came of its job, now that the fate of the group is known: in the order of the queue, for what is
    /// taken back later must not come first.
    fn tell(self, written: &Result<()>) {
        for told in self.told {
            match told {
                Told::Changes(done, result) => done(written.clone().and(result)),
                Told::Kept(done, result) => done(written.clone().and(result)),
                Told::Experiment(done, result) => done(written.clone().and(result)),
            }
        }
    }
}

/// Runs `work` and commits, which syncs the disk. `work` says what failed in it, if anything; it is not called if there is
/// no beginning a transaction.
fn in_transaction(
    connection: &mut Connection,
    place: &Place,
    work: impl FnOnce(&mut Transaction<'_>) -> Option<StoreError>,
) -> Result<()> {
    place.check()?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let mut transaction = transaction.map_err(StoreError::of_write)?;
    let failure = work(&mut transaction);
    if transaction.is_autocommit() {
        return Err(failure.unwrap_or_else(undone));
    }
    transaction.commit().map_err(StoreError::of_write)?;
    // What went into a file that was moved away meanwhile is not stored.
    place.check()
}

/// Runs one job inside the group's transaction so that its failure undoes it alone.
fn alone<T>(transaction: &mut Transaction<'_>, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
    // A full or failing disk makes SQLite undo the whole transaction; a savepoint after that would commit by itself.
    if transaction.is_autocommit() {
        return Err(undone());
    }
    let point = transaction.savepoint().map_err(StoreError::of_write)?;
    let value = work(&point).map_err(StoreError::of_write)?;
    point.commit().map_err(StoreError::of_write)?;
    Ok(value)
}

fn undone() -> StoreError {
    StoreError::Write("the group that it was in was undone".into())
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
    let Shown { id, user, at, policy, snapshot, seed, first, slots, seen } = shown;
    let mut insert = connection.prepare_cached(
        "INSERT INTO decisions (id, user, at, policy, snapshot, seed, first, slots, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let slots = slate::written(slots);
    let seen = learnt::written(seen);
    insert.execute(params![*id as i64, user, at, policy, snapshot, *seed as i64, *first as i64, slots, seen])?;
    Ok(())
}
