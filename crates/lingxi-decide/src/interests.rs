//! How much does a shopper care for each category, and how sure are we? The mission's y_ik.
//!
//! Events of one shopper come in, in time order; for every category the expected share of the shopper's next events goes out,
//! with an interval. Each event weighs what its kind is worth and fades by half every `half_life_days`; the shop's own shares
//! q_k count as `prior` further events. So with faded counts c_k and their sum C the shares of shopper i have a Dirichlet
//! posterior, and each one a Beta:
//!
//! y_ik = (c_k + prior q_k) / (C + prior),   y_ik ~ Beta(c_k + prior q_k, C + prior - c_k - prior q_k)
//!
//! An event costs O(1): each category remembers when it was last touched and fades when it is read. [`fit`] takes half-life
//! and prior from logs, those that foretell the next event best; [`Reliability`] says whether the degrees come true.

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

    /// The degree of one interest `now`, where `share` is the shop's own share of that category: mean and standard deviation.
    pub fn degree(&self, config: &InterestsConfig, category: CategoryId, share: f64, now: i64) -> (f64, f64) {
        let (count, all) = self.counts(config, category, now);
        let total = all + config.prior;
        let mean = ((count + config.prior * share) / total).min(1.0);
        (mean, (mean * (1.0 - mean) / (total + 1.0)).sqrt())
    }

    /// The `most` greatest degrees `now`, the greatest first; `shares` are the shop's own, one per category, adding up to 1.
    pub fn degrees(&self, config: &InterestsConfig, shares: &[f64], now: i64, most: usize) -> Vec<Degree> {
        let total = self.counts(config, CategoryId(0), now).1 + config.prior;
        let mut speaks: Vec<(CategoryId, f64, f64)> = (0u32..)
            .zip(shares)
            .map(|(k, share)| {
                let events = self.counts(config, CategoryId(k), now).0;
                (CategoryId(k), events, events + config.prior * share)
            })
            .collect();
        speaks.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
        speaks.truncate(most);
        let degree = |(category, events, for_it): (CategoryId, f64, f64)| Degree {
            category,
            degree: (for_it / total).min(1.0),
            interval: interval(for_it, total - for_it),
            events,
        };
        speaks.into_iter().map(degree).collect()
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

/// One past event: what category, what kind, when (unix seconds).
pub type Past = (CategoryId, EventKind, i64);

/// The shop's own shares of `n` categories in `histories`, each category counted half an event more than it has.
pub fn shares<'a>(histories: impl IntoIterator<Item = &'a [Past]>, n: usize) -> Vec<f64> {
    let mut counts = vec![0.5; n];
    for (category, ..) in histories.into_iter().flatten() {
        if let Some(count) = counts.get_mut(category.0 as usize) {
            *count += 1.0;
        }
    }
    let all: f64 = counts.iter().sum();
    counts.iter_mut().for_each(|c| *c /= all);
    counts
}

/// Half-life and prior under which the degrees foretell each next event best (greatest mean log likelihood), among a grid;
/// everything else as in `config`.
pub fn fit(config: &InterestsConfig, histories: &[&[Past]], shares: &[f64]) -> InterestsConfig {
    let mut best = (f64::NEG_INFINITY, config.clone());
    for half_life_days in [1.0, 3.0, 7.0, 14.0, 30.0, 90.0, 365.0, 3650.0] {
        for prior in [0.3, 1.0, 3.0, 10.0, 30.0] {
            let candidate = InterestsConfig { half_life_days, prior, ..config.clone() };
            let likelihood = log_likelihood(&candidate, histories, shares);
            if likelihood > best.0 {
                best = (likelihood, candidate);
            }
        }
    }
    best.1
}

/// Mean log of the degree that each next event's category had just before it.
pub fn log_likelihood(config: &InterestsConfig, histories: &[&[Past]], shares: &[f64]) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    foretell(config, histories, |interests, category, at| {
        let share = shares.get(category.0 as usize).copied().unwrap_or(0.0);
        sum += interests.degree(config, category, share, at).0.max(1e-12).ln();
        n += 1.0;
    });
    if n > 0.0 { sum / n } else { f64::NEG_INFINITY }
}

