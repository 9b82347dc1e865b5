//! AdamW (arXiv 1711.05101): adaptive steps with weight decay apart from the gradient, and clipping by global norm.
//!
//! With `g` the gradient, scaled down to norm `clip` if it is longer, at step `t`:
//! `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`,
//! `w = w - lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay w)`.
//! Memory: two numbers a parameter.

use lingxi_kernels::descent::{Descent, adamw, length};
use serde::{Deserialize, Serialize};

/// Hyper-parameters of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Step size; default 1e-3.
    pub learning_rate: f32,
    /// Decay of the mean of gradients; default 0.9.
    pub beta1: f32,
    /// Decay of the mean of squared gradients; default 0.999.
    pub beta2: f32,
    /// Keeps the division finite; default 1e-8.
    pub epsilon: f32,
    /// Weight decay; default 0.01.
    pub decay: f32,
    /// Gradients longer than this (Euclidean norm over all parameters) are scaled down to it; default none.
    pub clip: Option<f32>,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        AdamWConfig { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.01, clip: None }
    }
}

/// The optimiser's state for one flat slice of parameters.
#[derive(Clone, Debug)]
pub struct AdamW {
    config: AdamWConfig,
    mean: Vec<f32>,
    square: Vec<f32>,
    steps: i32,
}

impl AdamW {
    /// What a checkpoint needs besides the parameters: means, means of squares, and the steps taken.
    pub fn state(&self) -> (&[f32], &[f32], u64) {
        (&self.mean, &self.square, self.steps as u64)
    }

    /// The state of a checkpoint.
    ///
    /// # Panics
    /// If the columns differ in length.
    pub fn restore(config: AdamWConfig, mean: Vec<f32>, square: Vec<f32>, steps: u64) -> AdamW {
        assert_eq!(mean.len(), square.len(), "AdamW: the columns of a state differ in length");
        AdamW { config, mean, square, steps: steps as i32 }
    }

    /// State for `n` parameters, before the first step.
    pub fn new(config: AdamWConfig, n: usize) -> AdamW {
        AdamW { config, mean: vec![0.0; n], square: vec![0.0; n], steps: 0 }
    }

    /// Takes one step; `rate` multiplies the step size (a schedule: 1 without one). Returns the norm of the gradient before
    /// clipping.
    ///
    /// # Panics
    /// If the lengths differ from that of the state.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f32) -> f32 {
        assert_eq!(parameters.len(), self.mean.len(), "AdamW: parameters are not those of the state");
        assert_eq!(gradient.len(), self.mean.len(), "AdamW: gradient is not of the parameters");
        let c = self.config;
        self.steps += 1;
        let norm = length(gradient);
        let scale = match c.clip {
            Some(clip) if norm > clip => clip / norm,
            _ => 1.0,
        };
        let descent = Descent {
            scale,
            beta: [c.beta1, c.beta2],
            bias: [c.beta1, c.beta2].map(|beta| 1.0 - beta.powi(self.steps)),
            rate: rate * c.learning_rate,
            epsilon: c.epsilon,
            decay: c.decay,
        };
        adamw(parameters, gradient, &mut self.mean, &mut self.square, descent);
        norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_are_those_of_the_paper() {
        let config = AdamWConfig { learning_rate: 0.1, decay: 0.5, ..Default::default() };
        let (mut optimiser, mut w) = (AdamW::new(config, 1), [1.0f32]);
        optimiser.step(&mut w, &[2.0], 1.0);
        // The first corrected step has length one: 1 - 0.1 * (1 + 0.5 * 1).
        assert!((w[0] - 0.85).abs() < 1e-6, "{w:?}");
        optimiser.step(&mut w, &[-1.0], 1.0);
        // m = 0.9 * 0.2 - 0.1 = 0.08, / 0.19; v = 0.999 * 0.004 + 0.001 = 0.004996, / 0.001999.
        let expected = 0.85 - 0.1 * (0.08 / 0.19 / (0.004996f32 / 0.001999).sqrt() + 0.5 * 0.85);
        assert!((w[0] - expected).abs() < 1e-5, "expected {expected}, got {w:?}");
    }

    #[test]
    fn a_long_gradient_is_cut_to_the_clipping_norm_and_its_own_norm_is_reported() {
        let config = AdamWConfig { decay: 0.0, clip: Some(1.0), ..Default::default() };
        let (mut cut, mut whole) = (AdamW::new(config, 2), AdamW::new(config, 2));
        let (mut a, mut b) = ([0.0f32; 2], [0.0f32; 2]);
        assert_eq!(cut.step(&mut a, &[30.0, 40.0], 1.0), 50.0);
        whole.step(&mut b, &[0.6, 0.8], 1.0);
        for (a, b) in a.iter().zip(b).chain(cut.mean.iter().zip(whole.mean)) {
            assert!((a - b).abs() < 1e-7, "{a} and {b}");
        }
    }

    #[test]
    fn a_bowl_is_descended() {
        let mut optimiser = AdamW::new(AdamWConfig { learning_rate: 0.05, decay: 0.0, ..Default::default() }, 2);
        let mut w = [3.0f32, -2.0];
        for _ in 0..500 {
            let gradient = [2.0 * (w[0] - 1.0), 8.0 * (w[1] - 0.5)];
            optimiser.step(&mut w, &gradient, 1.0);
        }
        assert!((w[0] - 1.0).abs() < 1e-2 && (w[1] - 0.5).abs() < 1e-2, "{w:?}");
    }
}
