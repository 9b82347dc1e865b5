//! Which of the allowed candidates takes the next place, and with what probability?
//!
//! Scored candidates and the rules come in; slots with exact propensities go out. All policies fill a slate place by
//! place without replacement: before each place the rules say which candidates are eligible, the policy gives each of
//! them a probability ([`Distribution`]), and one is drawn. The propensity in the log is the number that was drawn with.

mod config;
mod epsilon_greedy;
mod greedy;
mod softmax;

pub use config::PolicyConfig;
pub use epsilon_greedy::EpsilonGreedy;
pub use greedy::Greedy;
pub use softmax::Softmax;

use lingxi_data::{ItemId, Policy, Scored, Slot};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// What distinguishes one policy from another: the probability of each eligible candidate for the next place.
pub trait Distribution: Send + Sync {
    /// Name, parameters and version, as logged with every decision.
    fn version(&self) -> String;
    /// `scores`: of the eligible candidates, best first, never empty, NaN last. Returns one probability each, adding up to 1.
    fn probabilities(&self, scores: &[f32]) -> Vec<f64>;
}

/// The policy that draws each place of a slate from a [`Distribution`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlaceByPlace<D>(pub D);

impl<D: Distribution> Policy for PlaceByPlace<D> {
    fn version(&self) -> String {
        self.0.version()
    }

    fn choose(
        &self,
        scored: &Scored,
        n: usize,
        eligible: &dyn Fn(&[Slot], ItemId) -> bool,
        rng: &mut ChaCha8Rng,
    ) -> Vec<Slot> {
        let mut slots: Vec<Slot> = Vec::with_capacity(n.min(scored.items.len()));
        let mut left: Vec<usize> = best_first(&scored.scores);
        while slots.len() < n {
            let allowed: Vec<usize> = left.iter().copied().filter(|&i| eligible(&slots, scored.items[i])).collect();
            if allowed.is_empty() {
                break;
            }
            let scores: Vec<f32> = allowed.iter().map(|&i| scored.scores[i]).collect();
            let probabilities = self.0.probabilities(&scores);
            let place = draw(&probabilities, rng.random::<f64>());
            let chosen = allowed[place];
            slots.push(Slot {
                item: scored.items[chosen],
                score: scored.scores[chosen],
                // A probability below the smallest f32 is still a possible one, and the log divides by it.
                propensity: (probabilities[place] as f32).max(f32::MIN_POSITIVE),
                explored: place != 0,
            });
            left.retain(|&i| i != chosen);
        }
        slots
    }
}

/// Places of `scores` from best to worst, ties in their order, NaN last.
fn best_first(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| crate::decide::descending(scores[a], scores[b]));
    order
}

/// The place at which the running sum of `probabilities` passes `u` in [0, 1); rounding never ends on an impossible one.
fn draw(probabilities: &[f64], u: f64) -> usize {
    let mut sum = 0.0;
    let mut last = 0;
    for (place, &p) in probabilities.iter().enumerate() {
        if p > 0.0 {
            last = place;
            sum += p;
            if u < sum {
                break;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_never_ends_on_an_impossible_place() {
        assert_eq!(draw(&[0.0, 1.0, 0.0], 0.0), 1);
        assert_eq!(draw(&[0.5, 0.5 - 1e-12, 0.0], 1.0 - 1e-16), 1);
        assert_eq!(draw(&[0.25, 0.75], 0.25), 1);
    }

    #[test]
    fn the_best_come_first_ties_keep_their_order_and_nan_is_last() {
        assert_eq!(best_first(&[f32::NAN, 1.0, 2.0, 1.0, f32::NEG_INFINITY]), [2, 1, 3, 4, 0]);
    }
}
