//! Nodes and relations as vectors: what completes `head, relation, ?` best? TransE (NeurIPS 2013), ComplEx (arXiv 1606.06357)
//! and RotatE (arXiv 1902.10197).
//!
//! Shapes: `m` nodes, the goods first, vectors `e [m, d]`; relations `w [relations, d]`. In ComplEx and RotatE the two halves of a
//! vector are the real and imaginary parts of `d / 2` numbers.
//!
//! - TransE: `q = e_h + w_r`, score `-|q - e_t|^2`
//! - ComplEx: `q = e_h w_r` (complex product), score `Re q conj(e_t) = q . e_t`
//! - RotatE: `q = e_h (cos w_r + i sin w_r)`, score `-|q - e_t|^2`; only the first half of `w_r`, the angles, is used
//!
//! The loss is softmax over the true tail and drawn ones, the same for a batch (arXiv 1910.04867 finds it best): there `|q|^2` cancels, so
//! every score is `s q . e_t - b |e_t|^2`. Each relation is learned in both directions. What shoppers took one after the other is one
//! more relation, `next`, as in TransRec (arXiv 1707.02410): so knowledge and behaviour share one space.
//!
//! A score is linear in `q`, so it serves as a [`FoldIn`]: `f_i = sum over relations of weight_r (s q(i, r), 1)` and
//! `t_j = (e_j, -b |e_j|^2)`. Cost a step: three products of `[batch, negatives]` by `d`. A request: `d + 1` multiplications an item.

use crate::error::{Result, require, same_length};
use crate::graph::fold_in::{FoldIn, Links, Tables, Voice};
use crate::history::HistoryWeights;
use crate::knowledge::triples::{RelationWeight, Triples, weigh};
use lingxi_data::Events;
use lingxi_kernels::{dot, gather, matmul_nn, matmul_nt, matmul_tn, scatter_add};
use lingxi_train::{Course, Learner, TrainerConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Name of the relation from an item to what the same shopper took next.
pub const NEXT: &str = "next";

/// How head and relation are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Geometry {
    /// A relation moves.
    TransE,
    /// A relation stretches and turns; compared by product.
    #[default]
    ComplEx,
    /// A relation turns; compared by distance.
    RotatE,
}

/// How vectors are learned and read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingConfig {
    /// Which geometry; default `complex`.
    pub geometry: Geometry,
    /// Length of a vector, even; default 64.
    pub dim: usize,
    /// Weight by relation when a shopper asks; one that is not named counts once. Against the direction of the
    /// triples: the name with `-` before it. All are learned.
    pub relations: Vec<RelationWeight>,
    /// Triples in one step; default 4,096.
    pub batch: usize,
    /// Tails drawn for a step; default 1,024.
    pub negatives: usize,
    /// Passes over the triples; default 15.
    pub epochs: usize,
    /// Step size; default 3e-3.
    pub learning_rate: f32,
    /// Weight decay; default 0.01.
    pub decay: f32,
    /// How the history is weighed.
    pub history: HistoryWeights,
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        EmbeddingConfig {
            geometry: Geometry::ComplEx,
            dim: 64,
            relations: Vec::new(),
            batch: 4_096,
            negatives: 1_024,
            epochs: 15,
            learning_rate: 3e-3,
            decay: 0.01,
            history: HistoryWeights::default(),
        }
    }
}

impl EmbeddingConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        let even = (2..=4096).contains(&self.dim) && self.dim.is_multiple_of(2);
        require(even, "embedding.dim", "an even number from 2 to 4096", self.dim)?;
        for (field, x) in [
            ("embedding.batch", self.batch),
            ("embedding.negatives", self.negatives),
            ("embedding.epochs", self.epochs),
        ] {
            require((1..=1 << 20).contains(&x), field, "1 to 1048576", x)?;
        }
        let rate = self.learning_rate;
        require(rate.is_finite() && rate > 0.0, "embedding.learning_rate", "a positive number", rate)?;
        require(self.decay.is_finite() && self.decay >= 0.0, "embedding.decay", "at least 0", self.decay)?;
        self.history.validate()
    }

    /// For the trainer's loop.
    fn trainer(&self) -> TrainerConfig {
        let Self { batch, epochs, learning_rate, decay, .. } = *self;
        TrainerConfig { batch, epochs, learning_rate, decay, ..TrainerConfig::default() }
    }
}

