//! LightGCN (arXiv 2002.02126): representations of shoppers and goods, smoothed over the graph between them.
//!
//! Shapes: `m = users + n` nodes, `E0 [m, d]` the only parameters, `A [m, m]` with `1 / sqrt(deg u deg i)` at each pair.
//!
//! `E = (E0 + A E0 + ... + A^L E0) / (L + 1)`, score `e_u . e_i`
//!
//! `A = A^T`, so the backward is one more forward: `dE0` is the same propagation of `dE`. A shopper is placed without their own
//! row of `E0`, by what they did: layer `l` of a shopper is `sum_i e_i^(l-1) / sqrt(deg u deg i)`, so
//! `f_i = sum_(l < L) e_i^(l) / sqrt(deg i)` and `t_j = e_j` ([`FoldIn`]); fresh events count at once.
//!
//! Cost a step: `4 pairs d L` multiplications for the graph, forward and backward together `8`; memory `20 m d` bytes and 16 a
//! pair. A request: `d` multiplications an item.

use super::fold_in::{FoldIn, Voice};
use super::propagation::Graph;
use super::train::{Lessons, Network, Training, fit_network, uniform};
use crate::error::{Result, require};
use crate::history::HistoryWeights;
use crate::pairs::{Lists, Pairs};
use lingxi_data::Events;
use lingxi_train::trainer::{State, go_on};
use lingxi_train::{Course, Learner, TrainerConfig};
use serde::{Deserialize, Serialize};

/// How it is trained and read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LightGcnConfig {
    /// Length of a representation; default 64.
    pub dim: usize,
    /// Steps of propagation; default 2.
    pub layers: usize,
    /// Half-width of the uniform start; default 0.1.
    pub spread: f32,
    /// The loop.
    pub training: Training,
    /// How the history is weighed; the weights of kinds count in training too.
    pub history: HistoryWeights,
}

impl Default for LightGcnConfig {
    fn default() -> Self {
        LightGcnConfig {
            dim: 64,
            layers: 2,
            spread: 0.1,
            training: Training::default(),
            history: HistoryWeights::default(),
        }
    }
}

impl LightGcnConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        require((1..=4096).contains(&self.dim), "lightgcn.dim", "1 to 4096", self.dim)?;
        require((1..=8).contains(&self.layers), "lightgcn.layers", "1 to 8", self.layers)?;
        require(self.spread.is_finite() && self.spread > 0.0, "lightgcn.spread", "a positive number", self.spread)?;
        self.training.validate()?;
        self.history.validate()
    }
}

/// The network: propagation of its own parameters.
pub(crate) struct Light {
    graph: Graph,
    dim: usize,
    spread: f32,
    e: Vec<f32>,
}

impl Light {
    pub fn new(by_user: &Lists, items: usize, config: &LightGcnConfig) -> Light {
        Light { graph: Graph::of(by_user, items, config.layers), dim: config.dim, spread: config.spread, e: Vec::new() }
    }
}

impl Network for Light {
    fn dim(&self) -> usize {
        self.dim
    }

    fn start(&self, seed: u64) -> Vec<f32> {
        uniform(self.graph.nodes() * self.dim, self.spread, seed)
    }

    fn forward(&mut self, parameters: &[f32]) -> &[f32] {
        self.e.resize(parameters.len(), 0.0);
        self.e.copy_from_slice(parameters);
        self.graph.propagate(&mut self.e, self.dim);
        &self.e
    }

    fn backward(&mut self, _: &[f32], d_e: &mut [f32], gradient: &mut [f32]) {
        self.graph.propagate(d_e, self.dim);
        gradient.copy_from_slice(d_e);
    }

    fn speaks(&self, parameters: &[f32]) -> Vec<f32> {
        let d = self.dim;
        let mut before = parameters.to_vec();
        self.graph.one_layer_less().propagate(&mut before, d);
        let mut out = before[self.graph.users * d..].to_vec();
        for (row, degree) in out.chunks_mut(d).zip(self.graph.item_degrees()) {
            let share = if *degree > 0.0 { degree.sqrt().recip() } else { 0.0 };
            row.iter_mut().for_each(|x| *x *= share);
        }
        out
    }
}

/// Trains on `events`. Deterministic for a seed.
///
/// # Errors
/// [`crate::BehaviourError::Config`] for a value out of range, [`crate::BehaviourError::Train`] if the run cannot be kept.
pub fn fit(config: &LightGcnConfig, events: &Events<'_>, seed: u64, course: &mut Course<'_>) -> Result<FoldIn> {
    config.validate()?;
    let build = |by_user: &Lists, items: usize| Light::new(by_user, items, config);
    fit_network(Voice::LightGcn, &config.training, &config.history, events, seed, &build, course)
}

/// The same training with its epochs on demand, for whoever measures them.
pub struct Epochs {
    pairs: Pairs,
    config: LightGcnConfig,
}

impl Epochs {
    /// Reads the pairs of `events`.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] for a value out of range.
    pub fn new(config: &LightGcnConfig, events: &Events<'_>) -> Result<Epochs> {
        config.validate()?;
        Ok(Epochs { pairs: Pairs::of(events, &config.history, 0.0), config: config.clone() })
    }

    /// Trains epoch after epoch while `more` says so, which hears the mean loss of the one before; returns the
    /// representations `[users + items, d]`.
    pub fn run(&self, seed: u64, more: &mut dyn FnMut(Option<f64>) -> bool) -> Vec<f32> {
        let (pairs, config) = (&self.pairs, &self.config);
        let items = pairs.by_item.len();
        let build = |graph: &Lists| Light::new(graph, items, config);
        let mut lessons = Lessons::new(&config.training, &pairs.by_user, items, seed, build);
        let start = lessons.network.start(seed);
        let mut trainer = TrainerConfig { epochs: 0, ..config.training.trainer() };
        let steps = trainer.steps_of_a_pass(lessons.examples()).max(1) as f64;
        let mut state = State::new(&trainer, start);
        let mut loss = None;
        while more(loss) {
            (trainer.epochs, state.ended) = (trainer.epochs + 1, false);
            let mut sum = 0.0;
            go_on(&trainer, &mut lessons, &mut state, seed, &mut |step, _| sum += step.loss);
            loss = Some(sum / steps);
        }
        lessons.network.forward(&state.parameters).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::train::tests::{check, small};

    #[test]
    fn the_gradient_of_propagation_and_every_loss_agrees_with_finite_differences() {
        let config = LightGcnConfig { dim: 4, layers: 3, spread: 1.0, ..Default::default() };
        let mut network = Light::new(&small().by_user, 9, &config);
        let start = network.start(3);
        check(&mut network, &start);
    }
}
