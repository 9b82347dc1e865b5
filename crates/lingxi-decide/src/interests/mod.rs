//! How much does a shopper care for each category, and how sure are we? The mission's y_ik.
//!
//! Events of one shopper come in, in time order; for every category the expected share of the shopper's next events goes out,
//! with an interval. Each event weighs what its kind is worth and fades by half every `half_life_days`, so that category k has
//! a faded count c_k and all have C. An event in k speaks for k itself by its stickiness s_k, and for the rest as the shop's own
//! shares q do (who buys flour buys flour again; who buys a drill does not); the shares count as `prior` further events. So the
//! shares of shopper i have a Dirichlet posterior, and each one a Beta:
//!
//! a_ik = s_k c_k + q_k (prior + sum_j (1 - s_j) c_j),   y_ik = a_ik / (C + prior),   y_ik ~ Beta(a_ik, C + prior - a_ik)
//!
//! An event costs O(1): each category remembers when it was last touched and fades when it is read. [`fit`] takes shares,
//! stickiness, half-life and prior from logs.

mod fit;

pub use fit::{Past, fit, log_likelihood, shares};

use crate::{DecideError, Result};
use lingxi_data::{CategoryId, EventKind};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF};

const DAY: f64 = 86_400.0;

/// How events count, and how fast they fade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InterestsConfig {
    /// Days after which an event counts half.
    pub half_life_days: f64,
    /// Events that the shop's own shares count as.
    pub prior: f64,
    /// What an event of each kind counts; kinds that are absent count 1.
    pub kinds: Vec<KindWeight>,
    /// Categories that are remembered for one shopper; the weakest is forgotten for a new one.
    pub most_categories: usize,
}

/// What an event of one kind counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindWeight {
    /// The kind.
    pub kind: EventKind,
    /// From 0 up.
    pub weight: f64,
}

impl Default for InterestsConfig {
    fn default() -> Self {
        InterestsConfig { half_life_days: 90.0, prior: 10.0, kinds: Vec::new(), most_categories: 512 }
    }
}

impl InterestsConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`DecideError::Config`] names what is outside its range.
    pub fn check(&self) -> Result<()> {
        let positive = [("half_life_days", self.half_life_days), ("prior", self.prior)];
        for (what, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return Err(DecideError::Config { what, expected: "a positive number", got: value.to_string() });
            }
        }
        if let Some(kind) = self.kinds.iter().find(|k| !(k.weight >= 0.0 && k.weight.is_finite())) {
            let got = kind.weight.to_string();
            return Err(DecideError::Config { what: "kinds.weight", expected: "a number from 0 up", got });
        }
        if !(1..=100_000).contains(&self.most_categories) {
            let got = self.most_categories.to_string();
            return Err(DecideError::Config { what: "most_categories", expected: "1 to 100000", got });
        }
        Ok(())
    }

    fn weight(&self, kind: EventKind) -> f64 {
        self.kinds.iter().find(|k| k.kind == kind).map_or(1.0, |k| k.weight)
    }

    fn fade(&self, from: i64, to: i64) -> f64 {
        0.5f64.powf(to.saturating_sub(from).max(0) as f64 / DAY / self.half_life_days)
    }
}

/// What a shop knows of its categories.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Base {
    /// The shop's own share of each category, adding up to 1.
    pub shares: Vec<f64>,
    /// How much an event of each category speaks for that category, 0 to 1; the rest speaks for the shares. Categories that
    /// are absent are wholly sticky.
    pub sticky: Vec<f64>,
}

impl Base {
    /// The shares alone: every event speaks for its own category.
    pub fn of_shares(shares: Vec<f64>) -> Base {
        Base { shares, sticky: Vec::new() }
    }

    fn sticky(&self, category: u32) -> f64 {
        self.sticky.get(category as usize).copied().unwrap_or(1.0)
    }
}

/// A count as it stood at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    weight: f64,
    at: i64,
}

/// What one shopper's events say, without the shop's shares: plain data, a few dozen bytes a category.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interests {
    all: Count,
    of: FxHashMap<u32, Count>,
}

