//! What do many shoppers take? Overall, lately, and within the categories that this shopper likes.
//!
//! Shapes: `n` items, `c` categories. For an item `i` of category `k`, with `a(i)` the number of events on it (each with the weight
//! of its kind) and `r(i) = sum over its events of 2^(-age / half-life)`, age counted back from the last training event:
//!
//! `score(u, i) = overall * f(a(i)) + recent * f(r(i)) + category * taste(u, k) * f_k(a(i))`
//!
//! `f(x) = ln(1 + x) / ln(1 + max x)` brings counts to [0, 1] (`f_k` takes the maximum within the category): the order is
//! that of the counts, and a blend is not ruled by the one best-seller. `taste(u, k)` is the share of category `k` in the
//! shopper's weighed history, so it sums to at most one.
//!
//! Cost: one pass over the events; three numbers an item; a score is two multiplications and a look-up of the taste.

use crate::error::{BehaviourError, Result, require};
use crate::history::HistoryWeights;
use lingxi_data::artefact::{Reader, Writer};
use lingxi_data::{Because, CategoryId, Context, Contribution, Events, ItemId, Score};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

const NAME: &str = "popularity";
const NO_CATEGORY: u32 = u32::MAX;

/// How popularity is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PopularityConfig {
    /// Weight of popularity over all training events; default 1.
    pub overall: f32,
    /// Weight of popularity lately; default 0.
    pub recent: f32,
    /// Weight of popularity within liked categories; default 0.
    pub category: f32,
    /// An event counts half after so many days; default 30. Only for sources with real time.
    pub half_life_days: f32,
    /// How the history is weighed for the taste in categories; the weights of kinds count in every part.
    pub history: HistoryWeights,
}

impl Default for PopularityConfig {
    fn default() -> Self {
        PopularityConfig {
            overall: 1.0,
            recent: 0.0,
            category: 0.0,
            half_life_days: 30.0,
            history: HistoryWeights::default(),
        }
    }
}

impl PopularityConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        for (field, weight) in [
            ("popularity.overall", self.overall),
            ("popularity.recent", self.recent),
            ("popularity.category", self.category),
        ] {
            require(weight.is_finite() && weight >= 0.0, field, "a weight of at least 0", weight)?;
        }
        let days = self.half_life_days;
        require(days.is_finite() && days > 0.0, "popularity.half_life_days", "a positive number", days)?;
        self.history.validate()
    }
}

/// The fitted model: three columns of `n_items` numbers in [0, 1].
#[derive(Clone, Debug, PartialEq)]
pub struct Popularity {
    config: PopularityConfig,
    overall: Vec<f32>,
    recent: Vec<f32>,
    in_category: Vec<f32>,
    /// Category code of each item, [`NO_CATEGORY`] where it has none.
    category: Vec<u32>,
}

/// Counts the events. `category` has one entry per item (all `None` where the source has no categories).
///
/// # Errors
/// [`BehaviourError::Config`] for a value out of range; [`BehaviourError::Input`] unless there is one category entry per
/// item.
pub fn fit(config: &PopularityConfig, events: &Events<'_>, category: &[Option<CategoryId>]) -> Result<Popularity> {
    config.validate()?;
    let n = events.n_items();
    if category.len() != n {
        return Err(BehaviourError::Input {
            operation: "fit popularity",
            expected: format!("{n} category entries, one per item"),
            got: category.len().to_string(),
            remedy: "pass the category column of the catalogue the events were read with",
        });
    }
    let category: Vec<u32> = category.iter().map(|c| c.map_or(NO_CATEGORY, |c| c.0)).collect();
    let half_life = f64::from(config.half_life_days) * 86_400.0;
    let last = events.iter().map(|e| e.at).max().unwrap_or(0);
    let (mut overall, mut recent) = (vec![0f64; n], vec![0f64; n]);
    for event in events.iter() {
        let weight = f64::from(config.history.kind(event.kind));
        overall[event.item.index()] += weight;
        recent[event.item.index()] += weight * (-((last - event.at) as f64) / half_life).exp2();
    }
    let mut largest: HashMap<u32, f64> = HashMap::new();
    for (&code, &count) in category.iter().zip(&overall) {
        let entry = largest.entry(code).or_default();
        *entry = entry.max(count);
    }
    let in_category = category.iter().zip(&overall).map(|(&code, &count)| match code {
        NO_CATEGORY => 0.0,
        _ => share(count, largest[&code]),
    });
    Ok(Popularity {
        config: config.clone(),
        in_category: in_category.collect(),
        overall: shares(&overall),
        recent: shares(&recent),
        category,
    })
}

/// `ln(1 + x) / ln(1 + max)`, 0 where nothing was counted.
fn share(x: f64, max: f64) -> f32 {
    if max > 0.0 { (x.ln_1p() / max.ln_1p()) as f32 } else { 0.0 }
}

fn shares(counts: &[f64]) -> Vec<f32> {
    let max = counts.iter().copied().fold(0.0, f64::max);
    counts.iter().map(|&x| share(x, max)).collect()
}

