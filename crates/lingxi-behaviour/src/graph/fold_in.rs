//! What a graph model is once it is fitted: links between nodes, two tables of item vectors, or both, read from the
//! weighed history of whoever asks.
//!
//! Shapes: `n` items are the first of `m` nodes (the others are brands, categories, whatever the graph knows besides);
//! links `A [m, m]`, symmetric; tables `F [n, d]` and `T [n, d]`; history `x [n]`, its weights summing to one.
//!
//! `score(x, j) = scale * sum_i x_i (sum_l w_l (A^l)_ij + f_i . t_j)`
//!
//! The score is a sum over past items, so each of them can be named as a reason. `scale` is one constant of the model: it
//! brings the mean best score of training shoppers to one. An item also speaks for itself, as in the papers; whoever
//! wants no repeats masks them.
//!
//! Cost a request: `d` multiplications for each past item and each item, and for the links at most their number times the
//! number of powers (the first power only touches the neighbours of the past). Memory: 8 bytes a link, `8 d` an item.

use crate::error::{BehaviourError, Result, same_length};
use crate::history::{HistoryWeights, Past};
use lingxi_data::artefact::{Reader, Writer};
use lingxi_data::{Because, Context, Contribution, Events, ItemId, Recall, Score};
use lingxi_kernels::{Csr, axpy, dot, matmul_nt, top_k};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Training shoppers that the scale is measured on.
const SCALE_SAMPLE: usize = 256;

/// Which model speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voice {
    /// [`crate::graph::spectral`].
    Spectral,
    /// [`crate::graph::lightgcn`].
    #[serde(rename = "lightgcn")]
    LightGcn,
    /// [`crate::graph::gcn`].
    Gcn,
    /// [`crate::graph::gat`].
    Gat,
    /// [`crate::knowledge::walk`].
    Knowledge,
    /// [`crate::knowledge::embedding`].
    Embedding,
    /// [`crate::nearest`].
    Nearest,
}

impl Voice {
    /// The name in tables and reasons.
    pub fn name(self) -> &'static str {
        match self {
            Voice::Spectral => "spectral",
            Voice::LightGcn => "lightgcn",
            Voice::Gcn => "gcn",
            Voice::Gat => "gat",
            Voice::Knowledge => "knowledge",
            Voice::Embedding => "embedding",
            Voice::Nearest => "nearest",
        }
    }
}

/// Links between nodes and what each power of them counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Links {
    /// Symmetric, over all nodes; items come first.
    pub matrix: Csr,
    /// Weight of the first power, the second and so on.
    pub powers: Vec<f32>,
}

/// Two tables of item vectors: how an item speaks when it was taken, and how it is spoken for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tables {
    /// Length of a row; 0: there are no tables.
    pub dim: usize,
    /// Row-major `[n, dim]`.
    pub from: Vec<f32>,
    /// Row-major `[n, dim]`.
    pub to: Vec<f32>,
}

/// The fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldIn {
    voice: Voice,
    history: HistoryWeights,
    n_items: usize,
    scale: f32,
    links: Links,
    tables: Tables,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    model: String,
    voice: Voice,
    history: HistoryWeights,
    n_items: usize,
    scale: f32,
    dim: usize,
}

const NAME: &str = "fold_in";

impl FoldIn {
    /// Puts links and tables together and measures the scale on `events`.
    pub(crate) fn new(
        voice: Voice,
        history: &HistoryWeights,
        links: Links,
        tables: Tables,
        events: &Events<'_>,
    ) -> FoldIn {
        let n_items = events.n_items();
        let mut model = FoldIn { voice, history: history.clone(), n_items, scale: 1.0, links, tables };
        model.scale = model.measure_scale(events);
        model
    }

    /// How items speak and how they are spoken for, row-major `[n_items, dim]`, and `dim`; empty for links alone.
    pub fn tables(&self) -> (&[f32], &[f32], usize) {
        (&self.tables.from, &self.tables.to, self.tables.dim)
    }

