//! Which of the allowed candidates takes the next place, and with what probability?
//!
//! Scored candidates and the shop's [`Terms`] come in; slots with exact propensities go out. All policies fill a slate place
//! by place without replacement: before each place the terms say which candidates are eligible and what moves them, the
//! policy gives each of them a probability ([`Distribution`]), and one is drawn. The propensity in the log is the number
//! that was drawn with.
//!
//! One file per policy, with paper and equations: [`greedy`], [`epsilon_greedy`], [`softmax`] and [`square_cb`] draw,
//! [`ucb`], [`lin_ucb`] are optimistic, [`thompson`] and [`neural`] sample from what they believe. What the last five know
//! is plain data: it can be saved, read back and replayed to the same bits. [`own`] is what single goods are worth beyond their
//! features. [`budget`] keeps places for interests that are new to the shopper, whatever the policy; [`features`] is what
//! learning policies see, [`drift`] watches what that brings; [`Explorer`] is the policy of a recipe with all that it learnt.

mod budget;
mod config;
mod drift;
mod epsilon_greedy;
mod explorer;
mod features;
mod greedy;
mod lin_ucb;
mod network;
mod neural;
mod own;
pub(crate) mod ridge;
mod softmax;
mod square_cb;
mod thompson;
mod ucb;

pub use budget::BudgetConfig;
pub use config::PolicyConfig;
pub use drift::{Change, Drift};
pub use epsilon_greedy::EpsilonGreedy;
pub use explorer::Explorer;
pub use features::{Facts, WIDTH, describe, popularity};
pub use greedy::Greedy;
pub use lin_ucb::{LinUcb, LinUcbConfig};
pub use network::Network;
pub use neural::{NeuralThompson, NeuralThompsonConfig};
pub use ridge::{Ridge, RidgeConfig};
pub use softmax::Softmax;
pub use square_cb::{SquareCb, SquareCbConfig};
pub use thompson::{Thompson, ThompsonConfig};
pub use ucb::{Ucb, UcbConfig};

use budget::Budget;
use lingxi_data::{ItemId, Lesson, Scored, Slot, Terms};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// What distinguishes one policy from another: what it believes of the candidates, and the probability of each eligible one
/// for the next place.
pub trait Distribution: Send + Sync {
    /// Name, parameters and version, as logged with every decision.
    fn version(&self) -> String;
    /// What it believes of the candidates; asked once per slate.
    fn beliefs(&self, scored: &Scored) -> Beliefs {
        Beliefs { worth: scored.scores.clone(), ..Beliefs::default() }
    }
    /// One probability for each eligible candidate, in their order, adding up to 1.
    fn probabilities(&self, place: &Place<'_>) -> Vec<f64>;
    /// Learns, in the order given. Policies that do not learn ignore it.
    fn learn(&mut self, _lessons: &[Lesson]) {}
    /// Whether what it learnt holds together; only a file from outside may not.
    fn is_whole(&self) -> bool {
        true
    }
    /// The goods that it knows by their ids; none for policies that only know features.
    fn goods(&self) -> Vec<ItemId> {
        Vec::new()
    }
    /// Gives these goods the ids of another catalogue; those without one are forgotten.
    fn rename(&mut self, _to: &dyn Fn(ItemId) -> Option<ItemId>) {}
}

/// What a policy believes of the candidates of one slate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beliefs {
    /// What each is expected to be worth.
    pub worth: Vec<f32>,
    /// What optimism adds to it; empty for policies without.
    pub bonus: Vec<f32>,
    /// Row-major `[draws, candidates]`: what each might be worth; empty for policies that do not sample.
    pub draws: Vec<f32>,
}

/// The next place, as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The eligible candidates, never empty: the best one first, the others in no order that counts.
    pub candidates: &'a [usize],
    /// What each of these is worth, moves included.
    pub worth: &'a [f32],
    /// What the terms add to each of these; empty: nothing.
    pub moved: &'a [f32],
    /// What the policy believes of all candidates.
    pub beliefs: &'a Beliefs,
    /// How much it may explore, 0 to 1.
    pub explore: f64,
}

impl<'a> Place<'a> {
    /// The place for candidates that only have a worth, best first.
    pub fn of(candidates: &'a [usize], beliefs: &'a Beliefs, explore: f64) -> Place<'a> {
        Place { candidates, worth: &beliefs.worth, moved: &[], beliefs, explore }
    }

    /// Which of the eligible candidates has the greatest worth with `extra`, the first of equals.
    fn best_with(&self, extra: impl Fn(usize) -> f32) -> usize {
        let mut best = 0;
        let mut most = f32::NAN;
        for (at, &candidate) in self.candidates.iter().enumerate() {
            let value = self.worth[at] + extra(candidate);
            if value > most || (most.is_nan() && !value.is_nan()) {
                (best, most) = (at, value);
            }
        }
        best
    }
}

