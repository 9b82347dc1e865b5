//! Vectors and models -> ways to find candidates without looking at every item.

use crate::progress::Unit;
use crate::shelf::Shelf;
use crate::site::Site;
use crate::stages::encode::Meaning;
use crate::stages::fit::Fitted;
use anyhow::Result;
use lingxi_behaviour::alignment::Alignment;
use lingxi_data::{Context, Fingerprint, ItemId, ItemVectors, Recall, Score};
use lingxi_decide::{HistoryRecall, HnswConfig, HnswIndex, HnswRecall, Listed, Union, rank};
use std::path::Path;
use std::sync::Arc;

/// Steps after which a past event counts half when candidates are looked for.
const HALF_LIFE: f32 = 8.0;
/// How many items each item leads to.
const LED_TO: usize = 64;
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
    Ok(Indexes { meaning: by_meaning, alignment: by_alignment.transpose()?, led_to })
}

fn hnsw(name: &str, vectors: &[f32], dim: usize, source: Fingerprint, site: &Site) -> Result<Arc<HnswIndex>> {
    let config = HnswConfig { seed: site.seed, ..HnswConfig::default() };
    let key = Shelf::key(&[source], &(name, config));
    let load = |folder: &Path| Ok(HnswIndex::load(folder, source, &config)?);
    let make = || {
        let stage = site.progress.stage(&format!("index {name}"), None, Unit::Of("items"));
        let index = HnswIndex::build(vectors, dim, &config, source)?;
        stage.set(index.len() as u64);
        stage.finish("");
        Ok(index)
    };
    let (index, _) = site.shelf.get("index", key, load, make, |index, folder| Ok(index.save(folder)?))?;
    Ok(Arc::new(index))
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
        let (index, vectors) = (index.clone(), vectors.clone());
        let query = Box::new(move |context: &Context<'_>| {
            let last = context.history.items.last()?;
            vectors.get(*last).map(<[f32]>::to_vec)
        });
        sources.push(Box::new(HnswRecall::new("meaning", index, query)));
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
