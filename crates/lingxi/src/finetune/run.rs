//! Learns what a recipe asks for, and says what that earned.

use super::learn::Learnt;
use super::recipe::FinetuneRecipe;
use super::{classes, numbers, ranked};
use crate::site::Site;
use anyhow::Result;
use lingxi_content::finetune::Head;
use lingxi_eval::{Paired, Report};

/// What a run says of itself.
pub struct Outcome {
    /// What the recipe asks for.
    pub result: Row,
    /// The same in other circumstances, and smaller models of it.
    pub others: Vec<Row>,
    /// The encoders with their heads.
    pub members: Vec<Learnt>,
    /// Parameters that each of them trained.
    pub trained: usize,
    /// How the result compares with the encoder as it was, where that was asked the same.
    pub gained: Option<Paired>,
    /// Texts that a person is to label next, those first that the model is least sure of.
    pub unlabelled: Vec<String>,
}

/// One way of answering.
pub struct Row {
    /// On texts that nothing was chosen by.
    pub test: Report,
    /// On those that chose epoch and threshold.
    pub valid: Report,
    /// Bytes of its matrices.
    pub bytes: usize,
}

impl Row {
    /// The mean of folds.
    pub fn of_folds(folds: &[Row]) -> Row {
        let mean = |of: fn(&Row) -> &Report| {
            let reports: Vec<&Report> = folds.iter().map(of).collect();
            let protocol = reports.first().map_or("", |report| &report.protocol);
            Report::mean(format!("mean of {} folds: {protocol}", reports.len()), &reports)
        };
        let mut test = mean(|row| &row.test);
        test.split = "folds".into();
        Row { test, valid: mean(|row| &row.valid), bytes: folds.first().map_or(0, |row| row.bytes) }
    }
}

/// Runs a recipe.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn run(recipe: &FinetuneRecipe, site: &Site) -> Result<Outcome> {
    match (recipe.tuning.head, recipe.folds) {
        (Head::Classification { .. }, None) => classes::run(recipe, site),
        (Head::Classification { .. }, Some(k)) => classes::folds(recipe, k, site),
        (Head::Regression, None) => numbers::run(recipe, site),
        (Head::Regression, Some(k)) => numbers::folds(recipe, k, site),
        (Head::InfoNce { .. } | Head::Pairwise { .. } | Head::Companions { .. } | Head::Next { .. }, k) => {
            ranked::run(recipe, k.unwrap_or(FOLDS), site)
        }
    }
}

/// Of judged queries, where a recipe names no number: they are few, and a test of some would say little.
pub(super) const FOLDS: usize = 5;

/// Learns once with `share` of the passes and measures on validation. The test is not read, and the model is not kept.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn validate(recipe: &FinetuneRecipe, share: f64, site: &Site) -> Result<Report> {
    let mut recipe = recipe.clone();
    if let Some(data) = &mut recipe.data {
        data.test.clear();
        data.outside.test.clear();
    }
    let epochs = &mut recipe.tuning.training.epochs;
    *epochs = ((*epochs as f64 * share).round() as usize).max(1);
    match recipe.tuning.head {
        Head::Classification { .. } => classes::validate(&recipe, site),
        Head::Regression => numbers::validate(&recipe, site),
        _ => ranked::validate(&recipe, site),
    }
}
