//! Events, and what is known of goods -> the models of the web between them, each on the shelf.

use crate::failure::UserError;
use crate::progress::Unit;
use crate::recipe::Models;
use crate::shelf::Shelf;
use crate::site::Site;
use crate::stages::encode::Meaning;
use crate::stages::fit::{Lessons, Named, file};
use anyhow::Result;
use lingxi_behaviour::graph::joint::{self, Joint, JointConfig};
use lingxi_behaviour::graph::train::Epoch;
use lingxi_behaviour::graph::{FoldIn, gat, gcn, lightgcn, spectral};
use lingxi_behaviour::knowledge::{Triples, embedding, walk};
use lingxi_behaviour::trend;
use lingxi_data::ingest::Knowledge;
use lingxi_data::{Catalog, Events, Fingerprint, Purpose};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// Name of the relation between an item and its category.
const CATEGORY: &str = "category";

/// Fits what the recipe asks for, in the order of the tables.
///
/// # Errors
/// Those of the models, and knowledge that is asked for where the shop has none.
pub fn fit_web(models: &Models, lessons: Lessons<'_>, site: &Site) -> Result<Vec<Named>> {
    let mut rows = Vec::new();
    if let Some(config) = &models.trend {
        let model = trend::fit(config, &lessons.events.for_purpose(Purpose::Training))?;
        rows.push(Named { name: "trend".into(), model: Arc::new(model) });
    }
    type Fit<'a> = &'a dyn Fn(&Events<'_>, &mut dyn FnMut(Epoch)) -> Result<FoldIn>;
    let kept = |name: &str, key: Fingerprint, fit: Fit<'_>| -> Result<Named> {
        let make = || {
            let stage = site.progress.stage(name, None, Unit::Of("epochs"));
            let mut said = String::new();
            let model = fit(&lessons.events.for_purpose(Purpose::Training), &mut |at: Epoch| {
                stage.set_total(at.epochs as u64);
                stage.set(at.epoch as u64);
                said = at.held_out_loss.map_or_else(String::new, |loss| format!("held-out loss {loss:.3}"));
            })?;
            stage.finish(&said);
            Ok(model)
        };
        let load = |folder: &Path| Ok(FoldIn::load(&file(folder))?);
        let (model, _) = site.shelf.get(name, key, load, make, |m, folder| Ok(m.save(&file(folder))?))?;
        Ok(Named { name: name.into(), model: Arc::new(model) })
    };
    if let Some(config) = &models.spectral {
        let key = key(lessons, config, site);
        rows.push(kept("spectral", key, &|events, _| Ok(spectral::fit(config, events, site.seed)?))?);
    }
    if let Some(config) = &models.lightgcn {
        let key = key(lessons, config, site);
        rows.push(kept("lightgcn", key, &|events, said| Ok(lightgcn::fit(config, events, site.seed, said)?))?);
    }
    if let Some(config) = &models.gcn {
        let key = key(lessons, config, site);
        rows.push(kept("gcn", key, &|events, said| Ok(gcn::fit(config, events, site.seed, said)?))?);
    }
    if let Some(config) = &models.gat {
        let key = key(lessons, config, site);
        rows.push(kept("gat", key, &|events, said| Ok(gat::fit(config, events, site.seed, said)?))?);
    }
    if let (Some(config), Some(meaning)) = (&models.joint, lessons.meaning) {
        rows.push(fit_joint(config, meaning, lessons, site)?);
    }
    if let Some(config) = &models.knowledge {
        let triples = triples(lessons.catalog, lessons.knowledge)?;
        let key = key(lessons, config, site);
        rows.push(kept("knowledge", key, &|events, _| Ok(walk::fit(config, &triples, events)?))?);
    }
    if let Some(config) = &models.embedding {
        let triples = triples(lessons.catalog, lessons.knowledge)?;
        let key = key(lessons, config, site);
        let fit: Fit<'_> = &|events, said| {
            let mut heard = |epoch, epochs, loss| said(Epoch { epoch, epochs, loss, held_out_loss: None });
            Ok(embedding::fit(config, &triples, events, site.seed, &mut heard)?)
        };
        rows.push(kept("embedding", key, fit)?);
    }
    Ok(rows)
}

fn fit_joint(config: &JointConfig, meaning: &Meaning, lessons: Lessons<'_>, site: &Site) -> Result<Named> {
    let key = Shelf::key(&[lessons.key, meaning.key], &(config, site.seed));
    let make = || {
        let stage = site.progress.stage("joint", None, Unit::Of("epochs"));
        let events = lessons.events.for_purpose(Purpose::Training);
        let model = joint::fit(config, &events, &meaning.vectors, site.seed, &mut |epoch, epochs, _| {
            stage.set_total(epochs as u64);
            stage.set(epoch as u64);
        })?;
        stage.finish("");
        Ok(model)
    };
    let load = |folder: &Path| Ok(Joint::load(&file(folder))?);
    let (model, _) = site.shelf.get("joint", key, load, make, |m, folder| Ok(m.save(&file(folder))?))?;
    Ok(Named { name: "joint".into(), model: Arc::new(model) })
}

/// Names a model by its events, its settings and the seed.
fn key<C: Serialize>(lessons: Lessons<'_>, config: &C, site: &Site) -> Fingerprint {
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
