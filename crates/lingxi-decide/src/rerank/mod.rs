//! How does a slate become varied, fair and what the shop wants, while its propensities stay exact?
//!
//! Nothing is moved after the policy drew: likeness to the slate, boosts and lagging shares move the worth of every candidate
//! before each place, in standard deviations of all candidates' worth, and the policy draws by the sum. [`Reranker`] is what
//! one snapshot needs, [`Shaped`] one slate in the making, and [`Moved`] what moved an item and by how much.

mod config;
mod diversity;
pub mod fair;

pub use config::{BoostConfig, DiversityConfig, GroupsConfig, RerankConfig, SellersConfig, Target};
pub use fair::Exposure;

use crate::rules::Allowed;
use crate::{DecideError, Result};
use diversity::Diversity;
use lingxi_data::{Catalog, CategoryId, ItemId, ItemVectors, Scored, Slot, Terms};
use serde::Serialize;

/// What moves a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The shop boosts it, or holds it back.
    Boost,
    /// It is like what is on the slate already.
    Diversity,
    /// Its seller lags behind its share, or is ahead of it.
    Seller,
    /// The shopper's group sees its category less than others do, or more.
    Group,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Cause::Boost => "boosted by the shop",
            Cause::Diversity => "like what is shown already",
            Cause::Seller => "share of its seller",
            Cause::Group => "same mix for every group",
        })
    }
}

const CAUSES: [Cause; 4] = [Cause::Boost, Cause::Diversity, Cause::Seller, Cause::Group];

/// By how much one cause moved an item, in standard deviations of the candidates' worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Moved {
    /// Why.
    pub cause: Cause,
    /// Up, or down if below 0.
    pub by: f32,
}

/// The configuration, resolved against one catalogue. Memory: at most 12 bytes an item.
#[derive(Clone, Debug)]
pub struct Reranker {
    config: RerankConfig,
    category: Vec<Option<CategoryId>>,
    /// Sum of boosts per item; empty without boosts.
    boosts: Vec<f32>,
    /// Seller per item and due share per seller; empty without sellers.
    seller: Vec<Option<u32>>,
    due: Vec<f64>,
}

impl Reranker {
    /// Resolves the configuration; `taken` says how much shoppers took of each item, for sellers that are due by it.
    ///
    /// # Errors
    /// [`DecideError::Config`] names what is outside its range, or the column that the catalogue does not have.
    pub fn new(config: RerankConfig, catalog: &Catalog, taken: &[f32]) -> Result<Reranker> {
        config.check()?;
        let mut boosts = vec![0.0; if config.boosts.is_empty() { 0 } else { catalog.len() }];
        for boost in &config.boosts {
            let column =
                boost.attribute.as_deref().map(|name| column(catalog, "boosts.attribute", name)).transpose()?;
            for (i, sum) in boosts.iter_mut().enumerate() {
                if matches(boost, catalog, column, i) {
                    *sum += boost.by;
                }
            }
        }
        let (seller, due) = match &config.sellers {
            None => (Vec::new(), Vec::new()),
            Some(sellers) => sellers_of(sellers, column(catalog, "sellers.attribute", &sellers.attribute)?, taken),
        };
        Ok(Reranker { category: catalog.category.clone(), config, boosts, seller, due })
    }

    /// The configuration that this was made from.
    pub fn config(&self) -> &RerankConfig {
        &self.config
    }

    /// The seller of an item, as a dense number.
    pub fn seller(&self, item: ItemId) -> Option<u32> {
        self.seller.get(item.index()).copied().flatten()
    }

    /// What share of exposure each seller is due.
    pub fn due(&self) -> &[f64] {
        &self.due
    }