/// Learns from the triples and from what followed what in `events`. Deterministic for a seed.
///
/// # Errors
/// [`crate::BehaviourError::Config`] for a value out of range; [`crate::BehaviourError::Input`] if the triples are of another catalogue;
/// [`crate::BehaviourError::Train`] if the run cannot be kept.
pub fn fit(
    config: &EmbeddingConfig,
    triples: &Triples,
    events: &Events<'_>,
    seed: u64,
    course: &mut Course<'_>,
) -> Result<FoldIn> {
    config.validate()?;
    same_length("fit embedding: goods of the triples", events.n_items(), triples.n_items())?;
    let (names, rows) = both_ways(triples, events);
    let weights = weigh("embedding.relations", &config.relations, &names)?;
    let space = Space { geometry: config.geometry, dim: config.dim, nodes: triples.nodes(), relations: names.len() };
    let start = space.start(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut lessons = Lessons { space, rows, negatives: config.negatives, step: Step::default() };
    let parameters = course.train(&config.trainer(), &mut lessons, start, seed)?;
    let tables = space.tables(&parameters, &weights, triples.n_items());
    Ok(FoldIn::new(Voice::Embedding, &config.history, Links::default(), tables, events))
}

/// The vectors of the goods in a model that [`fit`] made, row-major `[items, d]`, and `d`.
pub fn goods(model: &FoldIn) -> (Vec<f32>, usize) {
    let (_, rows, wide) = model.tables();
    // The last number of a row is the bias of its length.
    let d = wide - 1;
    (rows.chunks_exact(wide).flat_map(|row| &row[..d]).copied().collect(), d)
}

/// What the trainer's loop asks for: an example is a triple.
struct Lessons {
    space: Space,
    rows: Vec<[u32; 3]>,
    negatives: usize,
    step: Step,
}

impl Learner for Lessons {
    fn examples(&self) -> usize {
        self.rows.len()
    }

    fn learn(&mut self, parameters: &[f32], batch: &[u32], seed: u64, gradient: &mut [f32]) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rows: Vec<[u32; 3]> = batch.iter().map(|at| self.rows[*at as usize]).collect();
        let drawn: Vec<u32> = (0..self.negatives).map(|_| rng.random_range(0..self.space.nodes as u32)).collect();
        self.step.of(self.space, parameters, &rows, &drawn, Some(gradient))
    }

    fn check(&mut self, _: &[f32]) -> Option<f64> {
        None
    }
}

/// Names and triples, each relation also turned round; what followed what comes last.
fn both_ways(triples: &Triples, events: &Events<'_>) -> (Vec<String>, Vec<[u32; 3]>) {
    let mut names: Vec<String> = triples.relations().iter().flat_map(|r| [r.clone(), format!("-{r}")]).collect();
    let next = names.len() as u32;
    names.extend([NEXT.to_owned(), format!("-{NEXT}")]);
    let turned = |&[h, r, t]: &[u32; 3]| [[h, 2 * r, t], [t, 2 * r + 1, h]];
    let mut rows: Vec<[u32; 3]> = triples.rows().iter().flat_map(turned).collect();
    for (_, history) in events.users() {
        let steps = history.items.windows(2).filter(|pair| pair[0] != pair[1]);
        rows.extend(steps.flat_map(|pair| [[pair[0].0, next, pair[1].0], [pair[1].0, next + 1, pair[0].0]]));
    }
    (names, rows)
}

/// Where the vectors live: `nodes` of them, then those of the relations.
#[derive(Clone, Copy)]
struct Space {
    geometry: Geometry,
    dim: usize,
    nodes: usize,
    relations: usize,
}

impl Space {
    /// Nodes around zero; relations that change nothing yet.
    fn start(self, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let spread = 1.0 / (self.dim as f32).sqrt();
        let mut parameters: Vec<f32> = (0..self.nodes * self.dim).map(|_| rng.random_range(-spread..spread)).collect();
        let still = if self.geometry == Geometry::ComplEx { 1.0 } else { 0.0 };
        for _ in 0..self.relations {
            parameters.extend((0..self.dim).map(|at| {
                let real = if at < self.dim / 2 { still } else { 0.0 };
                real + rng.random_range(-0.1..0.1)
            }));
        }
        parameters
    }

    /// `s` and `b` of the module.
    fn factors(self) -> (f32, f32) {
        if self.geometry == Geometry::ComplEx { (1.0, 0.0) } else { (2.0, 1.0) }
    }

    /// `q` of one head and relation.
    fn query(self, head: &[f32], relation: &[f32], q: &mut [f32]) {
        let half = self.dim / 2;
        for k in 0..half {
            let (a, b) = (head[k], head[half + k]);
            let (c, d) = self.turn(relation, k);
            (q[k], q[half + k]) = match self.geometry {
                Geometry::TransE => (a + relation[k], b + relation[half + k]),
                _ => (a * c - b * d, a * d + b * c),
            };
        }
    }

