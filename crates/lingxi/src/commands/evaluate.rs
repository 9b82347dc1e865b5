//! `lingxi evaluate`: figures on any data.

use crate::cli::EvaluateArgs;
use crate::figures;
use crate::pipeline::{self, Read};
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::report::say;
use crate::site::Site;
use crate::stages::arrivals::Arrivals;
use crate::stages::measure::Measured;
use std::time::Instant;

/// Answers `lingxi evaluate`.
///
/// # Errors
/// A recipe or data that cannot be used.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    let recipe = Recipe::read(&args.recipe)?;
    let site = Site::new(args.data.clone(), args.seed, Progress::new(args.json), false)?;
    measure_and_print("evaluate", &recipe, &site, args.json)
}

/// Reads, fits, measures: every turn of the recipe.
pub(super) fn measured(recipe: &Recipe, site: &Site) -> anyhow::Result<(Read, Measured)> {
    let started = Instant::now();
    let read = pipeline::read(recipe, &Arrivals::default(), site)?;
    let mut turns = Vec::new();
    for turn in recipe.turns() {
        turns.push(pipeline::evaluate(&turn, &read, site)?.measured);
    }
    Ok((read, Measured::mean(turns).took(started.elapsed())))
}

/// Reads, fits, measures, and prints the table or the line; what `evaluate` and `reproduce` share.
pub(super) fn measure_and_print(command: &'static str, recipe: &Recipe, site: &Site, json: bool) -> anyhow::Result<()> {
    let (read, measured) = measured(recipe, site)?;
    if json {
        return figures::line_with_published(command, recipe, &measured).print();
    }
    if !recipe.about.is_empty() {
        say(&recipe.about)?;
    }
    Ok(say(&format!("\n{}\n{}", read.shop.data.report, figures::table(recipe, &measured)))?)
}
