//! What waits to be written: a bounded queue that the writer empties a group at a time.
//!
//! Somebody waits for an event, so the writer is woken for it. Nobody waits for a decision: the first one wakes the writer,
//! and those that come in the next moment find it asleep, so that each costs a push and no switch between threads.

use super::error::{Result, StoreError};
use super::lock;
use super::writer::Job;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long decisions that nobody waits for are gathered.
const GATHER: Duration = Duration::from_millis(10);

/// The jobs that wait, in the order in which they came.
pub struct Queue {
    state: Mutex<State>,
    /// There is something for the writer to do.
    work: Condvar,
    /// There is room for one more job.
    room: Condvar,
    /// Jobs that may wait.
    most: usize,
    /// Jobs in a group at most.
    group: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// How many of them somebody waits for.
    urgent: usize,
    closed: bool,
    /// Whether the writer sleeps.
    idle: bool,
}

impl State {
    /// Whether there is no reason to gather longer.
    fn is_due(&self, group: usize) -> bool {
        self.urgent > 0 || self.jobs.len() >= group || self.closed
    }
}

impl Queue {
    pub fn new(most: usize, group: usize) -> Queue {
        let (most, group) = (most.max(1), group.max(1));
        Queue { state: Mutex::default(), work: Condvar::new(), room: Condvar::new(), most, group: group.min(most) }
    }

    /// Adds a job.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if the queue is full, [`StoreError::Closed`] if it is closed; the job is dropped.
    pub fn push(&self, job: Job) -> Result<()> {
        let state = lock(&self.state);
        if state.jobs.len() >= self.most && !state.closed {
            return Err(StoreError::Busy);
        }
        self.add(state, job)
    }

    /// Adds a job as soon as there is room for it.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub fn push_patiently(&self, job: Job) -> Result<()> {
        let full = |state: &mut State| state.jobs.len() >= self.most && !state.closed;
        let state = self.room.wait_while(lock(&self.state), full).unwrap_or_else(PoisonError::into_inner);
        self.add(state, job)
    }

    fn add(&self, mut state: MutexGuard<'_, State>, job: Job) -> Result<()> {
        if state.closed {
            return Err(StoreError::Closed);
        }
        state.urgent += usize::from(job.is_urgent());
        state.jobs.push_back(job);
        // The first of all wakes the writer too: from then on it gathers.
        let wake = state.idle && (state.jobs.len() == 1 || state.is_due(self.group));
        drop(state);
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    /// The jobs that are to be stored together: those that wait, and if nobody waits for any of them, those that come in the
    /// next moment. `None` once the queue is closed and empty.
    pub fn take(&self) -> Option<Vec<Job>> {
        let mut state = lock(&self.state);
        state.idle = true;
        let empty = |state: &mut State| state.jobs.is_empty() && !state.closed;
        let state = self.work.wait_while(state, empty).unwrap_or_else(PoisonError::into_inner);
        let gathering = |state: &mut State| !state.is_due(self.group);
        let waited = self.work.wait_timeout_while(state, GATHER, gathering);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.idle = false;
        let size = state.jobs.len().min(self.group);
        let group: Vec<Job> = state.jobs.drain(..size).collect();
        state.urgent -= group.iter().filter(|job| job.is_urgent()).count();
        drop(state);
        self.room.notify_all();
        (!group.is_empty()).then_some(group)
    }

    /// Takes no more jobs; those that wait can still be taken.
    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Drops what waits, so that whoever waits for it hears of it.
    pub fn abandon(&self) {
        self.close();
        let left = std::mem::take(&mut lock(&self.state).jobs);
        drop(left);
    }

    pub fn is_open(&self) -> bool {
        !lock(&self.state).closed
    }

    /// How many jobs wait.
    pub fn len(&self) -> usize {
        lock(&self.state).jobs.len()
    }
}