/// The degree of one interest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Degree {
    /// The category.
    pub category: CategoryId,
    /// Expected share of the shopper's next events, 0 to 1.
    pub degree: f64,
    /// The degree lies in here with probability 0.9.
    pub interval: [f64; 2],
    /// Faded events that speak for it.
    pub events: f64,
}

impl Interests {
    /// Joins one event. Events that come late count as if they had come in time.
    pub fn observe(&mut self, config: &InterestsConfig, category: CategoryId, kind: EventKind, at: i64) {
        let weight = config.weight(kind);
        if weight <= 0.0 {
            return;
        }
        let joined = |count: Count| {
            let now = count.at.max(at);
            Count { weight: count.weight * config.fade(count.at, now) + weight * config.fade(at, now), at: now }
        };
        let fresh = Count { weight: 0.0, at };
        self.all = joined(if self.of.is_empty() { fresh } else { self.all });
        let count = self.of.entry(category.0).or_insert(fresh);
        *count = joined(*count);
        if self.of.len() > config.most_categories {
            self.forget_weakest(config, category.0);
        }
    }

    fn forget_weakest(&mut self, config: &InterestsConfig, but: u32) {
        let now = self.all.at;
        let strength = |count: &Count| count.weight * config.fade(count.at, now);
        let others = self.of.iter().filter(|(category, _)| **category != but);
        let weakest = others.min_by(|a, b| strength(a.1).total_cmp(&strength(b.1)).then(a.0.cmp(b.0))).map(|(c, _)| *c);
        weakest.map(|category| self.of.remove(&category));
    }

    /// Faded events of `category`, and of all.
    pub fn counts(&self, config: &InterestsConfig, category: CategoryId, now: i64) -> (f64, f64) {
        let of = |count: &Count| count.weight * config.fade(count.at, now);
        (self.of.get(&category.0).map_or(0.0, of), of(&self.all))
    }

    /// What speaks for each category `now`, in events, and the sum of it all.
    fn evidence(&self, config: &InterestsConfig, base: &Base, now: i64) -> (Vec<f64>, f64) {
        let total = self.all.weight * config.fade(self.all.at, now) + config.prior;
        let own = |(category, count): (&u32, &Count)| {
            (*category, base.sticky(*category) * count.weight * config.fade(count.at, now))
        };
        let mut own: Vec<(u32, f64)> = self.of.iter().map(own).collect();
        // A map has no order, and sums of floating point numbers have one.
        own.sort_unstable_by_key(|(category, _)| *category);
        let rest = (total - own.iter().map(|(_, weight)| weight).sum::<f64>()).max(0.0);
        let mut evidence: Vec<f64> = base.shares.iter().map(|share| rest * share).collect();
        for (category, weight) in own {
            if let Some(of) = evidence.get_mut(category as usize) {
                *of += weight;
            }
        }
        (evidence, total)
    }

    /// The degree of every interest `now`: mean and standard deviation.
    pub fn spread(&self, config: &InterestsConfig, base: &Base, now: i64) -> Vec<(f64, f64)> {
        let (evidence, total) = self.evidence(config, base, now);
        let of = |evidence: f64| {
            let mean = (evidence / total).min(1.0);
            (mean, (mean * (1.0 - mean) / (total + 1.0)).sqrt())
        };
        evidence.into_iter().map(of).collect()
    }

    /// The `most` greatest degrees `now`, the greatest first.
    pub fn degrees(&self, config: &InterestsConfig, base: &Base, now: i64, most: usize) -> Vec<Degree> {
        let (evidence, total) = self.evidence(config, base, now);
        let mut order: Vec<usize> = (0..evidence.len()).collect();
        order.sort_by(|a, b| evidence[*b].total_cmp(&evidence[*a]).then(a.cmp(b)));
        order.truncate(most);
        let degree = |k: usize| Degree {
            category: CategoryId(k as u32),
            degree: (evidence[k] / total).min(1.0),
            interval: interval(evidence[k], total - evidence[k]),
            events: self.counts(config, CategoryId(k as u32), now).0,
        };
        order.into_iter().map(degree).collect()
    }
}

