//! Events and vectors -> fitted models, each on the shelf.

use crate::progress::Unit;
use crate::recipe::Models;
use crate::shelf::Shelf;
use crate::site::Site;
use crate::stages::encode::Meaning;
use crate::stages::learn::{Form, Pupil, Watched, file, keep, learn, train};
use crate::stages::web::{self, fit_web};
use crate::stages::worth::fit_worth;

pub use crate::stages::learn::Curve;
use anyhow::Result;
use lingxi_behaviour::alignment::{self, Alignment, AlignmentConfig};
use lingxi_behaviour::graph::FoldIn;
use lingxi_behaviour::habit::Habit;
use lingxi_behaviour::history::HistoryWeights;
use lingxi_behaviour::item_model::{self, ItemModel, ItemModelConfig};
use lingxi_behaviour::knowledge::embedding;
use lingxi_behaviour::popularity::{self, Popularity, PopularityConfig};
use lingxi_behaviour::sequence::{self, SequenceConfig, SequenceModel};
use lingxi_data::ingest::Knowledge;
use lingxi_data::{Catalog, Fingerprint, Interactions, ItemId, ItemVectors, Provenance, Purpose, Score};
use lingxi_kernels::dot;
use std::path::Path;
use std::sync::Arc;

/// What the models learn from, with the fingerprint of the events.
#[derive(Clone, Copy)]
pub struct Lessons<'a> {
    /// The events; only those whose shoppers agreed to training are read.
    pub events: &'a Interactions,
    /// The goods.
    pub catalog: &'a Catalog,
    /// What is known of them besides.
    pub knowledge: &'a Knowledge,
    /// What the goods say, if anything.
    pub meaning: Option<&'a Meaning>,
    /// Names shop and division.
    pub key: Fingerprint,
}

impl Lessons<'_> {
    /// Names the vectors, or their absence.
    pub fn meaning_key(&self) -> Fingerprint {
        self.meaning.map_or_else(|| Fingerprint::of([b"no text".as_slice()]), |m| m.key)
    }
}

/// A fitted model with its row in the tables.
#[derive(Clone)]
pub struct Named {
    /// As printed.
    pub name: String,
    /// The model.
    pub model: Arc<dyn Score>,
}

/// All fitted models of a recipe.
#[derive(Clone)]
pub struct Fitted {
    /// Overall, recent and per category, in this order; empty if the recipe has none.
    pub popularity: Vec<Named>,
    /// The shopper's own habit.
    pub habit: Option<Named>,
    /// The closed-form item model.
    pub item: Option<Arc<ItemModel>>,
    /// The text-to-behaviour alignment.
    pub alignment: Option<Arc<Alignment>>,
    /// What comes next.
    pub sequence: Option<Arc<SequenceModel>>,
    /// The models of the graph and of what is known, as `stages::web` fits them, and the worth of showing an item.
    pub web: Vec<Named>,
    /// How the models that learn in steps came to what they know.
    pub curves: Vec<Curve>,
    /// How often each item was taken in what they learned from.
    pub counts: Vec<u32>,
}

impl Fitted {
    /// The alignment, and how it came to what it knows.
    fn aligned(&self) -> Option<(&Alignment, &Curve)> {
        let curve = self.curves.iter().find(|curve| curve.model == "alignment")?;
        Some((self.alignment.as_deref()?, curve))
    }

    /// Every model as a row, baselines first.
    pub fn rows(&self) -> Vec<Named> {
        let mut rows = self.popularity.clone();
        rows.extend(self.habit.clone());
        rows.extend(self.item.iter().map(|m| Named { name: "item model".into(), model: m.clone() }));
        rows.extend(self.alignment.iter().map(|m| Named { name: "alignment".into(), model: m.clone() }));
        rows.extend(self.sequence.iter().map(|m| Named { name: "sequence".into(), model: m.clone() }));
        rows.extend(self.web.iter().cloned());
        rows
    }
}

