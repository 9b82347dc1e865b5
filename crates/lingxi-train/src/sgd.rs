//! Descent along the gradient with momentum: steps that are as long as the gradient is, where [`crate::adamw`] makes all parameters
//! move alike.
//!
//! With `g` the gradient, scaled down to norm `clip` if it is longer: `v = momentum v + g + decay w`, `w = w - lr v`. Memory: one number a
//! parameter.

use lingxi_kernels::descent::{Descent, length, sgd};
use serde::{Deserialize, Serialize};

/// Hyper-parameters of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// Step size; default 1e-2.
    pub learning_rate: f32,
    /// Share of the last step that is taken again; default 0.9.
    pub momentum: f32,
    /// Weight decay; default 0.
    pub decay: f32,
    /// Gradients longer than this (Euclidean norm over all parameters) are scaled down to it; default none.
    pub clip: Option<f32>,
}

impl Default for SgdConfig {
    fn default() -> Self {
        SgdConfig { learning_rate: 1e-2, momentum: 0.9, decay: 0.0, clip: None }
    }
}

/// The state for one flat slice of parameters: the velocity.
#[derive(Clone, Debug)]
pub struct Sgd {
    config: SgdConfig,
    velocity: Vec<f32>,
}

impl Sgd {
    /// State for `n` parameters, before the first step.
    pub fn new(config: SgdConfig, n: usize) -> Sgd {
        Sgd::restore(config, vec![0.0; n])
    }

    /// The state of a checkpoint.
    pub fn restore(config: SgdConfig, velocity: Vec<f32>) -> Sgd {
        Sgd { config, velocity }
    }

    /// What a checkpoint needs besides the parameters.
    pub fn velocity(&self) -> &[f32] {
        &self.velocity
    }

    /// Takes one step; `rate` multiplies the step size. Returns the norm of the gradient before clipping.
    ///
    /// # Panics
    /// If the lengths differ from that of the state.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f32) -> f32 {
        let (c, norm) = (self.config, length(gradient));
        let scale = c.clip.filter(|clip| norm > *clip).map_or(1.0, |clip| clip / norm);
        let rate = rate * c.learning_rate;
        let step = Descent { scale, beta: [0.0; 2], bias: [1.0; 2], rate, epsilon: 0.0, decay: c.decay };
        sgd(parameters, gradient, &mut self.velocity, c.momentum, step);
        norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_steps_are_those_of_pytorch() {
        // torch.optim.SGD([tensor(1.)], lr=.1, momentum=.9, weight_decay=.5) with the gradients 2, -1, 0.
        let config = SgdConfig { learning_rate: 0.1, decay: 0.5, ..SgdConfig::default() };
        let (mut optimiser, mut w) = (Sgd::new(config, 1), [1.0f32]);
        for (gradient, expected) in [(2.0, 0.75), (-1.0, 0.5875), (0.0, 0.411_875)] {
            optimiser.step(&mut w, &[gradient], 1.0);
            assert!((w[0] - expected).abs() < 1e-6, "expected {expected}, got {w:?}");
        }
    }

    #[test]
    fn a_long_gradient_is_cut_and_its_own_norm_is_reported() {
        let config = SgdConfig { clip: Some(1.0), ..SgdConfig::default() };
        let (mut optimiser, mut w) = (Sgd::new(config, 2), [0.0f32; 2]);
        assert_eq!(optimiser.step(&mut w, &[30.0, 40.0], 1.0), 50.0);
        assert!((w[0] + 0.006).abs() < 1e-8 && (w[1] + 0.008).abs() < 1e-8, "{w:?}");
    }
}
