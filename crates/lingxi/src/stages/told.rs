//! Which interest follows which, as a language model tells it: a table of log likelihoods, made once and kept on the shelf.
//!
//! Interests get a name from their goods: the category that most of them share, or the titles nearest to the centre. The model is asked how likely
//! each name is after "someone who likes this may also like", less how likely it is after nobody in particular; a row adds up to 1.

use crate::generate::{self, Generate};
use crate::progress::Unit;
use crate::shelf::Shelf;
use crate::site::Site;
use anyhow::Result;
use lingxi_content::{Generator, Labels, Template};
use lingxi_data::{Catalog, Fingerprint, ItemId};
use lingxi_decide::novel::Clusters;
use lingxi_kernels::{dot, log_sum_exp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The file.
const FILE: &str = "told.json";
/// How it is asked.
const ASKED: &str = "Shoppers who like {text} often also like {label}";
/// A name is that of a category if so large a share of the goods has it.
const SHARED: f32 = 0.5;
/// Titles of a name otherwise, and letters of each.
const TITLES: usize = 2;
const LETTERS: usize = 40;

/// What was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// A name for each interest.
    pub names: Vec<String>,
    /// Row-major log likelihoods `[k, k]`: from the row's interest to the column's.
    pub table: Vec<f32>,
}

/// Asks the model that the recipe names, or takes its answers from the shelf; `None` unless the recipe wants it. `vectors` are
/// the unit rows that the clusters were fitted to, and `key` names goods and clusters.
///
/// # Errors
/// A model that cannot be opened; those of the file system.
pub fn told(
    config: &Generate,
    catalog: &Catalog,
    clusters: &Clusters,
    vectors: &[f32],
    key: Fingerprint,
    site: &Site,
) -> Result<Option<Told>> {
    if !config.told || clusters.is_empty() {
        return Ok(None);
    }
    let names = names(catalog, clusters, vectors);
    let load = |folder: &Path| Ok(serde_json::from_slice(&std::fs::read(folder.join(FILE))?)?);
    let save = |told: &Told, folder: &Path| Ok(std::fs::write(folder.join(FILE), serde_json::to_vec(told)?)?);
    let make = || {
        let generator = generate::open(&config.model, &site.assets, &site.cache, &site.progress)?;
        let stage = site.progress.stage("told", Some(names.len() as u64), Unit::Of("interests"));
        let table = table(&generator, &names, &mut |done| stage.set(done as u64))?;
        stage.finish(&format!("{} interests, each after each", names.len()));
        Ok(Told { names: names.clone(), table })
    };
    let key = Shelf::key(&[key], &(config, ASKED, &names));
    Ok(Some(site.shelf.get("told", key, load, make, save)?.0))
}

/// Log likelihoods `[k, k]` that the row's name is followed by the column's; each row's probabilities add up to 1.
///
/// # Errors
/// Names that are too long for the model.
pub fn table(generator: &Generator, names: &[String], done: &mut dyn FnMut(usize)) -> Result<Vec<f32>> {
    let template = Template::parse(ASKED).map_err(anyhow::Error::msg)?;
    let labels = Labels::new(generator, template, names)?;
    let mut table = Vec::with_capacity(names.len() * names.len());
    for (i, name) in names.iter().enumerate() {
        let mut row = labels.fit(name)?;
        // By token, so that a long name is no more certain of itself than a short one.
        row.iter_mut().zip(names).for_each(|(log, to)| *log /= generator.wording().tokens(to).len().max(1) as f32);
        let sum = log_sum_exp(&row);
        table.extend(row.iter().map(|log| log - sum));
        done(i + 1);
    }
    Ok(table)
}

/// A name for each interest: the last part of the category that at least half of its goods share, otherwise the titles of the goods nearest to its centre.
pub fn names(catalog: &Catalog, clusters: &Clusters, vectors: &[f32]) -> Vec<String> {
    let mut goods: Vec<Vec<ItemId>> = vec![Vec::new(); clusters.len()];
    for (i, of) in clusters.of.iter().enumerate() {
        if let Some(k) = of {
            goods[*k as usize].push(ItemId(i as u32));
        }
    }
    goods.iter().enumerate().map(|(k, goods)| name(catalog, clusters.centre(k), goods, vectors)).collect()
}

fn name(catalog: &Catalog, centre: &[f32], goods: &[ItemId], vectors: &[f32]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    goods.iter().filter_map(|item| catalog.category_name(*item)).for_each(|path| *counts.entry(path).or_default() += 1);
    let most = counts.iter().max_by_key(|(path, n)| (**n, std::cmp::Reverse(**path)));
    if let Some((path, _)) = most.filter(|(_, n)| **n as f32 >= SHARED * goods.len() as f32) {
        return short(path.rsplit(" > ").next().unwrap_or(path));
    }
    let near = |item: &ItemId| {
        let row = vectors.get(item.index() * centre.len()..(item.index() + 1) * centre.len());
        row.map_or(f32::NEG_INFINITY, |row| dot(row, centre))
    };
    let mut order: Vec<(f32, ItemId)> = goods.iter().map(|item| (near(item), *item)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut titles: Vec<String> = Vec::new();
    for title in order.iter().map(|(_, item)| short(catalog.label(*item))) {
        if titles.len() < TITLES && !titles.contains(&title) {
            titles.push(title);
        }
    }
    titles.join(" and ")
}

/// Cut after a whole word, in lower case, as it would stand in a sentence.
fn short(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_whitespace() {
        if !out.is_empty() && out.chars().count() + 1 + word.chars().count() > LETTERS {
            break;
        }
        out.extend((!out.is_empty()).then_some(' '));
        out.extend(word.chars().take(LETTERS).flat_map(char::to_lowercase));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::CategoryId;

    #[test]
    fn an_interest_is_called_by_the_category_that_most_share_or_by_its_middle() {
        let mut catalog = Catalog::of_ids(["a", "b", "c", "d"].iter().map(|id| (*id).to_owned()).collect());
        catalog.titles =
            ["Green Tea", "Black Tea", "Rye Bread", "Wheat Bread Of A Very Long Name That Is Cut Somewhere"]
                .map(str::to_owned)
                .to_vec();
        catalog.categories = ["Drinks > Hot Tea"].iter().collect();
        catalog.category = vec![Some(CategoryId(0)), Some(CategoryId(0)), None, None];
        let vectors = [1.0, 0.0, 1.0, 0.0, 0.6, 0.8, 0.0, 1.0];
        let clusters =
            Clusters { dim: 2, centres: vec![1.0, 0.0, 0.0, 1.0], of: vec![Some(0), Some(0), Some(1), Some(1)] };
        let names = names(&catalog, &clusters, &vectors);
        assert_eq!(names, ["hot tea", "wheat bread of a very long name that is and rye bread"]);
    }
}