    /// Real and imaginary part of the factor of a relation.
    fn turn(self, relation: &[f32], k: usize) -> (f32, f32) {
        match self.geometry {
            Geometry::RotatE => (relation[k].cos(), relation[k].sin()),
            _ => (relation[k], relation[self.dim / 2 + k]),
        }
    }

    /// Adds what a gradient of `q` means for head and relation.
    fn query_back(self, head: &[f32], relation: &[f32], d_q: &[f32], d_head: &mut [f32], d_relation: &mut [f32]) {
        let half = self.dim / 2;
        for k in 0..half {
            let (g, h) = (d_q[k], d_q[half + k]);
            if self.geometry == Geometry::TransE {
                d_head[k] += g;
                d_head[half + k] += h;
                d_relation[k] += g;
                d_relation[half + k] += h;
                continue;
            }
            let (a, b) = (head[k], head[half + k]);
            let (c, d) = self.turn(relation, k);
            d_head[k] += g * c + h * d;
            d_head[half + k] += h * c - g * d;
            let (d_c, d_d) = (g * a + h * b, h * a - g * b);
            match self.geometry {
                Geometry::RotatE => d_relation[k] += d_d * c - d_c * d,
                _ => {
                    d_relation[k] += d_c;
                    d_relation[half + k] += d_d;
                }
            }
        }
    }

    /// How goods speak and are spoken for.
    fn tables(self, parameters: &[f32], weights: &[f32], items: usize) -> Tables {
        let d = self.dim;
        let (nodes, relations) = parameters.split_at(self.nodes * d);
        let (s, b) = self.factors();
        let (mut from, mut to) = (vec![0.0f32; items * (d + 1)], vec![0.0f32; items * (d + 1)]);
        let rows = from.par_chunks_mut(d + 1).zip(to.par_chunks_mut(d + 1)).zip(nodes.par_chunks(d));
        rows.for_each(|((from, to), node)| {
            let mut q = vec![0.0; d];
            for (relation, weight) in relations.chunks(d).zip(weights) {
                self.query(node, relation, &mut q);
                lingxi_kernels::axpy(s * weight, &q, &mut from[..d]);
                from[d] += weight;
            }
            to[..d].copy_from_slice(node);
            to[d] = -b * dot(node, node);
        });
        Tables { dim: d + 1, from, to }
    }
}

/// Buffers of a step.
#[derive(Default)]
struct Step {
    q: Vec<f32>,
    d_q: Vec<f32>,
    tails: Vec<f32>,
    drawn: Vec<f32>,
    d_drawn: Vec<f32>,
    scores: Vec<f32>,
}

