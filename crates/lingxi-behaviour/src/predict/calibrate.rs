//! Numbers that rank well -> probabilities that come true.
//!
//! Platt's way is a logistic regression on the logit alone (Platt 1999, with his softened answers); the isotonic way is the rising
//! step function nearest to the answers, found by pooling neighbours that are out of order (PAV, Ayer et al. 1955). Both are tried on
//! validation rows by five folds, so that a way is judged by rows that it did not see; the smallest log-loss wins, and no
//! calibration at all may win too. The isotonic way needs many answers, Platt's can only tilt and shift.

use lingxi_train::logistic::{Logistic, log_loss, sigmoid};
use serde::{Deserialize, Serialize};

const FOLDS: usize = 5;
/// The inverse of the ridge of Platt's two numbers: next to none.
const STRENGTH: f64 = 1e4;

/// A rising function of a logit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Calibration {
    /// The probability that the logit says.
    Plain,
    /// `sigmoid(slope logit + shift)`.
    Platt {
        /// What the logit is multiplied by; not negative.
        slope: f64,
        /// What is added.
        shift: f64,
    },
    /// Pairs of logit and probability, both rising, with lines between.
    Isotonic(Vec<(f64, f64)>),
}

/// From logits and what came true to a calibration.
type Way = fn(&[f64], &[bool]) -> Calibration;

impl Calibration {
    /// The way with the smallest log-loss over five folds, fitted on all rows, with that log-loss and the logit of each row as
    /// calibrated by the folds that did not hold it.
    pub fn choose(logits: &[f64], came: &[bool]) -> (Calibration, f64, Vec<f64>) {
        let ways: [Way; 3] = [|_, _| Calibration::Plain, Calibration::platt, Calibration::isotonic];
        let judge = |way: Way| {
            let held = across_folds(way, logits, came);
            (way, mean_loss(&held, came), held)
        };
        let best = ways.map(judge).into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("there are three ways");
        (best.0(logits, came), best.1, best.2)
    }

    /// Platt's way.
    pub fn platt(logits: &[f64], came: &[bool]) -> Calibration {
        let yes = came.iter().filter(|came| **came).count() as f64;
        let (high, low) = ((yes + 1.0) / (yes + 2.0), 1.0 / (came.len() as f64 - yes + 2.0));
        let softened: Vec<f64> = came.iter().map(|came| if *came { high } else { low }).collect();
        match Logistic::fit(logits, 1, &softened, STRENGTH) {
            // A model that ranks the wrong way round is worth no more than its rate.
            Ok(found) if found.weights[0] >= 0.0 => {
                Calibration::Platt { slope: found.weights[0], shift: found.intercept }
            }
            _ => Calibration::Platt { slope: 0.0, shift: ((yes + 0.5) / (came.len() as f64 - yes + 0.5)).ln() },
        }
    }

    /// The isotonic way; no probability is nearer to 0 or 1 than the number of rows allows.
    pub fn isotonic(logits: &[f64], came: &[bool]) -> Calibration {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|a, b| logits[*a].total_cmp(&logits[*b]));
        let mut blocks: Vec<Block> = Vec::new();
        for equal in order.chunk_by(|a, b| logits[*a] == logits[*b]) {
            let yes = equal.iter().filter(|at| came[**at]).count() as f64;
            let mut block = Block { sum: logits[equal[0]] * equal.len() as f64, yes, n: equal.len() as f64 };
            while let Some(last) = blocks.pop_if(|last| last.rate() >= block.rate()) {
                block = Block { sum: last.sum + block.sum, yes: last.yes + block.yes, n: last.n + block.n };
            }
            blocks.push(block);
        }
        let least = 0.5 / (logits.len() as f64 + 1.0);
        let knot = |block: &Block| (block.sum / block.n, block.rate().clamp(least, 1.0 - least));
        Calibration::Isotonic(blocks.iter().map(knot).collect())
    }

    /// The probability of a logit.
    pub fn probability(&self, logit: f64) -> f64 {
        match self {
            Calibration::Plain => sigmoid(logit),
            Calibration::Platt { slope, shift } => sigmoid(slope * logit + shift),
            Calibration::Isotonic(knots) => between(knots, logit),
        }
    }

    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Calibration::Plain => "plain",
            Calibration::Platt { .. } => "platt",
            Calibration::Isotonic(_) => "isotonic",
        }
    }
}

