//! Events, and what is known of goods -> the models of the web between them, each on the shelf.

use crate::failure::UserError;
use crate::progress::Unit;
use crate::recipe::Models;
use crate::shelf::Shelf;
use crate::site::Site;
use crate::stages::fit::{Lessons, Named};
use crate::stages::learn::{Curve, Form, Pupil, Watched, file, learn};
use anyhow::Result;
use lingxi_behaviour::Result as FitResult;
use lingxi_behaviour::graph::joint::{self, Joint};
use lingxi_behaviour::graph::{FoldIn, gat, gcn, lightgcn, spectral};
use lingxi_behaviour::knowledge::{EmbeddingConfig, Triples, embedding, walk};
use lingxi_behaviour::trend;
use lingxi_data::ingest::Knowledge;
use lingxi_data::{Catalog, Fingerprint, Purpose, Score};
use lingxi_train::Course;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// Name of the relation between an item and its category.
const CATEGORY: &str = "category";

/// Fits what the recipe asks for, in the order of the tables; beside the models, how those that learn in steps did.
///
/// # Errors
/// Those of the models, and knowledge that is asked for where the shop has none.
pub fn fit_web(models: &Models, lessons: Lessons<'_>, site: &Site) -> Result<(Vec<Named>, Vec<Curve>)> {
    let (mut rows, mut curves) = (Vec::new(), Vec::new());
    let (seed, events) = (site.seed, lessons.events.for_purpose(Purpose::Training));
    let mut add = |name: &str, model: Arc<dyn Score>| rows.push(Named { name: name.into(), model });
    if let Some(config) = &models.trend {
        add("trend", Arc::new(trend::fit(config, &events)?));
    }
    if let Some(config) = &models.spectral {
        add(
            "spectral",
            at_once("spectral", key(lessons, config, site), site, || spectral::fit(config, &events, seed))?,
        );
    }
    let mut taught = |name: &'static str, metric, key, fit: &dyn Fn(&mut Course<'_>) -> FitResult<FoldIn>| {
        let pupil = Pupil { name, key, watched: Watched::Loss(metric) };
        let (model, curve) = learn(pupil, &Form { load: FoldIn::load, save: FoldIn::save }, site, fit)?;
        curves.push(curve);
        anyhow::Ok(Arc::new(model))
    };
    if let Some(config) = &models.lightgcn {
        let fit = |course: &mut Course<'_>| lightgcn::fit(config, &events, seed, course);
        add("lightgcn", taught("lightgcn", LOSS, key(lessons, config, site), &fit)?);
    }
    if let Some(config) = &models.gcn {
        let fit = |course: &mut Course<'_>| gcn::fit(config, &events, seed, course);
        add("gcn", taught("gcn", LOSS, key(lessons, config, site), &fit)?);
    }
    if let Some(config) = &models.gat {
        let fit = |course: &mut Course<'_>| gat::fit(config, &events, seed, course);
        add("gat", taught("gat", LOSS, key(lessons, config, site), &fit)?);
    }
    if let (Some(config), Some(meaning)) = (&models.joint, lessons.meaning) {
        let key = Shelf::key(&[lessons.key, meaning.key], &(config, seed));
        let pupil = Pupil { name: "joint", key, watched: Watched::Loss(LOSS) };
        let form = Form { load: Joint::load, save: Joint::save };
        let fit = |course: &mut Course<'_>| joint::fit(config, &events, &meaning.vectors, seed, course);
        add("joint", Arc::new(learn(pupil, &form, site, fit)?.0));
    }
    if let Some(config) = &models.knowledge {
        let triples = triples(lessons.catalog, lessons.knowledge)?;
        let fit = || walk::fit(config, &triples, &events);
        add("knowledge", at_once("knowledge", key(lessons, config, site), site, fit)?);
    }
    if let Some(config) = &models.embedding {
        let (model, curve) = fit_embedding(config, lessons, site)?;
        curves.push(curve);
        add("embedding", Arc::new(model));
    }
    Ok((rows, curves))
}

/// What is known of goods as vectors, from the shelf or trained.
///
/// # Errors
/// Those of the model, and a shop without knowledge.
pub fn fit_embedding(config: &EmbeddingConfig, lessons: Lessons<'_>, site: &Site) -> Result<(FoldIn, Curve)> {
    let triples = triples(lessons.catalog, lessons.knowledge)?;
    let events = lessons.events.for_purpose(Purpose::Training);
    let fit = |course: &mut Course<'_>| embedding::fit(config, &triples, &events, site.seed, course);
    let pupil = Pupil { name: "embedding", key: key(lessons, config, site), watched: Watched::Loss(LOSS) };
    learn(pupil, &Form { load: FoldIn::load, save: FoldIn::save }, site, fit)
}

