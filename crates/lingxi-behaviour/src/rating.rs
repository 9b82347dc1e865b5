//! How many stars would this shopper give? For shops whose customers rate.
//!
//! Shapes: `n` items. With the mean `m` of all ratings, the shrunken deviations of items and of the shopper's own past
//! ratings (Koren 2009, "Collaborative filtering with temporal dynamics", section 3.1: baseline predictors):
//!
//! `b_i = sum_u (r_ui - m) / (l2_item + n_i)`, `b_u = sum_i (r_ui - m - b_i) / (l2_shopper + n_u)`, `rating(u, i) = m + b_u + b_i`
//!
//! `b_u` is read from the history that is asked with, so that a shopper never seen in training is rated for like any other.
//! Nothing here ranks: what people rate highly is not what they take next, and mean absolute error says nothing of lists.
//!
//! Memory: 4 bytes an item. Cost: one pass over the shopper's history.

use crate::error::{BehaviourError, Result, require};
use lingxi_data::{Context, EventKind, Events, ItemId};
use serde::{Deserialize, Serialize};

/// How much evidence a deviation needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RatingConfig {
    /// Ratings of the mean that every item starts with.
    pub l2_item: f32,
    /// Ratings of the mean that every shopper starts with.
    pub l2_shopper: f32,
}

impl Default for RatingConfig {
    fn default() -> Self {
        RatingConfig { l2_item: 5.0, l2_shopper: 5.0 }
    }
}

/// The fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct Rating {
    l2_shopper: f32,
    mean: f32,
    lowest: f32,
    highest: f32,
    /// Deviation of each item from the mean.
    items: Vec<f32>,
}

/// Fits on the events that are ratings.
///
/// # Errors
/// [`BehaviourError::Config`] if a weight is negative, [`BehaviourError::Input`] if nobody rated anything.
pub fn fit(config: &RatingConfig, events: &Events<'_>) -> Result<Rating> {
    let fits = |x: f32| x.is_finite() && x >= 0.0;
    require(fits(config.l2_item), "rating.l2_item", "a number from 0", config.l2_item)?;
    require(fits(config.l2_shopper), "rating.l2_shopper", "a number from 0", config.l2_shopper)?;
    let ratings = || events.iter().filter(|e| e.kind == EventKind::Rate);
    let (sum, count) = ratings().fold((0.0f64, 0u64), |(sum, count), e| (sum + f64::from(e.value), count + 1));
    if count == 0 {
        return Err(BehaviourError::Input {
            operation: "fitting ratings",
            expected: "events of kind \"rate\" with a value".into(),
            got: "none".into(),
            remedy: "map the column with the ratings to `value`, or take [models.rating] out of the recipe",
        });
    }
    let mean = (sum / count as f64) as f32;
    let mut of_item = vec![(0.0f64, 0u32); events.n_items()];
    let (mut lowest, mut highest) = (f32::INFINITY, f32::NEG_INFINITY);
    for e in ratings() {
        let (sum, n) = &mut of_item[e.item.index()];
        (*sum, *n) = (*sum + f64::from(e.value - mean), *n + 1);
        (lowest, highest) = (lowest.min(e.value), highest.max(e.value));
    }
    let shrunken = |(sum, n): (f64, u32)| (sum / f64::from(config.l2_item + n as f32).max(f64::MIN_POSITIVE)) as f32;
    let items = of_item.into_iter().map(shrunken).collect();
    Ok(Rating { l2_shopper: config.l2_shopper, mean, lowest, highest, items })
}

impl Rating {
    /// The mean of all ratings: the baseline.
    pub fn mean(&self) -> f32 {
        self.mean
    }

    /// The rating that the shopper would give `item`, within the range of the ratings that were seen. Their past ratings
    /// are read from the context.
    pub fn predict(&self, context: &Context<'_>, item: ItemId) -> f32 {
        let past = &context.history;
        let rated = (0..past.len()).filter(|&i| past.kinds[i] == EventKind::Rate);
        let (sum, n) = rated
            .fold((0.0, 0.0), |(sum, n), i| (sum + past.values[i] - self.mean - self.of_item(past.items[i]), n + 1.0));
        let shopper = if n > 0.0 { sum / (self.l2_shopper + n) } else { 0.0 };
        (self.mean + shopper + self.of_item(item)).clamp(self.lowest, self.highest)
    }

    fn of_item(&self, item: ItemId) -> f32 {
        self.items.get(item.index()).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Event, Interactions, Purpose, Rows, UserId};

    fn log() -> Interactions {
        let rated = |user: u32, item: u32, value: f32| Event {
            user: UserId(user),
            item: ItemId(item),
            at: 1,
            kind: EventKind::Rate,
            value,
        };
        // The third is not a rating and says nothing.
        let viewed = Event { kind: EventKind::View, ..rated(1, 1, 9.0) };
        Interactions::from_events(vec![rated(0, 0, 5.0), rated(1, 1, 1.0), viewed, rated(1, 0, 3.0)], 2, 3).unwrap()
    }

    #[test]
    fn a_prediction_is_the_one_done_by_hand_for_known_and_new_shoppers_and_goods() {
        let log = log();
        let config = RatingConfig { l2_item: 1.0, l2_shopper: 1.0 };
        let model = fit(&config, &log.for_purpose(Purpose::Training)).unwrap();
        // Mean 3; item 0: (2 + 0) / 3, item 1: -2 / 2, item 2: never rated.
        let context = |rows| Context { user: None, history: rows, now: 2 };
        let nobody = context(Rows::default());
        assert!((model.predict(&nobody, ItemId(0)) - (3.0 + 2.0 / 3.0)).abs() < 1e-6);
        assert_eq!(model.predict(&nobody, ItemId(2)), 3.0);
        // Shopper 0 rated item 0 with 5: (5 - 3 - 2/3) / (1 + 1).
        let first = context(log.for_purpose(Purpose::Serving).of(UserId(0)));
        assert!((model.predict(&first, ItemId(2)) - (3.0 + 2.0 / 3.0)).abs() < 1e-6);
        // Never outside what people give.
        let hard = RatingConfig { l2_item: 0.0, l2_shopper: 0.0 };
        let model = fit(&hard, &log.for_purpose(Purpose::Training)).unwrap();
        assert_eq!(model.predict(&first, ItemId(0)), 5.0);
    }

    #[test]
    fn a_log_without_ratings_is_refused_with_the_remedy() {
        let none = Interactions::from_events(vec![], 1, 1).unwrap();
        let why = fit(&RatingConfig::default(), &none.for_purpose(Purpose::Training)).unwrap_err().to_string();
        assert!(why.contains("value"), "{why}");
    }
}