/// The middle nine tenths of Beta(a, b).
fn interval(a: f64, b: f64) -> [f64; 2] {
    match Beta::new(a, b) {
        Ok(beta) => [beta.inverse_cdf(0.05), beta.inverse_cdf(0.95)],
        // Nothing speaks for one of both sides: the share is certain.
        Err(_) if a > 0.0 => [1.0, 1.0],
        Err(_) => [0.0, 0.0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 100 * 86_400;

    fn config() -> InterestsConfig {
        InterestsConfig { half_life_days: 10.0, prior: 2.0, ..InterestsConfig::default() }
    }

    fn seen(events: &[(u32, i64)]) -> Interests {
        let mut interests = Interests::default();
        for (category, days) in events {
            interests.observe(&config(), CategoryId(*category), EventKind::View, days * 86_400);
        }
        interests
    }

    #[test]
    fn degrees_add_up_to_one_and_a_stranger_has_the_shops_shares() {
        let base = Base { shares: vec![0.5, 0.3, 0.2], sticky: vec![0.9, 0.1, 0.4] };
        for interests in [Interests::default(), seen(&[(0, 90), (2, 95), (2, 100)])] {
            let sum: f64 = interests.degrees(&config(), &base, NOW, 9).iter().map(|d| d.degree).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }
        let stranger = Interests::default().degrees(&config(), &base, NOW, 9);
        assert_eq!(stranger.iter().map(|d| d.degree).collect::<Vec<_>>(), base.shares);
    }

    #[test]
    fn events_fade_by_half_and_order_does_not_matter() {
        let (count, all) = seen(&[(1, 90), (0, 100)]).counts(&config(), CategoryId(1), NOW);
        assert!((count - 0.5).abs() < 1e-12 && (all - 1.5).abs() < 1e-12);
        let late = seen(&[(0, 100), (1, 90)]).counts(&config(), CategoryId(1), NOW);
        assert!((late.0 - count).abs() < 1e-12 && (late.1 - all).abs() < 1e-12);
    }

    #[test]
    fn more_events_make_the_interval_narrower_around_the_degree() {
        let width = |n: usize| {
            let degrees = seen(&vec![(1, 100); n]).degrees(&config(), &Base::of_shares(vec![0.5, 0.5]), NOW, 1);
            let first = degrees[0];
            assert!(first.interval[0] < first.degree && first.degree < first.interval[1], "{first:?}");
            first.interval[1] - first.interval[0]
        };
        assert!(width(50) < width(5) && width(5) < width(1));
    }

    #[test]
    fn the_weakest_of_too_many_categories_is_forgotten() {
        let config = InterestsConfig { most_categories: 3, ..config() };
        let mut interests = Interests::default();
        for k in 0..50 {
            interests.observe(&config, CategoryId(k), EventKind::View, i64::from(k) * 86_400);
        }
        assert_eq!(interests.of.len(), 3);
        assert!(interests.of.contains_key(&49) && interests.of.contains_key(&48));
    }

    #[test]
    fn an_event_speaks_for_its_category_as_far_as_that_one_is_sticky() {
        let of = |sticky: f64| {
            let base = Base { shares: vec![0.5, 0.5], sticky: vec![0.0, sticky] };
            seen(&[(1, 100), (1, 100)]).spread(&config(), &base, NOW)[1].0
        };
        assert_eq!((of(0.0), of(1.0)), (0.5, 0.75), "two events beside a prior of two");
        assert!((of(0.5) - 0.625).abs() < 1e-12);
    }

    #[test]
    fn what_was_forgotten_speaks_for_the_shares() {
        let config = InterestsConfig { most_categories: 1, ..config() };
        let mut interests = Interests::default();
        (0..3).for_each(|k| interests.observe(&config, CategoryId(k), EventKind::View, NOW));
        let spread = interests.spread(&config, &Base::of_shares(vec![0.5, 0.25, 0.25]), NOW);
        assert!((spread.iter().map(|s| s.0).sum::<f64>() - 1.0).abs() < 1e-12, "{spread:?}");
        assert!(
            (spread[1].0 - 0.2).abs() < 1e-12,
            "two forgotten events and a prior of two, a quarter of it: {spread:?}"
        );
    }
}
