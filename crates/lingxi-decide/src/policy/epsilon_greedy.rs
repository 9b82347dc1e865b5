//! Mostly the best eligible candidate, sometimes any of them: P(i) = (1 - e) [i is best] + e / |eligible|.

use super::Distribution;
use crate::{DecideError, Result};

/// Explores uniformly over the eligible candidates with probability `epsilon`, independently in each place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpsilonGreedy {
    epsilon: f64,
}

impl EpsilonGreedy {
    /// `epsilon` in [0, 1].
    ///
    /// # Errors
    /// [`DecideError::Config`] outside that range.
    pub fn new(epsilon: f64) -> Result<EpsilonGreedy> {
        if !(0.0..=1.0).contains(&epsilon) {
            return Err(DecideError::Config { what: "epsilon", expected: "0 to 1", got: epsilon.to_string() });
        }
        Ok(EpsilonGreedy { epsilon })
    }
}

impl Distribution for EpsilonGreedy {
    fn version(&self) -> String {
        format!("epsilon-greedy({})/1", self.epsilon)
    }

    fn probabilities(&self, scores: &[f32]) -> Vec<f64> {
        let mut out = vec![self.epsilon / scores.len() as f64; scores.len()];
        out[0] += 1.0 - self.epsilon;
        out
    }
}
