//! Do degrees of interest come true on the real log? Fitted on every other shopper, measured on the others.

use crate::stages::interests::past;
use lingxi_data::ingest::Ingested;
use lingxi_data::{Purpose, UserId};
use lingxi_decide::interests::{InterestsConfig, Past, fit, reliability, shares};
use serde::Serialize;

/// Shoppers that are fitted to, and as many that are measured.
const SHOPPERS: usize = 300;
/// Last events of each.
const EVENTS: usize = 100;
/// More categories than these are no categories to a person.
const CATEGORIES: usize = 1000;

/// How well degrees foretell the category of each next event.
#[derive(Clone, Debug, Serialize)]
pub struct Calibration {
    /// Mean distance between a degree and how often it came true, over tenths.
    pub calibration_error: f64,
    /// Mean squared error over all categories of an event.
    pub brier: f64,
    /// The same if everybody is foretold the shop's own shares.
    pub brier_of_shares: f64,
    /// Per tenth of degree: mean degree, how often it came true, how many.
    pub bins: Vec<(f64, f64, u64)>,
    /// Fitted: days after which an event counts half.
    pub half_life_days: f64,
    /// Fitted: events that the shop's shares count as.
    pub prior: f64,
    /// Categories.
    pub categories: usize,
    /// Shoppers that were measured.
    pub shoppers: usize,
}

/// Measures; `None` where the catalogue has no categories to speak of.
pub fn calibrate(data: &Ingested) -> Option<Calibration> {
    let n = data.catalog.categories.len();
    if !(2..=CATEGORIES).contains(&n) {
        return None;
    }
    let events = data.interactions.for_purpose(Purpose::Evaluation);
    let latest = |user: u32| -> Vec<Past> {
        // Where the source has no time, its positions stand for days.
        let day = if data.timed { 1 } else { 86_400 };
        let past = past(events.of(UserId(user)).last(EVENTS), &data.catalog).into_iter();
        past.map(|(category, kind, at)| (category, kind, at * day)).collect()
    };
    let long = (0..data.users.len() as u32).map(latest).filter(|past| past.len() >= 5).take(2 * SHOPPERS);
    let (learnt, measured): (Vec<_>, Vec<_>) = long.enumerate().partition(|(i, _)| i % 2 == 0);
    let (learnt, measured): (Vec<&[Past]>, Vec<&[Past]>) =
        (learnt.iter().map(|p| p.1.as_slice()).collect(), measured.iter().map(|p| p.1.as_slice()).collect());
    let shares = shares(learnt.iter().copied(), n);
    let config = fit(&InterestsConfig::default(), &learnt, &shares);
    let found = reliability(&config, &measured, &shares);
    Some(Calibration {
        calibration_error: found.error,
        brier: found.brier,
        brier_of_shares: found.brier_of_shares,
        bins: found.bins,
        half_life_days: config.half_life_days,
        prior: config.prior,
        categories: n,
        shoppers: measured.len(),
    })
}
