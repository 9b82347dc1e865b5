//! InfoNCE over cosines (SimCLR, arXiv 2002.05709): of one taken item and many sampled ones, which was taken?
//!
//! In: representations `E [nodes, d]`, a batch of (shopper node, item node) and item nodes sampled as negatives, the same for
//! the whole batch. With `z = e / |e|` and temperature `t`:
//!
//! `loss = mean over the batch of -log(exp(z_u . z_i / t) / (exp(z_u . z_i / t) + sum_m exp(z_u . z_m / t)))`
//!
//! Sampled items that the shopper took are left out of the sum. Backward by hand, with `p` the softmax:
//! `dz_u = ((p_i - 1) z_i + sum_m p_m z_m) / (t b)`, and so on for `z_i`, `z_m`; `de = (dz - (dz . z) z) / |e|`.
//! Cost: three products of `[b, m]` by `d`.

use crate::pairs::Lists;
use lingxi_kernels::{dot, matmul_nn, matmul_nt, matmul_tn};
use rayon::prelude::*;

/// A batch: positive pairs and the sampled items, all as indices (`item` without the offset of the item nodes).
pub(crate) struct Batch {
    pub pairs: Vec<(u32, u32)>,
    pub negatives: Vec<u32>,
}

/// Buffers kept between steps.
#[derive(Default)]
pub(crate) struct Contrast {
    users: Unit,
    positives: Unit,
    negatives: Unit,
    /// `[b, m]`: cosines, then softmax.
    scores: Vec<f32>,
    /// Softmax of the positive, less one, `[b]`.
    surprise: Vec<f32>,
}

/// Rows of length one with the lengths they had.
#[derive(Default)]
struct Unit {
    nodes: Vec<usize>,
    rows: Vec<f32>,
    lengths: Vec<f32>,
    gradient: Vec<f32>,
}

impl Unit {
    fn gather(&mut self, e: &[f32], d: usize, nodes: impl Iterator<Item = usize>) {
        self.nodes.clear();
        self.nodes.extend(nodes);
        self.rows.clear();
        self.lengths.clear();
        for &node in &self.nodes {
            let row = &e[node * d..(node + 1) * d];
            let length = dot(row, row).sqrt().max(1e-8);
            self.lengths.push(length);
            self.rows.extend(row.iter().map(|x| x / length));
        }
        self.gradient.clear();
        self.gradient.resize(self.rows.len(), 0.0);
    }

    /// Adds the gradient of the rows to that of the nodes, through the division by the length.
    fn scatter(&self, d: usize, d_e: &mut [f32]) {
        let rows = self.rows.chunks(d).zip(self.gradient.chunks(d));
        for ((&node, length), (z, dz)) in self.nodes.iter().zip(&self.lengths).zip(rows) {
            let along = dot(z, dz);
            let out = &mut d_e[node * d..(node + 1) * d];
            out.iter_mut().zip(z.iter().zip(dz)).for_each(|(out, (z, dz))| *out += (dz - along * z) / length);
        }
    }
}

impl Contrast {
    /// The loss of the batch. `taken` are the items of each shopper, rising.
    pub fn loss(&mut self, e: &[f32], d: usize, users: usize, batch: &Batch, taken: &Lists, t: f32) -> f64 {
        self.users.gather(e, d, batch.pairs.iter().map(|(user, _)| *user as usize));
        self.positives.gather(e, d, batch.pairs.iter().map(|(_, item)| users + *item as usize));
        self.negatives.gather(e, d, batch.negatives.iter().map(|item| users + *item as usize));
        let (b, m) = (batch.pairs.len(), batch.negatives.len());
        self.scores.resize(b * m, 0.0);
        self.surprise.resize(b, 0.0);
        matmul_nt(&self.users.rows, &self.negatives.rows, &mut self.scores, b, m, d);
        let rows = self.users.rows.par_chunks(d).zip(self.positives.rows.par_chunks(d));
        let out = self.scores.par_chunks_mut(m).zip(&mut self.surprise);
        let each: Vec<f64> = (rows, &batch.pairs, out)
            .into_par_iter()
            .map(|((user, positive), (id, _), (scores, surprise))| {
                let own = taken.row(*id as usize).0;
                let allowed = |at: usize| own.binary_search(&batch.negatives[at]).is_err();
                row_loss(dot(user, positive) / t, scores, t, allowed, surprise)
            })
            .collect();
        each.iter().sum::<f64>() / b as f64
    }

    /// Adds the gradient of the last [`Contrast::loss`] to `d_e`.
    pub fn backward(&mut self, d: usize, t: f32, d_e: &mut [f32]) {
        let Contrast { users, positives, negatives, scores, surprise } = self;
        let (b, m) = (users.nodes.len(), negatives.nodes.len());
        let scale = 1.0 / (t * b as f32);
        scores.par_chunks_mut(m).for_each(|row| row.iter_mut().for_each(|p| *p *= scale));
        matmul_nn(scores, &negatives.rows, &mut users.gradient, b, d, m);
        matmul_tn(scores, &users.rows, &mut negatives.gradient, m, d, b);
        for (row, surprise) in surprise.iter().enumerate() {
            let at = row * d..(row + 1) * d;
            let weight = surprise * scale;
            lingxi_kernels::axpy(weight, &positives.rows[at.clone()], &mut users.gradient[at.clone()]);
            lingxi_kernels::axpy(weight, &users.rows[at.clone()], &mut positives.gradient[at]);
        }
        [users, positives, negatives].iter().for_each(|unit| unit.scatter(d, d_e));
    }
}

/// Turns one row of cosines into the softmax beside the positive (itself left in `surprise`, less one); returns its loss.
fn row_loss(positive: f32, scores: &mut [f32], t: f32, allowed: impl Fn(usize) -> bool, surprise: &mut f32) -> f64 {
    let mut largest = positive;
    for (at, score) in scores.iter_mut().enumerate() {
        *score = if allowed(at) { *score / t } else { f32::NEG_INFINITY };
        largest = largest.max(*score);
    }
    let own = (positive - largest).exp();
    let mut sum = f64::from(own);
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        sum += f64::from(*score);
    }
    let share = (1.0 / sum) as f32;
    scores.iter_mut().for_each(|score| *score *= share);
    *surprise = own * share - 1.0;
    sum.ln() - f64::from(positive - largest)
}
