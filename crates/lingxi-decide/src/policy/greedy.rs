//! The best eligible candidate, always. Its log teaches nothing about what was not shown.

use super::Distribution;

/// Takes the best eligible candidate with probability 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Greedy;

impl Distribution for Greedy {
    fn version(&self) -> String {
        "greedy/1".into()
    }

    fn probabilities(&self, scores: &[f32]) -> Vec<f64> {
        let mut out = vec![0.0; scores.len()];
        out[0] = 1.0;
        out
    }
}
