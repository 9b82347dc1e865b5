//! How does a policy learn while it serves?
//!
//! What shoppers did on the places of slates comes back from the store, joined with what the policy saw when it chose; lessons go
//! to a copy of the policy, which then takes the place of the one that answers. An act is a lesson as soon as it is stored. A
//! place that nobody acted on is one, of reward 0, when its slate is closed: `wait_minutes` after it was shown. Such a lesson
//! weighs 1 / sqrt(1 + place), since later places are looked at less.
//!
//! The order of all lessons is in the store before any is learnt ([`crate::store::Closing`]): after a crash the last kept policy
//! and the lessons since give the same one, to the last bit.

use crate::recipe::Serve;
use crate::store::{ActedOn, Closed, Closing, KeptPolicy, Learnt, Reader, Result, Store, StoreError};
use lingxi_data::{EventKind, Interner, ItemId, Lesson, Policy};
use lingxi_decide::explore::{BudgetConfig, Drift};
use lingxi_decide::{DecideError, Explorer, PolicyConfig};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Acts that are read, and slates that are closed, at once.
const BATCH: usize = 2_000;
/// Points of the curve; when there are more, neighbours are joined.
const POINTS: usize = 240;
/// Seconds between two kept policies, of which the older is replaced: no more than these is read again after a crash.
const KEEP_EVERY: i64 = 60;

/// Written in a recipe as `[serve.learn]`: what a shop wants of its slates, and how long it waits for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearnConfig {
    /// What an act on a shown place is worth; acts of other kinds are no lessons.
    pub rewards: Vec<Reward>,
    /// After how long a place that nobody acted on counts as left.
    pub wait_minutes: f64,
    /// Time between two kept policies that one can go back to.
    pub keep_minutes: f64,
    /// How many of these there are.
    pub keep: usize,
}

/// What an act is worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reward {
    /// What a shopper does.
    pub kind: EventKind,
    /// Usually 0 to 1.
    pub reward: f32,
}

impl Default for LearnConfig {
    fn default() -> Self {
        let worth = [(EventKind::View, 0.2), (EventKind::Click, 0.2), (EventKind::Cart, 0.5), (EventKind::Buy, 1.0)];
        let rewards = worth.map(|(kind, reward)| Reward { kind, reward }).to_vec();
        LearnConfig { rewards, wait_minutes: 30.0, keep_minutes: 60.0, keep: 24 }
    }
}

impl LearnConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`DecideError::Config`] names what is outside its range.
    pub fn check(&self) -> lingxi_decide::Result<()> {
        let minutes = [("learn.wait_minutes", self.wait_minutes), ("learn.keep_minutes", self.keep_minutes)];
        for (what, value) in minutes {
            if !(0.01..=100_000.0).contains(&value) {
                return Err(DecideError::Config { what, expected: "0.01 to 100000", got: value.to_string() });
            }
        }
        for Reward { reward, .. } in &self.rewards {
            if !(-100.0..=100.0).contains(reward) {
                let (what, got) = ("learn.rewards.reward", reward.to_string());
                return Err(DecideError::Config { what, expected: "-100 to 100", got });
            }
        }
        let most = 1000;
        if !(1..=most).contains(&self.keep) {
            return Err(DecideError::Config { what: "learn.keep", expected: "1 to 1000", got: self.keep.to_string() });
        }
        Ok(())
    }

    fn reward(&self, kind: EventKind) -> Option<f32> {
        self.rewards.iter().find(|r| r.kind == kind).map(|r| r.reward)
    }

    fn wait(&self) -> i64 {
        (self.wait_minutes * 60.0) as i64
    }

    /// Seconds between two closings: often enough for the curve, seldom enough for the store.
    fn close_every(&self) -> i64 {
        (self.wait() / 30).clamp(1, 60)
    }

    fn keep_every(&self) -> i64 {
        (self.keep_minutes * 60.0) as i64
    }
}

/// What there is to learn with.
#[derive(Clone, Debug, PartialEq)]
pub struct Learning {
    /// The policy.
    pub policy: PolicyConfig,
    /// Places for new interests.
    pub budget: BudgetConfig,
    /// What counts.
    pub learn: LearnConfig,
}

impl Learning {
    /// As a recipe says.
    pub fn of(serve: &Serve) -> Learning {
        let budget = BudgetConfig { places: serve.novel.places };
        Learning { policy: serve.policy, budget, learn: serve.learn.clone() }
    }
}

/// A stretch of time on the curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// When it ends, unix seconds.
    pub at: i64,
    /// Slates that were closed.
    pub slates: u64,
    /// What they brought, and their places.
    pub reward: f64,
    /// Places where the policy took the best, and where it explored.
    pub places: [u64; 2],
    /// What these brought.
    pub brought: [f64; 2],
}

