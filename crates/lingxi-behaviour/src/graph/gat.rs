//! GAT (arXiv 1710.10903): each node looks at its neighbours and decides whom to listen to.
//!
//! Shapes: `m = users + n` nodes, `E0 [m, d]`, `W_l [d, d]`, `a_l, b_l [d]` the parameters; neighbours with a loop at each node.
//!
//! `Z = H W`, `c_ij = leaky(a . z_i + b . z_j)`, `alpha_i = softmax_j(c_ij)`, `h'_i = act(sum_j alpha_ij z_j)`
//!
//! with one head, `act` a leaky rectifier and none after the last layer; score `h_u . h_i`. Backward by hand: `dalpha_ij = dh_i . z_j`,
//! `dc_ij = alpha_ij (dalpha_ij - sum_k alpha_ik dalpha_ik) leaky'`, `dz_j` gets `sum_i alpha_ij dh_i + (sum_i dc_ij) b`, `dz_i` gets
//! `(sum_j dc_ij) a`. A shopper is placed by what they did: `f_i = z_i e^(b . z_i)` over the mean of those powers, the attention as far as it
//! is the item's.
//!
//! Cost a step: `8 pairs d L` multiplications for the graph and `6 m d^2 L` for the layers; memory 12 bytes a pair and layer. A
//! request: `d` multiplications an item.

use super::fold_in::{FoldIn, Voice};
use super::gcn::{SLOPE, rectify, through_rectifier};
use super::propagation::looped;
use super::train::{Network, Training, fit_network, uniform};
use crate::error::{Result, require};
use crate::history::HistoryWeights;
use crate::pairs::Lists;
use lingxi_data::Events;
use lingxi_kernels::{Csr, axpy, dot, matmul_nn, matmul_nt, matmul_tn, spmm};
use lingxi_train::Course;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How it is trained and read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatConfig {
    /// Length of a representation; default 64.
    pub dim: usize,
    /// Layers; default 2.
    pub layers: usize,
    /// The loop.
    pub training: Training,
    /// How the history is weighed; the weights of kinds count in training too.
    pub history: HistoryWeights,
}

impl Default for GatConfig {
    fn default() -> Self {
        GatConfig { dim: 64, layers: 2, training: Training::default(), history: HistoryWeights::default() }
    }
}

impl GatConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        require((1..=4096).contains(&self.dim), "gat.dim", "1 to 4096", self.dim)?;
        require((1..=8).contains(&self.layers), "gat.layers", "1 to 8", self.layers)?;
        self.training.validate()?;
        self.history.validate()
    }
}

/// Trains on `events`. Deterministic for a seed.
///
/// # Errors
/// [`crate::BehaviourError::Config`] for a value out of range, [`crate::BehaviourError::Train`] if the run cannot be kept.
pub fn fit(config: &GatConfig, events: &Events<'_>, seed: u64, course: &mut Course<'_>) -> Result<FoldIn> {
    config.validate()?;
    let build = |by_user: &Lists, items: usize| Gat::new(by_user, items, config.dim, config.layers);
    fit_network(Voice::Gat, &config.training, &config.history, events, seed, &build, course)
}

/// The network with what its backward needs.
pub(crate) struct Gat {
    users: usize,
    dim: usize,
    /// Where the link from `j` to `i` lies, for each link from `i` to `j`.
    mirror: Vec<u32>,
    layers: Vec<Layer>,
    /// Links turned round, for the backward.
    turned: Csr,
    d_z: Vec<f32>,
}

struct Layer {
    /// `alpha`.
    attention: Csr,
    z: Vec<f32>,
    /// `a . z_i` and `b . z_i`.
    looks: Vec<f32>,
    shows: Vec<f32>,
    out: Vec<f32>,
}

