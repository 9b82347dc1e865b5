//! Vectors and models -> ways to find candidates without looking at every item.

use crate::progress::Unit;
use crate::shelf::Shelf;
use crate::site::Site;
use crate::stages::encode::Meaning;
use crate::stages::fit::Fitted;
use anyhow::Result;
use lingxi_behaviour::alignment::Alignment;
use lingxi_data::{Context, Fingerprint, ItemId, ItemVectors, Recall, Score};
use lingxi_decide::{HistoryRecall, HnswConfig, HnswIndex, HnswRecall, LastRecall, Listed, Union, rank, recalls_at};
use lingxi_eval::{EvalConfig, Report};
use std::path::Path;
use std::sync::Arc;

/// Steps after which a past event counts half when candidates are looked for.
const HALF_LIFE: f32 = 8.0;
/// How many items each item leads to.
const LED_TO: usize = 64;
/// How many of an index's own vectors it is asked for when its recall is measured, and for how many neighbours.
const ASKED: usize = 256;
const NEIGHBOURS: usize = 100;
/// The file with what was measured, beside the index.
const QUALITY: &str = "recall.json";
/// Length of the lists that are the same for everybody.
const LISTED: usize = 500;

/// For each item what it leads to, with weights, best first.
pub type LedTo = Vec<Vec<(ItemId, f32)>>;

/// What finds goods.
pub struct Indexes {
    /// By language: search and similar goods.
    pub meaning: Option<Arc<HnswIndex>>,
    /// By language and behaviour together.
    pub alignment: Option<Arc<HnswIndex>>,
    /// By the item model: what each item leads to, best first.
    pub led_to: Option<Arc<LedTo>>,
    /// What each index finds of what an exact search finds.
    pub quality: Vec<Report>,
}

/// Indexes the vectors there are, or takes the indexes from the shelf.
///
/// # Errors
/// Those of [`HnswIndex::build`].
pub fn index(meaning: Option<&Meaning>, fitted: &Fitted, key: Fingerprint, site: &Site) -> Result<Indexes> {
    let by_meaning = meaning.map(|m| hnsw("meaning", m.vectors.data(), m.vectors.dim(), m.key, site)).transpose()?;
    let by_alignment = fitted.alignment.as_ref().map(|model| {
        let (vectors, dim) = model.item_vectors();
        hnsw("alignment", vectors, dim, key, site)
    });
    let led_to = fitted.item.as_ref().map(|model| Arc::new(model.led_to(LED_TO)));
    let (meaning, of_meaning) = by_meaning.unzip();
    let (alignment, of_alignment) = by_alignment.transpose()?.unzip();
    Ok(Indexes { meaning, alignment, led_to, quality: of_meaning.into_iter().chain(of_alignment).collect() })
}

/// An index with its measured recall.
type Indexed = (Arc<HnswIndex>, Report);

fn hnsw(name: &str, vectors: &[f32], dim: usize, source: Fingerprint, site: &Site) -> Result<Indexed> {
    let config = HnswConfig { seed: site.seed, ..HnswConfig::default() };
    let key = Shelf::key(&[source], &(name, config));
    let load = |folder: &Path| {
        let quality = serde_json::from_slice(&std::fs::read(folder.join(QUALITY))?)?;
        Ok((Arc::new(HnswIndex::load(folder, source, &config)?), quality))
    };
    let make = || {
        let stage = site.progress.stage(&format!("index {name}"), None, Unit::Of("items"));
        let index = HnswIndex::build(vectors, dim, &config, source)?;
        stage.set(index.len() as u64);
        stage.finish("");
        let quality = measured(name, &index, vectors, dim, site.seed);
        Ok((Arc::new(index), quality))
    };
    let save = |(index, quality): &Indexed, folder: &Path| {
        index.save(folder)?;
        Ok(std::fs::write(folder.join(QUALITY), serde_json::to_vec(quality)?)?)
    };
    Ok(site.shelf.get("index", key, load, make, save)?.0)
}

/// The recall of an index, asked with vectors spread evenly over its own.
fn measured(name: &str, index: &HnswIndex, vectors: &[f32], dim: usize, seed: u64) -> Report {
    let rows: Vec<&[f32]> = vectors.chunks_exact(dim).filter(|row| row.iter().any(|x| *x != 0.0)).collect();
    let asked = ASKED.min(rows.len());
    let queries: Vec<f32> = (0..asked).flat_map(|i| rows[i * rows.len() / asked]).copied().collect();
    let recalls = recalls_at(index, &queries, NEIGHBOURS);
    let config = EvalConfig {
        split: "catalogue".into(),
        protocol: format!("neighbours of {asked} items by HNSW against the exact search"),
        seed,
        ..EvalConfig::default()
    };
    Report::of_values(format!("index {name}"), format!("recall@{NEIGHBOURS}"), &recalls, &config)
}

/// All sources of candidates: the shopper's own past, its neighbours in language and behaviour, and what everybody takes.
pub fn recall(fitted: &Fitted, indexes: &Indexes, vectors: Option<&Arc<ItemVectors>>) -> Union {
    let mut sources: Vec<Box<dyn Recall>> = vec![Box::new(HistoryRecall::own(HALF_LIFE))];
    if let (Some(model), Some(index)) = (&fitted.alignment, &indexes.alignment) {
        let model: Arc<Alignment> = model.clone();
        let query = Box::new(move |context: &Context<'_>| model.shopper_vector(context));
        sources.push(Box::new(HnswRecall::new("alignment", index.clone(), query)));
    }
    if let Some(led_to) = &indexes.led_to {
        let led_to = led_to.clone();
        let near = Box::new(move |item: ItemId, k: usize| {
            led_to.get(item.index()).into_iter().flatten().take(k).map(|(other, _)| *other).collect()
        });
        sources.push(Box::new(HistoryRecall::near(HALF_LIFE, near)));
    }
    if let (Some(index), Some(vectors)) = (&indexes.meaning, vectors) {
        sources.push(Box::new(LastRecall::new("meaning", index.clone(), vectors.len())));
    }
    sources.extend(fitted.popularity.iter().take(2).map(|row| everybody(row.model.as_ref())));
    Union::new(sources)
}

/// What a model ranks first for somebody without a past.
fn everybody(model: &dyn Score) -> Box<dyn Recall> {
    let nobody = Context { user: None, history: Default::default(), now: 0 };
    let all = (0..model.n_items() as u32).map(ItemId).collect();
    let best = rank(model, &nobody, all).items.into_iter().take(LISTED);
    Box::new(Listed::new(model.name(), best))
}
