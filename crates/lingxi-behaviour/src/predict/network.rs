//! Several tasks foretold by experts that they share, with attention over what the shopper did.
//!
//! MMoE (Ma et al., KDD 2018): experts `f_e(z) = gelu(z W_e + b_e)`; of each task `k` a gate `g_k = softmax(z G_k)`, a mixture
//! `sum_e g_ke f_e` and a tower `gelu(. T_k) t_k -> logit l_k`. ESMM (arXiv 1804.07931) reads the same logits as steps of one way
//! over the entire space: `p_k = sigmoid(l_1) .. sigmoid(l_k)`, so that buying after a click is learnt from all that was shown.
//!
//! `z = [x | a | e | a * e]`: scaled features `x [f]`, the item's vector `e [d]` through a shared adaptor, and what attention draws
//! of the history's vectors `h_j` for it (DIN, arXiv 1706.06978): `a = 1/4 sum_j sigmoid(u([h_j | e | h_j * e])) h_j`, `u` a small network.
//! Weights are not made to sum to one, as in the paper, so that `a` also says how much of it there was.
//! Cost of a row: `2 z (E h + K E) + K (2 h t)` multiplications, and `2 d v + 6 d u` for each item of the history.

use super::table::Seen;
use lingxi_kernels::backward::{dropout, gelu_backward, gelu_into};
use lingxi_kernels::{axpy, softmax_rows};
use lingxi_train::linear::Linear;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What attention's weights are multiplied by, so that a few items are of the size of one.
const SHARE: f32 = 0.25;

/// How the logits of tasks become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Each task by itself.
    Mmoe,
    /// Each task is a step after the one before.
    Esmm,
}

/// Sizes of everything.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Columns of the table.
    pub features: usize,
    /// Length of an item's vector; 0 without attention.
    pub vector: usize,
    /// Length of a vector after the adaptor.
    pub attention: usize,
    /// Number of experts.
    pub experts: usize,
    /// Numbers of an expert.
    pub hidden: usize,
    /// Numbers of a tower.
    pub tower: usize,
    /// Number of tasks.
    pub tasks: usize,
}

impl Shape {
    fn d(self) -> usize {
        if self.vector == 0 { 0 } else { self.attention }
    }

    /// Length of what the experts read.
    pub fn width(self) -> usize {
        self.features + 3 * self.d()
    }

    /// The layers: adaptor, both of attention, experts, gates, both of the towers, each tower by itself.
    fn layers(self) -> Vec<Linear> {
        let (d, z) = (self.d(), self.width());
        let layer = |k: usize, n: usize| Linear { k, n };
        let mut layers = match d {
            0 => [layer(0, 0); 3].to_vec(),
            _ => vec![layer(self.vector, d), layer(3 * d, d), layer(d, 1)],
        };
        layers.push(layer(z, self.experts * self.hidden));
        layers.push(layer(z, self.tasks * self.experts));
        layers.extend((0..self.tasks).flat_map(|_| [layer(self.hidden, self.tower), layer(self.tower, 1)]));
        layers
    }

    /// Number of parameters.
    pub fn parameters(self) -> usize {
        self.layers().iter().map(|layer| layer.len()).sum()
    }

    /// Fills the parameters before the first step; the last layers begin small, at the tasks' `rates`.
    pub fn start(self, rates: &[f32], parameters: &mut [f32], rng: &mut ChaCha8Rng) {
        let mut rest = parameters;
        for (at, layer) in self.layers().into_iter().enumerate() {
            let (mine, more) = rest.split_at_mut(layer.len());
            if !layer.is_empty() {
                layer.start(mine, rng);
            }
            if let Some(task) = at.checked_sub(6).filter(|last| last % 2 == 0).map(|last| last / 2) {
                mine.iter_mut().for_each(|w| *w *= 0.1);
                mine[layer.len() - 1] = (rates[task] / (1.0 - rates[task])).ln();
            }
            rest = more;
        }
    }
}

/// What a forward leaves behind for the way back.
pub(crate) struct Pass {
    shape: Shape,
    layers: Vec<Linear>,
    places: Vec<Range<usize>>,
    rows: usize,
    z: Vec<f32>,
    targets: Vec<f32>,
    items: Vec<f32>,
    ends: Vec<usize>,
    adapted: Vec<f32>,
    history: Vec<f32>,
    pairs: Vec<f32>,
    unit: [Vec<f32>; 2],
    weights: Vec<f32>,
    experts: [Vec<f32>; 2],
    gates: Vec<f32>,
    mixed: Vec<f32>,
    tower: [Vec<f32>; 2],
    /// Row-major `[rows, tasks]`.
    pub logits: Vec<f32>,
    d: Back,
}