impl Gat {
    pub fn new(by_user: &Lists, items: usize, dim: usize, layers: usize) -> Gat {
        let graph = looped(by_user, items);
        let (m, size) = (graph.rows(), graph.rows() * dim);
        let place = |from: usize, to: u32| {
            let (back, _) = graph.row(to as usize);
            let at = back.binary_search(&(from as u32)).expect("a graph that leads back the way it came, in order");
            (graph.indptr[to as usize] + at) as u32
        };
        let mirror =
            (0..m).flat_map(|i| graph.row(i).0.iter().map(move |&j| (i, j))).map(|(i, j)| place(i, j)).collect();
        let layer = || Layer {
            attention: graph.clone(),
            z: vec![0.0; size],
            looks: vec![0.0; m],
            shows: vec![0.0; m],
            out: vec![0.0; size],
        };
        let layers = (0..layers).map(|_| layer()).collect();
        Gat { users: by_user.len(), dim, mirror, layers, turned: graph.clone(), d_z: vec![0.0; size] }
    }

    fn nodes(&self) -> usize {
        self.turned.rows()
    }

    /// Where `W`, `a` and `b` of a layer lie.
    fn places(&self, layer: usize) -> [Range<usize>; 3] {
        let d = self.dim;
        let at = self.nodes() * d + layer * d * (d + 2);
        [at..at + d * d, at + d * d..at + d * (d + 1), at + d * (d + 1)..at + d * (d + 2)]
    }
}

impl Layer {
    /// From the inputs to the outputs, before any rectifier.
    fn forward(&mut self, input: &[f32], w: &[f32], a: &[f32], b: &[f32]) {
        let (d, m) = (a.len(), self.looks.len());
        matmul_nn(input, w, &mut self.z, m, d, d);
        let looks = self.looks.par_iter_mut().zip(&mut self.shows).zip(self.z.par_chunks(d));
        looks.for_each(|((look, show), z)| (*look, *show) = (dot(a, z), dot(b, z)));
        let Csr { indptr, indices, values } = &mut self.attention;
        let (looks, shows) = (&self.looks, &self.shows);
        rows_of(indptr, values).into_par_iter().zip(0..m).for_each(|(row, i)| {
            let to = &indices[indptr[i]..indptr[i + 1]];
            row.iter_mut().zip(to).for_each(|(c, &j)| *c = leaky(looks[i] + shows[j as usize]));
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|c| *c = (*c - top).exp());
            let share = row.iter().sum::<f32>().recip();
            row.iter_mut().for_each(|c| *c *= share);
        });
        spmm(&self.attention, &self.z, d, &mut self.out);
    }
}

impl Network for Gat {
    fn dim(&self) -> usize {
        self.dim
    }

    fn start(&self, seed: u64) -> Vec<f32> {
        let d = self.dim;
        let mut parameters = uniform(self.nodes() * d, 0.1, seed);
        for layer in 0..self.layers.len() as u64 {
            parameters.extend(uniform(d * d, (3.0 / d as f32).sqrt(), seed ^ (2 * layer + 1)));
            parameters.extend(uniform(2 * d, (1.0 / d as f32).sqrt(), seed ^ (2 * layer + 2)));
        }
        parameters
    }

    fn forward(&mut self, parameters: &[f32]) -> &[f32] {
        let (size, last) = (self.nodes() * self.dim, self.layers.len() - 1);
        for l in 0..=last {
            let [w, a, b] = self.places(l);
            let (before, rest) = self.layers.split_at_mut(l);
            let input = before.last().map_or(&parameters[..size], |layer| &layer.out);
            rest[0].forward(input, &parameters[w], &parameters[a], &parameters[b]);
            if l < last {
                rectify(&mut rest[0].out);
            }
        }
        &self.layers[last].out
    }

    fn backward(&mut self, parameters: &[f32], d_e: &mut [f32], gradient: &mut [f32]) {
        let (d, m, last) = (self.dim, self.nodes(), self.layers.len() - 1);
        for l in (0..=last).rev() {
            let [w, a, b] = self.places(l);
            if l < last {
                through_rectifier(&self.layers[l].out, d_e);
            }
            let layer = &self.layers[l];
            let (d_looks, d_shows) = attention_back(layer, d, d_e, &self.mirror, &mut self.turned);
            spmm(&self.turned, d_e, d, &mut self.d_z);
            let (a_now, b_now) = (&parameters[a.clone()], &parameters[b.clone()]);
            self.d_z.par_chunks_mut(d).zip(d_looks.par_iter().zip(&d_shows)).for_each(|(d_z, (look, show))| {
                axpy(*look, a_now, d_z);
                axpy(*show, b_now, d_z);
            });
            matmul_tn(&layer.z, &d_looks, &mut gradient[a], d, 1, m);
            matmul_tn(&layer.z, &d_shows, &mut gradient[b], d, 1, m);
            let input = if l == 0 { &parameters[..m * d] } else { &self.layers[l - 1].out };
            matmul_tn(input, &self.d_z, &mut gradient[w.clone()], d, d, m);
            matmul_nt(&self.d_z, &parameters[w], d_e, m, d, d);
        }
        gradient[..m * d].copy_from_slice(d_e);
    }