/// Fits every model of the recipe. `item` is the alternative that validation chose. An alignment `trained` before is only
/// placed anew on these events: its projection is frozen text to behaviour and needs no second training.
///
/// # Errors
/// Those of the models.
pub fn fit(
    models: &Models,
    item: Option<&ItemModelConfig>,
    trained: Option<&Fitted>,
    lessons: Lessons<'_>,
    site: &Site,
) -> Result<Fitted> {
    let popularity = match &models.popularity {
        Some(config) => three_popularities(config, lessons)?,
        None => Vec::new(),
    };
    let habit = models.habit.as_ref().map(|history| own_habit(history, lessons)).transpose()?;
    let item = item.map(|config| fit_item(config, lessons, site)).transpose()?;
    let aligned = match (&models.alignment, lessons.meaning) {
        (Some(config), Some(meaning)) => Some(fit_alignment(config, trained, meaning, lessons, site)?),
        _ => None,
    };
    let sequence = models.sequence.as_ref().map(|config| fit_sequence(config, models, lessons, site)).transpose()?;
    let ((alignment, first), (sequence, second)) = (aligned.unzip(), sequence.unzip());
    let (mut web, more) = fit_web(models, lessons, site)?;
    web.extend(models.predict.as_ref().map(|config| fit_worth(config, lessons, site)).transpose()?);
    let curves = first.into_iter().chain(second).chain(more).filter(|curve| !curve.points.is_empty()).collect();
    let counts = lessons.events.for_purpose(Purpose::Training).item_counts();
    Ok(Fitted { popularity, habit, item, alignment, sequence, web, curves, counts })
}

/// The three baselines that everyone must beat. Fitted in a moment, so they are not kept.
fn three_popularities(config: &PopularityConfig, lessons: Lessons<'_>) -> Result<Vec<Named>> {
    let of = |name: &str, overall: f32, recent: f32, category: f32| -> Result<Named> {
        let config = PopularityConfig { overall, recent, category, ..config.clone() };
        let model: Popularity =
            popularity::fit(&config, &lessons.events.for_purpose(Purpose::Training), &lessons.catalog.category)?;
        Ok(Named { name: name.into(), model: Arc::new(model) })
    };
    let mut rows = vec![of("popular", 1.0, 0.0, 0.0)?, of("popular lately", 0.0, 1.0, 0.0)?];
    if !lessons.catalog.categories.is_empty() {
        rows.push(of("popular in category", 0.0, 0.0, 1.0)?);
    }
    Ok(rows)
}

fn own_habit(history: &HistoryWeights, lessons: Lessons<'_>) -> Result<Named> {
    let model = Arc::new(Habit::new(history, lessons.events.n_items())?);
    Ok(Named { name: "habit".into(), model })
}

/// The closed-form item model, from the shelf or fitted.
///
/// # Errors
/// Those of [`item_model::fit`].
pub fn fit_item(config: &ItemModelConfig, lessons: Lessons<'_>, site: &Site) -> Result<Arc<ItemModel>> {
    let key = Shelf::key(&[lessons.key, lessons.meaning_key()], config);
    let make = || {
        let stage = site.progress.stage("item model", None, Unit::Of("items"));
        let events = lessons.events.for_purpose(Purpose::Training);
        let vectors = lessons.meaning.map(|m| m.vectors.as_ref());
        let model = item_model::fit(config, &events, vectors, &mut |done, total| {
            stage.set_total(total as u64);
            stage.set(done as u64);
        })?;
        stage.finish("");
        Ok(model)
    };
    let load = |folder: &Path| Ok(ItemModel::load(&file(folder))?);
    let (model, _) = site.shelf.get("item-model", key, load, make, |m, folder| Ok(m.save(&file(folder))?))?;
    Ok(Arc::new(model))
}

/// Whether the alignment on these events is asked for and does not lie on the shelf.
pub fn lacks_alignment(models: &Models, lessons: Lessons<'_>, site: &Site) -> bool {
    match (&models.alignment, lessons.meaning) {
        (Some(config), Some(meaning)) => site.shelf.lacks("alignment", alignment_key(config, meaning, lessons, site)),
        _ => false,
    }
}