/// Gradients on the way back.
#[derive(Default)]
struct Back {
    z: Vec<f32>,
    experts: Vec<f32>,
    gates: Vec<f32>,
    mixed: Vec<f32>,
    tower: Vec<f32>,
    adapted: Vec<f32>,
    history: Vec<f32>,
    unit: Vec<f32>,
    pairs: Vec<f32>,
    weights: Vec<f32>,
}

fn zeros(of: &mut Vec<f32>, n: usize) {
    of.clear();
    of.resize(n, 0.0);
}

impl Pass {
    pub fn new(shape: Shape) -> Pass {
        let layers = shape.layers();
        let mut end = 0;
        let place = |layer: &Linear| {
            end += layer.len();
            end - layer.len()..end
        };
        let places = layers.iter().map(place).collect();
        let empty = || [Vec::new(), Vec::new()];
        Pass {
            shape,
            layers,
            places,
            rows: 0,
            z: Vec::new(),
            targets: Vec::new(),
            items: Vec::new(),
            ends: Vec::new(),
            adapted: Vec::new(),
            history: Vec::new(),
            pairs: Vec::new(),
            unit: empty(),
            weights: Vec::new(),
            experts: empty(),
            gates: Vec::new(),
            mixed: Vec::new(),
            tower: empty(),
            logits: Vec::new(),
            d: Back::default(),
        }
    }

    /// Its sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Logits of rows whose scaled features are `x[rows, features]` and whose numbers in `seen` are `rows`. With a `share` some
    /// outputs of experts are left out, drawn by `seed`.
    pub fn forward(&mut self, p: &[f32], x: &[f32], seen: Option<&Seen>, rows: &[u32], share: f32, seed: u32) {
        let (s, z) = (self.shape, self.shape.width());
        self.rows = rows.len();
        zeros(&mut self.z, self.rows * z);
        for (row, x) in self.z.chunks_exact_mut(z).zip(x.chunks_exact(s.features)) {
            row[..s.features].copy_from_slice(x);
        }
        if let Some(seen) = seen.filter(|_| s.vector > 0) {
            self.attend(p, seen, rows);
        }
        let [raw, experts] = &mut self.experts;
        zeros(raw, self.rows * s.experts * s.hidden);
        self.layers[3].forward(&p[self.places[3].clone()], &self.z, raw);
        experts.resize(raw.len(), 0.0);
        gelu_into(raw, experts);
        dropout(experts, share, seed);
        zeros(&mut self.gates, self.rows * s.tasks * s.experts);
        self.layers[4].forward(&p[self.places[4].clone()], &self.z, &mut self.gates);
        softmax_rows(&mut self.gates, s.experts);
        self.mix();
        zeros(&mut self.logits, self.rows * s.tasks);
        self.tower.iter_mut().for_each(|tower| zeros(tower, s.tasks * self.rows * s.tower));
        let (mut out, size) = (vec![0.0; self.rows], self.rows * s.tower);
        for task in 0..s.tasks {
            let [first, last] = [5 + 2 * task, 6 + 2 * task];
            let mixed = &self.mixed[task * self.rows * s.hidden..][..self.rows * s.hidden];
            let [raw, tower] = &mut self.tower;
            let (raw, tower) = (&mut raw[task * size..][..size], &mut tower[task * size..][..size]);
            self.layers[first].forward(&p[self.places[first].clone()], mixed, raw);
            gelu_into(raw, tower);
            self.layers[last].forward(&p[self.places[last].clone()], tower, &mut out);
            out.iter().enumerate().for_each(|(row, logit)| self.logits[row * s.tasks + task] = *logit);
        }
    }

    /// Of each task the experts as its gate weighs them, `[tasks, rows, hidden]`.
    fn mix(&mut self) {
        let s = self.shape;
        zeros(&mut self.mixed, s.tasks * self.rows * s.hidden);
        for (at, out) in self.mixed.chunks_exact_mut(s.hidden).enumerate() {
            let (task, row) = (at / self.rows, at % self.rows);
            let gate = &self.gates[(row * s.tasks + task) * s.experts..][..s.experts];
            let experts = self.experts[1][row * s.experts * s.hidden..].chunks_exact(s.hidden);
            gate.iter().zip(experts).for_each(|(g, expert)| axpy(*g, expert, out));
        }
    }