    fn speaks(&self, _: &[f32]) -> Vec<f32> {
        let Some(layer) = self.layers.last() else { return Vec::new() };
        let shows = &layer.shows[self.users..];
        let top = shows.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = shows.iter().map(|x| (x - top).exp()).collect();
        let mean = powers.iter().sum::<f32>() / powers.len().max(1) as f32;
        let mut out = layer.z[self.users * self.dim..].to_vec();
        for (row, power) in out.chunks_mut(self.dim).zip(powers) {
            row.iter_mut().for_each(|x| *x *= power / mean);
        }
        out
    }
}

fn leaky(x: f32) -> f32 {
    x.max(SLOPE * x)
}

/// The values of each row.
fn rows_of<'a>(indptr: &[usize], mut values: &'a mut [f32]) -> Vec<&'a mut [f32]> {
    let cut = |pair: &[usize]| {
        let (row, rest) = std::mem::take(&mut values).split_at_mut(pair[1] - pair[0]);
        values = rest;
        row
    };
    indptr.windows(2).map(cut).collect()
}

/// Gradients of `a . z_i` and `b . z_i`, given that of the outputs; `turned` becomes the attention turned round.
fn attention_back(layer: &Layer, d: usize, d_out: &[f32], mirror: &[u32], turned: &mut Csr) -> (Vec<f32>, Vec<f32>) {
    let graph = &layer.attention;
    let m = graph.rows();
    let mut d_links = vec![0.0f32; graph.values.len()];
    rows_of(&graph.indptr, &mut d_links).into_par_iter().zip(0..m).for_each(|(row, i)| {
        let (to, attention) = graph.row(i);
        let d_out = &d_out[i * d..(i + 1) * d];
        row.iter_mut().zip(to).for_each(|(g, &j)| *g = dot(d_out, &layer.z[j as usize * d..(j as usize + 1) * d]));
        let mean = dot(row, attention);
        for ((g, alpha), &j) in row.iter_mut().zip(attention).zip(to) {
            let slope = if layer.looks[i] + layer.shows[j as usize] > 0.0 { 1.0 } else { SLOPE };
            *g = alpha * (*g - mean) * slope;
        }
    });
    for (&alpha, &at) in graph.values.iter().zip(mirror) {
        turned.values[at as usize] = alpha;
    }
    let (mut d_looks, mut d_shows) = (vec![0.0f32; m], vec![0.0f32; m]);
    for i in 0..m {
        let range = graph.indptr[i]..graph.indptr[i + 1];
        d_looks[i] = d_links[range.clone()].iter().sum();
        d_shows[i] = mirror[range].iter().map(|&at| d_links[at as usize]).sum();
    }
    (d_looks, d_shows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::loss::Loss;
    use crate::graph::train::tests::{check_some, small};

    #[test]
    fn the_gradient_of_attention_agrees_with_finite_differences_on_both_sides_of_its_rectifiers() {
        let mut network = Gat::new(&small().by_user, 9, 4, 2);
        // Differences across a kink of the rectifiers say nothing, so everything stays on one side: first all look at what is above
        // zero, then at what is below.
        for side in [1.0, -1.0] {
            let mut start: Vec<f32> = network.start(3).iter().map(|x| x.abs()).collect();
            start[..15 * 4].iter_mut().for_each(|x| *x *= 5.0);
            for layer in 0..2 {
                let [_, a, b] = network.places(layer);
                start[a.start..b.end].iter_mut().for_each(|x| *x = side * (*x + 0.1));
            }
            // Cosines among vectors that are all above zero hardly differ: their gradient drowns in the rounding of f32.
            check_some(&mut network, &start, &[Loss::Bpr, Loss::Softmax]);
        }
    }
}
