//! Optimism over goods: UCB1 (Auer, Cesa-Bianchi and Fischer 2002) with a prior.
//!
//! An item that was shown n times and brought s is valued at (prior m + s) / (prior + n) + bonus sqrt(ln(1 + t) / (prior + n)):
//! m is what a slot brings on average, t how many slots there were. What nobody saw is worth the average and much doubt; equals
//! stay in the order of their scores. It knows goods, not shoppers: a yardstick, and a good policy where few goods change fast.

use super::{Beliefs, Distribution, Place, peaked};
use crate::{DecideError, Result};
use lingxi_data::{ItemId, Lesson, Scored};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings of [`Ucb`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UcbConfig {
    /// How much doubt counts.
    pub bonus: f64,
    /// Lessons that the average counts as.
    pub prior: f64,
    /// So many lessons later a lesson counts half; absent: nothing is forgotten.
    pub half_life: Option<f64>,
    /// Share of draws that is spread evenly over the eligible candidates, so that the log can judge other policies.
    pub floor: f64,
}

impl Default for UcbConfig {
    fn default() -> Self {
        UcbConfig { bonus: 0.1, prior: 5.0, half_life: None, floor: 0.0 }
    }
}

/// What is known of one item: weight and reward as they counted at lesson number `at`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    shown: f64,
    brought: f64,
    at: u64,
}

/// The policy and what it learnt; memory grows with the goods that were shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ucb {
    config: UcbConfig,
    all: Seen,
    goods: BTreeMap<ItemId, Seen>,
}

impl Ucb {
    /// The policy before the first lesson.
    ///
    /// # Errors
    /// [`DecideError::Config`] names what is outside its range.
    pub fn new(config: UcbConfig) -> Result<Ucb> {
        super::config::at_least_zero("bonus", config.bonus)?;
        super::config::share("floor", config.floor)?;
        if !(config.prior > 0.0 && config.prior.is_finite()) {
            let got = config.prior.to_string();
            return Err(DecideError::Config { what: "prior", expected: "a positive number", got });
        }
        super::config::half_life(config.half_life)?;
        Ok(Ucb { config, all: Seen::default(), goods: BTreeMap::new() })
    }

    /// How it stands `now`, after what was forgotten since.
    fn faded(&self, seen: Seen, now: u64) -> Seen {
        let share = self.config.half_life.map_or(1.0, |h| 0.5f64.powf((now - seen.at) as f64 / h));
        Seen { shown: share * seen.shown, brought: share * seen.brought, at: now }
    }

    fn add(&mut self, lesson: &Lesson) {
        if !lesson.reward.is_finite() || lesson.weight.is_nan() || lesson.weight <= 0.0 {
            return;
        }
        let now = self.all.at + 1;
        let (weight, reward) = (f64::from(lesson.weight), f64::from(lesson.reward));
        let more = |seen: Seen| Seen { shown: seen.shown + weight, brought: seen.brought + weight * reward, ..seen };
        self.all = more(self.faded(self.all, now));
        let seen = self.goods.get(&lesson.item).copied().unwrap_or_default();
        let seen = more(self.faded(seen, now));
        self.goods.insert(lesson.item, seen);
    }
}

impl Distribution for Ucb {
    fn version(&self) -> String {
        let UcbConfig { bonus, prior, floor, .. } = self.config;
        format!("ucb({bonus}, {prior}, {floor})/1@{}", self.all.at)
    }

    fn beliefs(&self, scored: &Scored) -> Beliefs {
        let average = if self.all.shown > 0.0 { self.all.brought / self.all.shown } else { 0.0 };
        let of = |item: &ItemId| {
            let seen = self.goods.get(item).map(|seen| self.faded(*seen, self.all.at)).unwrap_or_default();
            let n = self.config.prior + seen.shown;
            let doubt = ((1.0 + self.all.shown).ln() / n).sqrt();
            (((self.config.prior * average + seen.brought) / n) as f32, (self.config.bonus * doubt) as f32)
        };
        let (worth, bonus) = scored.items.iter().map(of).unzip();
        Beliefs { worth, bonus, draws: Vec::new() }
    }

    fn probabilities(&self, place: &Place<'_>) -> Vec<f64> {
        let best = place.best_with(|i| place.explore as f32 * place.beliefs.bonus[i]);
        peaked(best, place.candidates.len(), self.config.floor * place.explore)
    }

    fn learn(&mut self, lessons: &[Lesson]) {
        lessons.iter().for_each(|lesson| self.add(lesson));
    }

    fn goods(&self) -> Vec<ItemId> {
        self.goods.keys().copied().collect()
    }

    fn rename(&mut self, to: &dyn Fn(ItemId) -> Option<ItemId>) {
        let goods = std::mem::take(&mut self.goods);
        self.goods = goods.into_iter().filter_map(|(item, seen)| Some((to(item)?, seen))).collect();
    }
}
