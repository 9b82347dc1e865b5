//! Fine-tunes on texts with a number each, and measures how far the answers are from the truth, on a test or on folds.
//!
//! The encoder learns numbers of mean 0 and spread 1, whatever they are of; what is kept answers in their own unit again.

use super::learn::{Learnt, Work, directory, forget, learn};
use super::recipe::FinetuneRecipe;
use super::run::{Outcome, Row};
use super::texts::{Labelled, Numbers, folded};
use crate::failure::UserError;
use crate::site::Site;
use anyhow::Result;
use lingxi_content::finetune::{Lessons, Task, Tuned};
use lingxi_content::{BertEncoder, Precision};
use lingxi_eval::{EvalConfig, Report, rating_errors};
use rayon::prelude::*;
use std::path::PathBuf;

/// Learns the numbers of a recipe's texts and asks of its test.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn run(recipe: &FinetuneRecipe, site: &Site) -> Result<Outcome> {
    let Numbers { train, valid, test, .. } = read(recipe, site)?;
    let bench = Bench::new(recipe, site)?;
    if test.texts.is_empty() {
        let message = format!("{}: expected texts to report on, got none", recipe.name);
        return Err(UserError::new(message, "name them in data.test, or give folds").into());
    }
    let (row, mean, learnt, trained) = bench.fold("tune", &[train, valid, test])?;
    Ok(Outcome { result: row, others: vec![mean], members: vec![learnt], trained, gained: None, unlabelled: vec![] })
}

/// Learns each fold's texts from those of the others, a share of which chooses; the test is not read.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn folds(recipe: &FinetuneRecipe, k: usize, site: &Site) -> Result<Outcome> {
    let Numbers { train, valid, .. } = read(recipe, site)?;
    let bench = Bench::new(recipe, site)?;
    let none = |all: &Labelled<f32>| vec![0; all.targets.len()];
    let (mut rows, mut means, mut learned, mut trained) = (vec![], vec![], vec![], 0);
    for (fold, parts) in folded(&[train, valid], none, k, recipe.texts().valid_share, site.seed).iter().enumerate() {
        let (row, mean, learnt, count) = bench.fold(&format!("fold {}", fold + 1), parts)?;
        rows.push(row);
        means.push(mean);
        learned.push(learnt);
        trained = count;
    }
    let members = forget(learned)?;
    let (result, others) = (Row::of_folds(&rows), vec![Row::of_folds(&means)]);
    Ok(Outcome { result, others, members, trained, gained: None, unlabelled: vec![] })
}

/// Learns once and measures on validation. The model is not kept.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn validate(recipe: &FinetuneRecipe, site: &Site) -> Result<Report> {
    let Numbers { train, valid, .. } = read(recipe, site)?;
    let bench = Bench::new(recipe, site)?;
    let (row, _, learnt, _) = bench.fold("trial", &[train, valid, Labelled::default()])?;
    learnt.forget()?;
    Ok(row.valid)
}

fn read(recipe: &FinetuneRecipe, site: &Site) -> Result<Numbers> {
    let parts = recipe.texts().numbers(&site.data, site.seed)?;
    site.progress.note(&parts.oddities.to_string());
    Ok(parts)
}

struct Bench<'a> {
    recipe: &'a FinetuneRecipe,
    site: &'a Site,
    directory: PathBuf,
    encoder: BertEncoder,
}

impl<'a> Bench<'a> {
    fn new(recipe: &'a FinetuneRecipe, site: &'a Site) -> Result<Bench<'a>> {
        let directory = directory(&recipe.base, site)?;
        let encoder = BertEncoder::load(&directory, Precision::F32)?;
        Ok(Bench { recipe, site, directory, encoder })
    }

    /// What the encoder says after training, what the mean of training says, and the encoder.
    fn fold(&self, title: &str, [train, valid, test]: &[Labelled<f32>; 3]) -> Result<(Row, Row, Learnt, usize)> {
        let (mean, spread) = mean_and_spread(&train.targets);
        let tokens = |part: &Labelled<f32>| -> Vec<Vec<u32>> {
            part.texts.par_iter().map(|text| self.encoder.tokens_up_to(text, self.recipe.tuning.tokens)).collect()
        };
        let lessons = |part: &Labelled<f32>| Lessons {
            texts: tokens(part),
            task: Task::Values { targets: part.targets.iter().map(|x| (x - mean) / spread).collect() },
        };
        let work = Work {
            title,
            name: &self.recipe.name,
            tuning: &self.recipe.tuning,
            base: (&self.directory, self.encoder.revision()),
            classes: &[],
            seed: self.site.seed,
            unit: (spread, mean),
            ways: &[],
        };
        let learnt = learn(&work, lessons(train), lessons(valid), self.site)?;
        let (tuned, ..) = Tuned::load(&learnt.model)?;
        let row = |name: &str, say: &dyn Fn(&Labelled<f32>) -> Vec<f32>| -> Result<Row> {
            let of = |split: &str, part: &Labelled<f32>| match part.targets.is_empty() {
                true => Ok(Report::default()),
                false => self.report(name, split, &say(part), &part.targets),
            };
            Ok(Row { test: of("test", test)?, valid: of("validation", valid)?, bytes: tuned.bytes() })
        };
        let said = row(self.recipe.tuning.strategy.name(), &|part| tuned.outputs(&tokens(part)))?;
        let plain = row("mean of training", &|part| vec![mean; part.targets.len()])?;
        Ok((said, plain, learnt, tuned.trained()))
    }

    fn report(&self, name: &str, split: &str, said: &[f32], truth: &[f32]) -> Result<Report> {
        let protocol = "texts with a number".into();
        let config = EvalConfig { split: split.into(), protocol, seed: self.site.seed, ..EvalConfig::default() };
        let mut report = rating_errors(name, said, truth, &config)?;
        let (_, spread) = mean_and_spread(truth);
        let explained = 1.0 - (report.metrics["rmse"] / f64::from(spread)).powi(2);
        report.metrics.insert("r2".into(), explained);
        Ok(report)
    }
}

/// Mean and standard deviation; the latter 1 where all numbers are equal.
fn mean_and_spread(x: &[f32]) -> (f32, f32) {
    let n = x.len().max(1) as f64;
    let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    let square = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
    (mean as f32, if square > 0.0 { square.sqrt() as f32 } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_spread_are_those_done_by_hand() {
        assert_eq!(mean_and_spread(&[1.0, 3.0]), (2.0, 1.0));
        assert_eq!(mean_and_spread(&[4.0, 4.0]), (4.0, 1.0));
    }
}
