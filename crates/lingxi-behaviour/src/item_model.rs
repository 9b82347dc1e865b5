//! What is taken together, in closed form, pulled toward what the texts say: EASE with the language prior of L3AE
//! (arXiv 1905.03375, 2508.13500).
//!
//! Shapes: `X [users, n]` who took what, `B [n, n]`, `S [n, n]` the language similarity of [`language`].
//!
//! `B = argmin |X - X B|^2 + l2 |B - pull * S|^2` with `diag(B) = 0`, so
//! `B = (X^T X + l2)^-1 (X^T X + l2 * pull * S - diag(c))`
//!
//! With `dropout` the ridge of each item grows with its own count. (L3AE writes the two ridges apart: `l2` here is the sum of its two, `pull` the share of the language's.) The score is
//! read from the recency-weighted history `x`, whose weights sum to one:
//!
//! `score(x, j) = scale * sum_i x_i B_ij + repeat * x_j / max(x)`
//!
//! `B` is linear in its right-hand side, so every entry is exactly a part from behaviour plus a part from language, and
//! every score is a sum over past items of both. `scale` is one constant of the fitted model: it brings the mean best
//! score of training shoppers to one.
//!
//! Two forms of the same equation: [`dense`] over all pairs (time `n^3`, memory `8 n^2` bytes at its peak) and
//! [`neighbours`] within each item's neighbourhood (memory linear in `n`). An item without events has its column from
//! language alone.

mod dense;
mod language;
mod neighbours;

use crate::error::{BehaviourError, Result, require, same_length};
use crate::history::{HistoryWeights, Past};
use crate::pairs::Pairs;
use dense::Dense;
use language::Language;
use lingxi_data::artefact::{Reader, Writer};
use lingxi_data::{Because, Context, Contribution, Events, ItemId, ItemVectors, Score};
use neighbours::{LANES, Neighbours, Reach};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

const NAME: &str = "item_model";
/// Training shoppers that the scale is measured on.
const SCALE_SAMPLE: usize = 256;

/// Which form is fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Dense up to `dense_up_to` items, neighbours above.
    #[default]
    Auto,
    /// All pairs of items.
    Dense,
    /// Each item's neighbourhood.
    Neighbours,
}

/// How the item model is fitted and read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemModelConfig {
    /// Which form; default `auto`.
    pub form: Form,
    /// `auto` takes the dense form up to so many items; default 14,000 (1.6 GB while it is fitted).
    pub dense_up_to: usize,
    /// Ridge `l2`; default 100. Larger for denser data.
    pub l2: f32,
    /// Strength of the pull toward language, 0 = none; default 1. Without item vectors there is none.
    pub pull: f32,
    /// Ridge of the language similarity; default 3. Larger trusts only the broad directions of the texts.
    pub text_l2: f32,
    /// Strength of the pull for an item that nobody took yet, times `pull`; default 1. It has no data term: that it was not
    /// taken says nothing about a new item. In a catalogue of old shelf-warmers take less.
    pub untaken: f32,
    /// How much an item that nobody took inherits of what leads to the `heirs` goods closest in language (dense form); default 0.
    pub inherit: f32,
    /// How many goods a new item inherits from; default 8.
    pub heirs: usize,
    /// A shopper of `k` items counts `1 / k^shopper_power` in training; default 0: all the same. Near 0.4 keeps those who
    /// took everything from ruling dense data.
    pub shopper_power: f32,
    /// Ridge of each item's own count, beside `l2`; default 0. As if a share `p / (1 + p)` of what each shopper took were hidden at
    /// random while the rest predicts it (EDLAE, NeurIPS 2020), so that popular items do not rest on a few close ones.
    pub dropout: f32,
    /// Neighbours form: items most often taken together; default 64.
    pub together: usize,
    /// Neighbours form: items closest in language; default 32.
    pub similar: usize,
    /// Neighbours form: how many leading directions of the texts they are looked for in; default 64.
    pub search_dims: usize,
    /// Events on one item count `occurrences ^ power` in training; default 0: taken or not.
    pub occurrence_power: f32,
    /// Weight of the shopper's own habit, where repeats are wanted; default 0.
    pub repeat: f32,
    /// How the history is weighed; the weights of kinds count in training too.
    pub history: HistoryWeights,
}