impl Popularity {
    /// Writes the model to one file.
    ///
    /// # Errors
    /// [`BehaviourError::Data`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let n = [self.overall.len()];
        Ok(Writer::default()
            .column("overall", &n, &self.overall)
            .column("recent", &n, &self.recent)
            .column("in_category", &n, &self.in_category)
            .column("category", &n, &self.category)
            .write(path, &(NAME, &self.config))?)
    }

    /// Reads a model that [`Popularity::save`] wrote.
    ///
    /// # Errors
    /// [`BehaviourError::Data`] if the file is missing, damaged or of another kind.
    pub fn load(path: &Path) -> Result<Popularity> {
        let file = Reader::open(path)?;
        let (_, config): (String, PopularityConfig) = file.meta()?;
        let model = Popularity {
            config,
            overall: file.column("overall")?,
            recent: file.column("recent")?,
            in_category: file.column("in_category")?,
            category: file.column("category")?,
        };
        let n = model.overall.len();
        for got in [model.recent.len(), model.in_category.len(), model.category.len()] {
            crate::error::same_length("load popularity", n, got)?;
        }
        Ok(model)
    }

    /// Share of each category in the weighed history.
    fn taste(&self, context: &Context<'_>) -> FxHashMap<u32, f32> {
        let mut taste = FxHashMap::default();
        if self.config.category == 0.0 {
            return taste;
        }
        for past in self.config.history.weigh(context, self.category.len()) {
            let code = self.category[past.item.index()];
            if code != NO_CATEGORY {
                *taste.entry(code).or_default() += past.weight;
            }
        }
        taste
    }

    /// The three parts of the score of item `i`: overall, recent, within its category.
    fn parts(&self, i: usize, taste: &FxHashMap<u32, f32>) -> [f32; 3] {
        // A column that does not count is not fetched: most of what a score costs is waiting for memory.
        let part = |weight: f32, column: &[f32]| if weight == 0.0 { 0.0 } else { weight * column[i] };
        let liked = if taste.is_empty() { None } else { taste.get(&self.category[i]) };
        [
            part(self.config.overall, &self.overall),
            part(self.config.recent, &self.recent),
            part(self.config.category * liked.copied().unwrap_or(0.0), &self.in_category),
        ]
    }
}

impl Score for Popularity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn n_items(&self) -> usize {
        self.overall.len()
    }

    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        let taste = self.taste(context);
        for (item, out) in items.iter().zip(out) {
            let known = item.index() < self.n_items();
            *out = if known { self.parts(item.index(), &taste).iter().sum() } else { 0.0 };
        }
    }

    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        if item.index() >= self.n_items() {
            return Vec::new();
        }
        let parts = self.parts(item.index(), &self.taste(context));
        let category = CategoryId(self.category[item.index()]);
        [Because::Popular, Because::Trending, Because::PopularInCategory { category }]
            .into_iter()
            .zip(parts)
            .filter(|(_, value)| *value != 0.0)
            .map(|(because, value)| Contribution { model: NAME, because, value })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Event, EventKind, Interactions, Purpose, UserId};

    const DAY: i64 = 86_400;

    fn log() -> Interactions {
        // Item 0 was taken three times long ago, item 1 twice lately, item 2 once; item 3 never.
        let rows = [(0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 300), (1, 1, 300), (2, 2, 300)];
        let event =
            |(u, i, day)| Event { user: UserId(u), item: ItemId(i), at: day * DAY, kind: EventKind::Buy, value: 1.0 };
        Interactions::from_events(rows.into_iter().map(event).collect(), 3, 4).unwrap()
    }

    fn scores(config: &PopularityConfig, user: u32) -> Vec<f32> {
        let log = log();
        let events = log.for_purpose(Purpose::Training);
        let category = [Some(CategoryId(0)), Some(CategoryId(0)), Some(CategoryId(1)), None];
        let model = fit(config, &events, &category).unwrap();
        let context = Context { user: None, history: events.of(UserId(user)).last(1), now: 0 };
        let mut out = vec![0.0; 4];
        model.score_all(&[context], &mut out);
        out
    }

    #[test]
    fn the_most_taken_leads_overall_and_the_lately_taken_leads_among_recent() {
        let all = scores(&PopularityConfig::default(), 0);
        assert!(all[0] == 1.0 && all[0] > all[1] && all[1] > all[2] && all[3] == 0.0);
        let recent = scores(&PopularityConfig { overall: 0.0, recent: 1.0, ..Default::default() }, 0);
        assert!(recent[1] == 1.0 && recent[1] > recent[2] && recent[2] > recent[0]);
    }

    #[test]
    fn a_shopper_sees_what_is_popular_in_the_category_of_their_last_purchase() {
        let config = PopularityConfig { overall: 0.0, category: 1.0, ..Default::default() };
        assert_eq!(scores(&config, 2), [0.0, 0.0, 1.0, 0.0]);
        let shopper_of_the_other = scores(&config, 0);
        assert!(shopper_of_the_other[0] == 1.0 && shopper_of_the_other[2] == 0.0);
    }

    #[test]
    fn a_category_column_of_another_catalogue_is_refused() {
        let log = log();
        let err = fit(&PopularityConfig::default(), &log.for_purpose(Purpose::Training), &[None]).unwrap_err();
        assert!(err.to_string().contains("4 category entries"));
    }
}