    fn attend(&mut self, p: &[f32], seen: &Seen, rows: &[u32]) {
        let (s, d, z) = (self.shape, self.shape.attention, self.shape.width());
        self.targets.clear();
        self.items.clear();
        self.ends.clear();
        for &row in rows {
            self.targets.extend_from_slice(seen.vector(seen.target[row as usize]));
            seen.of(row as usize).iter().for_each(|item| self.items.extend_from_slice(seen.vector(*item)));
            self.ends.push(self.items.len() / s.vector);
        }
        let n = self.items.len() / s.vector;
        let adaptor = &p[self.places[0].clone()];
        zeros(&mut self.adapted, self.rows * d);
        self.layers[0].forward(adaptor, &self.targets, &mut self.adapted);
        zeros(&mut self.history, n * d);
        zeros(&mut self.weights, n);
        self.unit.iter_mut().for_each(|unit| zeros(unit, n * d));
        if n > 0 {
            self.layers[0].forward(adaptor, &self.items, &mut self.history);
            self.pair();
            let [raw, unit] = &mut self.unit;
            self.layers[1].forward(&p[self.places[1].clone()], &self.pairs, raw);
            gelu_into(raw, unit);
            self.layers[2].forward(&p[self.places[2].clone()], unit, &mut self.weights);
            lingxi_kernels::backward::sigmoid(&mut self.weights);
        }
        let mut at = 0;
        for (row, z) in self.z.chunks_exact_mut(z).enumerate() {
            let (attended, rest) = z[s.features..].split_at_mut(d);
            for item in at..self.ends[row] {
                axpy(SHARE * self.weights[item], &self.history[item * d..][..d], attended);
            }
            at = self.ends[row];
            let target = &self.adapted[row * d..][..d];
            rest[..d].copy_from_slice(target);
            for ((out, a), e) in rest[d..].iter_mut().zip(attended).zip(target) {
                *out = *a * e;
            }
        }
    }

    /// Of each item of a history `[h | e | h * e]`.
    fn pair(&mut self) {
        let d = self.shape.attention;
        self.pairs.clear();
        let mut at = 0;
        for (row, end) in self.ends.iter().enumerate() {
            let target = &self.adapted[row * d..][..d];
            for item in self.history[at * d..end * d].chunks_exact(d) {
                self.pairs.extend_from_slice(item);
                self.pairs.extend_from_slice(target);
                self.pairs.extend(item.iter().zip(target).map(|(h, e)| h * e));
            }
            at = *end;
        }
    }

    /// Adds to `g` the gradient of the parameters, given that of the logits `[rows, tasks]`; after a forward with the same
    /// `share` and `seed`.
    pub fn backward(&mut self, p: &[f32], d_logits: &[f32], share: f32, seed: u32, g: &mut [f32]) {
        let s = self.shape;
        zeros(&mut self.d.z, self.z.len());
        zeros(&mut self.d.mixed, self.mixed.len());
        zeros(&mut self.d.tower, self.rows * s.tower);
        let size = self.rows * s.tower;
        for task in 0..s.tasks {
            let [first, last] = [5 + 2 * task, 6 + 2 * task];
            let d_out: Vec<f32> = (0..self.rows).map(|row| d_logits[row * s.tasks + task]).collect();
            let (raw, tower) = (&self.tower[0][task * size..][..size], &self.tower[1][task * size..][..size]);
            let [of_first, of_last] = [first, last].map(|layer| self.places[layer].clone());
            self.layers[last].backward(&p[of_last.clone()], tower, &d_out, &mut self.d.tower, false, &mut g[of_last]);
            gelu_backward(raw, &mut self.d.tower);
            let span = task * self.rows * s.hidden..(task + 1) * self.rows * s.hidden;
            let (mixed, d_mixed) = (&self.mixed[span.clone()], &mut self.d.mixed[span]);
            self.layers[first].backward(&p[of_first.clone()], mixed, &self.d.tower, d_mixed, false, &mut g[of_first]);
        }
        self.unmix();
        dropout(&mut self.d.experts, share, seed);
        gelu_backward(&self.experts[0], &mut self.d.experts);
        let [experts, gates] = [3, 4].map(|layer| self.places[layer].clone());
        self.layers[3].backward(&p[experts.clone()], &self.z, &self.d.experts, &mut self.d.z, false, &mut g[experts]);
        self.layers[4].backward(&p[gates.clone()], &self.z, &self.d.gates, &mut self.d.z, true, &mut g[gates]);
        if s.vector > 0 && !self.ends.is_empty() {
            self.unattend(p, g);
        }
    }

