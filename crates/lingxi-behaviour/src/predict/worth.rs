//! What is showing an item worth? The chance that what is wanted comes of it, as a [`Score`] that can be blended and served.
//!
//! [`fit`] makes the shop's [`moments`](super::moments()) into lessons, the last of them validation, fits the candidates and keeps the
//! chosen one beside all that happened. `score = p / rate`, with `rate` how often it came in all moments: around one, and in the order
//! of the chances. What a shopper did since comes with the context, so fresh events count without retraining.
//!
//! A score falls into what the item is worth to a shopper of whom nothing is known, and what the shopper's past adds to that, told by
//! the item of the past that speaks most for it. Cost of a request: one row an item and the chosen
//! candidate (a few multiplications a column for a regression, all trees, or the networks). Name it for ranking some hundred candidates; for
//! whole catalogues leave the networks out, as the default does.

use super::goods::Goods;
use super::moments::{Moments, MomentsConfig, moments};
use super::past::Past;
use super::{Candidate, Heard, NetworkConfig, PredictConfig, Predictor};
use crate::error::{Result, require};
use lingxi_data::artefact::{Reader, Writer};
use lingxi_data::{Because, Context, Contribution, EventKind, Events, ItemId, Rows, Score};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

const NAME: &str = "predict";
/// Items that one thread makes rows of.
const ITEMS: usize = 2_048;

/// What is foretold, and by which candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorthConfig {
    /// What is shown, what is wanted, and within which time.
    pub moments: MomentsConfig,
    /// Candidates; default logistic and boosted.
    pub candidates: Vec<Candidate>,
    /// Leaves of a boosted tree, each number tried; default 8.
    pub leaves: Vec<usize>,
    /// The networks, if they are candidates.
    pub network: NetworkConfig,
    /// Share of the moments, the last ones, that stop, calibrate and choose; default 0.2.
    pub held_out: f64,
    /// Length of the vectors of goods; default 24.
    pub dims: usize,
}

impl Default for WorthConfig {
    fn default() -> Self {
        WorthConfig {
            moments: MomentsConfig::default(),
            candidates: vec![Candidate::Logistic, Candidate::Boosted],
            leaves: vec![8],
            network: NetworkConfig::default(),
            held_out: 0.2,
            dims: 24,
        }
    }
}

/// The fitted model.
#[derive(Clone)]
pub struct Worth {
    config: WorthConfig,
    past: Past,
    predictor: Predictor,
    rate: f32,
}

/// Fits on a shop's events. Deterministic for a seed.
///
/// # Errors
/// [`crate::BehaviourError`] for settings out of range, or a shop in which too little of what is wanted comes of what is shown.
pub fn fit(
    config: &WorthConfig,
    events: &Events<'_>,
    goods: Goods,
    seed: u64,
    heard: &mut (dyn FnMut(Heard) + Send),
) -> Result<Worth> {
    let held_out = config.held_out;
    require(held_out > 0.0 && held_out < 1.0, "predict.held_out", "a share between 0 and 1", held_out)?;
    let mut found = moments(&config.moments, events, goods)?;
    found.divide([1.0 - held_out, held_out], (config.moments.horizon_hours * 3_600.0) as i64);
    let Moments { mut lessons, past, .. } = found;
    let whole = PredictConfig {
        candidates: config.candidates.clone(),
        leaves: config.leaves.clone(),
        network: config.network.clone(),
    };
    // What only leads there is taught beside if a network learns; otherwise nobody reads it.
    lessons.tasks.retain(|task| task.name != "step" || !config.moments.step.is_empty());
    let predictor = super::fit(&whole, &lessons, seed, heard)?;
    let came = lessons.asked().came.iter().filter(|came| **came == Some(true)).count();
    let rate = came as f32 / lessons.table.len().max(1) as f32;
    Ok(Worth { config: config.clone(), past, predictor, rate })
}

impl Worth {
    /// What it was fitted with.
    pub fn config(&self) -> &WorthConfig {
        &self.config
    }

    /// The chances that what is wanted comes of showing each item; 0 for an item that is not known.
    pub fn chances(&self, context: &Context<'_>, items: &[ItemId]) -> Vec<f64> {
        let known = Known::of(context.history, self.n_items());
        self.of(known.rows(), context.now, items)
    }

    fn of(&self, history: Rows<'_>, now: i64, items: &[ItemId]) -> Vec<f64> {
        let n = self.n_items();
        let chances = |items: &[ItemId]| -> Vec<f64> {
            let known: Vec<ItemId> = items.iter().copied().filter(|item| item.index() < n).collect();
            let table = self.past.rows(history, &known, now);
            let rows: Vec<u32> = (0..known.len() as u32).collect();
            let mut found = self.predictor.probabilities(self.predictor.chosen, &table, &rows).into_iter();
            let one = |item: &ItemId| if item.index() < n { found.next().unwrap_or(0.0) } else { 0.0 };
            items.iter().map(one).collect()
        };
        if items.len() <= ITEMS {
            return chances(items);
        }
        items.par_chunks(ITEMS).flat_map_iter(chances).collect()
    }

    /// Writes the model to one file.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Data`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let columns = self.past.to_columns();
        let kept = (NAME, &self.config, &self.predictor, self.rate, columns.shape());
        Ok(columns.write(Writer::default()).write(path, &kept)?)
    }

    /// Reads a model that [`Worth::save`] wrote.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Data`] if the file is missing, damaged or of another kind; [`crate::BehaviourError::Input`] if its
    /// columns do not fit each other.
    pub fn load(path: &Path) -> Result<Worth> {
        let file = Reader::open(path)?;
        let (_, config, predictor, rate, shape): (String, WorthConfig, Predictor, f32, _) = file.meta()?;
        Ok(Worth { config, past: Past::from_columns(&file, shape)?, predictor, rate })
    }
}

