//! What every handler holds: what answers now, the store and the counters, behind one `Arc`.

use super::admission::Admission;
use super::bulk::Bulk;
use super::embed::Batches;
use super::engine::Engine;
use super::error::{Answer, Refusal};
use super::gate::Gate;
use super::serving::{Serving, stocked};
use super::telemetry::Telemetry;
use crate::crowd::Crowd;
use crate::experiments::Experiments;
use crate::kept::Opened;
use crate::learner::Learner;
use crate::store::{Change, Good, Result, ShownSlot, Store, Stored, Withdrawal};
use crate::workshop::Workshop;
use lingxi_content::BertEncoder;
use lingxi_data::{ItemId, Slot, UserId};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockResult};
use std::time::{Duration, Instant};

/// How a serving process behaves.
#[derive(Clone, Copy, Debug)]
pub struct AppOptions {
    /// Events of a shopper that the models read.
    pub history: usize,
    /// Seed of the policy's random streams; each decision has its own stream, drawn from this and its id.
    pub seed: u64,
    /// Unix seconds: the one clock of the process, an argument so that a test can hold it.
    pub clock: fn() -> i64,
    /// Requests that may compute at once; a few more wait behind each.
    pub compute: usize,
    /// Requests that may be under way; one more is refused as busy.
    pub in_flight: usize,
    /// How long the server goes on after it was asked to stop, so that load balancers notice first.
    pub farewell: Duration,
}

impl Default for AppOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let farewell = Duration::from_secs(1);
        AppOptions { history: 200, seed: 0, clock: unix_seconds, compute: cores, in_flight: 1024, farewell }
    }
}

/// Cheap to clone: one shared state.
#[derive(Clone)]
pub struct App(Arc<State>);

/// The shared state of all handlers.
pub struct State {
    serving: RwLock<Arc<Serving>>,
    store: Store,
    options: AppOptions,
    compute: Admission,
    pub(super) telemetry: Telemetry,
    pub(super) under_way: AtomicUsize,
    stopping: AtomicBool,
    restocking: Mutex<()>,
    workshop: OnceLock<Workshop>,
    gate: OnceLock<Gate>,
    published: Mutex<Instant>,
    pub(super) bulk: Bulk,
    /// Teaches the policy that answers; `None` if that does not learn. Locked before `serving` wherever both are.
    learner: Mutex<Option<Learner>>,
    pub(super) experiments: Experiments,
    pub(super) batches: Batches<BertEncoder>,
}

impl Deref for App {
    type Target = State;
    fn deref(&self) -> &State {
        &self.0
    }
}

impl App {
    /// Joins an engine with its store: events that arrived after the event `built_with` (0: all of them) are read back
    /// into the live histories.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Read`] if the store cannot be read.
    pub fn start(engine: Arc<dyn Engine>, store: Store, built_with: i64, options: AppOptions) -> Result<App> {
        let engine = stocked(engine, &store)?;
        let serving = Serving::new(engine, options.history, built_with, Arc::default());
        serving.catch_up(&store)?;
        remember(serving.engine(), &store)?;
        let learner = learner_of(serving.engine(), &store)?;
        learner.iter().for_each(|learner| serving.teach(learner.policy()));
        let experiments = Experiments::default();
        experiments.put(&store.read(|reader| reader.experiments())?);
        let app = App(Arc::new(State {
            learner: Mutex::new(learner),
            serving: RwLock::new(Arc::new(serving)),
            bulk: Bulk::open(store.path()),
            batches: Batches::default(),
            store,
            options,
            compute: Admission::new(options.compute),
            telemetry: Telemetry::new(),
            under_way: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            restocking: Mutex::new(()),
            workshop: OnceLock::new(),
            gate: OnceLock::new(),
            published: Mutex::new(Instant::now()),
            experiments,
        }));
        Bulk::resume(&app);
        Ok(app)
    }

    /// Gives it a workshop: the shop can learn while it serves.
    pub fn attend(&self, workshop: Workshop) {
        assert!(self.workshop.set(workshop).is_ok(), "one workshop a shop");
    }

    /// Asks for keys from now on.
    pub fn guard(&self, gate: Gate) {
        assert!(self.gate.set(gate).is_ok(), "one gate a server");
    }

    /// Starts a build beside the snapshot that answers; `false` if one is running.
    pub(super) fn build(&self, workshop: &Workshop) -> bool {
        let begun = workshop.begin();
        if begun {
            let app = self.clone();
            std::thread::spawn(move || {
                let workshop = app.workshop().expect("it began in one");
                workshop.build(|| app.now(), |opened| app.put_in_place(opened));
            });
        }
        begun
    }

