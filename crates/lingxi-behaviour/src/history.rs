//! How much does each thing that a shopper did still say? A history comes in; distinct items with weights that sum to
//! one go out, the most recent first. The models that read a history share this, so that one recipe line means the same
//! for each of them.
//!
//! The weight of an event is `decay^steps * 2^(-age / half-life) * kind weight`, where a step is one moment: events at
//! the same time (a basket) are equally far from the end. The weights of several events on one item are added, or only
//! the latest counts.

use crate::error::{Result, require};
use lingxi_data::{Context, EventKind, ItemId};
use rustc_hash::{FxBuildHasher, FxHashMap};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const SECONDS_A_DAY: f32 = 86_400.0;

/// What several events on one item count for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Occurrences {
    /// Their weights are added: what is taken often weighs more.
    #[default]
    Sum,
    /// Only the event with the largest weight counts.
    Largest,
}

/// How the events of a history are weighed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistoryWeights {
    /// Only so many latest events are read; default 1,000.
    pub length: usize,
    /// Factor for each step back from the end, in (0, 1]; default 1. Events at one time are one step.
    pub decay: f32,
    /// A weight halves in so many days before the shopper's last event; default none. Only for sources with real time.
    pub half_life_days: Option<f32>,
    /// Weight by kind of event, at least 0; a kind that is not named has weight 1.
    pub kinds: BTreeMap<EventKind, f32>,
    /// What several events on one item count for; default their sum.
    pub occurrences: Occurrences,
}

impl Default for HistoryWeights {
    fn default() -> Self {
        HistoryWeights {
            length: 1_000,
            decay: 1.0,
            half_life_days: None,
            kinds: BTreeMap::new(),
            occurrences: Occurrences::Sum,
        }
    }
}

/// One distinct item of a shopper's past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Past {
    /// What.
    pub item: ItemId,
    /// How it was last taken.
    pub kind: EventKind,
    /// Its share of the history; the shares sum to one.
    pub weight: f32,
}

impl HistoryWeights {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        require(self.length > 0, "history.length", "at least 1", self.length)?;
        require(self.decay > 0.0 && self.decay <= 1.0, "history.decay", "a number in (0, 1]", self.decay)?;
        if let Some(days) = self.half_life_days {
            require(days.is_finite() && days > 0.0, "history.half_life_days", "a positive number", days)?;
        }
        for &weight in self.kinds.values() {
            require(weight.is_finite() && weight >= 0.0, "history.kinds", "weights of at least 0", weight)?;
        }
        Ok(())
    }

    /// The weight of a kind.
    pub fn kind(&self, kind: EventKind) -> f32 {
        self.kinds.get(&kind).copied().unwrap_or(1.0)
    }

    /// The distinct items below `n_items` of the context's history with their shares, the most recent first; items the
    /// model does not know and items of weight zero are left out.
    pub fn weigh(&self, context: &Context<'_>, n_items: usize) -> Vec<Past> {
        let rows = context.history.last(self.length);
        let mut slots: FxHashMap<ItemId, usize> = FxHashMap::with_capacity_and_hasher(rows.len(), FxBuildHasher);
        let mut past: Vec<Past> = Vec::with_capacity(rows.len());
        // Shares are relative, so ages may be counted from the last event: a past that is long ago is still the past.
        let latest = rows.at.last().copied().unwrap_or(context.now);
        let (mut step, mut later) = (1.0f32, None);
        for row in (0..rows.len()).rev() {
            let at = rows.at[row];
            if later.is_some_and(|l| l != at) {
                step *= self.decay;
            }
            later = Some(at);
            let weight = step * self.age_factor(latest, at) * self.kind(rows.kinds[row]);
            let item = rows.items[row];
            // A share below what f32 can add to one is no evidence; leaving it out keeps long histories cheap.
            if item.index() >= n_items || weight < 1e-9 {
                continue;
            }
            let slot = *slots.entry(item).or_insert(past.len());
            match past.get_mut(slot) {
                None => past.push(Past { item, kind: rows.kinds[row], weight }),
                Some(p) if self.occurrences == Occurrences::Sum => p.weight += weight,
                Some(p) => p.weight = p.weight.max(weight),
            }
        }
        let total: f32 = past.iter().map(|p| p.weight).sum();
        past.iter_mut().for_each(|p| p.weight /= total);
        past
    }

    fn age_factor(&self, latest: i64, at: i64) -> f32 {
        let Some(days) = self.half_life_days else { return 1.0 };
        let age = latest.saturating_sub(at).max(0) as f32 / SECONDS_A_DAY;
        (-age / days).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::Rows;

    const KINDS: [EventKind; 4] = [EventKind::View, EventKind::Buy, EventKind::Buy, EventKind::View];
    const ITEMS: [ItemId; 4] = [ItemId(0), ItemId(1), ItemId(2), ItemId(0)];

    fn context(at: &[i64; 4]) -> Context<'_> {
        let history = Rows { items: &ITEMS, at, kinds: &KINDS, values: &[1.0; 4] };
        Context { user: None, history, now: 86_400 }
    }

    fn weights(config: &HistoryWeights, at: [i64; 4]) -> Vec<(u32, f32)> {
        config.weigh(&context(&at), 3).iter().map(|p| (p.item.0, p.weight)).collect()
    }

    #[test]
    fn each_step_back_weighs_less_and_a_basket_is_one_step() {
        let config = HistoryWeights { decay: 0.5, occurrences: Occurrences::Largest, ..Default::default() };
        assert_eq!(weights(&config, [0, 1, 1, 2]), [(0, 0.5), (2, 0.25), (1, 0.25)]);
        let sum = HistoryWeights { occurrences: Occurrences::Sum, ..config };
        assert_eq!(weights(&sum, [0, 1, 1, 2]), [(0, 1.25 / 2.25), (2, 0.5 / 2.25), (1, 0.5 / 2.25)]);
    }

    #[test]
    fn age_and_kind_count_when_the_recipe_says_so() {
        let mut config = HistoryWeights { half_life_days: Some(1.0), ..Default::default() };
        config.kinds.insert(EventKind::View, 0.0);
        assert_eq!(weights(&config, [0, 0, 86_400, 86_400]), [(2, 1.0 / 1.5), (1, 0.5 / 1.5)]);
    }

    #[test]
    fn an_unknown_item_and_an_empty_history_are_no_evidence() {
        let config = HistoryWeights::default();
        assert_eq!(config.weigh(&context(&[0, 1, 2, 3]), 1).len(), 1);
        assert!(config.weigh(&Context { user: None, history: Rows::default(), now: 0 }, 3).is_empty());
    }

    #[test]
    fn a_value_outside_its_range_is_named() {
        let config = HistoryWeights { decay: 1.5, ..Default::default() };
        assert!(config.validate().unwrap_err().to_string().contains("history.decay"));
        assert!(serde_json::from_str::<HistoryWeights>(r#"{"decai": 1}"#).is_err());
        assert!(serde_json::from_str::<HistoryWeights>(r#"{"kinds": {"buy": 3}}"#).is_ok());
    }
}
