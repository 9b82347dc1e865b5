//! Mostly the best eligible candidate, sometimes any of them: P(i) = (1 - e) [i is best] + e / |eligible|.

use super::{Distribution, Place, peaked};
use crate::{DecideError, Result};
use serde::{Deserialize, Serialize};

/// Explores uniformly over the eligible candidates with probability `epsilon`, independently in each place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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

    fn probabilities(&self, place: &Place<'_>) -> Vec<f64> {
        peaked(0, place.candidates.len(), self.epsilon * place.explore)
    }
}