/// Neighbours that share one probability.
#[derive(Clone, Copy)]
struct Block {
    sum: f64,
    yes: f64,
    n: f64,
}

impl Block {
    fn rate(&self) -> f64 {
        self.yes / self.n
    }
}

fn between(knots: &[(f64, f64)], x: f64) -> f64 {
    let after = knots.partition_point(|(at, _)| *at <= x);
    match (after.checked_sub(1).map(|before| knots[before]), knots.get(after)) {
        (Some((from, low)), Some(&(to, high))) => low + (high - low) * ((x - from) / (to - from)).clamp(0.0, 1.0),
        (Some((_, end)), None) | (None, Some(&(_, end))) => end,
        (None, None) => 0.5,
    }
}

fn mean_loss(logits: &[f64], came: &[bool]) -> f64 {
    let losses = logits.iter().zip(came).map(|(z, came)| log_loss(*z, f64::from(u8::from(*came))));
    losses.sum::<f64>() / came.len().max(1) as f64
}

/// Each row's logit as calibrated by the way fitted on the folds that do not hold it.
fn across_folds(way: Way, logits: &[f64], came: &[bool]) -> Vec<f64> {
    let mut held = vec![0.0; logits.len()];
    for fold in 0..FOLDS.min(logits.len()) {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        (0..logits.len()).filter(|i| i % FOLDS != fold).for_each(|i| {
            x.push(logits[i]);
            y.push(came[i]);
        });
        let fitted = way(&x, &y);
        for i in (fold..logits.len()).step_by(FOLDS) {
            held[i] = logit(fitted.probability(logits[i]));
        }
    }
    held
}

/// The logit of a probability, kept finite.
pub(crate) fn logit(probability: f64) -> f64 {
    let p = probability.clamp(1e-9, 1.0 - 1e-9);
    (p / (1.0 - p)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn drawn(n: usize, truth: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<bool>) {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let one = |_| {
            let x = rng.random_range(-4.0..2.0);
            (x, rng.random::<f64>() < truth(x))
        };
        (0..n).map(one).unzip()
    }

    #[test]
    fn pooled_neighbours_rise_and_are_the_means_of_their_blocks() {
        let logits = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let came = [false, false, true, false, false, true, true, true];
        let Calibration::Isotonic(knots) = Calibration::isotonic(&logits, &came) else { panic!("isotonic") };
        assert_eq!(knots.len(), 3, "{knots:?}");
        assert!((knots[1].0 - 3.0).abs() < 1e-12 && (knots[1].1 - 1.0 / 3.0).abs() < 1e-12, "{knots:?}");
        assert!(knots.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
        assert!(knots[0].1 > 0.0 && knots[2].1 < 1.0, "a few rows never prove that something is sure");
    }

    #[test]
    fn a_boast_is_tilted_back_by_platt_and_a_step_is_seen_by_the_isotonic_way() {
        let (logits, came) = drawn(3000, |x| sigmoid(x / 3.0 - 1.0));
        let (way, loss, _) = Calibration::choose(&logits, &came);
        let Calibration::Platt { slope, shift } = way else { panic!("{way:?}") };
        assert!((slope - 1.0 / 3.0).abs() < 0.07 && (shift + 1.0).abs() < 0.12, "{slope} {shift}");
        assert!(loss < mean_loss(&logits, &came));
        let (logits, came) = drawn(6000, |x| if x < -1.0 { 0.05 } else { 0.6 });
        assert_eq!(Calibration::choose(&logits, &came).0.name(), "isotonic");
    }

    #[test]
    fn what_is_true_already_stays_and_few_answers_cannot_bend_it_far() {
        let (logits, came) = drawn(400, sigmoid);
        let (way, ..) = Calibration::choose(&logits, &came);
        assert_ne!(way.name(), "isotonic");
        assert!((way.probability(-1.0) - sigmoid(-1.0)).abs() < 0.06);
        let wrong: Vec<f64> = logits.iter().map(|x| -x).collect();
        let (way, ..) = Calibration::choose(&wrong, &came);
        assert!(way.probability(3.0) >= way.probability(-3.0), "probabilities never fall as the logit rises");
    }
}