    /// From mixtures back to experts and, through the softmax, to gates.
    fn unmix(&mut self) {
        let s = self.shape;
        zeros(&mut self.d.experts, self.experts[1].len());
        zeros(&mut self.d.gates, self.gates.len());
        for (at, d_mixed) in self.d.mixed.chunks_exact(s.hidden).enumerate() {
            let (task, row) = (at / self.rows, at % self.rows);
            let gate = &self.gates[(row * s.tasks + task) * s.experts..][..s.experts];
            let d_gate = &mut self.d.gates[(row * s.tasks + task) * s.experts..][..s.experts];
            let experts = self.experts[1][row * s.experts * s.hidden..].chunks_exact(s.hidden);
            let d_experts = self.d.experts[row * s.experts * s.hidden..].chunks_exact_mut(s.hidden);
            for (((g, d_g), expert), d_expert) in gate.iter().zip(d_gate.iter_mut()).zip(experts).zip(d_experts) {
                *d_g = lingxi_kernels::dot(d_mixed, expert);
                axpy(*g, d_mixed, d_expert);
            }
            let along: f32 = gate.iter().zip(d_gate.iter()).map(|(g, d)| g * d).sum();
            gate.iter().zip(d_gate).for_each(|(g, d)| *d = g * (*d - along));
        }
    }

    fn unattend(&mut self, p: &[f32], g: &mut [f32]) {
        let (s, d, z, n) = (self.shape, self.shape.attention, self.shape.width(), self.weights.len());
        zeros(&mut self.d.adapted, self.adapted.len());
        zeros(&mut self.d.history, n * d);
        zeros(&mut self.d.weights, n);
        let mut at = 0;
        for (row, (d_z, z)) in self.d.z.chunks_exact_mut(z).zip(self.z.chunks_exact(z)).enumerate() {
            let (d_attended, rest) = d_z[s.features..].split_at_mut(d);
            let (attended, target) = (&z[s.features..s.features + d], &self.adapted[row * d..][..d]);
            let d_target = &mut self.d.adapted[row * d..][..d];
            let (of_target, of_both) = rest.split_at(d);
            let out = d_target.iter_mut().zip(d_attended.iter_mut());
            for ((((d_e, d_a), of_e), of_both), (a, e)) in
                out.zip(of_target).zip(of_both).zip(attended.iter().zip(target))
            {
                *d_e += of_e + of_both * a;
                *d_a += of_both * e;
            }
            for item in at..self.ends[row] {
                let (weight, vector) = (self.weights[item], &self.history[item * d..][..d]);
                let d_weight = SHARE * lingxi_kernels::dot(d_attended, vector);
                self.d.weights[item] = d_weight * weight * (1.0 - weight);
                axpy(SHARE * weight, d_attended, &mut self.d.history[item * d..][..d]);
            }
            at = self.ends[row];
        }
        let [adaptor, first, last] = [0, 1, 2].map(|layer| self.places[layer].clone());
        if n > 0 {
            zeros(&mut self.d.unit, n * d);
            zeros(&mut self.d.pairs, n * 3 * d);
            let (unit, weights) = (&self.unit[1], &self.d.weights);
            self.layers[2].backward(&p[last.clone()], unit, weights, &mut self.d.unit, false, &mut g[last]);
            gelu_backward(&self.unit[0], &mut self.d.unit);
            let pairs = &mut self.d.pairs;
            self.layers[1].backward(&p[first.clone()], &self.pairs, &self.d.unit, pairs, false, &mut g[first]);
            self.unpair();
            self.layers[0].gradient(&self.items, &self.d.history, &mut g[adaptor.clone()]);
        }
        self.layers[0].gradient(&self.targets, &self.d.adapted, &mut g[adaptor]);
    }

    fn unpair(&mut self) {
        let d = self.shape.attention;
        let mut at = 0;
        for (row, end) in self.ends.iter().enumerate() {
            let (target, d_target) = (&self.adapted[row * d..][..d], &mut self.d.adapted[row * d..][..d]);
            for item in at..*end {
                let (pair, history) = (&self.d.pairs[item * 3 * d..][..3 * d], &self.history[item * d..][..d]);
                let d_history = &mut self.d.history[item * d..][..d];
                let (of_history, rest) = pair.split_at(d);
                let (of_target, of_both) = rest.split_at(d);
                let given = of_history.iter().zip(of_target).zip(of_both).zip(history.iter().zip(target));
                for ((d_h, d_e), (((of_h, of_e), of_both), (h, e))) in
                    d_history.iter_mut().zip(d_target.iter_mut()).zip(given)
                {
                    *d_h += of_h + of_both * e;
                    *d_e += of_e + of_both * h;
                }
            }
            at = *end;
        }
    }
}