/// Fills up to `n` places of a slate.
fn fill(
    policy: &dyn Distribution,
    budget: &Budget,
    scored: &Scored,
    n: usize,
    terms: &mut dyn Terms,
    rng: &mut ChaCha8Rng,
) -> Vec<Slot> {
    let beliefs = policy.beliefs(scored);
    let (spread, explore) = (spread(&beliefs.worth), terms.explore().clamp(0.0, 1.0));
    let mut slots: Vec<Slot> = Vec::with_capacity(n.min(scored.items.len()));
    let mut left: Vec<usize> = best_first(&beliefs.worth);
    while slots.len() < n {
        let mut allowed: Vec<usize> =
            left.iter().copied().filter(|&i| terms.eligible(&slots, scored.items[i])).collect();
        if allowed.is_empty() {
            break;
        }
        let moves = terms.moves();
        let moved_worth = |i: usize| beliefs.worth[i] + moves.get(i).map_or(0.0, |m| m * spread);
        if !moves.is_empty() {
            best_to_front(&mut allowed, moved_worth);
        }
        let worth: Vec<f32> = allowed.iter().map(|&i| moved_worth(i)).collect();
        let moved: Vec<f32> =
            if moves.is_empty() { Vec::new() } else { allowed.iter().map(|&i| moves[i] * spread).collect() };
        let place = Place { candidates: &allowed, worth: &worth, moved: &moved, beliefs: &beliefs, explore };
        let mut probabilities = policy.probabilities(&place);
        budget.mix(scored, &allowed, slots.len(), n, explore, &mut probabilities);
        let drawn = draw(&probabilities, rng.random::<f64>());
        let chosen = allowed[drawn];
        slots.push(Slot {
            item: scored.items[chosen],
            score: scored.scores[chosen],
            // A probability below the smallest f32 is still a possible one, and the log divides by it.
            propensity: (probabilities[drawn] as f32).clamp(f32::MIN_POSITIVE, 1.0),
            explored: drawn != 0,
        });
        terms.placed(chosen);
        left.retain(|&i| i != chosen);
    }
    slots
}

/// Brings the greatest to the front, the first of equals; the others keep their order.
fn best_to_front(candidates: &mut [usize], worth: impl Fn(usize) -> f32) {
    let greater = |best: (usize, f32), at: usize| {
        let value = worth(candidates[at]);
        if value > best.1 || (best.1.is_nan() && !value.is_nan()) { (at, value) } else { best }
    };
    let (best, _) = (0..candidates.len()).fold((0, f32::NAN), greater);
    candidates[..=best].rotate_right(1);
}

/// Standard deviation of the finite values; 1 where there is none, so that moves still order equals.
fn spread(values: &[f32]) -> f32 {
    let finite = || values.iter().filter(|v| v.is_finite()).map(|&v| f64::from(v));
    let n = finite().count().max(1) as f64;
    let mean = finite().sum::<f64>() / n;
    let deviation = (finite().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    if deviation > 0.0 { deviation as f32 } else { 1.0 }
}

/// Everything on one of `n`, but for a `floor` that is spread evenly over all.
fn peaked(at: usize, n: usize, floor: f64) -> Vec<f64> {
    let mut out = vec![floor / n as f64; n];
    out[at] += 1.0 - floor;
    out
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

    #[test]
    fn the_best_is_brought_to_the_front_whatever_is_no_number() {
        let worth = [1.0, f32::NAN, 3.0, 3.0, 2.0];
        let order = |mut candidates: Vec<usize>| {
            best_to_front(&mut candidates, |i| worth[i]);
            candidates
        };
        assert_eq!(order(vec![0, 1, 2, 3, 4]), [2, 0, 1, 3, 4]);
        assert_eq!(order(vec![1, 4]), [4, 1]);
        assert_eq!(order(vec![1]), [1]);
    }

    #[test]
    fn the_spread_looks_past_what_is_no_number() {
        assert_eq!(spread(&[1.0, 3.0, f32::NAN, f32::NEG_INFINITY]), 1.0);
        assert_eq!(spread(&[2.0, 2.0]), 1.0);
        assert_eq!(spread(&[]), 1.0);
    }
}