    /// One over the mean best score of the whole history of every so-manieth training shopper.
    fn measure_scale(&self, events: &Events<'_>) -> f32 {
        let step = events.n_users().div_ceil(SCALE_SAMPLE).max(1);
        let sample: Vec<_> = events.users().step_by(step).filter(|(_, rows)| !rows.is_empty()).collect();
        let best = |(user, history): &(_, lingxi_data::Rows<'_>)| {
            let now = history.at.last().copied().unwrap_or(0);
            let mut row = vec![0.0f32; self.n_items];
            self.row(&self.past(&Context { user: Some(*user), history: *history, now }), &mut row);
            row.iter().copied().fold(0.0, f32::max)
        };
        let best: Vec<f32> = sample.par_iter().map(best).collect();
        let mean = best.iter().sum::<f32>() / best.len().max(1) as f32;
        if mean > 0.0 { 1.0 / mean } else { 1.0 }
    }

    fn past(&self, context: &Context<'_>) -> Vec<Past> {
        self.history.weigh(context, self.n_items)
    }

    /// The scores of all items for one past.
    fn row(&self, past: &[Past], out: &mut [f32]) {
        out.fill(0.0);
        if self.tables.dim > 0 {
            matmul_nt(&self.shopper(past), &self.tables.to, out, 1, self.n_items, self.tables.dim);
        }
        self.walk(past, out);
    }

    /// Where a past places the shopper among the tables.
    fn shopper(&self, past: &[Past]) -> Vec<f32> {
        let Tables { dim, from, .. } = &self.tables;
        let mut shopper = vec![0.0; *dim];
        past.iter().for_each(|p| axpy(self.scale * p.weight, table_row(from, *dim, p.item), &mut shopper));
        shopper
    }

    /// Adds what the links say of all items.
    fn walk(&self, past: &[Past], out: &mut [f32]) {
        let start = past.iter().map(|p| (p.item.index(), self.scale * p.weight));
        self.links.walk(start, |node, value| {
            if let Some(out) = out.get_mut(node) {
                *out += value;
            }
        });
    }

    /// Writes the model to one file.
    ///
    /// # Errors
    /// [`BehaviourError::Data`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let (n, d, links) = (self.n_items, self.tables.dim, &self.links);
        let indptr: Vec<u64> = links.matrix.indptr.iter().map(|&at| at as u64).collect();
        let header = Header {
            model: NAME.into(),
            voice: self.voice,
            history: self.history.clone(),
            n_items: n,
            scale: self.scale,
            dim: d,
        };
        Ok(Writer::default()
            .column("indptr", &[indptr.len()], &indptr)
            .column("indices", &[links.matrix.indices.len()], &links.matrix.indices)
            .column("values", &[links.matrix.values.len()], &links.matrix.values)
            .column("powers", &[links.powers.len()], &links.powers)
            .column("from", &[self.tables.from.len()], &self.tables.from)
            .column("to", &[self.tables.to.len()], &self.tables.to)
            .write(path, &header)?)
    }

    /// Reads a model that [`FoldIn::save`] wrote.
    ///
    /// # Errors
    /// [`BehaviourError::Data`] if the file is missing, damaged or of another kind; [`BehaviourError::Input`] if its
    /// columns do not fit each other.
    pub fn load(path: &Path) -> Result<FoldIn> {
        let file = Reader::open(path)?;
        let Header { voice, history, n_items, scale, dim, .. } = file.meta()?;
        let indptr = file.column::<u64>("indptr")?.into_iter().map(|at| at as usize).collect();
        let matrix = Csr { indptr, indices: file.column("indices")?, values: file.column("values")? };
        let tables = Tables { dim, from: file.column("from")?, to: file.column("to")? };
        same_length("load graph model: table", n_items * dim, tables.from.len())?;
        same_length("load graph model: table", n_items * dim, tables.to.len())?;
        let links = Links { matrix, powers: file.column("powers")? };
        links.check()?;
        Ok(FoldIn { voice, history, n_items, scale, links, tables })
    }
}

fn table_row(table: &[f32], dim: usize, item: ItemId) -> &[f32] {
    &table[item.index() * dim..(item.index() + 1) * dim]
}

