//! Will it come true? Rows of real data come in, probabilities with what they are worth go out.
//!
//! [`recipe`] is what a person asks for; rows come from [`views`] (what comes of a view in a shop), [`impressions`] (is what is shown
//! clicked) or [`coupons`] (does a household answer a campaign). [`measure`] fits the candidates, lets validation choose and reads the
//! test once; [`export`] writes rows, answers, parts and probabilities for other programs. The candidates themselves are in
//! [`lingxi_behaviour::predict`].

pub mod coupons;
pub mod export;
pub mod impressions;
pub mod measure;
pub mod recipe;
pub mod views;

use crate::site::Site;
use anyhow::Result;
use lingxi_behaviour::predict::Lessons;
use recipe::{PredictRecipe, Shares};
use std::collections::BTreeMap;

/// Rows that are ready to be learnt from.
pub struct Prepared {
    /// Rows, tasks, and which rows train and choose.
    pub lessons: Lessons,
    /// Rows that are measured once.
    pub test: Vec<u32>,
    /// Whose each row is, from 0: intervals draw shoppers.
    pub shoppers: Vec<usize>,
    /// What is foretold and how the rows are divided.
    pub protocol: String,
}

/// Makes the rows that a recipe asks for.
///
/// # Errors
/// Files that cannot be used.
pub fn prepare(recipe: &PredictRecipe, site: &Site) -> Result<Prepared> {
    match (&recipe.views, &recipe.impressions, &recipe.coupons) {
        (Some(views), ..) => views::prepare(recipe, views, site),
        (_, Some(impressions), _) => impressions::prepare(recipe, impressions, site),
        (_, _, Some(coupons)) => coupons::prepare(coupons, site),
        (None, None, None) => unreachable!("a checked recipe has one of the tables"),
    }
}

/// The numbers of `names` in the order in which they first come.
fn numbered(names: impl Iterator<Item = u32>) -> Vec<usize> {
    let mut known = BTreeMap::new();
    names
        .map(|name| {
            let next = known.len();
            *known.entry(name).or_insert(next)
        })
        .collect()
}

/// Rows in the order of their times -> training, validation, test.
fn parts(rows: usize, shares: Shares) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let bound = |share: f64| ((rows as f64 * share).round() as u32).min(rows as u32);
    let (valid, test) = (bound(shares.train), bound(shares.train + shares.valid));
    ((0..valid).collect(), (valid..test).collect(), (test..rows as u32).collect())
}