impl Default for ItemModelConfig {
    fn default() -> Self {
        ItemModelConfig {
            form: Form::Auto,
            dense_up_to: 14_000,
            l2: 100.0,
            pull: 1.0,
            text_l2: 3.0,
            untaken: 1.0,
            inherit: 0.0,
            heirs: 8,
            shopper_power: 0.0,
            dropout: 0.0,
            together: 64,
            similar: 32,
            search_dims: 64,
            occurrence_power: 0.0,
            repeat: 0.0,
            history: HistoryWeights::default(),
        }
    }
}

impl ItemModelConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        for (field, x) in [("item_model.l2", self.l2), ("item_model.text_l2", self.text_l2)] {
            require(x.is_finite() && x > 0.0, field, "a positive number", x)?;
        }
        for (field, x) in [
            ("item_model.pull", self.pull),
            ("item_model.untaken", self.untaken),
            ("item_model.inherit", self.inherit),
            ("item_model.shopper_power", self.shopper_power),
            ("item_model.dropout", self.dropout),
            ("item_model.repeat", self.repeat),
            ("item_model.occurrence_power", self.occurrence_power),
        ] {
            require(x.is_finite() && x >= 0.0, field, "a number of at least 0", x)?;
        }
        require(self.together + self.similar > 0, "item_model.together", "at least one neighbour", 0)?;
        require(self.search_dims > 0, "item_model.search_dims", "at least 1", 0)?;
        self.history.validate()
    }

    fn is_dense(&self, n_items: usize) -> bool {
        match self.form {
            Form::Dense => true,
            Form::Neighbours => false,
            Form::Auto => n_items <= self.dense_up_to,
        }
    }
}

/// What pulls a column where: the ridge, the strength of language, and that for items that nobody took.
#[derive(Clone, Copy, Debug)]
struct Prior {
    l2: f32,
    dropout: f32,
    pull: f32,
    untaken: f32,
    inherit: f32,
    heirs: usize,
}

impl Prior {
    /// The ridge of an item whose own count in the Gram matrix is `count`.
    fn ridge(self, count: f32) -> f32 {
        self.l2 + self.dropout * count
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Fitted {
    Dense(Dense),
    Neighbours(Neighbours),
}

/// The fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemModel {
    config: ItemModelConfig,
    scale: f32,
    fitted: Fitted,
}

/// What the header of an artefact says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    model: String,
    config: ItemModelConfig,
    scale: f32,
    dense: bool,
    n_items: usize,
    dim: usize,
}

