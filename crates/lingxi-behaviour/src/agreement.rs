//! Do language and behaviour agree on which goods are alike? Rows of some goods in both spaces come in; how far they are apart
//! and the gradients go out. One loss beside that of what was taken, for models whose items have a text and a row of their own ([`crate::sequence`], [`crate::graph::joint`]).
//!
//! Shapes: `m` goods drawn for a step, text `t [m, k]`, language rows `l = W t [m, d]`, behaviour rows `e [m, d]` (a sequence network's input rows, a
//! graph network's states); a hat is a row over its length.
//!
//! - `info_nce` (RLMRec, arXiv 2310.15950): which behaviour row belongs to a text? `-log softmax_j(l^_i . e^_j / T)_i`.
//! - `kl`: who is near whom in language should be near in behaviour: `KL(p_i || q_i)` with `p_i = softmax_j(t^_i . t^_j / T)`, which is
//!   not learned, and `q_i = softmax_j(e^_i . e^_j / T)`, both over the other goods.
//!
//! Backward by hand: with `S` the scores, `dS_i = (softmax - truth)_i / m` for both, then `dx = (dx^ - (dx^ . x^) x^) / |x|`.
//! Cost a step: three products of `[m, m]` by `d`.

use crate::error::{Result, require};
use lingxi_kernels::{dot, matmul_nn_add, matmul_nt, matmul_tn_add};
use serde::{Deserialize, Serialize};

/// What is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// Each text finds its own item.
    #[default]
    InfoNce,
    /// Goods have the same neighbours in both spaces.
    Kl,
}

/// How strongly language and behaviour are to agree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agreement {
    /// What is compared; default `info_nce`.
    pub loss: Likeness,
    /// Weight beside the loss of what was taken; default 0.1.
    pub weight: f32,
    /// Divides cosines; default 0.2.
    pub temperature: f32,
    /// Goods drawn for a step; default 256.
    pub goods: usize,
}

impl Default for Agreement {
    fn default() -> Self {
        Agreement { loss: Likeness::InfoNce, weight: 0.1, temperature: 0.2, goods: 256 }
    }
}

/// Rows of the drawn goods, row-major, and where their gradients are added.
pub(crate) struct Rows<'a> {
    pub text: &'a [f32],
    pub language: &'a [f32],
    pub behaviour: &'a [f32],
    pub d_language: &'a mut [f32],
    pub d_behaviour: &'a mut [f32],
}

impl Agreement {
    pub(crate) fn validate(&self) -> Result<()> {
        let positive = |x: f32| x.is_finite() && x > 0.0;
        let (weight, temperature) = (self.weight, self.temperature);
        require(positive(weight), "agreement.weight", "a positive number", weight)?;
        require(positive(temperature), "agreement.temperature", "a positive number", temperature)?;
        require((2..=4_096).contains(&self.goods), "agreement.goods", "2 to 4096", self.goods)
    }

    /// The weighed loss of `m` goods; gradients are added.
    pub(crate) fn learn(&self, m: usize, rows: Rows<'_>) -> f64 {
        if m < 2 {
            return 0.0;
        }
        let d = rows.behaviour.len() / m;
        let behaviour = Unit::of(rows.behaviour, m);
        let mut d_behaviour = vec![0.0; m * d];
        let scale = self.weight / (self.temperature * m as f32);
        let loss = match self.loss {
            Likeness::InfoNce => {
                let language = Unit::of(rows.language, m);
                let mut p = self.softmax(&language.rows, &behaviour.rows, m, false);
                let loss = (0..m).map(|i| -f64::from(p[i * m + i].max(f32::MIN_POSITIVE)).ln()).sum::<f64>();
                (0..m).for_each(|i| p[i * m + i] -= 1.0);
                p.iter_mut().for_each(|p| *p *= scale);
                let mut d_language = vec![0.0; m * d];
                matmul_nn_add(&p, &behaviour.rows, &mut d_language, m, d, m);
                matmul_tn_add(&p, &language.rows, &mut d_behaviour, m, d, m);
                language.back(&d_language, rows.d_language);
                loss
            }
            Likeness::Kl => {
                let text = Unit::of(rows.text, m);
                let p = self.softmax(&text.rows, &text.rows, m, true);
                let mut q = self.softmax(&behaviour.rows, &behaviour.rows, m, true);
                let each = |(p, q): (&f32, &f32)| f64::from(*p) * f64::from(p / q.max(f32::MIN_POSITIVE)).ln();
                let loss = p.iter().zip(&q).filter(|(p, _)| **p > 0.0).map(each).sum::<f64>();
                q.iter_mut().zip(&p).for_each(|(q, p)| *q = (*q - p) * scale);
                matmul_nn_add(&q, &behaviour.rows, &mut d_behaviour, m, d, m);
                matmul_tn_add(&q, &behaviour.rows, &mut d_behaviour, m, d, m);
                loss
            }
        };
        behaviour.back(&d_behaviour, rows.d_behaviour);
        f64::from(self.weight) * loss / m as f64
    }

    /// The softmax of each row of `a b^T / T`, without its own column if it is to be left out.
    fn softmax(&self, a: &[f32], b: &[f32], m: usize, others: bool) -> Vec<f32> {
        let mut scores = vec![0.0; m * m];
        matmul_nt(a, b, &mut scores, m, m, a.len() / m);
        for (i, row) in scores.chunks_mut(m).enumerate() {
            if others {
                row[i] = f32::NEG_INFINITY;
            }
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|x| *x = ((*x - top) / self.temperature).exp());
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|x| *x /= sum);
        }
        scores
    }
}

/// Rows of length one, with the lengths they had.
struct Unit {
    rows: Vec<f32>,
    lengths: Vec<f32>,
}

impl Unit {
    fn of(rows: &[f32], m: usize) -> Unit {
        let d = rows.len() / m;
        let lengths: Vec<f32> = rows.chunks_exact(d).map(|row| dot(row, row).sqrt().max(1e-8)).collect();
        let one = |(row, length): (&[f32], &f32)| row.iter().map(|x| x / length).collect::<Vec<f32>>();
        Unit { rows: rows.chunks_exact(d).zip(&lengths).flat_map(one).collect(), lengths }
    }

    /// Adds what a gradient of the rows means before they were divided by their lengths.
    fn back(&self, d_rows: &[f32], out: &mut [f32]) {
        let d = d_rows.len() / self.lengths.len();
        let rows = self.rows.chunks_exact(d).zip(d_rows.chunks_exact(d)).zip(&self.lengths);
        for (((x, dx), length), out) in rows.zip(out.chunks_exact_mut(d)) {
            let along = dot(x, dx);
            out.iter_mut().zip(x.iter().zip(dx)).for_each(|(out, (x, dx))| *out += (dx - along * x) / length);
        }
    }
}