impl Links {
    /// Walks from the weighed nodes of `start`; `arrive` hears of each node reached after each power, with its share.
    fn walk(&self, start: impl Iterator<Item = (usize, f32)>, mut arrive: impl FnMut(usize, f32)) {
        let nodes = self.matrix.rows();
        if nodes == 0 || self.powers.is_empty() {
            return;
        }
        let mut current = vec![0.0f32; nodes];
        start.for_each(|(node, weight)| current[node] += weight);
        let mut next = vec![0.0f32; nodes];
        for &power in &self.powers {
            next.fill(0.0);
            for (node, &here) in current.iter().enumerate().filter(|(_, here)| **here != 0.0) {
                let (to, weights) = self.matrix.row(node);
                to.iter().zip(weights).for_each(|(&to, weight)| next[to as usize] += here * weight);
            }
            next.iter().enumerate().filter(|(_, x)| **x != 0.0).for_each(|(node, x)| arrive(node, power * x));
            std::mem::swap(&mut current, &mut next);
        }
    }

    /// What a file must hold so that no walk leaves the graph.
    fn check(&self) -> Result<()> {
        let Csr { indptr, indices, values } = &self.matrix;
        let nodes = self.matrix.rows();
        let whole = indptr.last().is_none_or(|&last| last == indices.len()) && indices.len() == values.len();
        if whole && indptr.is_sorted() && indices.iter().all(|&to| (to as usize) < nodes) {
            return Ok(());
        }
        Err(BehaviourError::Input {
            operation: "load graph model",
            expected: format!("links among {nodes} nodes with rising offsets"),
            got: "offsets or nodes outside of them".into(),
            remedy: "delete the artefact, it will be rebuilt",
        })
    }
}

impl Score for FoldIn {
    fn name(&self) -> &'static str {
        self.voice.name()
    }

    fn n_items(&self) -> usize {
        self.n_items
    }

    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        let past = self.past(context);
        let (shopper, Tables { dim, to, .. }) = (self.shopper(&past), &self.tables);
        let mut linked = vec![0.0; self.matrix_items()];
        self.walk(&past, &mut linked);
        for (item, out) in items.iter().zip(out) {
            let known = *dim > 0 && item.index() < self.n_items;
            let close = if known { dot(&shopper, table_row(to, *dim, *item)) } else { 0.0 };
            *out = close + linked.get(item.index()).copied().unwrap_or(0.0);
        }
    }

    fn score_all(&self, contexts: &[Context<'_>], out: &mut [f32]) {
        let rows = contexts.par_iter().zip(out.par_chunks_mut(self.n_items.max(1)));
        rows.for_each(|(context, out)| self.row(&self.past(context), out));
    }

    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        if item.index() >= self.n_items {
            return Vec::new();
        }
        // The links are symmetric: one walk back from the item meets every past item.
        let mut linked = vec![0.0f32; self.matrix_items()];
        self.links.walk(std::iter::once((item.index(), 1.0)), |node, x| {
            if let Some(linked) = linked.get_mut(node) {
                *linked += x;
            }
        });
        let Tables { dim, from, to } = &self.tables;
        let part = |p: &Past| {
            let close = if *dim > 0 { dot(table_row(from, *dim, p.item), table_row(to, *dim, item)) } else { 0.0 };
            let links = linked.get(p.item.index()).copied().unwrap_or(0.0);
            let because = match self.voice {
                Voice::Nearest => Because::SimilarMeaning { item: p.item, kind: p.kind },
                _ => Because::BoughtTogether { item: p.item, kind: p.kind },
            };
            Contribution { model: self.voice.name(), because, value: self.scale * p.weight * (links + close) }
        };
        self.past(context).iter().map(part).filter(|c| c.value != 0.0).collect()
    }
}

impl FoldIn {
    /// Items that links can reach: none without links.
    fn matrix_items(&self) -> usize {
        self.links.matrix.rows().min(self.n_items)
    }
}

impl Recall for FoldIn {
    fn name(&self) -> &'static str {
        self.voice.name()
    }

    fn recall(&self, context: &Context<'_>, k: usize) -> Vec<ItemId> {
        let past = self.past(context);
        if past.is_empty() {
            return Vec::new();
        }
        let mut row = vec![0.0; self.n_items];
        self.row(&past, &mut row);
        top_k(&row, k).into_iter().filter(|(_, score)| *score > 0.0).map(|(item, _)| ItemId(item)).collect()
    }
}
