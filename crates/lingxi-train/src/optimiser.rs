//! Which way of going downhill? A recipe names it; the loop, the checkpoint and the log know only this.

use crate::adamw::AdamW;
use crate::sgd::Sgd;
use serde::{Deserialize, Serialize};

/// As people write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Descent {
    /// [`crate::adamw`].
    #[default]
    AdamW,
    /// [`crate::sgd`].
    Sgd,
}

impl Descent {
    /// Whether nothing else was asked for.
    pub(crate) fn is_default(&self) -> bool {
        *self == Descent::default()
    }
}

/// One of them with its state.
#[derive(Clone, Debug)]
pub enum Optimiser {
    /// [`crate::adamw`].
    AdamW(AdamW),
    /// [`crate::sgd`].
    Sgd(Sgd),
}

impl Optimiser {
    /// Takes one step; `rate` multiplies the step size. Returns the norm of the gradient before clipping.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f32) -> f32 {
        match self {
            Optimiser::AdamW(it) => it.step(parameters, gradient, rate),
            Optimiser::Sgd(it) => it.step(parameters, gradient, rate),
        }
    }

    /// What a checkpoint needs besides the parameters: two columns (the second is empty where there is one) and the steps that it counts.
    pub fn state(&self) -> (&[f32], &[f32], u64) {
        match self {
            Optimiser::AdamW(it) => it.state(),
            Optimiser::Sgd(it) => (it.velocity(), &[], 0),
        }
    }
}
