//! Can this log answer for that policy at all?
//!
//! Importance weights come in; out go the effective sample size of Kish, (sum w)^2 / sum w^2, what the evaluation
//! policy wants and the log never shows, and, where either is beyond its bar, a refusal in words instead of a number.

use super::rounds::{Grid, Rounds};
use super::terms::{mean, variance};
use serde::{Deserialize, Serialize};

/// How well the log covers the evaluation policy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlap {
    /// Logged rounds (or slates).
    pub rounds: usize,
    /// Effective sample size: so many rounds of the evaluation policy itself would tell as much.
    pub effective: f64,
    /// Largest importance weight.
    pub largest_weight: f64,
    /// Mean importance weight; 1 where propensities are right and nothing is missing.
    pub mean_weight: f64,
    /// Standard error of the mean weight.
    pub mean_weight_error: f64,
    /// Chance that the evaluation policy shows what the log never shows in that position.
    pub unseen: f64,
}

/// From where on a log is refused.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bars {
    /// Effective rounds that there must be.
    pub effective: f64,
    /// Chance of the unseen that there may be; also how far below 1 the mean weight may surely be.
    pub unseen: f64,
}

impl Default for Bars {
    fn default() -> Self {
        Bars { effective: 50.0, unseen: 0.1 }
    }
}

impl Overlap {
    /// Of weights alone.
    pub fn of_weights(weights: &[f64]) -> Overlap {
        let (sum, squares) = weights.iter().fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
        let n = weights.len();
        Overlap {
            rounds: n,
            effective: if squares > 0.0 { sum * sum / squares } else { 0.0 },
            largest_weight: weights.iter().copied().fold(0.0, f64::max),
            mean_weight: mean(weights),
            mean_weight_error: (variance(weights) / (n as f64 - 1.0).max(1.0)).sqrt(),
            unseen: 0.0,
        }
    }

    /// Of weights, and of what the log never shows.
    pub fn of(rounds: &Rounds, chances: &Grid, weights: &[f64]) -> Overlap {
        let mut seen = vec![false; rounds.n_actions * rounds.n_positions];
        let cell = |position: u32, action: usize| position as usize * rounds.n_actions + action;
        for (action, position) in rounds.action.iter().zip(&rounds.position) {
            seen[cell(*position, *action as usize)] = true;
        }
        let unseen = |(i, position): (usize, &u32)| -> f64 {
            let row = chances.row(i).iter().enumerate();
            row.filter(|(action, _)| !seen[cell(*position, *action)]).map(|(_, chance)| chance).sum()
        };
        let total: f64 = rounds.position.iter().enumerate().map(unseen).sum();
        Overlap { unseen: total / rounds.len().max(1) as f64, ..Overlap::of_weights(weights) }
    }

    /// Why the log cannot answer, if it cannot.
    pub fn refusal(&self, bars: &Bars) -> Option<String> {
        if self.unseen > bars.unseen {
            return Some(format!(
                "the log cannot answer for this policy: with a chance of {:.0}% it shows what the log never shows in that \
                 place (bar {:.0}%); log with more exploration, or evaluate a policy that stays within what was shown",
                100.0 * self.unseen,
                100.0 * bars.unseen
            ));
        }
        if self.effective < bars.effective {
            return Some(format!(
                "the log cannot answer for this policy: its {} rounds tell as much as {:.0} would (bar {:.0}), so seldom do \
                 the two policies agree; log more or with more exploration, or evaluate a policy nearer to the logged one",
                self.rounds, self.effective, bars.effective
            ));
        }
        let surely_below = self.mean_weight + 4.0 * self.mean_weight_error;
        if surely_below < 1.0 - bars.unseen {
            return Some(format!(
                "the log cannot answer for this policy: the mean weight is {:.2} (±{:.2}) where it should be 1, so part of \
                 what the policy does is never logged, or the logged propensities are not those that chose",
                self.mean_weight, self.mean_weight_error
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(weights: &[f64], unseen: f64, expected: Option<&str>) {
        let overlap = Overlap { unseen, ..Overlap::of_weights(weights) };
        let refusal = overlap.refusal(&Bars::default());
        match expected {
            Some(words) => assert!(refusal.as_ref().is_some_and(|text| text.contains(words)), "{refusal:?}"),
            None => assert_eq!(refusal, None),
        }
    }

    #[test]
    fn equal_weights_count_every_round() {
        let overlap = Overlap::of_weights(&[1.0; 200]);
        assert_eq!((overlap.effective, overlap.mean_weight, overlap.largest_weight), (200.0, 1.0, 1.0));
        check(&[1.0; 200], 0.0, None);
    }

    #[test]
    fn a_log_that_cannot_answer_is_refused_in_words() {
        let mut rare = vec![0.0; 1000];
        rare[..5].fill(200.0);
        check(&rare, 0.0, Some("as much as 5 would (bar 50)"));
        check(&[1.0; 200], 0.3, Some("30% it shows what the log never shows"));
        check(&[0.5; 200], 0.0, Some("mean weight is 0.50"));
        check(&[], 0.0, Some("0 rounds"));
    }
}
