//! The policy as a recipe names it.

use super::{EpsilonGreedy, Greedy, PlaceByPlace, Softmax};
use crate::Result;
use lingxi_data::Policy;
use serde::{Deserialize, Serialize};

/// Written in a recipe as `policy = { kind = "epsilon-greedy", epsilon = 0.05 }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum PolicyConfig {
    /// No exploration.
    Greedy {},
    /// Uniform exploration with a fixed probability in each place.
    EpsilonGreedy {
        /// Probability of exploring, 0 to 1.
        epsilon: f64,
    },
    /// Plackett-Luce sampling.
    Softmax {
        /// In units of the score; towards 0 it becomes greedy.
        temperature: f64,
    },
}

impl PolicyConfig {
    /// The policy itself.
    ///
    /// # Errors
    /// [`DecideError::Config`](crate::DecideError::Config) names a parameter outside its range.
    pub fn build(&self) -> Result<Box<dyn Policy>> {
        Ok(match *self {
            PolicyConfig::Greedy {} => Box::new(PlaceByPlace(Greedy)),
            PolicyConfig::EpsilonGreedy { epsilon } => Box::new(PlaceByPlace(EpsilonGreedy::new(epsilon)?)),
            PolicyConfig::Softmax { temperature } => Box::new(PlaceByPlace(Softmax::new(temperature)?)),
        })
    }
}
