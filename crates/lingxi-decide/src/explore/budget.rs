//! Places for something new: some places of a slate are for interests that the shopper has not shown yet.
//!
//! In such a place an eligible candidate i with novelty v_i is drawn with P(i) = e v_i / sum v + (1 - e) P_policy(i), where e
//! is how much may be explored. So what opens an interest and what the policy says are one distribution, and the propensity
//! stays exact. Where no eligible candidate has any novelty the place is the policy's.

use lingxi_data::Scored;
use serde::{Deserialize, Serialize};

/// How many places of a slate may open a new interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetConfig {
    /// Places of a slate, spread evenly and the last one among them; 0: off.
    pub places: usize,
}

/// The same, asked place by place.
pub(super) type Budget = BudgetConfig;

impl BudgetConfig {
    /// Whether place `at` of `n` is one of those.
    pub fn covers(&self, at: usize, n: usize) -> bool {
        let upto = |places: usize| places * self.places.min(n) / n.max(1);
        upto(at + 1) > upto(at)
    }

    /// Mixes what opens an interest into the policy's `probabilities` of the eligible candidates.
    pub(super) fn mix(
        &self,
        scored: &Scored,
        eligible: &[usize],
        at: usize,
        n: usize,
        explore: f64,
        probabilities: &mut [f64],
    ) {
        if scored.novelty.is_empty() || explore == 0.0 || !self.covers(at, n) {
            return;
        }
        let novelty =
            |i: usize| scored.novelty.get(i).copied().filter(|v| v.is_finite()).map_or(0.0, |v| f64::from(v.max(0.0)));
        let sum: f64 = eligible.iter().map(|&i| novelty(i)).sum();
        if sum > 0.0 {
            for (p, &i) in probabilities.iter_mut().zip(eligible) {
                *p = explore * novelty(i) / sum + (1.0 - explore) * *p;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_are_as_many_as_asked_and_the_last_is_one() {
        for (places, n, expected) in [(0, 10, vec![]), (2, 10, vec![4, 9]), (3, 10, vec![3, 6, 9]), (9, 2, vec![0, 1])]
        {
            let got: Vec<usize> = (0..n).filter(|&at| BudgetConfig { places }.covers(at, n)).collect();
            assert_eq!(got, expected, "{places} of {n}");
        }
    }
}
