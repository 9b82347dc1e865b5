//! How fast interests fade, how sticky categories are, and how much the shop's own taste counts against a shopper's few events: what
//! foretells the next events of some shoppers best. `lingxi simulate` measures whether such degrees come true.

use crate::shelf::Shelf;
use crate::site::Site;
use crate::stages::ingest::Shop;
use anyhow::Result;
use lingxi_data::{Catalog, Events, Fingerprint, ItemId, Purpose, Rows, UserId};
use lingxi_decide::interests::{self, Past};
use lingxi_decide::{Base, Degree, Interests, InterestsConfig};
use serde::{Deserialize, Serialize};

/// Last events of a shopper that are foretold, and events of all shoppers, who are evenly spread.
const EVENTS: usize = 30;
const ALL_EVENTS: usize = 30_000;
/// The file.
const FILE: &str = "interests.json";

/// What turns a history into degrees of interest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tastes {
    /// How events fade and what the shop's shares count.
    pub config: InterestsConfig,
    /// The shop's share of each category, and how sticky each is.
    pub base: Base,
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
    let until = log.iter().map(|event| event.at).max().unwrap_or(0);
    Tastes { until, ..Tastes::learnt(config, &all, catalog.categories.len()) }
}

/// The events of a history on goods that have a category.
pub fn past(rows: Rows<'_>, catalog: &Catalog) -> Vec<Past> {
    let events = rows.items.iter().zip(rows.kinds).zip(rows.at);
    let category = |item: &ItemId| catalog.category.get(item.index()).copied().flatten();
    events.filter_map(|((item, kind), at)| Some((category(item)?, *kind, *at))).collect()
}

impl Tastes {
    /// Learns from histories of goods in `n` categories.
    pub fn learnt(config: &InterestsConfig, histories: &[Vec<Past>], n: usize) -> Tastes {
        let shares = interests::shares(histories.iter().map(Vec::as_slice), n);
        let several: Vec<&[Past]> = histories.iter().filter(|past| past.len() > 1).map(Vec::as_slice).collect();
        let events: usize = several.iter().map(|past| EVENTS.min(past.len() - 1)).sum();
        let some: Vec<&[Past]> = several.iter().copied().step_by(events.div_ceil(ALL_EVENTS).max(1)).collect();
        let can_tell = n >= 2 && !some.is_empty();
        let (config, base) = match can_tell {
            true => interests::fit(config, &some, EVENTS, &shares),
            false => (config.clone(), Base::of_shares(shares)),
        };
        Tastes { config, base, until: 0 }
    }

    /// The `most` greatest degrees of interest of a shopper with this history, the greatest first.
    pub fn degrees(&self, history: Rows<'_>, catalog: &Catalog, now: i64, most: usize) -> Vec<Degree> {
        let mut interests = Interests::default();
        for (category, kind, at) in past(history, catalog) {
            interests.observe(&self.config, category, kind, at);
        }
        let heard = history.at.last().copied().unwrap_or(self.until).max(self.until);
        interests.degrees(&self.config, &self.base, now.min(heard), most)
    }
}
