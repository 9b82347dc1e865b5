//! Who was shown how much, and who lags behind their share?
//!
//! Exposure of a place is 1 / log2(place + 2), as in DCG. With a key's faded share of exposure a and its due share t a candidate
//! is moved by strength times (t - a) / t, kept in [-1, 1]: the proportional controller of FairCo (Morik, Singh, Hong and
//! Joachims 2020, arXiv 2005.14713), which closes the gap as the shop serves. For sellers t is what the recipe says; for groups of
//! shoppers t is the category's share among all shoppers and a its share in the group (demographic parity of what is shown).

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// Slates after which an exposure counts half.
const HALF_LIFE: f64 = 20_000.0;
/// Exposure that a key is watched from: before, its share is noise.
const FIRST: f64 = 1.0;

/// Exposure of a place, counted from 0.
pub fn of_place(place: usize) -> f64 {
    1.0 / (place as f64 + 2.0).log2()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tally {
    weight: f64,
    at: u64,
}

/// Faded exposure per key: plain data, bounded by the number of keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    slates: u64,
    all: Tally,
    of: FxHashMap<u32, Tally>,
}

impl Shown {
    /// Joins one slate: the key of each place, `None` for goods without one.
    pub fn observe(&mut self, keys: impl IntoIterator<Item = Option<u32>>) {
        self.slates += 1;
        for (place, key) in keys.into_iter().enumerate() {
            let Some(key) = key else { continue };
            let (now, weight) = (self.slates, of_place(place));
            let joined = |tally: Tally| Tally { weight: faded(tally, now) + weight, at: now };
            self.all = joined(self.all);
            let of = self.of.entry(key).or_default();
            *of = joined(*of);
        }
    }

    /// Faded exposure of a key, and of all.
    pub fn exposure(&self, key: u32) -> (f64, f64) {
        (self.of.get(&key).map_or(0.0, |tally| faded(*tally, self.slates)), faded(self.all, self.slates))
    }

    /// Share of each of the keys below `n`.
    pub fn shares(&self, n: usize) -> Vec<f64> {
        let share = |key| {
            let (of, all) = self.exposure(key);
            if all > 0.0 { of / all } else { 0.0 }
        };
        (0..n as u32).map(share).collect()
    }
}

fn faded(tally: Tally, now: u64) -> f64 {
    tally.weight * 0.5f64.powf((now - tally.at) as f64 / HALF_LIFE)
}

/// What one group of shoppers, each seller and each category was shown so far; the app keeps one and joins every slate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exposure {
    /// By seller.
    pub sellers: Shown,
    /// By category, all shoppers.
    pub categories: Shown,
    /// By category, per group of shoppers.
    pub groups: FxHashMap<u32, Shown>,
}

/// How far a key lags behind its share, from -1 (has too much) to 1 (has nothing); `more` is what this slate gave it already,
/// and `more_of_all` what it gave to all.
pub(super) fn lag(shown: (f64, f64), more: f64, more_of_all: f64, due: f64) -> f32 {
    let all = shown.1 + more_of_all;
    if due <= 0.0 || all < FIRST {
        return 0.0;
    }
    (((due - (shown.0 + more) / all) / due).clamp(-1.0, 1.0)) as f32
}

/// Half the summed distance of two lists of shares: 0 the same, 1 nothing in common.
pub fn gap(shares: &[f64], due: &[f64]) -> f64 {
    shares.iter().zip(due).map(|(a, t)| (a - t).abs()).sum::<f64>() / 2.0
}

/// Greatest gap between what a group is shown and what all are, over `n` categories; 0 if there are no groups.
pub fn disparity(exposure: &Exposure, n: usize) -> f64 {
    let all = exposure.categories.shares(n);
    exposure.groups.values().map(|group| gap(&group.shares(n), &all)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_old_slates_fade() {
        let mut shown = Shown::default();
        shown.observe([Some(0), Some(1), None]);
        assert!((shown.shares(2).iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(shown.shares(2)[0] > shown.shares(2)[1], "the first place is seen more");
        (0..60_000).for_each(|_| shown.observe([Some(1)]));
        assert!(shown.exposure(0).0 < 0.2, "{:?}", shown.exposure(0));
    }

    #[test]
    fn who_has_nothing_is_pulled_up_and_who_has_too_much_down() {
        assert_eq!(lag((0.0, 10.0), 0.0, 0.0, 0.2), 1.0);
        assert_eq!(lag((10.0, 10.0), 0.0, 0.0, 0.2), -1.0);
        assert!(lag((2.0, 10.0), 0.0, 0.0, 0.2).abs() < 1e-6);
        assert!(lag((2.0, 10.0), 1.0, 1.0, 0.2) < 0.0, "what this slate gave counts too");
        assert_eq!(lag((0.0, 0.0), 0.0, 0.0, 0.2), 0.0, "nothing is known yet");
    }

    #[test]
    fn a_gap_is_none_between_equals_and_all_between_strangers() {
        assert_eq!(gap(&[0.5, 0.5], &[0.5, 0.5]), 0.0);
        assert_eq!(gap(&[1.0, 0.0], &[0.0, 1.0]), 1.0);
    }
}
