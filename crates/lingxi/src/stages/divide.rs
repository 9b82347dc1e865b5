//! The past -> training, validation, test.

use crate::recipe::Recipe;
use anyhow::Result;
use lingxi_data::Interactions;
use lingxi_data::ingest::{Ingested, Part};
use lingxi_data::split::{ByRatio, LeaveOneOut, Split, SplitConfig, by_ratio, from_parts};

/// A divided past, and what may be fitted on before the test is read.
pub struct Division {
    /// Training, validation, test.
    pub split: Split,
    /// Training for the test, where validation was cut from published training events only to choose by.
    pub refit: Option<Interactions>,
    /// The division in words.
    pub protocol: String,
}

/// Divides as the recipe says; without a word in the recipe, by the parts that the files name, or leave-one-out.
///
/// # Errors
/// If the division does not fit the data.
pub fn divide(recipe: &Recipe, shop: &Ingested, seed: u64) -> Result<Division> {
    if let Some(config) = &recipe.split {
        let split = config.split(&shop.interactions)?;
        return Ok(Division { split, refit: None, protocol: config.describe() });
    }
    let part = |part| shop.parts.get(&part);
    let (Some(train), Some(test)) = (part(Part::Train), part(Part::Test)) else {
        let config = SplitConfig::LeaveOneOut(LeaveOneOut::default());
        return Ok(Division { split: config.split(&shop.interactions)?, refit: None, protocol: config.describe() });
    };
    if let Some(valid) = part(Part::Valid) {
        let split = from_parts(train, Some(valid), test)?;
        return Ok(Division { split, refit: None, protocol: "published training, validation and test files".into() });
    }
    let share = recipe.evaluate.valid_share;
    let cut = by_ratio(train, ByRatio { valid: share, test: 0.0, seed })?;
    let published = from_parts(train, None, test)?;
    let protocol = format!(
        "published training and test files; {:.0}% of each shopper's training events (seed {seed}) choose, then fitted on all",
        100.0 * share
    );
    let split = Split { train: cut.train, valid: cut.valid, ..published };
    Ok(Division { split, refit: Some(published.train), protocol })
}
