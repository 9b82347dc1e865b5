//! May this request compute, or is there too much to do already?
//!
//! As many requests compute at once as there are cores, a few wait their turn behind them, first come first served, and
//! whoever comes then is refused at once, which costs little. A long queue would make everybody wait and serve nobody
//! sooner; with a short one, who is served waits for a few others at most, however many ask. Health checks and events do
//! not compute: they pass by this queue.

use super::error::{Answer, Refusal};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{Semaphore, SemaphorePermit};

/// So many may wait behind each core. At 70 % of what a core can do about one request in 300 finds more of them waiting
/// (M/D/1), and who waits behind all of them waits about as long as the unluckiest hundredth does on a calm day.
const BEHIND_EACH: usize = 16;

/// Who computes and who waits.
pub struct Admission {
    places: Semaphore,
    most: usize,
    waiting: AtomicUsize,
}

impl Admission {
    /// Lets `places` requests compute at once.
    pub fn new(places: usize) -> Admission {
        let places = places.max(1);
        Admission { places: Semaphore::new(places), most: BEHIND_EACH * places, waiting: AtomicUsize::new(0) }
    }

    /// Waits for a place, which is free again when the permit is dropped.
    ///
    /// # Errors
    /// A refusal as busy if enough wait already.
    pub async fn enter(&self) -> Answer<SemaphorePermit<'_>> {
        if let Ok(permit) = self.places.try_acquire() {
            return Ok(permit);
        }
        let waiter = Waiter::join(&self.waiting);
        if waiter.before >= self.most {
            return Err(Refusal::busy("more requests than this server can compute are waiting already"));
        }
        self.places.acquire().await.map_err(Refusal::internal)
    }
}

/// One who waits; a caller who hangs up waits no longer.
struct Waiter<'a> {
    waiting: &'a AtomicUsize,
    /// How many waited already.
    before: usize,
}

impl Waiter<'_> {
    fn join(waiting: &AtomicUsize) -> Waiter<'_> {
        Waiter { waiting, before: waiting.fetch_add(1, Relaxed) }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    type Entry<'a> = Pin<Box<dyn Future<Output = Answer<SemaphorePermit<'a>>> + 'a>>;

    fn enter(admission: &Admission) -> Entry<'_> {
        Box::pin(admission.enter())
    }

    fn look<'a>(entry: &mut Entry<'a>) -> Poll<Answer<SemaphorePermit<'a>>> {
        entry.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_few_wait_their_turn_and_one_more_is_refused_until_somebody_leaves() {
        let admission = Admission::new(1);
        let Poll::Ready(Ok(held)) = look(&mut enter(&admission)) else { panic!("the first computes at once") };
        let mut queue: Vec<Entry<'_>> = (0..BEHIND_EACH).map(|_| enter(&admission)).collect();
        assert!(queue.iter_mut().all(|entry| look(entry).is_pending()), "a few wait");
        assert!(matches!(look(&mut enter(&admission)), Poll::Ready(Err(_))), "one more is refused");
        queue.pop();
        let mut one_more = enter(&admission);
        assert!(look(&mut one_more).is_pending(), "who hung up left room");
        drop(held);
        assert!(look(&mut one_more).is_pending(), "first come, first served");
        assert!(matches!(look(&mut queue[0]), Poll::Ready(Ok(_))));
    }
}
