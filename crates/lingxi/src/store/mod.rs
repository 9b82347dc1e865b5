//! What happened since the last build, and what did we show?
//!
//! Events and decisions come in from HTTP under external ids (dense ids change with every build); a job is
//! acknowledged once it is on disk, and the next build, the learner and the live histories read it back. SQLite in WAL
//! mode with full sync; one thread writes ([`writer`]), any number read.
//!
//! In reading order: [`record`] is what is stored, [`schema`], [`slate`] and [`place`] where, [`queue`],
//! [`writer`] and [`changing`] how it gets there, [`reader`] how it comes back, [`learnt`] what a learner needs of it, [`pages`] how
//! all of it does, [`experiments`] what is counted on the way and [`trials`] how that comes back, [`seal`] whether it is still what
//! was closed.

mod changing;
mod error;
mod experiments;
mod learnt;
mod pages;
mod place;
mod queue;
mod reader;
mod record;
mod schema;
mod seal;
mod slate;
mod trials;
mod writer;

pub use changing::Stored;
pub use error::{Result, StoreError};
pub use experiments::{Met, Trial};
pub use learnt::{ActedOn, Closed, Closing, KeptPolicy, Learnt};
pub use pages::Answered;
pub use reader::{Joined, Reader, Which};
pub use record::{
    Change, Erased, Erasure, Good, NewEvent, NewItem, Profile, Shown, ShownSlot, StoredEvent, Withdrawal,
};

use place::Place;
use queue::Queue;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use writer::{Job, Writer};

/// How the store trades memory and patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Jobs that may wait; one more is refused with [`StoreError::Busy`].
    pub queue: usize,
    /// Jobs that share one transaction at most, and so one sync of the disk.
    pub group: usize,
    /// An event on an item answers a slate shown to that shopper at most this long before, in seconds.
    pub join_window: i64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { queue: 4096, group: 1024, join_window: 7 * 24 * 3600 }
    }
}

/// What the store has done since it was opened.
#[derive(Debug, Default)]
pub struct StoreCounts {
    /// Events stored.
    pub events: AtomicU64,
    /// Decisions stored.
    pub decisions: AtomicU64,
    /// Events that answered a decision.
    pub joined: AtomicU64,
    /// Decisions that could not be stored.
    pub decisions_lost: AtomicU64,
    /// Whether the last write failed. Nothing is promised of a decision then.
    pub failing: AtomicBool,
    /// Batches that took events away.
    pub erasures: AtomicU64,
    /// Transactions committed: events and decisions per transaction say what group commit gains.
    pub commits: AtomicU64,
}

/// The one store of a serving process: a queue, the thread that empties it, and connections that read.
pub struct Store {
    path: PathBuf,
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
    readers: Mutex<Vec<Reader>>,
    next_decision: AtomicU64,
    counts: Arc<StoreCounts>,
}

