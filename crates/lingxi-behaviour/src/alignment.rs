//! From what a text says to what shoppers do: AlphaRec (arXiv 2407.05441), which places shoppers and goods never seen.
//!
//! Shapes: `n` items, `m` shoppers, text `[n, i]` ([`whiten`]ed language vectors), representations of length `d`.
//!
//! 1. `E0 = MLP(text)` for items and, from the mean text of their items, for shoppers ([`network`]): no table of ids.
//! 2. `E = mean of A^l E0, l = 0..=L`, LightGCN over the graph of shoppers and goods (`graph::propagation`).
//! 3. InfoNCE between shoppers and the goods they took (`graph::contrast`); only the MLP learns ([`train`]).
//!
//! What serves is the item table `z_j = E_j / |E_j|`. A shopper, known or new, is placed by what they did:
//!
//! `score(x, j) = z_j . (sum_i x_i z_i) / |sum_i x_i z_i|`, with `x` the recency-weighted history,
//!
//! a cosine in [-1, 1], and a sum over past items. A new item is `MLP(text)`, turned to length one.
//!
//! Cost a step: `6 (m + n) h (i + d)` for the projection, `8 pairs d L` for the graph. Memory: about
//! `4 (m + n) (i + 2 h + 4 d)` bytes. Scoring: `d` multiplications an item.

mod network;
mod train;
pub(crate) mod whiten;

use crate::error::{Result, require, same_length};
use crate::history::{HistoryWeights, Past};
use crate::pairs::Pairs;
use lingxi_data::artefact::{Reader, Writer};
use lingxi_data::{Because, Context, Contribution, Events, ItemId, ItemVectors, Provenance, Score};
use lingxi_kernels::{axpy, dot, matmul_nt};
use lingxi_train::Course;
use network::{Buffers, Shape, forward};
use serde::{Deserialize, Serialize};
use std::path::Path;
use train::Machine;
use whiten::Whitening;

const NAME: &str = "alignment";

/// How the alignment is trained and read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignmentConfig {
    /// Directions of the text vectors that are read; default 128.
    pub text_dims: usize,
    /// Hidden width of the projection; default 128.
    pub hidden: usize,
    /// Length of a representation; default 64.
    pub dim: usize,
    /// Steps of propagation; default 2.
    pub layers: usize,
    /// Temperature of the contrast; default 0.15.
    pub temperature: f32,
    /// Pairs in one step; default 4,096.
    pub batch: usize,
    /// Sampled items in one step; default 1,024.
    pub negatives: usize,
    /// At most so many steps, counted in full looks; default 200.
    pub steps: usize,
    /// Step size; default 3e-3.
    pub learning_rate: f32,
    /// Weight decay; default 1e-4.
    pub decay: f32,
    /// Gradients longer than this are cut; default 1.
    pub clip: f32,
    /// Share of the pairs held out to watch (at most 4,096 pairs); default 0.02. With 0 all steps are taken.
    pub held_out: f32,
    /// Steps between two looks at the held-out loss; default 10.
    pub check_every: usize,
    /// Stop after so many looks without a new best; default 3.
    pub patience: usize,
    /// How the history is weighed; the weights of kinds count in training too.
    pub history: HistoryWeights,
}

impl Default for AlignmentConfig {
    fn default() -> Self {
        AlignmentConfig {
            text_dims: 128,
            hidden: 128,
            dim: 64,
            layers: 2,
            temperature: 0.15,
            batch: 4_096,
            negatives: 1_024,
            steps: 200,
            learning_rate: 3e-3,
            decay: 1e-4,
            clip: 1.0,
            held_out: 0.02,
            check_every: 10,
            patience: 3,
            history: HistoryWeights::default(),
        }
    }
}

impl AlignmentConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        for (field, x) in [
            ("alignment.text_dims", self.text_dims),
            ("alignment.hidden", self.hidden),
            ("alignment.dim", self.dim),
            ("alignment.batch", self.batch),
            ("alignment.negatives", self.negatives),
            ("alignment.check_every", self.check_every),
            ("alignment.patience", self.patience),
        ] {
            require(x > 0, field, "at least 1", x)?;
        }
        for (field, x) in [
            ("alignment.temperature", self.temperature),
            ("alignment.learning_rate", self.learning_rate),
            ("alignment.clip", self.clip),
        ] {
            require(x.is_finite() && x > 0.0, field, "a positive number", x)?;
        }
        require(self.decay.is_finite() && self.decay >= 0.0, "alignment.decay", "at least 0", self.decay)?;
        require((0.0..0.5).contains(&self.held_out), "alignment.held_out", "a share in [0, 0.5)", self.held_out)?;
        self.history.validate()
    }
}