/// Calls `tell` before each event but the first of each shopper, with what was known until then.
fn foretell(config: &InterestsConfig, histories: &[&[Past]], mut tell: impl FnMut(&Interests, CategoryId, i64)) {
    for history in histories {
        let mut interests = Interests::default();
        for (place, (category, kind, at)) in history.iter().enumerate() {
            if place > 0 {
                tell(&interests, *category, *at);
            }
            interests.observe(config, *category, *kind, *at);
        }
    }
}

/// Do degrees come true? Tenths by degree: what was foretold on average, how often it came, how many degrees.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reliability {
    /// Per tenth: mean degree, share of these categories that the next event was of, number of degrees.
    pub bins: Vec<(f64, f64, u64)>,
    /// Mean distance of both, weighted by number: expected calibration error.
    pub error: f64,
    /// Mean squared error over all categories (Brier).
    pub brier: f64,
    /// The same for the shop's own shares, foretold to everybody.
    pub brier_of_shares: f64,
}

/// Measures the degrees against each next event in `histories`.
pub fn reliability(config: &InterestsConfig, histories: &[&[Past]], shares: &[f64]) -> Reliability {
    let mut bins = vec![(0.0, 0.0, 0u64); 10];
    let (mut squares, mut squares_of_shares, mut events) = (0.0, 0.0, 0.0);
    foretell(config, histories, |interests, next, at| {
        events += 1.0;
        for (k, &share) in shares.iter().enumerate() {
            let category = CategoryId(k as u32);
            let degree = interests.degree(config, category, share, at).0;
            let came = f64::from(u8::from(category == next));
            let bin = &mut bins[((degree * 10.0) as usize).min(9)];
            *bin = (bin.0 + degree, bin.1 + came, bin.2 + 1);
            squares += (degree - came).powi(2);
            squares_of_shares += (share - came).powi(2);
        }
    });
    let events = f64::max(events, 1.0);
    let all = bins.iter().map(|b| b.2).sum::<u64>().max(1) as f64;
    let error = bins.iter().map(|b| (b.0 - b.1).abs()).sum::<f64>() / all;
    for bin in &mut bins {
        let n = bin.2.max(1) as f64;
        *bin = (bin.0 / n, bin.1 / n, bin.2);
    }
    Reliability { bins, error, brier: squares / events, brier_of_shares: squares_of_shares / events }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

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
        let shares = [0.5, 0.3, 0.2];
        for interests in [Interests::default(), seen(&[(0, 90), (2, 95), (2, 100)])] {
            let sum: f64 = interests.degrees(&config(), &shares, NOW, 9).iter().map(|d| d.degree).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }
        let stranger = Interests::default().degrees(&config(), &shares, NOW, 9);
        assert_eq!(stranger.iter().map(|d| d.degree).collect::<Vec<_>>(), shares);
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
            let degrees = seen(&vec![(1, 100); n]).degrees(&config(), &[0.5, 0.5], NOW, 1);
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
    fn degrees_come_true_where_shoppers_are_as_assumed_and_fitting_finds_the_better_settings() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        // An urn after Polya: tastes have a Dirichlet distribution around the shop's shares, and do not drift.
        let mut history = |_: u32| -> Vec<Past> {
            let mut urn = [0.8f64, 0.6, 0.4, 0.2];
            let mut of = || {
                let mut left = rng.random::<f64>() * urn.iter().sum::<f64>();
                let drawn = urn.iter().position(|n| {
                    left -= n;
                    left <= 0.0
                });
                let k = drawn.unwrap_or(3);
                urn[k] += 1.0;
                k as u32
            };
            (0..40).map(|day| (CategoryId(of()), EventKind::View, day * 86_400)).collect()
        };
        let histories: Vec<Vec<Past>> = (0..150).map(&mut history).collect();
        let histories: Vec<&[Past]> = histories.iter().map(Vec::as_slice).collect();
        let shares = shares(histories.iter().copied(), 4);
        let fitted = fit(&config(), &histories, &shares);
        assert!(fitted.half_life_days >= 90.0, "tastes do not drift here: {fitted:?}");
        let measured = reliability(&fitted, &histories, &shares);
        assert!(measured.error < 0.02, "{measured:?}");
        assert!(measured.brier < 0.8 * measured.brier_of_shares, "{measured:?}");
        let hasty = InterestsConfig { half_life_days: 0.5, prior: 0.1, ..config() };
        assert!(reliability(&hasty, &histories, &shares).error > 3.0 * measured.error);
    }
}
