//! What comes of a view? Rows are moments of a shop's events; what is wanted is a purchase of the same item within a day, a cart is a
//! step on the way. Any shop with a recipe can be asked.

use super::recipe::{PredictRecipe, Views};
use super::{Prepared, numbered};
use crate::pipeline;
use crate::recipe::Recipe;
use crate::site::Site;
use crate::stages::arrivals::Arrivals;
use anyhow::Result;
use lingxi_behaviour::predict::{Goods, moments};
use lingxi_data::ingest::Knowledge;
use lingxi_data::ingest::source::{FileOptions, KnowledgeFile};
use lingxi_data::{Catalog, ItemVectors, Purpose};
use std::path::Path;

/// Reads the shop and makes its rows.
///
/// # Errors
/// Files that cannot be used, a shop without what is asked for.
pub fn prepare(recipe: &PredictRecipe, views: &Views, site: &Site) -> Result<Prepared> {
    let mut shop = shop(&views.shop)?;
    if let Some(facts) = &views.facts {
        shop.data.knowledge.push(KnowledgeFile { path: facts.clone(), format: None, options: FileOptions::default() });
    }
    let read = pipeline::read(&shop, &Arrivals::default(), site)?;
    let data = &read.shop.data;
    let vectors = read.meaning.as_ref().map(|meaning| meaning.vectors.as_ref());
    let goods = goods(&data.catalog, &data.knowledge, vectors, views.dims)?;
    let stage = site.progress.stage("moments", None, crate::progress::Unit::Of("rows"));
    let mut found = moments(&views.moments, &read.shop.data.interactions.for_purpose(Purpose::Training), goods)?;
    let horizon = (views.moments.horizon_hours * 3_600.0) as i64;
    let test = found.divide([recipe.split.train, recipe.split.valid], horizon);
    stage.set(found.at.len() as u64);
    stage.finish("");
    let wanted: Vec<&str> = views.moments.wanted.iter().map(|kind| kind.name()).collect();
    let protocol =
        format!("{} within {} hours of a moment, split by time", wanted.join(" or "), views.moments.horizon_hours);
    Ok(Prepared { lessons: found.lessons, test, shoppers: numbered(found.user.iter().map(|user| user.0)), protocol })
}

/// A shop by its name or file.
///
/// # Errors
/// Those of the recipe.
pub fn shop(named: &str) -> Result<Recipe> {
    let path = Path::new(named);
    if path.exists() { Recipe::read(path) } else { Recipe::built_in(named) }
}

/// What is known of a shop's goods at any time: what they say, or else the facts about them; and their price.
///
/// # Errors
/// Vectors that cannot be whitened.
pub fn goods(catalog: &Catalog, knowledge: &Knowledge, vectors: Option<&ItemVectors>, dims: usize) -> Result<Goods> {
    let n = catalog.len();
    let goods = match vectors {
        Some(vectors) => Goods::meaning(vectors, dims)?,
        None if !knowledge.triples.is_empty() => {
            let items: Vec<Option<u32>> = knowledge.entities.names().map(|name| catalog.ids.get(name)).collect();
            let relations = knowledge.relations.len().max(1) as u32;
            let of = |[head, relation, tail]: &[u32; 3]| Some((items[*head as usize]?, tail * relations + relation));
            let facts: Vec<(u32, u32)> = knowledge.triples.iter().filter_map(of).collect();
            Goods::facts(n, knowledge.entities.len() * relations as usize, &facts, dims)
        }
        None => Goods::default(),
    };
    let price: Vec<f32> = catalog.price.iter().map(|price| price.max(0.0).ln_1p()).collect();
    let known = catalog.price.iter().any(|price| price.is_finite());
    Ok(if known { goods.with("price", &price) } else { goods })
}
