//! GCN (arXiv 1609.02907): representations that are mixed with their neighbours' and turned, layer after layer.
//!
//! Shapes: `m = users + n` nodes, `E0 [m, d]` and `W_l [d, d]` the parameters, `P [m, m]` the adjacency with a loop at each node,
//! `P_ij = x_ij / sqrt((deg i + 1) (deg j + 1))`.
//!
//! `H_0 = E0`, `H_l = act(P H_(l-1) W_l)`, `act` a leaky rectifier, none after the last layer; score `h_u . h_i`
//!
//! Backward by hand, with `Q = P H_(l-1)`: `dW = Q^T dZ`, `dH_(l-1) = P (dZ W^T)`, since `P = P^T`. A shopper is placed by what they did:
//! their last layer is `sum_i P_ui (h_i W_L)` and their own loop, which is left out, so `f_i = h_i^(L-1) W_L / sqrt(deg i + 1)`.
//!
//! Cost a step: `4 pairs d L` multiplications for the graph and `6 m d^2 L` for the layers. A request: `d` an item.

use super::fold_in::{FoldIn, Voice};
use super::propagation::looped;
use super::train::{Network, Training, fit_network, uniform};
use crate::error::{Result, require};
use crate::history::HistoryWeights;
use crate::pairs::Lists;
use lingxi_data::Events;
use lingxi_kernels::{Csr, matmul_nn, matmul_nt, matmul_tn, spmm};
use lingxi_train::Course;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Slope of the rectifiers below zero.
pub(crate) const SLOPE: f32 = 0.2;

/// How it is trained and read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcnConfig {
    /// Length of a representation; default 64.
    pub dim: usize,
    /// Layers; default 2.
    pub layers: usize,
    /// The loop.
    pub training: Training,
    /// How the history is weighed; the weights of kinds count in training too.
    pub history: HistoryWeights,
}

impl Default for GcnConfig {
    fn default() -> Self {
        GcnConfig { dim: 64, layers: 2, training: Training::default(), history: HistoryWeights::default() }
    }
}

impl GcnConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        require((1..=4096).contains(&self.dim), "gcn.dim", "1 to 4096", self.dim)?;
        require((1..=8).contains(&self.layers), "gcn.layers", "1 to 8", self.layers)?;
        self.training.validate()?;
        self.history.validate()
    }
}

/// Trains on `events`. Deterministic for a seed.
///
/// # Errors
/// [`crate::BehaviourError::Config`] for a value out of range, [`crate::BehaviourError::Train`] if the run cannot be kept.
pub fn fit(config: &GcnConfig, events: &Events<'_>, seed: u64, course: &mut Course<'_>) -> Result<FoldIn> {
    config.validate()?;
    let build = |by_user: &Lists, items: usize| Gcn::new(by_user, items, config.dim, config.layers);
    fit_network(Voice::Gcn, &config.training, &config.history, events, seed, &build, course)
}

/// The network with what its backward needs.
pub(crate) struct Gcn {
    graph: Csr,
    users: usize,
    dim: usize,
    /// `P H` and `H` of each layer.
    layers: Vec<Layer>,
    /// What is done with a gradient between the layers.
    other: Vec<f32>,
}

#[derive(Default)]
struct Layer {
    mixed: Vec<f32>,
    out: Vec<f32>,
}

impl Gcn {
    pub fn new(by_user: &Lists, items: usize, dim: usize, layers: usize) -> Gcn {
        let graph = looped(by_user, items);
        let size = graph.rows() * dim;
        let layer = || Layer { mixed: vec![0.0; size], out: vec![0.0; size] };
        let layers = (0..layers).map(|_| layer()).collect();
        Gcn { graph, users: by_user.len(), dim, layers, other: vec![0.0; size] }
    }

    fn nodes(&self) -> usize {
        self.graph.rows() * self.dim
    }

    /// Where the matrix of a layer lies.
    fn matrix(&self, layer: usize) -> std::ops::Range<usize> {
        let at = self.nodes() + layer * self.dim * self.dim;
        at..at + self.dim * self.dim
    }
}

impl Network for Gcn {
    fn dim(&self) -> usize {
        self.dim
    }

    fn start(&self, seed: u64) -> Vec<f32> {
        let mut parameters = uniform(self.nodes(), 0.1, seed);
        let spread = (3.0 / self.dim as f32).sqrt();
        parameters.extend(uniform(self.layers.len() * self.dim * self.dim, spread, seed ^ 1));
        parameters
    }

    fn forward(&mut self, parameters: &[f32]) -> &[f32] {
        let (d, m, last) = (self.dim, self.graph.rows(), self.layers.len() - 1);
        for l in 0..=last {
            let weights = self.matrix(l);
            let (before, rest) = self.layers.split_at_mut(l);
            let layer = &mut rest[0];
            let input = before.last().map_or(&parameters[..m * d], |layer| &layer.out);
            spmm(&self.graph, input, d, &mut layer.mixed);
            matmul_nn(&layer.mixed, &parameters[weights], &mut layer.out, m, d, d);
            if l < last {
                rectify(&mut layer.out);
            }
        }
        &self.layers[last].out
    }

    fn backward(&mut self, parameters: &[f32], d_e: &mut [f32], gradient: &mut [f32]) {
        let (d, m, last) = (self.dim, self.graph.rows(), self.layers.len() - 1);
        for l in (0..=last).rev() {
            let weights = self.matrix(l);
            if l < last {
                through_rectifier(&self.layers[l].out, d_e);
            }
            matmul_tn(&self.layers[l].mixed, d_e, &mut gradient[weights.clone()], d, d, m);
            matmul_nt(d_e, &parameters[weights], &mut self.other, m, d, d);
            spmm(&self.graph, &self.other, d, d_e);
        }
        gradient[..m * d].copy_from_slice(d_e);
    }

    fn speaks(&self, parameters: &[f32]) -> Vec<f32> {
        let (d, last) = (self.dim, self.layers.len() - 1);
        let m = self.graph.rows();
        let input = if last == 0 { &parameters[..m * d] } else { &self.layers[last - 1].out };
        let items = m - self.users;
        let mut out = vec![0.0; items * d];
        matmul_nn(&input[self.users * d..], &parameters[self.matrix(last)], &mut out, items, d, d);
        for (item, row) in out.chunks_mut(d).enumerate() {
            let (to, _) = self.graph.row(self.users + item);
            let share = (to.len() as f32).sqrt().recip();
            row.iter_mut().for_each(|x| *x *= share);
        }
        out
    }
}

/// The leaky rectifier.
pub(crate) fn rectify(x: &mut [f32]) {
    x.par_chunks_mut(16_384).for_each(|x| x.iter_mut().for_each(|x| *x = x.max(SLOPE * *x)));
}

/// The gradient before the rectifier, whose outputs keep the sign of its inputs.
pub(crate) fn through_rectifier(out: &[f32], gradient: &mut [f32]) {
    let parts = gradient.par_chunks_mut(16_384).zip(out.par_chunks(16_384));
    parts.for_each(|(g, out)| g.iter_mut().zip(out).for_each(|(g, x)| *g *= if *x > 0.0 { 1.0 } else { SLOPE }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::train::tests::{check, small};

    #[test]
    fn the_gradient_of_the_layers_and_every_loss_agrees_with_finite_differences() {
        let mut network = Gcn::new(&small().by_user, 9, 4, 2);
        // Large enough that differences stand out from the rounding of f32.
        let mut start = network.start(3);
        start[..network.nodes()].iter_mut().for_each(|x| *x *= 15.0);
        check(&mut network, &start);
    }
}
