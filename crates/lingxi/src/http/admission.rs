//! May this request compute, or is there too much to do already?
//!
//! As many requests compute at once as there are cores; the next ones wait their turn, first come first served. A burst
//! may wait: the queue takes whatever comes as long as it was empty a moment ago. A queue that stands is another matter,
//! since it makes everybody wait and serves nobody sooner (CoDel, Nichols and Jacobson 2012): then only a few may wait
//! behind each core and the others are refused at once, which costs little. So who is served waits for a few others at
//! most, however many ask.

use super::error::{Answer, Refusal};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// So many may wait behind each core while the queue stands.
const BEHIND_EACH: usize = 8;

/// A queue that was not empty for so long stands.
const STANDS_AFTER: Duration = Duration::from_millis(10);

/// Who computes and who waits.
pub struct Admission {
    places: Semaphore,
    few: usize,
    waiting: AtomicUsize,
    started: Instant,
    /// When the queue was last seen empty, in microseconds since the start.
    empty_at: AtomicU64,
}

impl Admission {
    /// Lets `places` requests compute at once.
    pub fn new(places: usize) -> Admission {
        let places = places.max(1);
        Admission {
            places: Semaphore::new(places),
            few: BEHIND_EACH * places,
            waiting: AtomicUsize::new(0),
            started: Instant::now(),
            empty_at: AtomicU64::new(0),
        }
    }

    /// Waits for a place, which is free again when the permit is dropped.
    ///
    /// # Errors
    /// A refusal as busy if the queue stands and enough wait already.
    pub async fn enter(&self) -> Answer<SemaphorePermit<'_>> {
        if let Ok(permit) = self.places.try_acquire() {
            self.note_empty();
            return Ok(permit);
        }
        if self.waiting.load(Relaxed) >= self.few && self.stands() {
            return Err(Refusal::busy("more requests than this server can compute are waiting already"));
        }
        let waiter = Waiter::join(&self.waiting);
        let permit = self.places.acquire().await.map_err(Refusal::internal)?;
        if waiter.is_last() {
            self.note_empty();
        }
        Ok(permit)
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    fn note_empty(&self) {
        self.empty_at.store(self.now(), Relaxed);
    }

    fn stands(&self) -> bool {
        self.now().saturating_sub(self.empty_at.load(Relaxed)) > STANDS_AFTER.as_micros() as u64
    }
}

/// One who waits; a caller who hangs up waits no longer.
struct Waiter<'a>(&'a AtomicUsize);

impl Waiter<'_> {
    fn join(waiting: &AtomicUsize) -> Waiter<'_> {
        waiting.fetch_add(1, Relaxed);
        Waiter(waiting)
    }

    fn is_last(&self) -> bool {
        self.0.load(Relaxed) == 1
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    type Entry<'a> = std::pin::Pin<Box<dyn Future<Output = Answer<SemaphorePermit<'a>>> + 'a>>;

    fn enter(admission: &Admission) -> Entry<'_> {
        Box::pin(admission.enter())
    }

    fn look<'a>(entry: &mut Entry<'a>) -> Poll<Answer<SemaphorePermit<'a>>> {
        pin!(entry).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_burst_may_wait_and_behind_a_standing_queue_one_more_is_refused() {
        let admission = Admission::new(1);
        let Poll::Ready(Ok(held)) = look(&mut enter(&admission)) else { panic!("the first computes at once") };
        let mut burst: Vec<Entry<'_>> = (0..3 * BEHIND_EACH).map(|_| enter(&admission)).collect();
        assert!(burst.iter_mut().all(|entry| look(entry).is_pending()), "none of a burst is refused");
        std::thread::sleep(2 * STANDS_AFTER);
        assert!(matches!(look(&mut enter(&admission)), Poll::Ready(Err(_))), "the queue stands and is long");
        burst.truncate(BEHIND_EACH - 1);
        let mut one_more = enter(&admission);
        assert!(look(&mut one_more).is_pending(), "it stands, but those who hung up left room");
        drop(held);
        assert!(matches!(look(&mut burst[0]), Poll::Ready(Ok(_))), "first come, first served");
        assert!(look(&mut one_more).is_pending());
    }
}
