//! The policy as a recipe names it.

use super::{Explorer, LinUcbConfig, NeuralThompsonConfig, SquareCbConfig, ThompsonConfig, UcbConfig};
use crate::{DecideError, Result};
use serde::{Deserialize, Serialize};

/// Written in a recipe as `policy = { kind = "epsilon-greedy", epsilon = 0.05 }`. What is left out of a learning policy has
/// a default.
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
    /// Optimism over goods.
    Ucb(UcbConfig),
    /// Optimism over features.
    LinUcb(LinUcbConfig),
    /// Linear Thompson sampling.
    Thompson(ThompsonConfig),
    /// Thompson sampling on what a small network makes of the features.
    NeuralThompson(NeuralThompsonConfig),
    /// Draws by the gap to the best.
    SquareCb(SquareCbConfig),
}

impl PolicyConfig {
    /// The policy itself, before its first lesson.
    ///
    /// # Errors
    /// [`DecideError::Config`] names a parameter outside its range.
    pub fn build(&self) -> Result<Explorer> {
        Explorer::new(self)
    }

    /// Whether it learns from what comes of its slots, and therefore needs features and a learner.
    pub fn learns(&self) -> bool {
        !matches!(self, PolicyConfig::Greedy {} | PolicyConfig::EpsilonGreedy { .. } | PolicyConfig::Softmax { .. })
    }
}

pub(super) fn share(what: &'static str, value: f64) -> Result<()> {
    let fits = (0.0..=1.0).contains(&value);
    if fits { Ok(()) } else { Err(DecideError::Config { what, expected: "0 to 1", got: value.to_string() }) }
}

pub(super) fn at_least_zero(what: &'static str, value: f64) -> Result<()> {
    let fits = value >= 0.0 && value.is_finite();
    let refuse = || DecideError::Config { what, expected: "a number from 0 up", got: value.to_string() };
    if fits { Ok(()) } else { Err(refuse()) }
}

pub(super) fn half_life(value: Option<f64>) -> Result<()> {
    match value {
        Some(h) if !(h >= 1.0 && h.is_finite()) => {
            Err(DecideError::Config { what: "half_life", expected: "at least 1 lesson", got: h.to_string() })
        }
        _ => Ok(()),
    }
}