    /// Joins a slate, as it was shown to a shopper of `group`, to the exposure that later slates are judged by.
    pub fn observe(&self, exposure: &mut Exposure, slots: &[Slot], group: Option<u32>) {
        let category = |slot: &Slot| self.category.get(slot.item.index()).copied().flatten().map(|c| c.0);
        if self.config.sellers.is_some() {
            exposure.sellers.observe(slots.iter().map(|slot| self.seller(slot.item)));
        }
        if self.config.groups.is_some() {
            exposure.categories.observe(slots.iter().map(category));
            if let Some(group) = group {
                exposure.groups.entry(group).or_default().observe(slots.iter().map(category));
            }
        }
    }
}

fn column<'a>(catalog: &'a Catalog, what: &'static str, name: &str) -> Result<&'a [String]> {
    let found = catalog.attributes.iter().find(|column| column.name == name);
    let known = || catalog.attributes.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
    let refuse = || DecideError::Config {
        what,
        expected: "a column of the catalogue",
        got: format!("{name:?} (columns: {})", known()),
    };
    found.map(|column| column.values.as_slice()).ok_or_else(refuse)
}

fn matches(boost: &BoostConfig, catalog: &Catalog, column: Option<&[String]>, i: usize) -> bool {
    let named = boost.items.is_empty()
        || catalog.ids.name(i as u32).is_some_and(|name| boost.items.iter().any(|item| item == name));
    let below =
        |path: &str, name: &str| name == path || name.strip_prefix(path).is_some_and(|rest| rest.starts_with(" > "));
    let category = boost.category.as_deref();
    let within =
        category.is_none_or(|path| catalog.category_name(ItemId(i as u32)).is_some_and(|name| below(path, name)));
    let has = column.is_none_or(|values| boost.value.as_deref() == values.get(i).map(String::as_str));
    named && within && has
}

fn sellers_of(config: &SellersConfig, names: &[String], taken: &[f32]) -> (Vec<Option<u32>>, Vec<f64>) {
    let mut known = rustc_hash::FxHashMap::default();
    let mut due: Vec<f64> = Vec::new();
    let mut seller = Vec::with_capacity(names.len());
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() {
            seller.push(None);
            continue;
        }
        let next = known.len() as u32;
        let of = *known.entry(name.as_str()).or_insert(next);
        if of == next {
            due.push(if config.target == Target::Equal { 1.0 } else { 0.0 });
        }
        due[of as usize] += match config.target {
            Target::Equal => 0.0,
            Target::Goods => 1.0,
            Target::Taken => f64::from(taken.get(i).copied().unwrap_or(0.0).max(0.0)),
        };
        seller.push(Some(of));
    }
    let all: f64 = due.iter().sum();
    due.iter_mut().for_each(|share| *share = if all > 0.0 { *share / all } else { 0.0 });
    (seller, due)
}

/// What a slate is shaped by.
#[derive(Clone, Copy)]
pub struct Shaping<'a> {
    /// What the shop wants.
    pub reranker: &'a Reranker,
    /// What goods mean, for likeness.
    pub vectors: Option<&'a ItemVectors>,
    /// Who was shown how much until now.
    pub exposure: &'a Exposure,
    /// The shopper's group, as the app numbers them.
    pub group: Option<u32>,
}

/// One slate in the making: what a policy asks before each place.
pub(crate) struct Shaped<'a> {
    allowed: &'a Allowed<'a>,
    explore: f64,
    shaping: Option<Shaping<'a>>,
    items: &'a [ItemId],
    diversity: Option<Diversity<'a>>,
    /// What each cause moves each candidate by; empty where the cause is not at work.
    parts: [Vec<f32>; 4],
    moves: Vec<f32>,
    /// Exposure that this slate gave to sellers already.
    given: Vec<(Option<u32>, f64)>,
    moved: Vec<Vec<Moved>>,
}