    /// Starts a build if the recipe wants one now and something arrived.
    pub(super) fn build_if_due(&self) {
        let Some(workshop) = self.workshop() else { return };
        let since = *self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if workshop.is_due(since) && self.serving().has_news() {
            self.build(workshop);
        }
    }

    /// Stores changes, lets them hold in the live histories, and calls `done`, in this order and from the store's writer:
    /// a caller who hangs up must not keep what is stored from holding.
    ///
    /// # Errors
    /// As [`Store::change_then`].
    pub(super) fn change_then(
        &self,
        changes: Vec<Change>,
        done: impl FnOnce(Result<Stored>) + Send + 'static,
    ) -> Result<()> {
        let live = self.clone();
        self.store.change_then(changes, self.now(), move |result| {
            if let Ok(stored) = &result {
                live.absorb(stored);
            }
            done(result);
        })
    }

    /// Stores what became of goods, hides or shows those that are known, and calls `done`, as [`App::change_then`].
    ///
    /// # Errors
    /// As [`Store::stock_then`].
    pub(super) fn stock_then(&self, goods: Vec<Good>, done: impl FnOnce(Result<()>) + Send + 'static) -> Result<()> {
        let live = self.clone();
        let states: Vec<(String, Withdrawal)> = goods.iter().map(|good| (good.item.clone(), good.what)).collect();
        self.store.stock_then(goods, self.now(), move |result| {
            if result.is_ok() {
                live.serving().withdraw(states.iter().map(|(item, what)| (item.as_str(), *what)));
            }
            done(result);
        })
    }

    /// Runs `work` on a thread that may compute, once it has its turn among [`AppOptions::compute`] others, or refuses it as
    /// busy. It keeps the snapshot that it starts with.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&App, &Serving) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let _place = self.compute.enter().await?;
        self.conclude(work).await
    }

    /// As [`App::compute`], beside the others and never refused: for what must follow on something that is stored.
    pub(super) async fn conclude<T: Send + 'static>(
        &self,
        work: impl FnOnce(&App, &Serving) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let app = self.clone();
        let work = move || work(&app, &app.serving());
        tokio::task::spawn_blocking(work).await.map_err(Refusal::internal)?
    }
}

impl State {
    /// The snapshot that answers now, with its histories.
    pub fn serving(&self) -> Arc<Serving> {
        self.serving.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a new snapshot in place of the old one, whole: with all events that arrived after the event `built_with`.
    /// Requests under way end with the snapshot that they started with.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Read`] if the store cannot be read; the old snapshot stays.
    pub fn publish(&self, engine: Arc<dyn Engine>, built_with: i64) -> Result<()> {
        self.swap(engine, built_with, Arc::default())
    }

    fn swap(&self, engine: Arc<dyn Engine>, built_with: i64, crowd: Arc<Crowd>) -> Result<()> {
        let engine = stocked(engine, &self.store)?;
        let start = || Serving::new(engine.clone(), self.options.history, built_with, crowd.clone());
        let erasures = || self.store.counts().erasures.load(Ordering::Acquire);
        let (mut next, before) = (start(), erasures());
        next.catch_up(&self.store)?;
        let mut learner = self.learner();
        self.hand_over(&mut learner, &next)?;
        let mut current = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        if erasures() != before {
            // Seldom: something that was just read back is gone again.
            next = start();
            learner.iter().for_each(|learner| next.teach(learner.policy()));
        }
        // What was stored since the lines before; whatever comes now waits in `absorb` for this lock.
        next.catch_up(&self.store)?;
        *current = Arc::new(next);
        Ok(())
    }

    /// Lets the next snapshot go on with what was learnt, if it learns with the same policy.
    fn hand_over(&self, learner: &mut Option<Learner>, next: &Serving) -> Result<()> {
        let (old, new) = (self.serving(), next.engine());
        match learner {
            Some(learner) if new.learning().as_ref() == Some(learner.learning()) => {
                let name = |item: ItemId| old.engine().known().items.name(item.0);
                learner.rename(|item| name(item).and_then(|name| new.known().items.get(name)).map(ItemId));
            }
            _ => *learner = learner_of(new, &self.store)?,
        }
        if !Arc::ptr_eq(&old.parts().1, &next.parts().1) {
            remember(new, &self.store)?;
        }
        learner.iter().for_each(|learner| next.teach(learner.policy()));
        Ok(())
    }

    /// The learner, for as long as nobody else teaches.
    pub(super) fn learner(&self) -> MutexGuard<'_, Option<Learner>> {
        self.learner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, if nobody teaches just now.
    pub(super) fn try_learner(&self) -> TryLockResult<MutexGuard<'_, Option<Learner>>> {
        self.learner.try_lock()
    }

