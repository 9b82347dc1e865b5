//! Better candidates more often: P(i) is proportional to exp(score / temperature). Drawn place by place without
//! replacement this is the Plackett-Luce model (Luce 1959; Plackett 1975), and the conditional propensities are exact.

use super::{Distribution, Place, peaked};
use crate::{DecideError, Result};
use serde::{Deserialize, Serialize};

/// Draws in proportion to `exp(score / temperature)` among the eligible candidates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Softmax {
    temperature: f64,
}

impl Softmax {
    /// `temperature` above 0, in units of the score.
    ///
    /// # Errors
    /// [`DecideError::Config`] if it is not a positive finite number.
    pub fn new(temperature: f64) -> Result<Softmax> {
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(DecideError::Config {
                what: "temperature",
                expected: "a positive number",
                got: temperature.to_string(),
            });
        }
        Ok(Softmax { temperature })
    }
}

impl Distribution for Softmax {
    fn version(&self) -> String {
        format!("softmax({})/1", self.temperature)
    }

    fn probabilities(&self, place: &Place<'_>) -> Vec<f64> {
        let temperature = self.temperature * place.explore;
        if temperature == 0.0 {
            return peaked(0, place.worth.len(), 0.0);
        }
        let best = f64::from(place.worth[0]);
        let mut out: Vec<f64> = place.worth.iter().map(|&s| weight(f64::from(s), best, temperature)).collect();
        let sum: f64 = out.iter().sum();
        out.iter_mut().for_each(|w| *w /= sum);
        out
    }
}

/// Relative to the best score, which has weight 1. A NaN gets nothing while any number is left, and an equal share once
/// none is; so do equal infinities.
fn weight(score: f64, best: f64, temperature: f64) -> f64 {
    match (best.is_nan(), score.is_nan()) {
        (true, _) => 1.0,
        (false, true) => 0.0,
        (false, false) if score == best => 1.0,
        (false, false) => ((score - best) / temperature).exp(),
    }
}