impl<'a> Shaped<'a> {
    pub(crate) fn new(
        allowed: &'a Allowed<'a>,
        scored: &'a Scored,
        shaping: Option<Shaping<'a>>,
        explore: f64,
    ) -> Shaped<'a> {
        let items = scored.items.as_slice();
        let diversity = shaping
            .and_then(|s| Some(Diversity::new(s.reranker.config.diversity?, items, s.vectors, &s.reranker.category)));
        let mut shaped = Shaped {
            allowed,
            explore,
            shaping,
            items,
            diversity,
            parts: Default::default(),
            moves: Vec::new(),
            given: Vec::new(),
            moved: Vec::new(),
        };
        if let Some(s) = shaping {
            let boost = |item: &ItemId| s.reranker.boosts.get(item.index()).copied().unwrap_or(0.0);
            if !s.reranker.boosts.is_empty() {
                shaped.parts[0] = items.iter().map(boost).collect();
            }
            shaped.parts[3] = shaped.group_part(&s);
            shaped.parts[2] = shaped.seller_part(&s);
            shaped.join();
        }
        shaped
    }

    /// What moved the item of each place when it was drawn, the strongest cause first.
    pub(crate) fn moved(self) -> Vec<Vec<Moved>> {
        self.moved
    }

    fn seller_part(&self, s: &Shaping<'_>) -> Vec<f32> {
        let Some(config) = s.reranker.config.sellers.as_ref() else { return Vec::new() };
        let given_all: f64 = self.given.iter().map(|(_, weight)| weight).sum();
        let of = |item: &ItemId| {
            let Some(seller) = s.reranker.seller(*item) else { return 0.0 };
            let given = self.given.iter().filter(|(of, _)| *of == Some(seller)).map(|(_, weight)| weight).sum();
            let shown = s.exposure.sellers.exposure(seller);
            config.strength * fair::lag(shown, given, given_all, s.reranker.due[seller as usize])
        };
        self.items.iter().map(of).collect()
    }

    fn group_part(&self, s: &Shaping<'_>) -> Vec<f32> {
        let (Some(config), Some(group)) = (s.reranker.config.groups.as_ref(), s.group) else { return Vec::new() };
        let Some(seen) = s.exposure.groups.get(&group) else { return Vec::new() };
        let of = |item: &ItemId| {
            let Some(category) = s.reranker.category.get(item.index()).copied().flatten() else { return 0.0 };
            let (of, all) = s.exposure.categories.exposure(category.0);
            config.strength * fair::lag(seen.exposure(category.0), 0.0, 0.0, of / all.max(f64::MIN_POSITIVE))
        };
        self.items.iter().map(of).collect()
    }

    fn join(&mut self) {
        let at_work: Vec<&Vec<f32>> = self.parts.iter().filter(|part| !part.is_empty()).collect();
        self.moves = if at_work.is_empty() { Vec::new() } else { vec![0.0; self.items.len()] };
        for part in at_work {
            self.moves.iter_mut().zip(part).for_each(|(sum, by)| *sum += by);
        }
    }
}

impl Terms for Shaped<'_> {
    fn eligible(&self, slots: &[Slot], item: ItemId) -> bool {
        self.allowed.eligible(slots, item)
    }

    fn placed(&mut self, candidate: usize) {
        let Some(shaping) = self.shaping else { return };
        let by = |part: &Vec<f32>| part.get(candidate).copied().unwrap_or(0.0);
        let causes = CAUSES.iter().zip(&self.parts).map(|(&cause, part)| Moved { cause, by: by(part) });
        let mut moved: Vec<Moved> = causes.filter(|moved| moved.by != 0.0).collect();
        moved.sort_by(|a, b| b.by.abs().total_cmp(&a.by.abs()));
        self.given.push((shaping.reranker.seller(self.items[candidate]), fair::of_place(self.moved.len())));
        self.moved.push(moved);
        if let Some(diversity) = &mut self.diversity {
            self.parts[1].resize(self.items.len(), 0.0);
            diversity.placed(candidate, &mut self.parts[1]);
        }
        if shaping.reranker.config.sellers.is_some() {
            self.parts[2] = self.seller_part(&shaping);
        }
        self.join();
    }

    fn moves(&self) -> &[f32] {
        &self.moves
    }

    fn explore(&self) -> f64 {
        self.explore
    }
}