/// Fits the model on `events`; `vectors` has one row per item, or there is no language part. `progress` hears of columns
/// done and all (the dense form reports only its end).
///
/// # Errors
/// [`BehaviourError::Config`] for a value out of range, [`BehaviourError::Input`] if the vectors are of another catalogue,
/// [`BehaviourError::Numeric`] if the ridge is too small for f32.
pub fn fit(
    config: &ItemModelConfig,
    events: &Events<'_>,
    vectors: Option<&ItemVectors>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<ItemModel> {
    config.validate()?;
    let n = events.n_items();
    if let Some(vectors) = vectors {
        same_length("fit item model: item vectors", n, vectors.len())?;
    }
    let pairs = Pairs::of(events, &config.history, config.occurrence_power).evened(config.shopper_power);
    let language = match vectors {
        Some(vectors) if config.pull > 0.0 => Language::of(vectors, config.text_l2)?,
        _ => Language::none(n),
    };
    let ItemModelConfig { l2, dropout, pull, untaken, inherit, heirs, .. } = *config;
    let prior = Prior { l2, dropout, pull, untaken, inherit, heirs };
    let fitted = if config.is_dense(n) {
        let dense = Dense::fit(&pairs, language, prior)?;
        progress(n, n);
        Fitted::Dense(dense)
    } else {
        let reach = Reach { together: config.together, language: config.similar, dims: config.search_dims };
        Fitted::Neighbours(Neighbours::fit(&pairs, &language, prior, reach, progress)?)
    };
    let mut model = ItemModel { config: config.clone(), scale: 1.0, fitted };
    model.scale = model.measure_scale(events);
    Ok(model)
}

impl ItemModel {
    /// The configuration that the model was fitted with.
    pub fn config(&self) -> &ItemModelConfig {
        &self.config
    }

    /// The two parts of the weight with which `from` speaks for `to`: from behaviour and from language, unscaled. Zero
    /// for an item that the model does not know.
    pub fn link(&self, from: ItemId, to: ItemId) -> (f32, f32) {
        if from.index().max(to.index()) >= self.n_items() {
            return (0.0, 0.0);
        }
        match &self.fitted {
            Fitted::Dense(dense) => dense.parts(from.index(), to.index()),
            Fitted::Neighbours(neighbours) => neighbours.parts(from.index(), to.index()),
        }
    }

    /// Counts what the texts say of goods that nobody took `texts` times, and what they inherited `inherit` times, without
    /// fitting again (dense form; what was inherited is there if `inherit` was above 0 when it was fitted).
    pub fn weigh_newcomers(&mut self, texts: f32, inherit: f32) {
        if let Fitted::Dense(dense) = &mut self.fitted {
            dense.weigh_newcomers(texts, inherit);
        }
    }

    /// For each item at most `k` others that it speaks for most, best first, only where it speaks in their favour: what
    /// a shopper who took it is led to. Costs about as much as scoring one shopper per item.
    pub fn led_to(&self, k: usize) -> Vec<Vec<(ItemId, f32)>> {
        match &self.fitted {
            Fitted::Dense(dense) => {
                let starts: Vec<usize> = (0..dense.n).step_by(LANES).collect();
                let block = |buffer: &mut Vec<f32>, start: usize| {
                    let xs: Vec<_> = (start..(start + LANES).min(dense.n)).map(|i| vec![(i, 1.0)]).collect();
                    let rows = &mut buffer[..xs.len() * dense.n];
                    dense.rows(&xs, rows);
                    rows.chunks(dense.n).map(|row| favoured(row, k)).collect::<Vec<_>>()
                };
                let blocks = starts.into_par_iter().map_init(|| vec![0.0f32; LANES * dense.n], block);
                blocks.collect::<Vec<_>>().into_iter().flatten().collect()
            }
            Fitted::Neighbours(neighbours) => {
                let mut to: Vec<Vec<(ItemId, f32)>> = vec![Vec::new(); neighbours.n()];
                for (i, j, weight) in neighbours.entries().filter(|(.., weight)| *weight > 0.0) {
                    to[i].push((ItemId(j as u32), weight));
                }
                to.par_iter_mut().for_each(|to| {
                    to.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                    to.truncate(k);
                    to.shrink_to_fit();
                });
                to
            }
        }
    }

    /// Writes the model to one file.
    ///
    /// # Errors
    /// [`BehaviourError::Data`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let n_items = self.n_items();
        let dim = if let Fitted::Dense(dense) = &self.fitted { dense.dim } else { 0 };
        let dense = matches!(self.fitted, Fitted::Dense(_));
        let (model, config) = (NAME.to_string(), self.config.clone());
        let header = Header { model, config, scale: self.scale, dense, n_items, dim };
        let file = match &self.fitted {
            Fitted::Dense(d) => Writer::default()
                .column("p", &[d.n, d.n], &d.p)
                .column("u", &[d.u.len()], &d.u)
                .column("rows", &[d.rows.len()], &d.rows)
                .column("v", &[d.v.len()], &d.v)
                .column("untaken", &[d.n], &d.untaken)
                .column("behaviour", &[d.n], &d.behaviour)
                .column("language", &[d.n], &d.language),
            Fitted::Neighbours(b) => Writer::default()
                .column("offsets", &[b.offsets.len()], &b.offsets)
                .column("from", &[b.from.len()], &b.from)
                .column("weights", &[b.from.len()], &b.weights)
                .column("language", &[b.from.len()], &b.language),
        };
        Ok(file.write(path, &header)?)
    }

    /// Reads a model that [`ItemModel::save`] wrote.
    ///
    /// # Errors
    /// [`BehaviourError::Data`] if the file is missing, damaged or of another kind; [`BehaviourError::Input`] if its
    /// columns do not fit each other.
    pub fn load(path: &Path) -> Result<ItemModel> {
        let file = Reader::open(path)?;
        let Header { config, scale, dense, n_items: n, dim, .. } = file.meta()?;
        let fitted = if dense { Fitted::Dense(load_dense(&file, n, dim)?) } else { load_neighbours(&file, n)? };
        Ok(ItemModel { config, scale, fitted })
    }

    /// One over the mean best score of the latest history of every so-manieth training shopper.
    fn measure_scale(&self, events: &Events<'_>) -> f32 {
        let step = events.n_users().div_ceil(SCALE_SAMPLE).max(1);
        let of = |(user, history)| Context { user: Some(user), history, now: last_time(&history) };
        let contexts: Vec<Context<'_>> =
            events.users().step_by(step).filter(|(_, rows)| !rows.is_empty()).map(of).collect();
        let mut best = Vec::with_capacity(contexts.len());
        let mut rows = vec![0.0f32; LANES * self.n_items()];
        for contexts in contexts.chunks(LANES) {
            let rows = &mut rows[..contexts.len() * self.n_items()];
            self.together(contexts, rows);
            best.extend(rows.chunks(self.n_items().max(1)).map(|row| row.iter().copied().fold(0.0, f32::max)));
        }
        let mean = best.iter().sum::<f32>() / best.len().max(1) as f32;
        if mean > 0.0 { 1.0 / mean } else { 1.0 }
    }

    fn past(&self, context: &Context<'_>) -> Vec<Past> {
        self.config.history.weigh(context, self.n_items())
    }

    /// `scale * x B` for up to [`LANES`] contexts, row-major `[contexts, n]`.
    fn together(&self, contexts: &[Context<'_>], out: &mut [f32]) {
        let xs: Vec<Vec<(usize, f32)>> = contexts.iter().map(|c| self.scaled(&self.past(c))).collect();
        match &self.fitted {
            Fitted::Dense(dense) => dense.rows(&xs, out),
            Fitted::Neighbours(neighbours) => neighbours.rows(&xs, out),
        }
    }

    fn scaled(&self, past: &[Past]) -> Vec<(usize, f32)> {
        past.iter().map(|p| (p.item.index(), self.scale * p.weight)).collect()
    }

    /// The repeat term of each past item.
    fn habits<'a>(&self, past: &'a [Past]) -> impl Iterator<Item = (ItemId, f32)> + use<'a> {
        let repeat = if self.config.repeat > 0.0 { self.config.repeat / strongest(past) } else { 0.0 };
        past.iter().filter(move |_| repeat > 0.0).map(move |p| (p.item, repeat * p.weight))
    }
}

