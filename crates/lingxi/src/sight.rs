//! What does a policy see of a shopper with an item?
//!
//! The facts of `lingxi_decide::explore`, as they stand at the moment of asking: what the shopper took and cares for, what the item
//! is, and how much of its kind they were shown lately. [`Sight`] is made once per snapshot, [`Glance`] once per question.

use crate::stages::interests::{Tastes, past};
use lingxi_data::{Catalog, Context, Events, ItemId, ItemVectors, Recall, Scored, Slot, UserId};
use lingxi_decide::explore::{Facts, describe, popularity};
use lingxi_decide::{Interests, NewInterests};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// A shopper's last goods that likeness is measured by, and what the one before the last counts.
const GOODS: usize = 50;
const FADE: f32 = 0.95;
/// What a slate that was shown before the last one counts, and what a place adds.
const SHOWN_FADE: f32 = 0.8;
const SHOWN_PLACE: f32 = 0.1;
/// Interests that are remembered of what one shopper was shown.
const SHOWN_MOST: usize = 16;
/// Share of the candidates that goods of new interests may take.
const SHARE: usize = 8;

/// What is known of goods, and of what shoppers were shown.
pub struct Sight {
    /// How often each item was taken.
    taken: Vec<f32>,
    /// The same in standard deviations of the log over all goods.
    popularity: Vec<f32>,
    /// By shopper: interests with how much of each they were shown lately.
    shown: Mutex<HashMap<UserId, Vec<(u32, f32)>>>,
}

impl Sight {
    /// From the log that a snapshot is built from.
    pub fn new(log: &Events<'_>, goods: usize) -> Sight {
        let mut taken = vec![0.0f32; goods];
        log.iter().for_each(|event| taken[event.item.index()] += 1.0);
        Sight { popularity: popularity(&taken), taken, shown: Mutex::default() }
    }

    /// How often each item was taken; goods that came since are not in it.
    pub fn taken(&self) -> &[f32] {
        &self.taken
    }

    /// Takes note of a slate.
    pub fn note(&self, new: &NewInterests, user: UserId, slots: &[Slot]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let of = shown.entry(user).or_default();
        of.iter_mut().for_each(|(_, much)| *much *= SHOWN_FADE);
        for k in slots.iter().filter_map(|slot| new.of(slot.item)) {
            match of.iter_mut().find(|(known, _)| *known == k) {
                Some((_, much)) => *much += SHOWN_PLACE,
                None => of.push((k, SHOWN_PLACE)),
            }
        }
        of.sort_by(|a, b| b.1.total_cmp(&a.1));
        of.truncate(SHOWN_MOST);
    }

    fn shown(&self, user: Option<UserId>) -> Vec<(u32, f32)> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        user.and_then(|user| shown.get(&user).cloned()).unwrap_or_default()
    }
}

/// What the facts are drawn from.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// What is known of goods.
    pub sight: &'a Sight,
    /// Categories of goods, those of the build first.
    pub catalog: &'a Catalog,
    /// How interests are read from a history.
    pub tastes: &'a Tastes,
    /// What goods mean.
    pub vectors: Option<&'a ItemVectors>,
    /// Interests that the catalogue holds.
    pub new: Option<&'a NewInterests>,
}

/// One shopper at one moment.
pub struct Glance<'a> {
    ground: Ground<'a>,
    mean: Vec<f32>,
    /// The degree of interest in each category, and its standard deviation.
    degrees: Vec<(f64, f64)>,
    likeliest: Vec<(u32, f32)>,
    shown: Vec<(u32, f32)>,
    taken: HashSet<ItemId>,
}

