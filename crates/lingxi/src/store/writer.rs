//! The one thread that writes. Jobs come from a bounded queue; those that wait are stored in one transaction, synced
//! once, and only then told that they are on disk (group commit).
//!
//! Nobody who waits is kept waiting to fill a group: while one group is being synced, the next one gathers in the queue.
//! Nobody waits for a decision, so decisions alone are gathered for a moment: one sync for a hundredth of a second of them.

use super::error::{Result, StoreError};
use super::record::{Good, NewEvent, Shown, StoredEvent};
use super::{StoreCounts, StoreOptions};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// A shop's clock may run ahead of ours: an event this many seconds before the slate may still answer it.
const CLOCK_SLACK: i64 = 60;

/// Slates of one shopper that are searched, newest first, for the one an event answers.
const SLATES_SEARCHED: i64 = 50;

/// How long decisions that nobody waits for are gathered.
const GATHER: Duration = Duration::from_millis(10);

type Done = Box<dyn FnOnce(Result<Stored>) + Send>;

/// What waits in the queue.
pub enum Job {
    Events { events: Vec<NewEvent>, done: Done },
    Decision(Shown),
    Goods { goods: Vec<Good>, at: i64, done: Box<dyn FnOnce(Result<()>) + Send> },
}

/// A batch that is on disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// The events stored, in their order: all but those whose key was stored before.
    pub events: Vec<StoredEvent>,
    /// How many were left out because of their key.
    pub duplicates: usize,
    /// How many answered a decision.
    pub joined: usize,
}

pub struct Writer {
    connection: Connection,
    options: StoreOptions,
    counts: Arc<StoreCounts>,
}

impl Writer {
    pub fn new(connection: Connection, options: StoreOptions, counts: Arc<StoreCounts>) -> Writer {
        connection.set_prepared_statement_cache_capacity(32);
        Writer { connection, options, counts }
    }

    /// Stores groups until every sender is gone, then moves the log into the database.
    pub fn run(mut self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let group = gather(first, queue, self.options.group);
            self.counts.queued.fetch_sub(group.len() as u64, Relaxed);
            self.store(group);
        }
        if let Err(e) = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!("store: the log stays beside the database until the next start: {e}");
        }
    }

    fn store(&mut self, group: Vec<Job>) {
        let window = self.options.join_window;
        let (mut waiting, mut stocked) = (Vec::new(), Vec::new());
        let mut decisions = 0;
        let written = in_transaction(&mut self.connection, |transaction| {
            for job in group {
                match job {
                    Job::Events { events, done } => {
                        waiting.push((done, alone(transaction, |t| insert_events(t, events, window))));
                    }
                    Job::Decision(shown) => match alone(transaction, |t| insert_decision(t, &shown)) {
                        Ok(()) => decisions += 1,
                        Err(e) => tracing::error!(decision = shown.id, "a decision was not stored: {e}"),
                    },
                    Job::Goods { goods, at, done } => {
                        stocked.push((done, alone(transaction, |t| stock(t, &goods, at))));
                    }
                }
            }
        });
        match &written {
            Ok(()) => self.count(&waiting, decisions),
            Err(e) => tracing::error!("a group of {} batches was not stored: {e}", waiting.len()),
        }
        for (done, result) in waiting {
            done(written.clone().and(result));
        }
        for (done, result) in stocked {
            done(written.clone().and(result));
        }
    }

    fn count(&self, waiting: &[(Done, Result<Stored>)], decisions: u64) {
        let stored = || waiting.iter().filter_map(|(_, result)| result.as_ref().ok());
        self.counts.commits.fetch_add(1, Relaxed);
        self.counts.decisions.fetch_add(decisions, Relaxed);
        self.counts.events.fetch_add(stored().map(|s| s.events.len() as u64).sum(), Relaxed);
        self.counts.joined.fetch_add(stored().map(|s| s.joined as u64).sum(), Relaxed);
    }
}

/// The jobs that share a transaction with `first`: those that wait already, and if they are all decisions, those that come
/// in the next moment.
fn gather(first: Job, queue: &Receiver<Job>, most: usize) -> Vec<Job> {
    let until = Instant::now() + GATHER;
    let mut hurry = !matches!(first, Job::Decision(_));
    let mut group = vec![first];
    while group.len() < most {
        let job = queue.try_recv().ok().or_else(|| {
            let left = until.saturating_duration_since(Instant::now());
            (!hurry && !left.is_zero()).then(|| queue.recv_timeout(left).ok()).flatten()
        });
        let Some(job) = job else { break };
        hurry |= !matches!(job, Job::Decision(_));
        group.push(job);
    }
    group
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

fn insert_events(connection: &Connection, events: Vec<NewEvent>, window: i64) -> rusqlite::Result<Stored> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO events (user, item, kind, value, at, comment, key) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (key) WHERE key IS NOT NULL DO NOTHING RETURNING seq",
    )?;
    let mut stored = Stored::default();
    for event in events {
        let row = params![event.user, event.item, event.kind.name(), event.value, event.at, event.comment, event.key];
        match insert.query_row(row, |row| row.get::<_, i64>(0)).optional()? {
            Some(seq) => {
                stored.joined += usize::from(join(connection, seq, &event, window)?);
                stored.events.push(StoredEvent { seq, event });
            }
            None => stored.duplicates += 1,
        }
    }
    Ok(stored)
}

/// Joins an event with the newest slate that showed its item to its shopper, if that place was not answered so before.
fn join(connection: &Connection, seq: i64, event: &NewEvent, window: i64) -> rusqlite::Result<bool> {
    let mut find = connection.prepare_cached(
        "WITH recent AS (SELECT id FROM decisions WHERE user = ?1 AND at BETWEEN ?3 AND ?4
                         ORDER BY at DESC, id DESC LIMIT ?5)
         SELECT decision, place FROM slots WHERE decision IN recent AND item = ?2 ORDER BY decision DESC LIMIT 1",
    )?;
    let (from, to) = (event.at.saturating_sub(window), event.at.saturating_add(CLOCK_SLACK));
    let found = find
        .query_row(params![event.user, event.item, from, to, SLATES_SEARCHED], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let Some((decision, place)) = found else { return Ok(false) };
    let mut answer = connection.prepare_cached(
        "INSERT INTO feedback (event, decision, place, kind) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )?;
    Ok(answer.execute(params![seq, decision, place, event.kind.name()])? == 1)
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
    for (place, slot) in shown.slots.iter().enumerate() {
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
