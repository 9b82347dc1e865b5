//! How wrong are states about what came next? States and labels come in; the summed loss and its gradients go out.
//!
//! With `h` a state, `e_i` the row of item `i`, `y` the label, `C` candidates that a step draws once for all its states, `q` the
//! chance of drawing one:
//!
//! - full softmax: `-log(e^(h.e_y) / sum over all i of e^(h.e_i))`, logits never stored;
//! - sampled softmax: the sum over `y` and `C`, each drawn candidate with `h.e_i - log(|C| q_i)` (2508.06450: the label too is
//!   corrected by what it would have been drawn with, otherwise popular goods lose);
//! - InfoNCE: the same over the labels of other states, at a temperature, not corrected;
//! - BCE: `softplus(-h.e_y) + softplus(h.e_c)` with one candidate for each state;
//! - MSE: `(h.e_y - 1)^2 + (h.e_c)^2`, likewise.

use lingxi_kernels::cross_entropy::rounded::{Scratch, Shares};
use lingxi_kernels::{Layout, Part, RoundedItems, axpy, dot, product_here, rounded_cross_entropy};
use serde::{Deserialize, Serialize};

/// What is made small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// Softmax over all items.
    #[default]
    Full,
    /// Softmax over the label and so many items drawn by how often they are taken, corrected for the draw.
    Sampled {
        /// Items drawn for a step.
        negatives: usize,
    },
    /// Softmax over the labels of the batch, at most so many.
    InfoNce {
        /// Labels of other states that a state is held against.
        negatives: usize,
        /// Divides the scores.
        temperature: f32,
    },
    /// Each state against its label and one item drawn evenly.
    Bce,
    /// The same, with squares.
    Mse,
}

/// What all states of a step are held against.
#[derive(Default)]
pub(crate) struct Candidates {
    /// Drawn items, and the logarithm of how often each is expected among them; or one item for each state.
    pub items: Vec<u32>,
    pub log_q: Vec<f32>,
    /// Of every item, for labels; empty where nothing is corrected.
    pub log_q_of_all: Vec<f32>,
    /// All items rounded, for the full softmax.
    pub rounded: RoundedItems,
}

/// States, what came next, and from which of the step's states they are (for losses with a candidate each).
pub(crate) struct Asked<'a> {
    pub states: &'a [f32],
    pub labels: &'a [u32],
    pub first: usize,
    /// One over the number of labels in the step.
    pub share: f32,
}

/// Buffers of a thread.
#[derive(Default)]
pub(crate) struct Buffers {
    full: Scratch,
    logits: Vec<f32>,
    rows: Vec<f32>,
    d_rows: Vec<f32>,
}

impl Loss {
    /// The sum of the losses; gradients are added to `d_states` and to `d_table [n,d]`.
    #[expect(clippy::too_many_arguments, reason = "plain slices of one step")]
    pub(crate) fn learn(
        self,
        asked: &Asked<'_>,
        table: &[f32],
        d: usize,
        candidates: &Candidates,
        d_states: &mut [f32],
        d_table: &mut [f32],
        buffers: &mut Buffers,
    ) -> f64 {
        match self {
            Loss::Full => {
                let shares = Shares { x: d_states, items: d_table, share: asked.share };
                let Asked { states, labels, .. } = *asked;
                rounded_cross_entropy(states, labels, table, &candidates.rounded, shares, &mut buffers.full)
            }
            Loss::Sampled { .. } => among(asked, table, d, candidates, 1.0, d_states, d_table, buffers),
            Loss::InfoNce { temperature, .. } => {
                among(asked, table, d, candidates, 1.0 / temperature, d_states, d_table, buffers)
            }
            Loss::Bce | Loss::Mse => {
                let slope = |score: f32, wanted: f32| match self {
                    Loss::Mse => (f64::from((score - wanted).powi(2)), 2.0 * (score - wanted)),
                    _ => {
                        let away = if wanted > 0.0 { -score } else { score };
                        let loss = f64::from(away.max(0.0)) + f64::from((-away.abs()).exp()).ln_1p();
                        (loss, 1.0 / (1.0 + (-score).exp()) - wanted)
                    }
                };
                one_by_one(asked, table, d, &candidates.items, slope, d_states, d_table)
            }
        }
    }
}

fn whole(data: &[f32], stride: usize) -> Part<'_> {
    Part { data, stride }
}

