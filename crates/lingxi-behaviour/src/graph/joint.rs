//! Graph and language in one score: the graph-representation alignment of the project's mission, equation by equation.
//!
//! Shapes: `n` items, `m` shoppers; text `t_i [k]` (the language vector, whitened and of length one); `V [k, d]`, `E0 [m + n, d]`,
//! `w, b [d]` the parameters.
//!
//! 1. `x_i = V^T t_i`: the text as the shop needs it (the linear adapter of WhitenRec, arXiv 2402.10602).
//! 2. `x_u = sum_i x_ui x_i`: the profile out of the shopper's own graph of clicks, a mean over neighbours (GraphSAGE, 1706.02216).
//! 3. `g = mean_l A^l E0`: the states of the graph network on the graph of shoppers and goods (LightGCN, 2002.02126).
//! 4. `h_ui = g_u g_i`, element by element: what the network says of the pair (NGCF, 1905.08108).
//! 5. `x_ui = x_u + x_i + h_ui`, `z = x_ui + x_i + h_z` with `h_z = g_i`: the pair, and the item once more in both spaces.
//! 6. `s = w . sigma(z + b)`, less the same for nobody (`x_u = g_u = 0`), so that no history is no evidence.
//!
//! Losses over a taken item and drawn ones: MSE to 1 and 0; cross-entropy of each by itself; BPR (1205.2618); KL from the batch's truth to
//! the softmax of the scores (with one taken item, its negative log). Backward by hand: with `r = sigma(z + b)` and `ds` the gradient of the
//! score, `dz = ds w r (1 - r)`, `dx_u = dz`, `dx_i = 2 dz`, `dg_u = dz g_i`, `dg_i = dz (g_u + 1)`, `dV = T^T dX`, `dE0` by one more propagation.
//!
//! With `agreement`, `x_i` and `g_i` of some goods are held together in each step ([`crate::agreement`]).
//!
//! A fresh history places the shopper: `x_u` as above, `g_u` as [`super::lightgcn`] does. Cost a request: `d` sigmoids an item, which is
//! some ten times a dot product.

mod machine;

use crate::agreement::Agreement;
use crate::alignment::whiten::Whitening;
use crate::error::{Result, require, same_length};
use crate::history::{HistoryWeights, Past};
use crate::pairs::Pairs;
use lingxi_data::artefact::{Reader, Writer};
use lingxi_data::{Because, Context, Contribution, Events, ItemId, ItemVectors, Score};
use lingxi_kernels::axpy;
use lingxi_train::{Course, Learner, TrainerConfig};
use machine::{Batch, Machine, Pair, sigma};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

const NAME: &str = "joint";

/// What is compared with what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JointLoss {
    /// Squared distance to 1 for what was taken and 0 for what was drawn.
    Mse,
    /// Logistic loss of each by itself.
    CrossEntropy,
    /// What was taken above what was drawn.
    Bpr,
    /// The softmax of the scores toward what was taken.
    #[default]
    Kl,
}

/// How it is trained and read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JointConfig {
    /// Which loss; default `kl`.
    pub loss: JointLoss,
    /// Directions of the text vectors that are read; default 128.
    pub text_dims: usize,
    /// Length of a representation; default 64.
    pub dim: usize,
    /// Steps of propagation; default 2.
    pub layers: usize,
    /// Pairs in one step; default 1,024.
    pub batch: usize,
    /// Items drawn for each pair; default 16.
    pub negatives: usize,
    /// Passes over the pairs; default 10.
    pub epochs: usize,
    /// Step size; default 3e-3.
    pub learning_rate: f32,
    /// Weight decay; default 1e-4.
    pub decay: f32,
    /// How strongly language and graph are to agree on goods; default not at all.
    pub agreement: Option<Agreement>,
    /// How the history is weighed; the weights of kinds count in training too.
    pub history: HistoryWeights,
}

impl Default for JointConfig {
    fn default() -> Self {
        JointConfig {
            loss: JointLoss::Kl,
            text_dims: 128,
            dim: 64,
            layers: 2,
            batch: 1_024,
            negatives: 16,
            epochs: 10,
            learning_rate: 3e-3,
            decay: 1e-4,
            agreement: None,
            history: HistoryWeights::default(),
        }
    }
}

