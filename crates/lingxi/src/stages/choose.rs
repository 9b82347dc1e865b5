//! Validation -> which item model, and how the models are weighed. The test part is not in sight here.

use crate::progress::Unit;
use crate::recipe::Recipe;
use crate::site::Site;
use crate::stages::fit::{Fitted, Lessons, Named, fit, fit_item};
use anyhow::Result;
use lingxi_behaviour::blend::{ChosenWeights, TailLift, ValidationCase, calibrate_tail, choose_weights};
use lingxi_behaviour::item_model::ItemModelConfig;
use lingxi_behaviour::long_tail::LongTail;
use lingxi_data::Score;
use lingxi_data::split::Holdout;
use lingxi_eval::cases;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

const FILE: &str = "choice.json";

/// What validation chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The alternative of the item model with the best figure alone.
    pub item: Option<ItemModelConfig>,
    /// Names of the models, in the order of the weights.
    pub models: Vec<String>,
    /// One weight per model, and the figures on validation.
    pub weights: ChosenWeights,
    /// How rare goods are lifted, where the recipe asks for it.
    #[serde(default)]
    pub tail: Option<TailLift>,
}

impl Choice {
    /// Each model with its weight, and the lift of rare goods; models of weight zero are left out.
    pub fn weigh(&self, fitted: &Fitted) -> Vec<(Arc<dyn Score>, f32)> {
        let mut parts = weighed(fitted.rows(), &self.weights.weights);
        parts.extend(
            self.tail
                .map(|tail| -> (Arc<dyn Score>, f32) { (Arc::new(LongTail::new(&fitted.counts, tail.lift)), 1.0) }),
        );
        parts
    }
}

fn weighed(rows: Vec<Named>, weights: &[f32]) -> Vec<(Arc<dyn Score>, f32)> {
    let weighed = rows.into_iter().zip(weights).map(|(row, weight)| (row.model, *weight));
    weighed.filter(|(_, weight)| *weight > 0.0).collect()
}

/// Fits on training, chooses on validation. Returns the choice and the models fitted on training.
///
/// # Errors
/// Whatever the models say, or a division without validation cases.
pub fn choose(recipe: &Recipe, train: Lessons<'_>, valid: &Holdout, site: &Site) -> Result<(Choice, Fitted)> {
    let asked = cases(valid, &recipe.evaluate.masks[0]);
    let cases: Vec<ValidationCase<'_>> = asked
        .iter()
        .map(|case| ValidationCase { context: case.context, relevant: &case.relevant, hidden: &case.masked })
        .collect();
    let item = best_item_model(recipe, train, &cases, site)?;
    let fitted = fit(&recipe.models, item.as_ref(), None, train, site)?;
    let rows = fitted.rows();
    let models: Vec<Arc<dyn Score>> = rows.iter().map(|row| row.model.clone()).collect();
    let stage = site.progress.stage("choose", Some(cases.len() as u64), Unit::Of("validation cases"));
    let weights = choose_weights(&models, &cases, &recipe.blend)?;
    let names = rows.iter().map(|row| row.name.clone()).collect();
    let tail = match recipe.blend.long_tail {
        true => {
            let rare = LongTail::new(&fitted.counts, 0.0);
            Some(calibrate_tail(&weighed(rows, &weights.weights), &rare, &cases, &recipe.blend)?)
        }
        false => None,
    };
    stage.set(cases.len() as u64);
    stage.finish("");
    Ok((Choice { item, models: names, weights, tail }, fitted))
}

/// Reads a choice that [`save`] wrote.
///
/// # Errors
/// A file that is not there or of another form.
pub fn load(folder: &Path) -> Result<Choice> {
    Ok(serde_json::from_slice(&std::fs::read(folder.join(FILE))?)?)
}

/// Writes a choice into `folder`.
///
/// # Errors
/// Whatever the file system says.
pub fn save(choice: &Choice, folder: &Path) -> Result<()> {
    Ok(std::fs::write(folder.join(FILE), serde_json::to_vec_pretty(choice)?)?)
}

/// The alternative whose NDCG on validation is best; the first of equals.
fn best_item_model(
    recipe: &Recipe,
    train: Lessons<'_>,
    cases: &[ValidationCase<'_>],
    site: &Site,
) -> Result<Option<ItemModelConfig>> {
    let mut best: Option<(f64, &ItemModelConfig)> = None;
    for config in &recipe.models.item {
        if recipe.models.item.len() == 1 {
            return Ok(Some(config.clone()));
        }
        let model: Arc<dyn Score> = fit_item(config, train, site)?;
        let alone = choose_weights(&[model], cases, &recipe.blend)?.ndcg;
        if best.is_none_or(|(most, _)| alone > most) {
            best = Some((alone, config));
        }
    }
    Ok(best.map(|(_, config)| config.clone()))
}
