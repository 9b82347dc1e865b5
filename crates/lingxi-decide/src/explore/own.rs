//! What is a single item worth beyond what its features say? One number an item, with doubt.
//!
//! Features say what goods have in common; some goods are better than they look. So the hybrid model of LinUCB (Li, Chu, Langford and
//! Schapire 2010, arXiv 1003.0146, section 3.3), with one coefficient an item: worth = theta' x + u_i. With w_i lessons on item i,
//! whose rewards less theta' x add up to s_i, u_i has mean s_i / (prior + w_i) and variance 1 / (prior + w_i) in units of the noise. Both
//! sides learn from what the other one leaves unexplained. Without a prior it is off: u_i = 0 for certain.

use super::config::half_life;
use crate::{DecideError, Result};
use lingxi_data::{ItemId, Lesson, Scored};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is known of one item, as it counted at lesson number `at`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    weight: f64,
    left: f64,
    at: u64,
}

/// Plain data; memory grows with the goods that were shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Own {
    prior: Option<f64>,
    half_life: Option<f64>,
    lessons: u64,
    goods: BTreeMap<ItemId, Seen>,
}

impl Own {
    /// `prior`: lessons that "it is as its features say" counts as; absent: off.
    pub(super) fn new(prior: Option<f64>, forgotten_by_half: Option<f64>) -> Result<Own> {
        if let Some(prior) = prior.filter(|prior| !(*prior > 0.0 && prior.is_finite())) {
            return Err(DecideError::Config { what: "own", expected: "a positive number", got: prior.to_string() });
        }
        half_life(forgotten_by_half)?;
        Ok(Own { prior, half_life: forgotten_by_half, ..Own::default() })
    }

    /// Mean and variance of what an item is worth beyond its features.
    pub(super) fn of(&self, item: ItemId) -> (f32, f32) {
        let Some(prior) = self.prior else { return (0.0, 0.0) };
        let seen = self.goods.get(&item).map_or(Seen::default(), |seen| self.faded(*seen));
        ((seen.left / (prior + seen.weight)) as f32, (1.0 / (prior + seen.weight)) as f32)
    }

    /// Adds it to the `worth` of each candidate.
    pub(super) fn add_to(&self, scored: &Scored, worth: &mut [f32]) {
        if self.prior.is_some() {
            worth.iter_mut().zip(&scored.items).for_each(|(worth, item)| *worth += self.of(*item).0);
        }
    }

    /// Learns from a lesson whose features are worth `explained`.
    pub(super) fn learn(&mut self, lesson: &Lesson, explained: f32) {
        let left = f64::from(lesson.reward - explained);
        let weight = f64::from(lesson.weight);
        if self.prior.is_none() || !left.is_finite() || weight.is_nan() || weight <= 0.0 {
            return;
        }
        self.lessons += 1;
        let seen = self.goods.get(&lesson.item).map_or(Seen::default(), |seen| self.faded(*seen));
        let more = Seen { weight: seen.weight + weight, left: seen.left + weight * left, at: self.lessons };
        self.goods.insert(lesson.item, more);
    }

    /// How it stands now, after what was forgotten since.
    fn faded(&self, seen: Seen) -> Seen {
        let share = self.half_life.map_or(1.0, |h| 0.5f64.powf(self.lessons.saturating_sub(seen.at) as f64 / h));
        Seen { weight: share * seen.weight, left: share * seen.left, at: self.lessons }
    }

    /// The goods that it knows.
    pub(super) fn goods(&self) -> Vec<ItemId> {
        self.goods.keys().copied().collect()
    }

    /// Gives them the ids of another catalogue.
    pub(super) fn rename(&mut self, to: &dyn Fn(ItemId) -> Option<ItemId>) {
        let goods = std::mem::take(&mut self.goods);
        self.goods = goods.into_iter().filter_map(|(item, seen)| Some((to(item)?, seen))).collect();
    }

    /// Whether every number is one.
    pub(super) fn is_whole(&self) -> bool {
        let finite = |seen: &Seen| seen.weight >= 0.0 && seen.weight.is_finite() && seen.left.is_finite();
        self.goods.values().all(finite) && Own::new(self.prior, self.half_life).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(item: u32, reward: f32) -> Lesson {
        Lesson { item: ItemId(item), features: vec![1.0], reward, weight: 1.0 }
    }

    #[test]
    fn what_features_do_not_explain_is_the_items_own_and_doubt_shrinks() {
        let mut own = Own::new(Some(10.0), None).unwrap();
        (0..30).for_each(|_| own.learn(&lesson(1, 0.5), 0.1));
        let (mean, variance) = own.of(ItemId(1));
        assert!((mean - 0.3).abs() < 1e-6 && (variance - 1.0 / 40.0).abs() < 1e-6, "{mean} {variance}");
        assert_eq!(own.of(ItemId(2)), (0.0, 0.1));
    }

    #[test]
    fn it_forgets_by_half_and_is_off_without_a_prior() {
        let mut own = Own::new(Some(10.0), Some(10.0)).unwrap();
        (0..1000).for_each(|_| own.learn(&lesson(1, 1.0), 0.0));
        let before = own.of(ItemId(1)).1;
        (0..100).for_each(|_| own.learn(&lesson(2, 0.0), 0.0));
        assert!(own.of(ItemId(1)).1 > 1.5 * before);
        let mut off = Own::new(None, None).unwrap();
        off.learn(&lesson(1, 1.0), 0.0);
        assert!(off == Own::default() && off.of(ItemId(1)) == (0.0, 0.0));
        assert!(Own::new(Some(0.0), None).is_err());
    }
}