/// The columns of [`Rows`], owned.
type Kept = (Vec<ItemId>, Vec<i64>, Vec<EventKind>, Vec<f32>);

/// A history without items that the model does not know: they are no evidence.
struct Known<'a> {
    whole: Rows<'a>,
    kept: Option<Kept>,
}

impl<'a> Known<'a> {
    fn of(whole: Rows<'a>, n: usize) -> Known<'a> {
        let known: Vec<usize> = (0..whole.len()).filter(|at| whole.items[*at].index() < n).collect();
        let kept = (known.len() < whole.len()).then(|| {
            let items = known.iter().map(|at| whole.items[*at]).collect();
            let (times, kinds) = known.iter().map(|at| (whole.at[*at], whole.kinds[*at])).unzip();
            (items, times, kinds, known.iter().map(|at| whole.values[*at]).collect())
        });
        Known { whole, kept }
    }

    fn rows(&self) -> Rows<'_> {
        match &self.kept {
            Some((items, at, kinds, values)) => Rows { items, at, kinds, values },
            None => self.whole,
        }
    }
}

impl Score for Worth {
    fn name(&self) -> &'static str {
        NAME
    }

    fn n_items(&self) -> usize {
        self.past.n_items()
    }

    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        let chances = self.chances(context, items);
        out.iter_mut().zip(chances).for_each(|(out, chance)| *out = chance as f32 / self.rate);
    }

    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        if item.index() >= self.n_items() {
            return Vec::new();
        }
        let known = Known::of(context.history, self.n_items());
        let worth = |history: Rows<'_>| self.of(history, context.now, &[item])[0] as f32 / self.rate;
        let alone = worth(Rows::default());
        let part = |because, value| Contribution { model: NAME, because, value };
        let history = known.rows().before(context.now);
        let mut parts = vec![part(Because::Popular, alone)];
        if let Some(because) = self.past.speaks_for(history, item) {
            parts.push(part(because, worth(history) - alone));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Event, Interactions, Purpose, UserId};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// An item in the cart is bought seven times of ten after the next view, another once, and what is viewed while another is in the
    /// cart never.
    fn shop() -> Interactions {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut events = Vec::new();
        for visit in 0..900 {
            let (user, item, at) = (UserId(rng.random_range(0..40)), ItemId(rng.random_range(0..15)), visit * 900);
            let mut push = |kind, at| events.push(Event { user, item, at, kind, value: 1.0 });
            let carted = rng.random_bool(0.4);
            if carted {
                push(EventKind::Cart, at);
            }
            if carted && rng.random_bool(0.5) {
                let other = ItemId((item.0 + rng.random_range(1..15)) % 15);
                events.push(Event { user, item: other, at: at + 30, kind: EventKind::View, value: 1.0 });
            }
            let mut push = |kind, at| events.push(Event { user, item, at, kind, value: 1.0 });
            push(EventKind::View, at + 60);
            if rng.random_bool(if carted { 0.7 } else { 0.1 }) {
                push(EventKind::Buy, at + 120);
            }
        }
        Interactions::from_events(events, 40, 15).unwrap()
    }

    #[test]
    fn fresh_events_count_without_retraining_and_most_for_the_item_that_they_are_about() {
        let moments = MomentsConfig { horizon_hours: 1.0, ..MomentsConfig::default() };
        let config = WorthConfig { moments, ..WorthConfig::default() };
        let log = shop();
        let model = fit(&config, &log.for_purpose(Purpose::Training), Goods::default(), 1, &mut |_| {}).unwrap();
        let now = 900 * 900 + 90_000;
        // A shopper with a past, who puts item 3 into the cart a minute ago, or in five seconds.
        let events = log.for_purpose(Purpose::Training);
        let past = events.of(UserId(0));
        let chance = |cart: Option<i64>| {
            let n = usize::from(cart.is_some());
            let items = [past.items, &[ItemId(3)][..n]].concat();
            let at = [past.at, &[cart.unwrap_or_default()][..n]].concat();
            let kinds = [past.kinds, &[EventKind::Cart][..n]].concat();
            let values = [past.values, &[1.0][..n]].concat();
            let history = Rows { items: &items, at: &at, kinds: &kinds, values: &values };
            model.chances(&Context { user: None, history, now }, &[ItemId(3), ItemId(4)])
        };
        let (nothing, carted) = (chance(None), chance(Some(now - 60)));
        assert!(carted[0] > nothing[0] + 0.2, "{nothing:?} {carted:?}");
        assert!(carted[0] > carted[1] + 0.2, "another item is not in the cart: {carted:?}");
        let later = chance(Some(now + 5));
        assert_eq!(later, nothing, "what comes later is not known");
    }

    #[test]
    fn a_shop_where_nothing_wanted_comes_is_refused() {
        let moments = MomentsConfig { wanted: vec![EventKind::Rate], ..MomentsConfig::default() };
        let config = WorthConfig { moments, ..WorthConfig::default() };
        let log = shop();
        let refused = fit(&config, &log.for_purpose(Purpose::Training), Goods::default(), 1, &mut |_| {});
        assert!(refused.err().unwrap().to_string().contains("came true"));
    }
}
