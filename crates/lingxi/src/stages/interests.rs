//! How fast interests fade, and how much the shop's own taste counts against a shopper's few events: the half-life and the
//! prior that foretell the next events of some shoppers best. `lingxi simulate` measures whether such degrees come true.

use crate::shelf::Shelf;
use crate::site::Site;
use crate::stages::ingest::Shop;
use anyhow::Result;
use lingxi_data::{Catalog, Events, Fingerprint, ItemId, Purpose, Rows, UserId};
use lingxi_decide::interests::{self, Past};
use lingxi_decide::{Degree, Interests, InterestsConfig};
use serde::{Deserialize, Serialize};

/// Shoppers that are looked at, evenly spread, and their last events.
const SHOPPERS: usize = 300;
const EVENTS: usize = 200;
/// The file.
const FILE: &str = "interests.json";

/// What turns a history into degrees of interest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tastes {
    /// How events fade and what the shop's shares count.
    pub config: InterestsConfig,
    /// The shop's share of each category, adding up to 1.
    pub shares: Vec<f64>,
    /// When the log ends, unix seconds: interests do not fade while nothing is heard.
    pub until: i64,
}

/// Fits them, or takes them from the shelf.
///
/// # Errors
/// Those of the file system.
pub fn tastes(config: &InterestsConfig, shop: &Shop, key: Fingerprint, site: &Site) -> Result<Tastes> {
    let load = |folder: &std::path::Path| Ok(serde_json::from_slice(&std::fs::read(folder.join(FILE))?)?);
    let make = || Ok(fitted(config, shop.data.interactions.for_purpose(Purpose::Training), &shop.data.catalog));
    let save =
        |tastes: &Tastes, folder: &std::path::Path| Ok(std::fs::write(folder.join(FILE), serde_json::to_vec(tastes)?)?);
    Ok(site.shelf.get("interests", Shelf::key(&[key], config), load, make, save)?.0)
}

fn fitted(config: &InterestsConfig, log: Events<'_>, catalog: &Catalog) -> Tastes {
    let all: Vec<Vec<Past>> = (0..log.n_users() as u32).map(|user| past(log.of(UserId(user)), catalog)).collect();
    let shares = interests::shares(all.iter().map(Vec::as_slice), catalog.categories.len());
    let several: Vec<&[Past]> = all.iter().filter(|past| past.len() > 1).map(Vec::as_slice).collect();
    let step = several.len().div_ceil(SHOPPERS).max(1);
    let last = |past: &[Past]| past.len().saturating_sub(EVENTS);
    let some: Vec<&[Past]> = several.iter().step_by(step).map(|past| &past[last(past)..]).collect();
    let until = log.iter().map(|event| event.at).max().unwrap_or(0);
    let can_tell = shares.len() >= 2 && !some.is_empty();
    let config = if can_tell { interests::fit(config, &some, &shares) } else { config.clone() };
    Tastes { config, shares, until }
}

/// The events of a history on goods that have a category.
pub fn past(rows: Rows<'_>, catalog: &Catalog) -> Vec<Past> {
    let events = rows.items.iter().zip(rows.kinds).zip(rows.at);
    let category = |item: &ItemId| catalog.category.get(item.index()).copied().flatten();
    events.filter_map(|((item, kind), at)| Some((category(item)?, *kind, *at))).collect()
}

impl Tastes {
    /// The `most` greatest degrees of interest of a shopper with this history, the greatest first.
    pub fn degrees(&self, history: Rows<'_>, catalog: &Catalog, now: i64, most: usize) -> Vec<Degree> {
        let mut interests = Interests::default();
        for (category, kind, at) in past(history, catalog) {
            interests.observe(&self.config, category, kind, at);
        }
        let heard = history.at.last().copied().unwrap_or(self.until).max(self.until);
        interests.degrees(&self.config, &self.shares, now.min(heard), most)
    }
}