impl Step {
    /// The mean loss of `rows` against the `drawn` tails; with `gradient`, its gradient is added there.
    fn of(
        &mut self,
        space: Space,
        parameters: &[f32],
        rows: &[[u32; 3]],
        drawn: &[u32],
        gradient: Option<&mut [f32]>,
    ) -> f64 {
        let (d, b, m) = (space.dim, rows.len(), drawn.len());
        let (nodes, relations) = parameters.split_at(space.nodes * d);
        let of = |table: &[f32], at: u32| -> std::ops::Range<usize> {
            let at = at as usize * d;
            debug_assert!(at + d <= table.len());
            at..at + d
        };
        for (buffer, rows) in [(&mut self.q, b), (&mut self.d_q, b), (&mut self.tails, b)] {
            buffer.resize(rows * d, 0.0);
        }
        self.drawn.resize(m * d, 0.0);
        self.d_drawn.resize(m * d, 0.0);
        self.scores.resize(b * m, 0.0);
        self.q.par_chunks_mut(d).zip(rows).for_each(|(q, [head, relation, _])| {
            space.query(&nodes[of(nodes, *head)], &relations[of(relations, *relation)], q);
        });
        let tails: Vec<u32> = rows.iter().map(|[_, _, tail]| *tail).collect();
        gather(nodes, d, &tails, &mut self.tails);
        gather(nodes, d, drawn, &mut self.drawn);
        matmul_nt(&self.q, &self.drawn, &mut self.scores, b, m, d);
        let (s, own) = space.factors();
        let lengths: Vec<f32> = self.drawn.chunks(d).map(|t| own * dot(t, t)).collect();
        // Each row becomes the softmax beside the true tail, whose own share less one is kept apart.
        let each: Vec<(f64, f32)> = (self.scores.par_chunks_mut(m), self.q.par_chunks(d), self.tails.par_chunks(d))
            .into_par_iter()
            .map(|(scores, q, tail)| {
                let truth = s * dot(q, tail) - own * dot(tail, tail);
                scores.iter_mut().zip(&lengths).for_each(|(x, length)| *x = s * *x - length);
                let top = scores.iter().copied().fold(truth, f32::max);
                scores.iter_mut().for_each(|x| *x = (*x - top).exp());
                let sum = f64::from((truth - top).exp()) + scores.iter().map(|x| f64::from(*x)).sum::<f64>();
                scores.iter_mut().for_each(|x| *x = (f64::from(*x) / sum / b as f64) as f32);
                let share = f64::from((truth - top).exp()) / sum;
                (sum.ln() - f64::from(truth - top), ((share - 1.0) / b as f64) as f32)
            })
            .collect();
        let loss = each.iter().map(|(loss, _)| loss).sum::<f64>() / b.max(1) as f64;
        let Some(gradient) = gradient else { return loss };
        // s q . t - own |t|^2: towards q s t, towards t s q - 2 own t.
        matmul_nn(&self.scores, &self.drawn, &mut self.d_q, b, d, m);
        matmul_tn(&self.scores, &self.q, &mut self.d_drawn, m, d, b);
        let mut sums = vec![0.0f32; m];
        self.scores.chunks(m).for_each(|row| lingxi_kernels::axpy(1.0, row, &mut sums));
        for ((d_t, t), sum) in self.d_drawn.chunks_mut(d).zip(self.drawn.chunks(d)).zip(&sums) {
            d_t.iter_mut().zip(t).for_each(|(g, t)| *g = s * *g - 2.0 * own * sum * t);
        }
        let (d_nodes, d_relations) = gradient.split_at_mut(space.nodes * d);
        let mut d_tails = vec![0.0f32; b * d];
        let rows_of = self.d_q.chunks_mut(d).zip(self.q.chunks(d)).zip(self.tails.chunks(d).zip(d_tails.chunks_mut(d)));
        for (((d_q, q), (tail, d_tail)), (_, surprise)) in rows_of.zip(&each) {
            for k in 0..d {
                d_q[k] = s * (d_q[k] + surprise * tail[k]);
                d_tail[k] = surprise * (s * q[k] - 2.0 * own * tail[k]);
            }
        }
        scatter_add(d_nodes, d, drawn, &self.d_drawn);
        scatter_add(d_nodes, d, &tails, &d_tails);
        for ([head, relation, _], d_q) in rows.iter().zip(self.d_q.chunks(d)) {
            let (head, relation) = (of(nodes, *head), of(relations, *relation));
            space.query_back(
                &nodes[head.clone()],
                &relations[relation.clone()],
                d_q,
                &mut d_nodes[head],
                &mut d_relations[relation],
            );
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Geometry; 3] = [Geometry::TransE, Geometry::ComplEx, Geometry::RotatE];

    #[test]
    fn the_gradient_of_every_geometry_agrees_with_finite_differences() {
        for geometry in ALL {
            let space = Space { geometry, dim: 6, nodes: 7, relations: 2 };
            let parameters: Vec<f32> = space.start(&mut ChaCha8Rng::seed_from_u64(2)).iter().map(|x| 1.5 * x).collect();
            let rows = [[0, 0, 1], [2, 1, 3], [0, 1, 4], [5, 0, 0]];
            let (mut step, drawn) = (Step::default(), [6, 1, 2, 2, 5]);
            let mut gradient = vec![0.0; parameters.len()];
            step.of(space, &parameters, &rows, &drawn, Some(&mut gradient));
            let loss = |w: &[f32]| step.of(space, w, &rows, &drawn, None);
            lingxi_train::gradient_check(&parameters, &gradient, 2e-3, 0.01, 40, 5, loss)
                .unwrap_or_else(|why| panic!("{geometry:?}: {why:?}"));
        }
    }

    #[test]
    fn what_serves_scores_as_the_geometry_does() {
        for geometry in ALL {
            let space = Space { geometry, dim: 4, nodes: 3, relations: 1 };
            let parameters = space.start(&mut ChaCha8Rng::seed_from_u64(4));
            let tables = space.tables(&parameters, &[1.0], 3);
            let (nodes, relation) = parameters.split_at(12);
            let mut q = [0.0; 4];
            space.query(&nodes[..4], relation, &mut q);
            let score = |j: usize| {
                let t = &nodes[4 * j..4 * j + 4];
                let apart: f32 = q.iter().zip(t).map(|(q, t)| (q - t).powi(2)).sum();
                if geometry == Geometry::ComplEx { dot(&q, t) } else { dot(&q, &q) - apart }
            };
            for j in 0..3 {
                let got = dot(&tables.from[..5], &tables.to[5 * j..5 * j + 5]);
                assert!((got - score(j)).abs() < 1e-5, "{geometry:?}: {got} and {}", score(j));
            }
        }
    }
}