/// Softmax over the label and the drawn candidates.
#[expect(clippy::too_many_arguments, reason = "plain slices of one step")]
fn among(
    asked: &Asked<'_>,
    table: &[f32],
    d: usize,
    candidates: &Candidates,
    scale: f32,
    d_states: &mut [f32],
    d_table: &mut [f32],
    b: &mut Buffers,
) -> f64 {
    let (m, k) = (asked.labels.len(), candidates.items.len());
    b.rows.resize(k * d, 0.0);
    for (row, &item) in b.rows.chunks_exact_mut(d).zip(&candidates.items) {
        row.copy_from_slice(&table[item as usize * d..][..d]);
    }
    b.logits.resize(m * k, 0.0);
    product_here(Layout::Nt, whole(asked.states, d), whole(&b.rows, d), &mut b.logits, k, [m, k, d], false);
    let mut loss = 0.0;
    for ((row, &label), at) in b.logits.chunks_exact_mut(k).zip(asked.labels).zip(0..) {
        let state = &asked.states[at * d..(at + 1) * d];
        let item = label as usize * d..(label as usize + 1) * d;
        let lowered = candidates.log_q_of_all.get(label as usize).copied().unwrap_or(0.0);
        let own = scale * dot(state, &table[item.clone()]) - lowered;
        for ((logit, item), log_q) in row.iter_mut().zip(&candidates.items).zip(&candidates.log_q) {
            // A candidate that is the label itself says nothing.
            *logit = if *item == label { f32::NEG_INFINITY } else { scale * *logit - log_q };
        }
        let top = row.iter().copied().fold(own, f32::max);
        let mut sum = (own - top).exp();
        for logit in &mut *row {
            *logit = (*logit - top).exp();
            sum += *logit;
        }
        let share = scale * asked.share;
        loss += f64::from(sum.ln() + top - own);
        row.iter_mut().for_each(|p| *p *= share / sum);
        let pull = share * ((own - top).exp() / sum - 1.0);
        axpy(pull, &table[item.clone()], &mut d_states[at * d..(at + 1) * d]);
        axpy(pull, state, &mut d_table[item]);
    }
    product_here(Layout::Nn, whole(&b.logits, k), whole(&b.rows, d), d_states, d, [m, d, k], true);
    b.d_rows.resize(k * d, 0.0);
    product_here(Layout::Tn, whole(&b.logits, k), whole(asked.states, d), &mut b.d_rows, d, [k, d, m], false);
    for (row, &item) in b.d_rows.chunks_exact(d).zip(&candidates.items) {
        axpy(1.0, row, &mut d_table[item as usize * d..][..d]);
    }
    loss
}

/// Each state with its label and with its own candidate; `slope` gives loss and derivative of a score that should be 1 or 0.
fn one_by_one(
    asked: &Asked<'_>,
    table: &[f32],
    d: usize,
    drawn: &[u32],
    slope: impl Fn(f32, f32) -> (f64, f32),
    d_states: &mut [f32],
    d_table: &mut [f32],
) -> f64 {
    let mut loss = 0.0;
    for ((state, d_state), at) in asked.states.chunks_exact(d).zip(d_states.chunks_exact_mut(d)).zip(0..) {
        for (item, wanted) in [(asked.labels[at], 1.0), (drawn[asked.first + at], 0.0)] {
            let item = item as usize * d..(item as usize + 1) * d;
            let (part, pull) = slope(dot(state, &table[item.clone()]), wanted);
            loss += part;
            axpy(asked.share * pull, &table[item.clone()], d_state);
            axpy(asked.share * pull, state, &mut d_table[item]);
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_train::gradient_check;

    #[test]
    fn the_gradients_of_all_losses_agree_with_finite_differences() {
        let (m, n, d) = (6, 9, 4);
        let wave = |i: usize| ((i * 37 % 41) as f32 - 20.0) / 20.0;
        let at: Vec<f32> = (0..(m + n) * d).map(wave).collect();
        let (labels, share) = ([3u32, 0, 8, 3, 5, 1], 0.5);
        let mut candidates = Candidates { items: vec![2, 3, 7, 8, 0, 2], ..Default::default() };
        candidates.log_q = candidates.items.iter().map(|i| *i as f32 / 10.0).collect();
        candidates.log_q_of_all = (0..n).map(|i| i as f32 / 10.0).collect();
        for loss in
            [Loss::Sampled { negatives: 6 }, Loss::InfoNce { negatives: 6, temperature: 0.7 }, Loss::Bce, Loss::Mse]
        {
            let of = |at: &[f32], gradient: &mut [f32]| {
                let (states, table) = at.split_at(m * d);
                let (d_states, d_table) = gradient.split_at_mut(m * d);
                let asked = Asked { states, labels: &labels, first: 0, share };
                loss.learn(&asked, table, d, &candidates, d_states, d_table, &mut Buffers::default())
            };
            let mut gradient = vec![0.0; at.len()];
            of(&at, &mut gradient);
            let value = |at: &[f32]| f64::from(share) * of(at, &mut vec![0.0; at.len()]);
            gradient_check(&at, &gradient, 1e-2, 0.01, 40, 1, value).unwrap_or_else(|why| panic!("{loss:?}: {why:?}"));
        }
    }

    #[test]
    fn drawing_every_item_once_without_correction_is_the_full_softmax() {
        let (n, d) = (9, 4);
        let wave = |i: usize| ((i * 37 % 41) as f32 - 20.0) / 40.0;
        let (table, states): (Vec<f32>, Vec<f32>) =
            ((0..n * d).map(wave).collect(), (50..50 + 3 * d).map(wave).collect());
        let asked = Asked { states: &states, labels: &[3, 0, 8], first: 0, share: 1.0 };
        let mut candidates = Candidates { items: (0..9).collect(), log_q: vec![0.0; 9], ..Default::default() };
        candidates.rounded.fill(&table, d);
        let of = |loss: Loss| {
            let (mut a, mut b) = (vec![0.0; 3 * d], vec![0.0; n * d]);
            loss.learn(&asked, &table, d, &candidates, &mut a, &mut b, &mut Buffers::default())
        };
        let (full, sampled) = (of(Loss::Full), of(Loss::Sampled { negatives: 9 }));
        assert!((full - sampled).abs() < 0.02, "{full} and {sampled}");
    }
}