impl JointConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        for (field, x) in [
            ("joint.text_dims", self.text_dims),
            ("joint.dim", self.dim),
            ("joint.layers", self.layers),
            ("joint.batch", self.batch),
            ("joint.negatives", self.negatives),
            ("joint.epochs", self.epochs),
        ] {
            require((1..=1 << 20).contains(&x), field, "1 to 1048576", x)?;
        }
        let rate = self.learning_rate;
        require(rate.is_finite() && rate > 0.0, "joint.learning_rate", "a positive number", rate)?;
        require(self.decay.is_finite() && self.decay >= 0.0, "joint.decay", "at least 0", self.decay)?;
        self.agreement.map_or(Ok(()), |agreement| agreement.validate())?;
        self.history.validate()
    }

    /// For the trainer's loop. Batches are never put together to one step: the machine writes its gradient whole.
    fn trainer(&self) -> TrainerConfig {
        let Self { batch, epochs, learning_rate, decay, .. } = *self;
        TrainerConfig { batch, epochs, learning_rate, decay, accumulate: 1, ..TrainerConfig::default() }
    }
}

/// The trained model: all that a score needs of an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    config: JointConfig,
    /// `x_i` and `g_i`, row-major `[n, d]`; `speaks` is how an item makes `g_u`.
    text: Vec<f32>,
    state: Vec<f32>,
    speaks: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
}

/// Trains on `events`. Deterministic for a seed.
///
/// # Errors
/// [`crate::BehaviourError::Config`] for a value out of range; [`crate::BehaviourError::Input`] if the vectors are of another catalogue or
/// no item has text; [`crate::BehaviourError::Train`] if the run cannot be kept.
pub fn fit(
    config: &JointConfig,
    events: &Events<'_>,
    vectors: &ItemVectors,
    seed: u64,
    course: &mut Course<'_>,
) -> Result<Joint> {
    config.validate()?;
    same_length("fit joint: item vectors", events.n_items(), vectors.len())?;
    let whitening = Whitening::fit(vectors, config.text_dims)?;
    let mut text = whitening.items(vectors);
    text.par_chunks_mut(whitening.dim()).for_each(|row| {
        let length = lingxi_kernels::dot(row, row).sqrt().max(1e-12);
        row.iter_mut().for_each(|x| *x /= length);
    });
    let pairs = Pairs::of(events, &config.history, 0.0);
    let mut machine = Machine::new(config, &pairs.by_user, &text, whitening.dim());
    let start = machine.start(&mut ChaCha8Rng::seed_from_u64(seed));
    let of = |user: usize| pairs.by_user.row(user).0.iter().map(move |&item| (user as u32, item));
    let taken = (0..pairs.by_user.len()).flat_map(of).collect();
    let (items, negatives) = (events.n_items() as u32, config.negatives);
    let goods = config.agreement.map_or(0, |agreement| agreement.goods.min(items as usize));
    let mut lessons = Lessons { machine: &mut machine, taken, items, negatives, goods };
    let parameters = course.train(&config.trainer(), &mut lessons, start, seed)?;
    Ok(machine.model(config, &parameters))
}

/// What the trainer's loop asks for: an example is a pair.
struct Lessons<'a> {
    machine: &'a mut Machine,
    taken: Vec<(u32, u32)>,
    items: u32,
    negatives: usize,
    goods: usize,
}

impl Learner for Lessons<'_> {
    fn examples(&self) -> usize {
        self.taken.len()
    }

    fn learn(&mut self, parameters: &[f32], batch: &[u32], seed: u64, gradient: &mut [f32]) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let taken: Vec<(u32, u32)> = batch.iter().map(|at| self.taken[*at as usize]).collect();
        let drawn: Vec<u32> = (0..taken.len() * self.negatives).map(|_| rng.random_range(0..self.items)).collect();
        let goods: Vec<u32> =
            rand::seq::index::sample(&mut rng, self.items as usize, self.goods).into_iter().map(|i| i as u32).collect();
        let batch = Batch { taken: &taken, drawn: &drawn, goods: &goods };
        self.machine.step(parameters, batch, Some(gradient))
    }

    fn check(&mut self, _: &[f32]) -> Option<f64> {
        None
    }
}

impl Joint {
    fn past(&self, context: &Context<'_>) -> Vec<Past> {
        self.config.history.weigh(context, self.n_items())
    }

