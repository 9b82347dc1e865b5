//! How wrong are the representations of a batch? Representations `E [users + items, d]` and pairs come in; the mean loss and
//! its gradient go out.
//!
//! - `bpr` (arXiv 1205.2618): `-ln sigma(e_u . e_i - e_u . e_j)`, with one item `j` drawn for each pair.
//! - `softmax`: `-ln softmax_i(e_u . e_i / t)` over all items, by the kernel that never stores the logits.
//! - `contrast` ([`super::contrast`]): the same over cosines and drawn items only.

use super::contrast::{Batch, Contrast};
use crate::error::{Result, require};
use crate::pairs::Lists;
use lingxi_kernels::{Gradients, axpy, cross_entropy, dot, gather, scatter_add};
use serde::{Deserialize, Serialize};

/// Which loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// One drawn item a pair, compared by dot product.
    Bpr,
    /// All items, compared by dot product.
    #[default]
    Softmax,
    /// Drawn items, the same for the whole batch, compared by cosine.
    Contrast,
}

impl Loss {
    /// How many items are drawn for a batch of `pairs`.
    pub(crate) fn draws(self, pairs: usize, negatives: usize) -> usize {
        match self {
            Loss::Bpr => pairs,
            Loss::Softmax => 0,
            Loss::Contrast => negatives,
        }
    }
}

/// Checks a temperature.
pub(crate) fn check(field: &'static str, temperature: f32) -> Result<()> {
    require(temperature.is_finite() && temperature > 0.0, field, "a positive number", temperature)
}

/// A loss with its buffers.
pub(crate) struct Objective {
    loss: Loss,
    temperature: f32,
    contrast: Contrast,
    x: Vec<f32>,
    d_x: Vec<f32>,
}

impl Objective {
    pub fn new(loss: Loss, temperature: f32) -> Objective {
        Objective { loss, temperature, contrast: Contrast::default(), x: Vec::new(), d_x: Vec::new() }
    }

    /// The mean loss of a batch; with `d_e`, its gradient is added there. `taken` are the items of each shopper, rising.
    pub fn of(
        &mut self,
        e: &[f32],
        d: usize,
        users: usize,
        batch: &Batch,
        taken: &Lists,
        d_e: Option<&mut [f32]>,
    ) -> f64 {
        match self.loss {
            Loss::Bpr => bpr(e, d, users, batch, d_e),
            Loss::Softmax => self.softmax(e, d, users, batch, d_e),
            Loss::Contrast => {
                let loss = self.contrast.loss(e, d, users, batch, taken, self.temperature);
                if let Some(d_e) = d_e {
                    self.contrast.backward(d, self.temperature, d_e);
                }
                loss
            }
        }
    }

    fn softmax(&mut self, e: &[f32], d: usize, users: usize, batch: &Batch, d_e: Option<&mut [f32]>) -> f64 {
        let (shoppers, labels): (Vec<u32>, Vec<u32>) = batch.pairs.iter().copied().unzip();
        let share = 1.0 / self.temperature;
        let (of_users, of_items) = e.split_at(users * d);
        self.x.resize(shoppers.len() * d, 0.0);
        gather(of_users, d, &shoppers, &mut self.x);
        self.x.iter_mut().for_each(|x| *x *= share);
        let Some(d_e) = d_e else { return cross_entropy(&self.x, of_items, d, &labels, None) };
        let (d_users, d_items) = d_e.split_at_mut(users * d);
        self.d_x.clear();
        self.d_x.resize(self.x.len(), 0.0);
        let gradients = Gradients { x: &mut self.d_x, items: d_items };
        let loss = cross_entropy(&self.x, of_items, d, &labels, Some(gradients));
        self.d_x.iter_mut().for_each(|x| *x *= share);
        scatter_add(d_users, d, &shoppers, &self.d_x);
        loss
    }
}

/// The mean over pairs `(u, i)` with their drawn `j` of `ln(1 + e^-(e_u . (e_i - e_j)))`.
fn bpr(e: &[f32], d: usize, users: usize, batch: &Batch, mut d_e: Option<&mut [f32]>) -> f64 {
    let share = 1.0 / batch.pairs.len().max(1) as f32;
    let mut loss = 0.0;
    let mut apart = vec![0.0f32; d];
    for (&(user, taken), &drawn) in batch.pairs.iter().zip(&batch.negatives) {
        let at = |node: usize| node * d..(node + 1) * d;
        let (u, i, j) = (at(user as usize), at(users + taken as usize), at(users + drawn as usize));
        apart.iter_mut().zip(e[i.clone()].iter().zip(&e[j.clone()])).for_each(|(x, (a, b))| *x = a - b);
        let margin = dot(&e[u.clone()], &apart);
        // ln(1 + e^-x), stable on both sides.
        loss += f64::from((-margin.abs()).exp()).ln_1p() + f64::from((-margin).max(0.0));
        if let Some(d_e) = d_e.as_deref_mut() {
            let slope = -share / (1.0 + margin.exp());
            axpy(slope, &apart, &mut d_e[u.clone()]);
            axpy(slope, &e[u.clone()], &mut d_e[i]);
            axpy(-slope, &e[u], &mut d_e[j]);
        }
    }
    loss * f64::from(share)
}