fn alignment_key(config: &AlignmentConfig, meaning: &Meaning, lessons: Lessons<'_>, site: &Site) -> Fingerprint {
    Shelf::key(&[lessons.key, meaning.key], &(config, site.seed))
}

/// The alignment, from the shelf, placed anew if it is `trained` already, or trained.
fn fit_alignment(
    config: &AlignmentConfig,
    trained: Option<&Fitted>,
    meaning: &Meaning,
    lessons: Lessons<'_>,
    site: &Site,
) -> Result<(Arc<Alignment>, Curve)> {
    let watched = Watched::Loss("held-out InfoNCE, nats");
    let pupil = Pupil { name: "alignment", key: alignment_key(config, meaning, lessons, site), watched };
    let form = Form { load: Alignment::load, save: Alignment::save };
    let events = lessons.events.for_purpose(Purpose::Training);
    let (model, curve) = keep(pupil, &form, site, || match trained.and_then(Fitted::aligned) {
        Some((trained, curve)) => {
            let mut model = trained.clone();
            model.refresh(&events, &meaning.vectors)?;
            Ok((model, curve.clone()))
        }
        None => train(pupil, site, |course| alignment::fit(config, &events, &meaning.vectors, site.seed, course)),
    })?;
    Ok((Arc::new(model), curve))
}

/// The sequence model, from the shelf or trained.
fn fit_sequence(
    config: &SequenceConfig,
    models: &Models,
    lessons: Lessons<'_>,
    site: &Site,
) -> Result<(Arc<SequenceModel>, Curve)> {
    let mut key = Shelf::key(&[lessons.key, lessons.meaning_key()], &(config, site.seed));
    let text = lessons.meaning.map(|m| m.vectors.as_ref());
    let known = match models.embedding.as_ref().filter(|_| config.knowledge) {
        Some(embedding) => {
            key = Shelf::key(&[key, web::key(lessons, embedding, site)], &"known");
            Some(with_facts(text, &web::fit_embedding(embedding, lessons, site)?.0, key)?)
        }
        None => None,
    };
    let (model, curve) = sequence_model(config, lessons.events, known.as_ref().or(text), key, site)?;
    Ok((Arc::new(model), curve))
}

/// Each item's text vector, if there is one, and beside it the vector of what is known of it, brought to length 1.
fn with_facts(text: Option<&ItemVectors>, facts: &FoldIn, key: Fingerprint) -> Result<ItemVectors> {
    let (rows, d) = embedding::goods(facts);
    let wide = text.map_or(0, ItemVectors::dim);
    let mut data = Vec::with_capacity(rows.len() / d * (wide + d));
    for (item, row) in rows.chunks_exact(d).enumerate() {
        match text.and_then(|text| text.get(ItemId(item as u32))) {
            Some(vector) => data.extend(vector),
            None => data.resize(data.len() + wide, 0.0),
        }
        let length = dot(row, row).sqrt().max(f32::MIN_POSITIVE);
        data.extend(row.iter().map(|x| x / length));
    }
    let model = text.map_or("knowledge".into(), |text| format!("{} and knowledge", text.provenance().model));
    let provenance = Provenance { model, revision: key.to_string(), pooling: "none".into(), normalised: false };
    Ok(ItemVectors::new(wide + d, data, vec![true; rows.len() / d], provenance)?)
}

/// The sequence model of some events under `key`, from the shelf or trained.
///
/// # Errors
/// Those of [`sequence::fit`], and a folder that cannot be written.
pub(super) fn sequence_model(
    config: &SequenceConfig,
    events: &Interactions,
    vectors: Option<&ItemVectors>,
    key: Fingerprint,
    site: &Site,
) -> Result<(SequenceModel, Curve)> {
    let pupil = Pupil { name: "sequence", key, watched: Watched::Gain("held-out NDCG@10") };
    let form = Form { load: SequenceModel::load, save: SequenceModel::save };
    let events = events.for_purpose(Purpose::Training);
    learn(pupil, &form, site, |course| sequence::fit(config, &events, vectors, site.seed, course))
}