    /// Learns a part of what came since the last time, and lets the policy answer; true if there is more.
    pub(super) fn learn(&self) -> Result<bool> {
        let mut learner = self.learner();
        let Some(learner) = learner.as_mut() else { return Ok(false) };
        let (serving, before) = (self.serving(), learner.lessons());
        let more = learner.step(&self.store, serving.engine().known().items, self.now());
        if learner.lessons() != before {
            serving.teach(learner.policy());
        }
        more
    }

    /// Puts a snapshot that was read back in place.
    ///
    /// # Errors
    /// As [`State::publish`].
    pub fn put_in_place(&self, opened: Opened) -> anyhow::Result<()> {
        let _alone = self.restocking.lock().unwrap_or_else(PoisonError::into_inner);
        self.publish(Arc::new(opened.snapshot), opened.card.built_with)?;
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(())
    }

    /// Who comes in; `None` if no key is asked for.
    pub(super) fn gate(&self) -> Option<&Gate> {
        self.gate.get()
    }

    /// Where snapshots are built; `None` for a shop that is only served.
    pub fn workshop(&self) -> Option<&Workshop> {
        self.workshop.get()
    }

    /// Takes goods that were stored since the build into what is served, and publishes that. Called on a thread that may
    /// compute; one at a time.
    ///
    /// # Errors
    /// As [`State::publish`].
    pub fn restock(&self) -> Result<()> {
        let _alone = self.restocking.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.serving();
        let (engine, crowd) = now.parts();
        self.swap(engine, now.built_with(), crowd)
    }

    /// Takes what was stored into the live histories, and what was erased out of them.
    pub fn absorb(&self, stored: &Stored) {
        // The lock is held while it is taken in, so that nothing goes into a snapshot that was just replaced.
        self.serving.read().unwrap_or_else(PoisonError::into_inner).absorb(stored);
    }

    /// Where events and decisions go.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Unix seconds.
    pub fn now(&self) -> i64 {
        (self.options.clock)()
    }

    /// The seed of one decision's random stream.
    pub fn seed_of(&self, decision: u64) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.options.seed.to_le_bytes()).update(&decision.to_le_bytes());
        u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("eight bytes of thirty-two"))
    }

    /// Whether new work should go elsewhere.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Tells load balancers through `/health/ready` to send new work elsewhere.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(workshop) = self.workshop() {
            workshop.stop();
        }
    }

    /// How long to go on after [`State::stop`].
    pub(super) fn farewell(&self) -> Duration {
        self.options.farewell
    }

    /// Counts a request in; `None` if too many are under way. It is counted out when the guard is dropped.
    pub(super) fn enter(&self) -> Option<UnderWay<'_>> {
        let guard = UnderWay(&self.under_way);
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        (before < self.options.in_flight).then_some(guard)
    }
}

/// A request under way.
pub(super) struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What teaches an engine's policy; `None` if that does not learn.
fn learner_of(engine: &dyn Engine, store: &Store) -> Result<Option<Learner>> {
    engine.learning().map(|learning| Learner::open(learning, store, engine.known().items)).transpose()
}

/// Tells an engine what shoppers were shown lately.
fn remember(engine: &dyn Engine, store: &Store) -> Result<()> {
    if !engine.remembers() {
        return Ok(());
    }
    let known = engine.known();
    store.read(|reader| {
        reader.last_slates(REMEMBERED, |user, slots| {
            let slot = |slot: &ShownSlot| {
                let item = known.items.get(&slot.item).map(ItemId)?;
                Some(Slot { item, score: slot.score, propensity: slot.propensity, explored: slot.explored })
            };
            let slots: Vec<Slot> = slots.iter().filter_map(slot).collect();
            engine.shown(known.users.get(user).map(UserId), &slots);
        })
    })
}

/// Slates that are told to an engine that remembers: what was shown before counts little.
const REMEMBERED: usize = 20_000;

/// The system's clock.
fn unix_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| d.as_secs() as i64)
}
