//! What answers now: a snapshot, and what came since it was built, in its dense ids. Both are put in place together, and whoever
//! began with them ends with them.

use super::engine::Engine;
use crate::crowd::Crowd;
use crate::live::{History, Live};
use crate::store::{Erasure, NewEvent, NewItem, Result, Store, Stored, Withdrawal};
use lingxi_data::{ItemId, Policy, UserId};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

/// A snapshot and the histories in its dense ids: published together, kept by whoever started with it.
pub struct Serving {
    engine: Arc<dyn Engine>,
    live: Live,
    built_with: i64,
    crowd: Arc<Crowd>,
    withdrawn: RwLock<Arc<Withdrawn>>,
    /// The goods that the shop described since the build.
    described: RwLock<Arc<HashMap<ItemId, NewItem>>>,
    /// The policy as it has learnt until now; `None` if the snapshot's own does not learn.
    policy: RwLock<Option<Arc<dyn Policy>>>,
}

/// Goods that the shop took away since the snapshot was built.
#[derive(Clone, Debug, Default)]
pub struct Withdrawn {
    /// Not shown: hidden and deleted ones.
    pub all: HashSet<ItemId>,
    /// Not even known any more.
    pub deleted: HashSet<ItemId>,
}

impl Withdrawn {
    /// Whether an item is not to be shown.
    pub fn hides(&self, item: ItemId) -> bool {
        self.all.contains(&item)
    }
}

impl Serving {
    /// A snapshot without what came since.
    pub(super) fn new(engine: Arc<dyn Engine>, history: usize, built_with: i64, crowd: Arc<Crowd>) -> Serving {
        let (live, withdrawn, described) = (Live::new(history, built_with), RwLock::default(), RwLock::default());
        Serving { engine, live, built_with, crowd, withdrawn, described, policy: RwLock::default() }
    }

    /// The policy as it has learnt until now.
    pub fn policy(&self) -> Option<Arc<dyn Policy>> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets a policy that learnt more choose from now on.
    pub(super) fn teach(&self, policy: Arc<dyn Policy>) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Some(policy);
    }

    /// What all shoppers of the log say together.
    pub fn crowd(&self) -> &Crowd {
        &self.crowd
    }

    /// The history of somebody who is not known, made of events that are not stored.
    pub fn session(&self, events: &[NewEvent]) -> History {
        self.live.session(&self.engine.known(), events)
    }

    /// The goods of a category, in the order of ids: those whose path it is or that lie below it, and those that have it as
    /// one step of their path.
    pub fn of_category(&self, category: &str) -> Vec<ItemId> {
        let catalog = self.engine.catalog();
        let fits: Vec<bool> = catalog.categories.names().map(|path| is_within(path, category)).collect();
        let described = self.described();
        let belongs = |item: &ItemId| match described.get(item) {
            Some(said) => said.categories.iter().any(|path| is_within(path, category)),
            None => catalog.category[item.index()].is_some_and(|c| fits[c.0 as usize]),
        };
        (0..catalog.len() as u32).map(ItemId).filter(belongs).collect()
    }

    /// The goods that the shop described since the build.
    pub fn described(&self) -> Arc<HashMap<ItemId, NewItem>> {
        self.described.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is not for sale any more, as it stands now.
    pub fn withdrawn(&self) -> Arc<Withdrawn> {
        self.withdrawn.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes items away, or puts them back; one that the snapshot does not know is passed over.
    pub fn withdraw<'a>(&self, goods: impl IntoIterator<Item = (&'a str, Withdrawal)>) {
        let items = self.engine.known().items;
        let mut current = self.withdrawn.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Withdrawn::clone(&current);
        for (item, what) in goods {
            let Some(item) = items.get(item).map(ItemId) else { continue };
            next.all.remove(&item);
            next.deleted.remove(&item);
            if what != Withdrawal::Shown {
                next.all.insert(item);
            }
            if what == Withdrawal::Deleted {
                next.deleted.insert(item);
            }
        }
        *current = Arc::new(next);
    }

    /// The snapshot.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// The number of the last event of the store that the snapshot was built with; 0: none.
    pub fn built_with(&self) -> i64 {
        self.built_with
    }

    /// The shopper's last events up to this moment.
    pub fn history(&self, user: &str) -> History {
        self.live.history(&self.engine.known(), user)
    }

    /// Whether anything arrived that the snapshot has not learned from.
    pub(super) fn has_news(&self) -> bool {
        self.live.seen() > self.built_with
    }

    /// The shopper's events in the log that the snapshot was built from, without those that were erased since.
    pub fn logged(&self, user: UserId) -> History {
        self.live.logged(&self.engine.known(), user)
    }

    /// How many these are.
    pub fn logged_len(&self, user: UserId) -> usize {
        if self.live.hides(user) { self.logged(user).rows().len() } else { self.engine.known().log.of(user).len() }
    }

    /// How many events of that log an erasure would hide.
    pub fn would_hide(&self, what: &Erasure) -> usize {
        self.live.would_hide(&self.engine.known(), what)
    }

    /// Events on items that the snapshot does not know: they wait for the next build.
    pub fn unknown_items(&self) -> u64 {
        self.live.unknown()
    }

    /// Takes what was stored into the live histories, and what was erased out of them.
    pub(super) fn absorb(&self, stored: &Stored) {
        let known = self.engine.known();
        self.live.absorb(known.items, &stored.events);
        self.live.hide(&known, &stored.hidden);
        self.live.forget(&stored.erased);
    }

    /// What another set of live histories is joined with.
    pub(super) fn parts(&self) -> (Arc<dyn Engine>, Arc<Crowd>) {
        (self.engine.clone(), self.crowd.clone())
    }

    /// Reads back what was stored after the last event taken in.
    pub(super) fn catch_up(&self, store: &Store) -> Result<()> {
        let goods = store.read(|reader| reader.goods())?;
        self.withdraw(goods.iter().map(|good| (good.item.as_str(), good.what)));
        let items = self.engine.known().items;
        let described = goods.into_iter().filter_map(|good| Some((ItemId(items.get(&good.item)?), good.body?)));
        *self.described.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(described.collect());
        // Erasures from before the build were left out by it.
        let mut erased = store.read(|reader| reader.erased())?;
        erased.retain(|erased| erased.until >= self.built_with);
        self.live.hide(&self.engine.known(), &erased);
        store.read(|reader| reader.events_after(self.live.seen(), |stored| self.live.absorb(items, &[stored])))
    }
}

/// The engine with the goods that the store has beyond the build, as far as it can read them.
pub(super) fn stocked(engine: Arc<dyn Engine>, store: &Store) -> Result<Arc<dyn Engine>> {
    let goods = store.read(|reader| reader.goods())?;
    let described: Vec<NewItem> = goods.into_iter().filter_map(|good| good.body).collect();
    if described.is_empty() {
        return Ok(engine);
    }
    Ok(engine.with_goods(&described).unwrap_or(engine))
}

/// Whether a path such as `grocery > dairy > milk` lies in a category: `grocery > dairy`, or `dairy`.
fn is_within(path: &str, category: &str) -> bool {
    let below = path.strip_prefix(category).is_some_and(|rest| rest.is_empty() || rest.starts_with(STEP));
    below || path.split(STEP).any(|step| step == category)
}

/// Between the steps of a category's path.
const STEP: &str = " > ";