/// What is watched of the models that hold pairs out.
const LOSS: &str = "held-out loss";

/// A model that learns nothing in steps, from the shelf or fitted.
fn at_once(name: &str, key: Fingerprint, site: &Site, fit: impl FnOnce() -> FitResult<FoldIn>) -> Result<Arc<FoldIn>> {
    let make = || {
        let stage = site.progress.stage(name, None, Unit::Of("steps"));
        let model = fit()?;
        stage.finish("");
        Ok(model)
    };
    let load = |folder: &Path| Ok(FoldIn::load(&file(folder))?);
    Ok(Arc::new(site.shelf.get(name, key, load, make, |m, folder| Ok(m.save(&file(folder))?))?.0))
}

/// Names a model by its events, its settings and the seed.
pub(super) fn key<C: Serialize>(lessons: Lessons<'_>, config: &C, site: &Site) -> Fingerprint {
    Shelf::key(&[lessons.key], &(config, site.seed))
}

/// The triples of the files, and beside them the category and the attributes of each item.
fn triples(catalog: &Catalog, knowledge: &Knowledge) -> Result<Triples> {
    let n = catalog.len();
    let mut nodes = n as u32;
    let mut relations: Vec<String> = knowledge.relations.names().map(str::to_owned).collect();
    // A name that is an item's id is that item.
    let mut place = |name: &str| catalog.ids.get(name).unwrap_or_else(|| next(&mut nodes));
    let entities: Vec<u32> = knowledge.entities.names().map(&mut place).collect();
    let of = |[head, relation, tail]: &[u32; 3]| [entities[*head as usize], *relation, entities[*tail as usize]];
    let mut rows: Vec<[u32; 3]> = knowledge.triples.iter().map(of).collect();
    for (name, values) in columns(catalog) {
        let relation = relations.len() as u32;
        relations.push(name);
        let mut of_value = std::collections::BTreeMap::new();
        for (item, value) in values.enumerate() {
            if let Some(value) = value {
                let node = *of_value.entry(value).or_insert_with(|| next(&mut nodes));
                rows.push([item as u32, relation, node]);
            }
        }
    }
    if rows.is_empty() {
        let message = "models.knowledge: expected triples, categories or attributes, got none";
        return Err(UserError::new(message, "name a [[data.knowledge]] file, or leave [models.knowledge] out").into());
    }
    Ok(Triples::new(n, nodes as usize, relations, rows)?)
}

fn next(nodes: &mut u32) -> u32 {
    *nodes += 1;
    *nodes - 1
}

/// A column's name and the value of each item.
type Column<'a> = (String, Box<dyn Iterator<Item = Option<&'a str>> + 'a>);

/// The columns of the catalogue that say which goods are of a kind, with the value of each item.
fn columns(catalog: &Catalog) -> Vec<Column<'_>> {
    let category = |c: &Option<lingxi_data::CategoryId>| c.and_then(|c| catalog.categories.name(c.0));
    let mut columns: Vec<Column<'_>> = vec![(CATEGORY.into(), Box::new(catalog.category.iter().map(category)))];
    for attribute in &catalog.attributes {
        let values = attribute.values.iter().map(|v| Some(v.as_str()).filter(|v| !v.is_empty()));
        columns.push((attribute.name.clone(), Box::new(values)));
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::CategoryId;

    #[test]
    fn a_name_that_is_an_items_id_is_that_item_and_categories_are_one_more_relation() {
        let mut catalog = Catalog::of_ids(["tea", "mug"].iter().collect());
        catalog.categories = ["drinks"].iter().collect();
        catalog.category = vec![Some(CategoryId(0)), None];
        let knowledge = Knowledge {
            entities: ["mug", "acme", "tea"].iter().collect(),
            relations: ["complement", "brand"].iter().collect(),
            triples: vec![[2, 0, 0], [0, 1, 1]],
        };
        let known = triples(&catalog, &knowledge).unwrap();
        assert_eq!(known.relations(), ["complement", "brand", "category"]);
        // Goods 0 and 1, then acme, then the category.
        assert_eq!((known.nodes(), known.rows()), (4, &[[0, 0, 1], [1, 1, 2], [0, 2, 3]][..]));
    }

    #[test]
    fn a_shop_that_knows_nothing_is_told_what_to_do() {
        let catalog = Catalog::of_ids(["tea"].iter().collect());
        let why = triples(&catalog, &Knowledge::default()).unwrap_err().to_string();
        assert!(why.contains("models.knowledge"), "{why}");
    }
}