/// The trained model.
#[derive(Clone, Debug, PartialEq)]
pub struct Alignment {
    config: AlignmentConfig,
    provenance: Provenance,
    whitening: Whitening,
    parameters: Vec<f32>,
    /// `z`, row-major `[n, dim]`, rows of length one (zero for an item with neither text nor events).
    items: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    model: String,
    config: AlignmentConfig,
    provenance: Provenance,
}

/// Trains the projection on `events` and places all items. Deterministic for a seed.
///
/// # Errors
/// [`crate::BehaviourError::Config`] for a value out of range; [`crate::BehaviourError::Input`] if the vectors are of another catalogue or
/// no item has text; [`crate::BehaviourError::Train`] if the run cannot be kept.
pub fn fit(
    config: &AlignmentConfig,
    events: &Events<'_>,
    vectors: &ItemVectors,
    seed: u64,
    course: &mut Course<'_>,
) -> Result<Alignment> {
    config.validate()?;
    same_length("fit alignment: item vectors", events.n_items(), vectors.len())?;
    let whitening = Whitening::fit(vectors, config.text_dims)?;
    let text = whitening.items(vectors);
    let shape = Shape { input: whitening.dim(), hidden: config.hidden, output: config.dim };
    let pairs = Pairs::of(events, &config.history, 0.0);
    // Goods that nobody took teach nothing: training runs on the others alone.
    let taken: Vec<u32> = (0..vectors.len() as u32).filter(|&i| pairs.by_item.count(i as usize) > 0).collect();
    let parameters = if taken.is_empty() {
        shape.initial(seed)
    } else {
        let rows = taken.iter().flat_map(|&i| text[i as usize * shape.input..][..shape.input].iter().copied());
        train::train(config, shape, &pairs.by_user.renamed(&taken), &rows.collect::<Vec<f32>>(), seed, course)?
    };
    let mut model = Alignment {
        config: config.clone(),
        provenance: vectors.provenance().clone(),
        whitening,
        parameters,
        items: Vec::new(),
    };
    model.place_all(&pairs, &text, vectors.present());
    Ok(model)
}

impl Alignment {
    /// The configuration that the model was trained with.
    pub fn config(&self) -> &AlignmentConfig {
        &self.config
    }

    /// Places all items anew, from all `events` and texts of now, without training: minutes-old events and new goods
    /// count at once.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Input`] if the vectors are of another catalogue; [`crate::BehaviourError::Data`] if they are of another
    /// language model than the training's.
    pub fn refresh(&mut self, events: &Events<'_>, vectors: &ItemVectors) -> Result<()> {
        same_length("refresh alignment: item vectors", events.n_items(), vectors.len())?;
        vectors.same_space(&self.provenance)?;
        let pairs = Pairs::of(events, &self.config.history, 0.0);
        let text = self.whitening.items(vectors);
        self.place_all(&pairs, &text, vectors.present());
        Ok(())
    }

    /// Representations of all items, row-major `[n_items, dim]` and `dim`; rows of length one, or zero.
    pub fn item_vectors(&self) -> (&[f32], usize) {
        (&self.items, self.config.dim)
    }

    /// The representation of an item never seen, from its text vector (of the training's language model); length one.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Input`] if the vector has another length.
    pub fn place_item(&self, text: &[f32]) -> Result<Vec<f32>> {
        same_length("place an item: text vector", self.whitening.mean.len(), text.len())?;
        let mut out = vec![0.0; self.config.dim];
        forward(self.shape(), &self.parameters, &self.whitening.one(text), &mut Buffers::default(), &mut out);
        to_length_one(&mut out);
        Ok(out)
    }

    /// Where the context's history places the shopper, `[dim]` of length one; `None` if it holds no item with a place.
    pub fn shopper_vector(&self, context: &Context<'_>) -> Option<Vec<f32>> {
        self.place_shopper(&self.past(context)).map(|(vector, _)| vector)
    }

    fn shape(&self) -> Shape {
        Shape { input: self.whitening.dim(), hidden: self.config.hidden, output: self.config.dim }
    }