impl Store {
    /// Opens `path`, making the file and its tables if they are missing, and starts the writer.
    ///
    /// # Errors
    /// [`StoreError::Open`] if the file cannot be opened, is not a store, is of a newer version, or another process has it.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Store> {
        let mut place = Place::claim(path)?;
        let sealed = seal::open(path)?;
        let (connection, first_decision, last_event) = schema::open_to_write(path)?;
        if !sealed {
            seal::quick_check(&connection, path)?;
        }
        place.remember();
        let counts = Arc::new(StoreCounts::default());
        let queue = Arc::new(Queue::new(options.queue, options.group));
        let writer = Writer::new(connection, place, last_event, options, counts.clone());
        let (closed, jobs) = (path.to_path_buf(), Abandoned(queue.clone()));
        let thread = std::thread::Builder::new()
            .name("lingxi-store".into())
            .spawn(move || {
                let place = writer.run(&jobs.0);
                // Before the place is free: a seal must not come after the first write of the next process.
                seal::close(&closed);
                drop(place);
            })
            .map_err(|e| StoreError::Open { path: path.to_path_buf(), why: format!("writer thread: {e}") })?;
        Ok(Store {
            path: path.to_path_buf(),
            queue,
            thread: Mutex::new(Some(thread)),
            readers: Mutex::new(Vec::new()),
            next_decision: AtomicU64::new(first_decision),
            counts,
        })
    }

    /// Queues a batch of events, stored whole or not at all. `done` is called from the writer's thread once the batch is
    /// on disk (or has failed), before any later job is: what it does is seen by whoever is told afterwards.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if the queue is full and [`StoreError::Closed`] after [`Store::close`]; `done` is dropped.
    pub fn append_then(&self, events: Vec<NewEvent>, done: impl FnOnce(Result<Stored>) + Send + 'static) -> Result<()> {
        self.change_then(events.into_iter().map(Change::Insert).collect(), 0, done)
    }

    /// Queues changes to what is known of shoppers, made in their order, whole or not at all; `at` is the time, and `done`
    /// is called as by [`Store::append_then`].
    ///
    /// # Errors
    /// As [`Store::append_then`].
    pub fn change_then(
        &self,
        changes: Vec<Change>,
        at: i64,
        done: impl FnOnce(Result<Stored>) + Send + 'static,
    ) -> Result<()> {
        self.queue.push(Job::Changes { changes, at, done: Box::new(done) })
    }

    /// Stores a batch of events and waits until it is on disk.
    ///
    /// # Errors
    /// As [`Store::append_then`], and [`StoreError::Write`] if the disk refused.
    pub fn append(&self, events: Vec<NewEvent>) -> Result<Stored> {
        let (tell, told) = sync_channel(1);
        self.append_then(events, move |result| {
            let _ = tell.send(result);
        })?;
        told.recv().map_err(|_| StoreError::Closed)?
    }

    /// Queues what became of goods since the build, each with its description if the shop gave one; the batch is stored
    /// whole or not at all, and `done` is called as by [`Store::append_then`].
    ///
    /// # Errors
    /// As [`Store::append_then`].
    pub fn stock_then(&self, goods: Vec<Good>, at: i64, done: impl FnOnce(Result<()>) + Send + 'static) -> Result<()> {
        self.queue.push(Job::Goods { goods, at, done: Box::new(done) })
    }

    /// Stores what a learner wants kept and waits until it is on disk: it may not go on before.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn keep(&self, learnt: Learnt) -> Result<()> {
        let (tell, told) = sync_channel(1);
        let done = Box::new(move |result| {
            let _ = tell.send(result);
        });
        self.queue.push_patiently(Job::Learnt { learnt, done })?;
        told.recv().map_err(|_| StoreError::Closed)?
    }

    /// A number for the next decision: unique in this store for ever, also after a crash.
    pub fn next_decision_id(&self) -> u64 {
        self.next_decision.fetch_add(1, Ordering::Relaxed)
    }

    /// Queues a decision, waiting for a place in the queue: slates are made no faster than they can be logged. It is on
    /// disk a few milliseconds later, and always before events queued after it, so feedback finds it; a crash within those
    /// milliseconds may lose it, which is why nothing is acknowledged by it.
    ///
    /// While writes fail, shoppers are still shown slates: then it does not wait, is tried all the same (so that it is seen
    /// when the disk takes writes again), and false says that it may not be stored.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`Store::close`].
    pub fn record(&self, shown: Shown) -> Result<bool> {
        self.record_in(shown, Vec::new())
    }

    /// As [`Store::record`], counted in the arms in which the shopper was met.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub fn record_in(&self, shown: Shown, met: Vec<Met>) -> Result<bool> {
        if self.counts.failing.load(Ordering::Relaxed) {
            return match self.queue.push(Job::Decision(shown, met)) {
                Err(StoreError::Busy) => {
                    self.counts.decisions_lost.fetch_add(1, Ordering::Relaxed);
                    Ok(false)
                }
                tried => tried.map(|()| false),
            };
        }
        self.queue.push_patiently(Job::Decision(shown, met)).map(|()| true)
    }

    /// Changes what is tried and waits until that is on disk.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn experiment(&self, trial: &Trial) -> Result<()> {
        loop {
            let (tell, told) = sync_channel(1);
            let done = Box::new(move |result| drop(tell.send(result)));
            self.queue.push(Job::Experiment { trial: trial.clone(), done })?;
            if told.recv().map_err(|_| StoreError::Closed)?? {
                return Ok(());
            }
        }
    }

    /// Waits until everything queued before is on disk.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn flush(&self) -> Result<()> {
        self.append(Vec::new()).map(drop)
    }

    /// Reads with a connection of its own, kept for the next reader.
    ///
    /// # Errors
    /// [`StoreError::Read`] if the file cannot be read, and whatever `read` returns.
    pub fn read<T>(&self, read: impl FnOnce(&Reader) -> Result<T>) -> Result<T> {
        let idle = lock(&self.readers).pop();
        let reader = idle.map_or_else(|| Reader::open(&self.path), Ok)?;
        let result = read(&reader);
        // One that failed may hold a file that is broken or gone: the next reader opens it anew.
        if result.is_ok() {
            lock(&self.readers).push(reader);
        }
        result
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Jobs that wait now.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// What the store has done since it was opened.
    pub fn counts(&self) -> &StoreCounts {
        &self.counts
    }

    /// Refuses new jobs, stores those that wait, moves the log into the database and stops the writer. Twice is once.
    pub fn close(&self) {
        lock(&self.readers).clear();
        self.queue.close();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked; acknowledged events are on disk");
        }
    }

    /// Whether jobs are taken: not closed, and the writer runs.
    pub fn is_open(&self) -> bool {
        lock(&self.thread).as_ref().is_some_and(|thread| !thread.is_finished()) && self.queue.is_open()
    }
}

/// A queue whose writer is gone, however it ended: nobody may wait for it for ever.
struct Abandoned(Arc<Queue>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// A lock whose holder panicked still guards whole data here: each change under it is a single push, pop or take.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
