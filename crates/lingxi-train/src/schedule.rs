//! How large is a step at each time? A share of the learning rate: rising over the warm-up, then staying or falling to zero.

use serde::{Deserialize, Serialize};

/// What follows the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The whole rate to the end.
    #[default]
    Constant,
    /// Straight down to zero.
    Linear,
    /// Half a cosine down to zero: slow, fast, slow.
    Cosine,
}

impl Schedule {
    /// The share of the rate at `step` (from 1) of `steps`, the first `warm_up` of which rise.
    pub fn share(self, step: u64, warm_up: u64, steps: u64) -> f32 {
        if step <= warm_up {
            return step as f32 / warm_up as f32;
        }
        // The last step is still worth taking, so zero would come one after it.
        let done = (step - warm_up) as f64 / (steps.saturating_sub(warm_up) + 1) as f64;
        match self {
            Schedule::Constant => 1.0,
            Schedule::Linear => (1.0 - done).max(0.0) as f32,
            Schedule::Cosine => (0.5 + 0.5 * (std::f64::consts::PI * done.min(1.0)).cos()) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_over_the_warm_up_and_falls_to_the_end() {
        let of = |schedule: Schedule| [1, 4, 5, 9, 13].map(|step| schedule.share(step, 4, 13));
        assert_eq!(of(Schedule::Constant), [0.25, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(of(Schedule::Linear), [0.25, 1.0, 0.9, 0.5, 0.1]);
        let cosine = of(Schedule::Cosine);
        assert!(cosine[2] > 0.9 && (cosine[3] - 0.5).abs() < 1e-6 && cosine[4] > 0.0 && cosine[4] < 0.1, "{cosine:?}");
    }
}