    fn row(&self, item: ItemId) -> &[f32] {
        let d = self.config.dim;
        &self.items[item.index() * d..(item.index() + 1) * d]
    }

    fn past(&self, context: &Context<'_>) -> Vec<Past> {
        self.config.history.weigh(context, self.n_items())
    }

    /// The vector of length one and the length it had.
    fn place_shopper(&self, past: &[Past]) -> Option<(Vec<f32>, f32)> {
        let mut sum = vec![0.0; self.config.dim];
        past.iter().for_each(|p| axpy(p.weight, self.row(p.item), &mut sum));
        let length = to_length_one(&mut sum);
        (length > 0.0).then_some((sum, length))
    }

    fn place_all(&mut self, pairs: &Pairs, text: &[f32], present: &[bool]) {
        let d = self.config.dim;
        let mut machine = Machine::new(self.shape(), &pairs.by_user, text, self.config.layers);
        let users = machine.graph.users;
        self.items = machine.represent(&self.parameters)[users * d..].to_vec();
        for (item, row) in self.items.chunks_mut(d).enumerate() {
            if present[item] || pairs.by_item.count(item) > 0 {
                to_length_one(row);
            } else {
                row.fill(0.0);
            }
        }
    }

    /// Writes the model to one file.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Data`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let (config, provenance) = (self.config.clone(), self.provenance.clone());
        let w = &self.whitening;
        Ok(Writer::default()
            .column("mean", &[w.mean.len()], &w.mean)
            .column("turn", &[w.mean.len(), w.dim()], &w.turn)
            .column("parameters", &[self.parameters.len()], &self.parameters)
            .column("items", &[self.n_items(), self.config.dim], &self.items)
            .write(path, &Header { model: NAME.into(), config, provenance })?)
    }

    /// Reads a model that [`Alignment::save`] wrote.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Data`] if the file is missing, damaged or of another kind; [`crate::BehaviourError::Input`] if its
    /// columns do not fit each other.
    pub fn load(path: &Path) -> Result<Alignment> {
        let file = Reader::open(path)?;
        let Header { config, provenance, .. } = file.meta()?;
        config.validate()?;
        let whitening = Whitening { mean: file.column("mean")?, turn: file.column("turn")? };
        let model = Alignment {
            whitening,
            parameters: file.column("parameters")?,
            items: file.column("items")?,
            config,
            provenance,
        };
        same_length(
            "load alignment: turn",
            model.whitening.mean.len() * model.whitening.dim(),
            model.whitening.turn.len(),
        )?;
        same_length("load alignment: parameters", model.shape().len(), model.parameters.len())?;
        same_length("load alignment: items", model.n_items() * model.config.dim, model.items.len())?;
        Ok(model)
    }
}

/// Scales to length one unless it is zero; returns the length it had.
fn to_length_one(row: &mut [f32]) -> f32 {
    let length = dot(row, row).sqrt();
    if length > 0.0 {
        row.iter_mut().for_each(|x| *x /= length);
    }
    length
}

impl Score for Alignment {
    fn name(&self) -> &'static str {
        NAME
    }

    fn n_items(&self) -> usize {
        self.items.len() / self.config.dim
    }

    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        let Some(shopper) = self.shopper_vector(context) else { return out.fill(0.0) };
        for (item, out) in items.iter().zip(out) {
            *out = if item.index() < self.n_items() { dot(self.row(*item), &shopper) } else { 0.0 };
        }
    }

    fn score_all(&self, contexts: &[Context<'_>], out: &mut [f32]) {
        let (d, n) = (self.config.dim, self.n_items());
        let mut shoppers = vec![0.0; contexts.len() * d];
        for (row, context) in shoppers.chunks_mut(d).zip(contexts) {
            if let Some(shopper) = self.shopper_vector(context) {
                row.copy_from_slice(&shopper);
            }
        }
        matmul_nt(&shoppers, &self.items, out, contexts.len(), n, d);
    }

    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        let past = self.past(context);
        let Some((_, length)) = self.place_shopper(&past).filter(|_| item.index() < self.n_items()) else {
            return Vec::new();
        };
        let part = |p: &Past| Contribution {
            model: NAME,
            because: Because::SimilarMeaning { item: p.item, kind: p.kind },
            value: p.weight * dot(self.row(p.item), self.row(item)) / length,
        };
        past.iter().map(part).collect()
    }
}
