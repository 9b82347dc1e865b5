//! Do degrees of interest come true on the real log? Learnt until a day, measured on what came later.
//!
//! Before each later event stand the five greatest degrees of its shopper, those that a page shows. A degree came true if the event
//! was of its category. Nearly all other degrees are next to nothing, and right about that whatever the model.

use crate::stages::interests::{Tastes, past};
use lingxi_data::ingest::Ingested;
use lingxi_data::{Purpose, UserId};
use lingxi_decide::interests::{Past, log_likelihood, shares};
use lingxi_decide::{Base, Interests, InterestsConfig};
use lingxi_eval::calibration::{Calibration, Foretold, calibration};
use serde::Serialize;

/// Share of events that is learnt from.
const LEARNT: f64 = 0.8;
/// Degrees of a shopper that are looked at.
const GREATEST: usize = 5;
/// Shoppers that are measured, and later events of each.
const SHOPPERS: usize = 2000;
const EVENTS: usize = 20;
/// More categories than these are no categories to a person.
const CATEGORIES: usize = 1000;

/// How well degrees foretell the category of each next event.
#[derive(Clone, Debug, Serialize)]
pub struct Degrees {
    /// The greatest degrees of each shopper.
    pub degrees: Calibration,
    /// The same categories, with the shop's own shares foretold to everybody.
    pub shares: Calibration,
    /// How often the next event was in one of the greatest.
    pub hit: f64,
    /// Mean log of what was foretold of the category that came, by degrees and by shares.
    pub log_likelihood: [f64; 2],
    /// Fitted: days after which an event counts half.
    pub half_life_days: f64,
    /// Fitted: events that the shop's shares count as.
    pub prior: f64,
    /// Fitted: stickiness of the least, the middle and the most sticky tenth of categories.
    pub sticky: [f64; 3],
    /// Categories.
    pub categories: usize,
    /// Shoppers that were measured, and their events.
    pub shoppers: usize,
    /// Events that were foretold.
    pub events: usize,
}

/// Measures; `None` where the catalogue has no categories to speak of, or nothing came later.
pub fn calibrate(data: &Ingested, seed: u64) -> Option<Degrees> {
    let n = data.catalog.categories.len();
    if !(2..=CATEGORIES).contains(&n) {
        return None;
    }
    let events = data.interactions.for_purpose(Purpose::Evaluation);
    let histories: Vec<Vec<Past>> =
        (0..data.users.len() as u32).map(|user| past(events.of(UserId(user)), &data.catalog)).collect();
    let until = until(&histories);
    // Where the source has no time, each history is cut at its own place.
    let cut = |history: &Vec<Past>| match data.timed {
        true => history.partition_point(|(_, _, at)| *at < until),
        false => (history.len() as f64 * LEARNT).ceil() as usize,
    };
    let before: Vec<Vec<Past>> = histories.iter().map(|history| history[..cut(history)].to_vec()).collect();
    let tastes = Tastes::learnt(&InterestsConfig::default(), &before, n);
    let plain = shares(before.iter().map(Vec::as_slice), n);
    let both = histories.iter().map(|history| (history, cut(history)));
    let told: Vec<(&Vec<Past>, usize)> = both.filter(|(history, cut)| *cut > 0 && *cut < history.len()).collect();
    let step = told.len().div_ceil(SHOPPERS).max(1);
    let told: Vec<(&[Past], usize)> =
        told.iter().step_by(step).map(|(history, cut)| (&history[..history.len().min(cut + EVENTS)], *cut)).collect();
    let (degrees, of_shares) = foretold(&tastes, &told, &plain);
    let events = degrees.len() / GREATEST.min(n);
    let came = degrees.iter().filter(|f| f.came).count();
    let likelihood = |base: &Base| {
        let of = |(history, cut): &(&[Past], usize)| {
            let later = history.len() - cut;
            later as f64 * log_likelihood(&tastes.config, &[history], later, base)
        };
        told.iter().map(of).sum::<f64>() / events.max(1) as f64
    };
    let nothing_sticks = Base { shares: plain.clone(), sticky: vec![0.0; n] };
    (events > 0).then(|| Degrees {
        degrees: calibration(&degrees, seed),
        shares: calibration(&of_shares, seed),
        hit: came as f64 / events as f64,
        log_likelihood: [likelihood(&tastes.base), likelihood(&nothing_sticks)],
        half_life_days: tastes.config.half_life_days,
        prior: tastes.config.prior,
        sticky: tenths(&tastes.base.sticky),
        categories: n,
        shoppers: told.len(),
        events,
    })
}

/// When four fifths of all events had been.
fn until(histories: &[Vec<Past>]) -> i64 {
    let mut times: Vec<i64> = histories.iter().flatten().map(|(_, _, at)| *at).collect();
    times.sort_unstable();
    times.get((times.len() as f64 * LEARNT) as usize).copied().unwrap_or(0)
}

/// The greatest degrees before each event after the cut, and the shop's shares of the same categories.
fn foretold(tastes: &Tastes, told: &[(&[Past], usize)], shares: &[f64]) -> (Vec<Foretold>, Vec<Foretold>) {
    let (mut degrees, mut of_shares) = (Vec::new(), Vec::new());
    for (shopper, (history, cut)) in told.iter().enumerate() {
        let mut interests = Interests::default();
        for (place, &(category, kind, at)) in history.iter().enumerate() {
            if place >= *cut {
                for degree in interests.degrees(&tastes.config, &tastes.base, at, GREATEST) {
                    let one = Foretold { shopper, probability: degree.degree, came: degree.category == category };
                    degrees.push(one);
                    of_shares.push(Foretold { probability: shares[degree.category.0 as usize], ..one });
                }
            }
            interests.observe(&tastes.config, category, kind, at);
        }
    }
    (degrees, of_shares)
}

fn tenths(values: &[f64]) -> [f64; 3] {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    [1, 5, 9].map(|tenth| values.get(values.len() * tenth / 10).copied().unwrap_or(1.0))
}