impl Point {
    fn join(&mut self, other: &Point) {
        self.at = other.at;
        self.slates += other.slates;
        self.reward += other.reward;
        for i in 0..2 {
            self.places[i] += other.places[i];
            self.brought[i] += other.brought[i];
        }
    }
}

/// All that was learnt, and where the learner has come to. Kept as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mind {
    /// [`Explorer::to_json`].
    policy: String,
    /// The names of goods that the policy knows by their ids.
    names: BTreeMap<u32, String>,
    drift: Drift,
    lessons: u64,
    curve: Vec<Point>,
}

/// A policy that learns. One thread teaches it.
pub struct Learner {
    learning: Learning,
    config: String,
    policy: Arc<Explorer>,
    drift: Drift,
    learnt: Closing,
    lessons: u64,
    curve: Vec<Point>,
    /// Seconds that a point covers.
    span: i64,
    next_closing: i64,
    next_keep: i64,
    kept_lessons: u64,
    /// Slates and their rewards since the last kept policy.
    since: (u64, f64),
    /// Closings that are stored and not learnt yet, in their order; `None` before those of the last run are read.
    stored: Option<VecDeque<Closing>>,
}

impl Learner {
    /// Goes on from the last kept policy of this configuration, or begins anew with all that the store has.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn open(learning: Learning, store: &Store, items: &Interner) -> Result<Learner> {
        let config = config_of(&learning);
        let newest = store.read(|reader| reader.policies(&config))?.into_iter().next();
        let with_state = |kept: KeptPolicy| store.read(|reader| Ok((reader.policy_state(kept.id)?, kept)));
        let kept = newest.map(with_state).transpose()?;
        Learner::of(learning, kept, items)
    }

    /// Learns all that a store has from the first lesson on, with no policy to begin with: what [`Learner::open`] and all that
    /// follows must come to.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn replay(learning: Learning, reader: &Reader, items: &Interner, until: Closing) -> Result<Learner> {
        let mut learner = Learner::of(learning, None, items)?;
        for closing in reader.closings(0)?.into_iter().filter(|closing| closing.up_to <= until.up_to) {
            learner.close(reader, items, closing)?;
        }
        while learner.hear(reader, items, until.after)? {}
        Ok(learner)
    }

    fn of(learning: Learning, kept: Option<(String, KeptPolicy)>, items: &Interner) -> Result<Learner> {
        let untaught = learning.policy.build().map_err(|why| StoreError::Read(why.to_string()))?;
        let mut learner = Learner {
            config: config_of(&learning),
            policy: Arc::new(untaught.with_budget(learning.budget)),
            learning,
            drift: Drift::default(),
            learnt: Closing { up_to: 0, after: 0 },
            lessons: 0,
            curve: Vec::new(),
            span: 0,
            next_closing: 0,
            next_keep: 0,
            kept_lessons: 0,
            since: (0, 0.0),
            stored: None,
        };
        learner.span = learner.learning.learn.close_every();
        if let Some((state, kept)) = kept {
            learner.recall(kept.id, &state, items)?;
            learner.learnt = kept.learnt;
        }
        Ok(learner)
    }

    fn recall(&mut self, id: i64, state: &str, items: &Interner) -> Result<()> {
        let broken = |why: String| StoreError::Read(format!("the policy kept as {id}: {why}"));
        let mind: Mind = serde_json::from_str(state).map_err(|why| broken(why.to_string()))?;
        let mut policy = Explorer::from_json(&mind.policy).map_err(|why| broken(why.to_string()))?;
        policy.rename(|item| mind.names.get(&item.0).and_then(|name| items.get(name)).map(ItemId));
        self.policy = Arc::new(policy);
        (self.drift, self.lessons, self.curve) = (mind.drift, mind.lessons, mind.curve);
        Ok(())
    }

    /// What it learns with.
    pub fn learning(&self) -> &Learning {
        &self.learning
    }

    /// The policy as it knows best now.
    pub fn policy(&self) -> Arc<Explorer> {
        self.policy.clone()
    }

    /// Where it has come to.
    pub fn learnt(&self) -> Closing {
        self.learnt
    }

    /// Lessons so far.
    pub fn lessons(&self) -> u64 {
        self.lessons
    }

    /// The watch over what lessons bring.
    pub fn drift(&self) -> &Drift {
        &self.drift
    }

    /// What closed slates brought over time.
    pub fn curve(&self) -> &[Point] {
        &self.curve
    }

    /// Names what it knows: two learners that know the same have the same fingerprint.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.policy.to_json().as_bytes());
        hasher.update(&serde_json::to_vec(&self.drift).expect("numbers under fixed names"));
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// The kept policies, newest first.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn kept(&self, store: &Store) -> Result<Vec<KeptPolicy>> {
        store.read(|reader| reader.policies(&self.config))
    }

    /// Gives goods the ids of another catalogue.
    pub fn rename(&mut self, to: impl Fn(ItemId) -> Option<ItemId>) {
        if !self.policy.goods().is_empty() {
            Arc::make_mut(&mut self.policy).rename(to);
        }
    }

    /// Learns a part of what came since the last time; true if there is more to learn at once.
    ///
    /// # Errors
    /// A store that cannot be read, or that takes no writes: what was not kept is not learnt.
    pub fn step(&mut self, store: &Store, items: &Interner, now: i64) -> Result<bool> {
        if let Some(closing) = self.next_stored(store)? {
            store.read(|reader| self.close(reader, items, closing))?;
            self.stored.as_mut().map(VecDeque::pop_front);
            return Ok(true);
        }
        let last = store.read(|reader| reader.last_event())?;
        let more = store.read(|reader| self.hear(reader, items, last))?;
        if !more && now >= self.next_closing {
            if self.store_closing(store, now)? {
                return Ok(true);
            }
            self.next_closing = now + self.learning.learn.close_every();
        }
        if now >= self.next_keep {
            self.keep(store, items, now)?;
        }
        Ok(more)
    }

    /// The next closing that is stored and not learnt: of the last run, or just now.
    fn next_stored(&mut self, store: &Store) -> Result<Option<Closing>> {
        if self.stored.is_none() {
            self.stored = Some(store.read(|reader| reader.closings(self.learnt.up_to))?.into());
        }
        Ok(self.stored.as_ref().and_then(VecDeque::front).copied())
    }

    /// Stores that the next slates are closed whose time has come; false if there are none.
    fn store_closing(&mut self, store: &Store, now: i64) -> Result<bool> {
        let until = now - self.learning.learn.wait();
        let Some(up_to) = store.read(|reader| reader.shown_until(self.learnt.up_to, until, BATCH))? else {
            return Ok(false);
        };
        let closing = Closing { up_to, after: self.learnt.after };
        store.keep(Learnt::Closed(closing))?;
        self.stored.get_or_insert_default().push_back(closing);
        Ok(true)
    }

    /// Learns the next acts up to an event; true if there are more.
    fn hear(&mut self, reader: &Reader, items: &Interner, until: i64) -> Result<bool> {
        if self.learnt.after >= until {
            return Ok(false);
        }
        let acts = reader.acted_on(self.learnt.after, until, BATCH)?;
        let last = acts.last().filter(|_| acts.len() == BATCH).map_or(until, |act| act.event);
        let lesson = |act: ActedOn| {
            let reward = self.learning.learn.reward(act.kind)?;
            Some(Lesson { item: id(items, &act.item), features: act.features, reward, weight: 1.0 })
        };
        let lessons: Vec<Lesson> = acts.into_iter().filter_map(lesson).collect();
        self.teach(&lessons);
        self.learnt.after = last;
        Ok(last < until)
    }

    /// Learns what nobody did on the slates up to a decision, and takes note of what all of them brought.
    fn close(&mut self, reader: &Reader, items: &Interner, closing: Closing) -> Result<()> {
        while self.hear(reader, items, closing.after)? {}
        let slates = reader.closed(self.learnt.up_to, closing)?;
        let lessons: Vec<Lesson> = slates.iter().flat_map(|slate| self.left(slate, items)).collect();
        self.teach(&lessons);
        slates.iter().for_each(|slate| self.note(slate));
        self.thin();
        self.learnt.up_to = closing.up_to;
        Ok(())
    }

    /// The places of a slate that nobody acted on.
    fn left(&self, slate: &Closed, items: &Interner) -> Vec<Lesson> {
        let width = slate.seen.len() / slate.slots.len().max(1);
        let left = slate.slots.iter().enumerate().filter(|(at, _)| self.brought(slate, *at).is_none());
        let lesson = |(at, slot): (usize, &crate::store::ShownSlot)| Lesson {
            item: id(items, &slot.item),
            features: slate.seen[at * width..(at + 1) * width].to_vec(),
            reward: 0.0,
            weight: 1.0 / (1.0 + (slate.first + at) as f32).sqrt(),
        };
        left.map(lesson).collect()
    }

    /// What a place brought; `None` if nobody acted on it.
    fn brought(&self, slate: &Closed, at: usize) -> Option<f32> {
        let acts = slate.acts.iter().filter(|(place, _)| *place == slate.first + at);
        acts.filter_map(|(_, kind)| self.learning.learn.reward(*kind)).reduce(f32::max)
    }

    fn note(&mut self, slate: &Closed) {
        let mut now = Point { at: slate.at, slates: 1, ..Point::default() };
        for (at, slot) in slate.slots.iter().enumerate() {
            let (brought, which) = (f64::from(self.brought(slate, at).unwrap_or(0.0)), usize::from(slot.explored));
            now.places[which] += 1;
            now.brought[which] += brought;
            now.reward += brought;
        }
        if let Some(change) = self.drift.observe(now.reward as f32) {
            tracing::warn!(
                "what slates bring has changed: {:.4} a slate before, {:.4} since; lingxi policy shows the curve",
                change.before,
                change.after
            );
        }
        self.since = (self.since.0 + 1, self.since.1 + now.reward);
        match self.curve.last_mut() {
            Some(last) if now.at < last.at - last.at.rem_euclid(self.span) + self.span => last.join(&now),
            _ => self.curve.push(now),
        }
    }

    /// Keeps the curve within bounds.
    fn thin(&mut self) {
        if self.curve.len() > POINTS {
            self.span *= 2;
            let joined = self.curve.chunks(2).map(|pair| {
                let mut first = pair[0];
                pair[1..].iter().for_each(|second| first.join(second));
                first
            });
            self.curve = joined.collect();
        }
    }

    fn teach(&mut self, lessons: &[Lesson]) {
        if !lessons.is_empty() {
            Arc::make_mut(&mut self.policy).learn(lessons);
            self.lessons += lessons.len() as u64;
        }
    }

    /// Keeps the policy if it learnt anything since.
    ///
    /// # Errors
    /// A store that takes no writes.
    pub fn keep(&mut self, store: &Store, items: &Interner, now: i64) -> Result<()> {
        self.next_keep = now + KEEP_EVERY.min(self.learning.learn.keep_every()).max(1);
        if self.lessons == self.kept_lessons {
            return Ok(());
        }
        self.keep_as(store, items, now, None, false)
    }

    /// Keeps the policy as it is now, because somebody asks for it.
    ///
    /// # Errors
    /// A store that takes no writes.
    pub fn keep_now(&mut self, store: &Store, items: &Interner, now: i64) -> Result<()> {
        self.keep_as(store, items, now, None, true)
    }

    fn keep_as(&mut self, store: &Store, items: &Interner, now: i64, back_to: Option<i64>, stays: bool) -> Result<()> {
        let name = |item: ItemId| Some((item.0, items.name(item.0)?.to_owned()));
        let mind = Mind {
            policy: self.policy.to_json(),
            names: self.policy.goods().into_iter().filter_map(name).collect(),
            drift: self.drift.clone(),
            lessons: self.lessons,
            curve: self.curve.clone(),
        };
        let policy = Box::new(KeptPolicy {
            id: 0,
            at: now,
            config: self.config.clone(),
            version: self.policy.version(),
            learnt: self.learnt,
            lessons: self.lessons,
            reward: self.since.1 / self.since.0.max(1) as f64,
            back_to,
            stays,
        });
        let (every, most) = (self.learning.learn.keep_every(), self.learning.learn.keep);
        let state = serde_json::to_string(&mind).expect("numbers and text under fixed names");
        store.keep(Learnt::Policy { policy, state, every, most })?;
        (self.kept_lessons, self.since) = (self.lessons, (0, 0.0));
        Ok(())
    }

    /// Goes back to a kept policy: what was learnt since is forgotten, and what comes from now on is learnt. False if there is
    /// none of that number.
    ///
    /// # Errors
    /// A store that cannot be read or takes no writes, a policy that does not read back: then nothing changes.
    pub fn go_back(&mut self, id: i64, store: &Store, items: &Interner, now: i64) -> Result<bool> {
        if !self.kept(store)?.iter().any(|kept| kept.id == id) {
            return Ok(false);
        }
        let state = store.read(|reader| reader.policy_state(id))?;
        // What is left behind may be wanted again.
        self.keep_now(store, items, now)?;
        let curve = self.curve.clone();
        self.recall(id, &state, items)?;
        // What slates brought is history, whoever chose them; what is usual must be found anew.
        (self.curve, self.drift) = (curve, Drift::default());
        self.keep_as(store, items, now, Some(id), true)?;
        Ok(true)
    }
}

/// Configurations that learn the same are the same; what is merely kept does not count.
fn config_of(learning: &Learning) -> String {
    serde_json::json!([learning.policy, learning.budget.places, learning.learn.rewards]).to_string()
}

/// An item that the catalogue does not have any more teaches what its features say, under an id that no item has.
fn id(items: &Interner, name: &str) -> ItemId {
    ItemId(items.get(name).unwrap_or(u32::MAX))
}