impl<'a> Glance<'a> {
    /// What is known of whoever asks.
    pub fn of(ground: Ground<'a>, context: &Context<'_>) -> Glance<'a> {
        let goods = context.history.last(GOODS).items;
        let mut interests = Interests::default();
        for (category, kind, at) in past(context.history, ground.catalog) {
            interests.observe(&ground.tastes.config, category, kind, at);
        }
        let heard = context.history.at.last().copied().unwrap_or(ground.tastes.until).max(ground.tastes.until);
        Glance {
            mean: ground.vectors.map_or_else(Vec::new, |vectors| mean(goods, vectors)),
            degrees: interests.spread(&ground.tastes.config, &ground.tastes.base, context.now.min(heard)),
            likeliest: ground.new.map_or_else(Vec::new, |new| new.likeliest(&new.had(context.history.items))),
            shown: ground.sight.shown(context.user),
            taken: goods.iter().copied().collect(),
            ground,
        }
    }

    /// Fills in what the policy sees of each candidate, and which would open a new interest.
    pub fn describe(&self, scored: &mut Scored) {
        describe(scored, |item| self.facts(item));
        if let Some(new) = self.ground.new {
            new.mark(&self.likeliest, scored);
        }
    }

    fn facts(&self, item: ItemId) -> Facts {
        let Ground { sight, catalog, vectors, new, .. } = self.ground;
        let category = catalog.category.get(item.index()).copied().flatten();
        let (degree, doubt) = category.and_then(|c| self.degrees.get(c.0 as usize).copied()).unwrap_or_default();
        let vector = vectors.and_then(|vectors| if item.index() < vectors.len() { vectors.get(item) } else { None });
        let interest = new.and_then(|new| new.of(item));
        let of = |list: &[(u32, f32)]| list.iter().find(|(k, _)| Some(*k) == interest).map_or(0.0, |(_, much)| *much);
        Facts {
            like: vector.filter(|_| !self.mean.is_empty()).map_or(0.0, |v| lingxi_kernels::dot(&self.mean, v)),
            degree: degree as f32,
            doubt: doubt as f32,
            // What came after the build was taken by nobody yet.
            popularity: sight.popularity.get(item.index()).copied().unwrap_or(0.0),
            freshness: f32::from(u8::from(item.index() >= sight.popularity.len())),
            next: of(&self.likeliest),
            shown: of(&self.shown),
            taken: self.taken.contains(&item),
        }
    }
}

/// The mean direction of goods, the last ones counting most; empty without goods.
fn mean(goods: &[ItemId], vectors: &ItemVectors) -> Vec<f32> {
    let (mut sum, mut weight, mut all) = (vec![0.0; vectors.dim()], 1.0, 0.0);
    let known = goods.iter().rev().filter(|item| item.index() < vectors.len());
    for vector in known.filter_map(|item| vectors.get(*item)) {
        sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += weight * x);
        (all, weight) = (all + weight, weight * FADE);
    }
    if all > 0.0 {
        sum.iter_mut().for_each(|x| *x /= all);
        return sum;
    }
    Vec::new()
}

/// A recall with the most taken goods of the interests that are likeliest to be the shopper's next.
pub struct NovelRecall {
    /// Finds goods of the interests that they have.
    pub known: Arc<dyn Recall>,
    /// Which interests those are.
    pub new: Arc<NewInterests>,
}

impl Recall for NovelRecall {
    fn name(&self) -> &'static str {
        self.known.name()
    }

    fn recall(&self, context: &Context<'_>, k: usize) -> Vec<ItemId> {
        let likeliest = self.new.likeliest(&self.new.had(context.history.items));
        let proposed = self.new.propose(&likeliest, k / SHARE);
        let mut found = self.known.recall(context, k - proposed.len());
        let known: HashSet<ItemId> = found.iter().copied().collect();
        found.extend(proposed.into_iter().filter(|item| !known.contains(item)));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Event, EventKind, Interactions, Purpose, Rows};
    use lingxi_decide::Base;

    #[test]
    fn a_policy_sees_what_a_shopper_cares_for_and_what_the_item_is() {
        let event = |item: u32, at| Event { user: UserId(0), item: ItemId(item), at, kind: EventKind::Buy, value: 1.0 };
        let log = Interactions::from_events(vec![event(0, 1), event(0, 2), event(1, 3)], 1, 3).unwrap();
        let sight = Sight::new(&log.for_purpose(Purpose::Training), 3);
        let mut catalog = Catalog::of_ids(["a", "b", "c", "new"].iter().collect());
        catalog.categories = ["x", "y"].iter().collect();
        catalog.category = [0, 1, 1, 1].map(|c| Some(lingxi_data::CategoryId(c))).to_vec();
        let tastes = Tastes { base: Base::of_shares(vec![0.5, 0.5]), until: 3, ..Tastes::default() };
        let ground = Ground { sight: &sight, catalog: &catalog, tastes: &tastes, vectors: None, new: None };
        let history = Rows { items: &[ItemId(0)], at: &[3], kinds: &[EventKind::Buy], values: &[1.0] };
        let glance = Glance::of(ground, &Context { user: Some(UserId(0)), history, now: 3 });
        let facts = [0, 1, 3].map(|item| glance.facts(ItemId(item)));
        assert!(facts[0].degree > facts[1].degree && facts[0].doubt > 0.0 && facts[0].taken && !facts[1].taken);
        assert!(facts[0].popularity > facts[1].popularity, "it was taken twice");
        assert_eq!((facts[2].freshness, facts[1].freshness, facts[2].popularity), (1.0, 0.0, 0.0));
        let mut scored = Scored::new([0, 1, 3].map(ItemId).to_vec(), vec![3.0, 2.0, 1.0]);
        glance.describe(&mut scored);
        assert_eq!((scored.features.len(), scored.novelty.len()), (3 * lingxi_decide::explore::WIDTH, 0));
    }
}