/// The best `k` of a row that are above zero.
fn favoured(row: &[f32], k: usize) -> Vec<(ItemId, f32)> {
    let best = lingxi_kernels::top_k(row, k).into_iter().filter(|(_, weight)| *weight > 0.0);
    best.map(|(item, weight)| (ItemId(item), weight)).collect()
}

fn strongest(past: &[Past]) -> f32 {
    past.iter().map(|p| p.weight).fold(0.0, f32::max)
}

fn last_time(history: &lingxi_data::Rows<'_>) -> i64 {
    history.at.last().copied().unwrap_or(0)
}

fn load_dense(file: &Reader, n: usize, dim: usize) -> Result<Dense> {
    let dense = Dense {
        n,
        dim,
        p: file.column("p")?,
        u: file.column("u")?,
        rows: file.column("rows")?,
        v: file.column("v")?,
        untaken: file.column("untaken")?,
        behaviour: file.column("behaviour")?,
        language: file.column("language")?,
    };
    for (expected, got) in [
        (n * n, dense.p.len()),
        (n * dim, dense.u.len()),
        (n * dim, dense.rows.len()),
        (n * dim, dense.v.len()),
        (n, dense.untaken.len()),
        (n, dense.behaviour.len()),
        (n, dense.language.len()),
    ] {
        same_length("load item model", expected, got)?;
    }
    Ok(dense)
}

