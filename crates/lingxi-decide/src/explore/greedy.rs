//! The best eligible candidate, always. Its log teaches nothing about what was not shown.

use super::{Distribution, Place, peaked};
use serde::{Deserialize, Serialize};

/// Takes the best eligible candidate with probability 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Greedy;

impl Distribution for Greedy {
    fn version(&self) -> String {
        "greedy/1".into()
    }

    fn probabilities(&self, place: &Place<'_>) -> Vec<f64> {
        peaked(0, place.candidates.len(), 0.0)
    }
}