    fn row<'a>(&self, table: &'a [f32], item: ItemId) -> &'a [f32] {
        let d = self.config.dim;
        &table[item.index() * d..(item.index() + 1) * d]
    }

    /// `x_u` and `g_u` of a past; the square root of its length stands for that of the shopper's degree.
    fn place(&self, past: &[Past]) -> (Vec<f32>, Vec<f32>) {
        let (mut x, mut g) = (vec![0.0; self.config.dim], vec![0.0; self.config.dim]);
        let degree = (past.len() as f32).sqrt();
        for p in past {
            axpy(p.weight, self.row(&self.text, p.item), &mut x);
            axpy(p.weight * degree, self.row(&self.speaks, p.item), &mut g);
        }
        (x, g)
    }

    fn pair<'a>(&'a self, (x_u, g_u): &'a (Vec<f32>, Vec<f32>), item: ItemId) -> Pair<'a> {
        Pair { x_u, g_u, x_i: self.row(&self.text, item), g_i: self.row(&self.state, item) }
    }

    /// Writes the model to one file.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Data`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let shape = [self.n_items(), self.config.dim];
        Ok(Writer::default()
            .column("text", &shape, &self.text)
            .column("state", &shape, &self.state)
            .column("speaks", &shape, &self.speaks)
            .column("w", &[self.w.len()], &self.w)
            .column("b", &[self.b.len()], &self.b)
            .write(path, &(NAME, &self.config))?)
    }

    /// Reads a model that [`Joint::save`] wrote.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Data`] if the file is missing, damaged or of another kind; [`crate::BehaviourError::Input`] if its
    /// columns do not fit each other.
    pub fn load(path: &Path) -> Result<Joint> {
        let file = Reader::open(path)?;
        let (_, config): (String, JointConfig) = file.meta()?;
        config.validate()?;
        let (text, state): (Vec<f32>, Vec<f32>) = (file.column("text")?, file.column("state")?);
        let model =
            Joint { config, text, state, speaks: file.column("speaks")?, w: file.column("w")?, b: file.column("b")? };
        let (n, d) = (model.n_items(), model.config.dim);
        for (expected, got) in [
            (n * d, model.text.len()),
            (n * d, model.state.len()),
            (n * d, model.speaks.len()),
            (d, model.w.len()),
            (d, model.b.len()),
        ] {
            same_length("load joint", expected, got)?;
        }
        Ok(model)
    }
}

impl Score for Joint {
    fn name(&self) -> &'static str {
        NAME
    }

    fn n_items(&self) -> usize {
        self.text.len() / self.config.dim
    }

    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        let shopper = self.place(&self.past(context));
        let known = |item: &ItemId| item.index() < self.n_items();
        for (item, out) in items.iter().zip(out) {
            *out = if known(item) { self.pair(&shopper, *item).score(&self.w, &self.b) } else { 0.0 };
        }
    }

    fn score_all(&self, contexts: &[Context<'_>], out: &mut [f32]) {
        let items: Vec<ItemId> = (0..self.n_items() as u32).map(ItemId).collect();
        let rows = contexts.par_iter().zip(out.par_chunks_mut(self.n_items().max(1)));
        rows.for_each(|(context, row)| self.score(context, &items, row));
    }

    /// In each direction the shopper moves `z` by a sum over past items; the score moves with it, and each past item has its share.
    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        if item.index() >= self.n_items() {
            return Vec::new();
        }
        let past = self.past(context);
        let shopper = self.place(&past);
        let pair = self.pair(&shopper, item);
        let degree = (past.len() as f32).sqrt();
        let slope = |c: usize| {
            let (moved, alone) = pair.parts(c, &self.b);
            let whole = self.w[c] * (sigma(alone + moved) - sigma(alone));
            if moved.abs() > 1e-12 { whole / moved } else { 0.0 }
        };
        let slopes: Vec<f32> = (0..self.config.dim).map(slope).collect();
        let part = |p: &Past| {
            let (text, speaks) = (self.row(&self.text, p.item), self.row(&self.speaks, p.item));
            let move_of = |c: usize| text[c] + degree * speaks[c] * pair.g_i[c];
            let value = p.weight * slopes.iter().enumerate().map(|(c, slope)| slope * move_of(c)).sum::<f32>();
            Contribution { model: NAME, because: Because::BoughtTogether { item: p.item, kind: p.kind }, value }
        };
        past.iter().map(part).collect()
    }
}