fn load_neighbours(file: &Reader, n: usize) -> Result<Fitted> {
    let model = Neighbours {
        offsets: file.column("offsets")?,
        from: file.column("from")?,
        weights: file.column("weights")?,
        language: file.column("language")?,
    };
    same_length("load item model", n + 1, model.offsets.len())?;
    let entries = model.from.len();
    for got in [model.weights.len(), model.language.len()] {
        same_length("load item model", entries, got)?;
    }
    let whole = model.offsets.first() == Some(&0) && model.offsets.last() == Some(&(entries as u64));
    let inside = model.offsets.is_sorted() && model.from.iter().all(|&i| (i as usize) < n);
    if !(whole && inside) {
        return Err(BehaviourError::Input {
            operation: "load item model",
            expected: format!("columns over {n} items with rising offsets up to {entries}"),
            got: "offsets or ids outside of them".into(),
            remedy: "delete the artefact, it will be rebuilt",
        });
    }
    Ok(Fitted::Neighbours(model))
}

impl Score for ItemModel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn n_items(&self) -> usize {
        match &self.fitted {
            Fitted::Dense(dense) => dense.n,
            Fitted::Neighbours(neighbours) => neighbours.n(),
        }
    }

    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        let past = self.past(context);
        let x = self.scaled(&past);
        let known: Vec<ItemId> = items.iter().copied().filter(|i| i.index() < self.n_items()).collect();
        let mut scores = vec![0.0f32; known.len()];
        match &self.fitted {
            Fitted::Dense(dense) => dense.some(&x, &known, &mut scores),
            Fitted::Neighbours(neighbours) => neighbours.some(&x, &known, &mut scores),
        }
        let habits: rustc_hash::FxHashMap<ItemId, f32> = self.habits(&past).collect();
        let mut scores = scores.into_iter();
        for (item, out) in items.iter().zip(out) {
            let known = item.index() < self.n_items();
            let together = if known { scores.next().unwrap_or(0.0) } else { 0.0 };
            *out = together + habits.get(item).copied().unwrap_or(0.0);
        }
    }

    fn score_all(&self, contexts: &[Context<'_>], out: &mut [f32]) {
        let n = self.n_items().max(1);
        contexts.par_chunks(LANES).zip(out.par_chunks_mut(LANES * n)).for_each(|(contexts, out)| {
            self.together(contexts, out);
            for (context, row) in contexts.iter().zip(out.chunks_mut(n)) {
                self.habits(&self.past(context)).for_each(|(item, habit)| row[item.index()] += habit);
            }
        });
    }

    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        let past = self.past(context);
        let mut parts = Vec::new();
        for p in &past {
            let (behaviour, language) = self.link(p.item, item);
            let weight = self.scale * p.weight;
            let (item, kind) = (p.item, p.kind);
            parts.push((Because::BoughtTogether { item, kind }, weight * behaviour));
            parts.push((Because::SimilarMeaning { item, kind }, weight * language));
        }
        parts.extend(self.habits(&past).filter(|(i, _)| *i == item).map(|(_, habit)| (Because::Repeat, habit)));
        parts
            .into_iter()
            .filter(|(_, value)| *value != 0.0)
            .map(|(because, value)| Contribution { model: NAME, because, value })
            .collect()
    }
}
