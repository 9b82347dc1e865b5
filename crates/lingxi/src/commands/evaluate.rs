//! `lingxi evaluate`: figures on any data.

use crate::cli::EvaluateArgs;
use crate::figures;
use crate::pipeline;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::report::say;
use crate::site::Site;
use crate::stages::arrivals::Arrivals;
use crate::stages::measure::Measured;
use std::path::PathBuf;
use std::time::Instant;

/// Answers `lingxi evaluate`.
///
/// # Errors
/// A recipe or data that cannot be used.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    let recipe = Recipe::read(&args.recipe)?;
    measure_and_print("evaluate", &recipe, args.data.clone(), args.seed, args.json)
}

/// Reads, fits, measures, and prints the table or the line; what `evaluate` and `reproduce` share.
pub(super) fn measure_and_print(
    command: &'static str,
    recipe: &Recipe,
    data: PathBuf,
    seed: u64,
    json: bool,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let site = Site::new(data, seed, Progress::new(json), false)?;
    let read = pipeline::read(recipe, &Arrivals::default(), &site)?;
    let mut turns = Vec::new();
    for turn in recipe.turns() {
        turns.push(pipeline::evaluate(&turn, &read, &site)?.measured);
    }
    let measured = Measured::mean(turns).took(started.elapsed());
    if json {
        return figures::line_with_published(command, recipe, &measured).print();
    }
    if !recipe.about.is_empty() {
        say(&recipe.about)?;
    }
    Ok(say(&format!("\n{}\n{}", read.shop.data.report, figures::table(recipe, &measured)))?)
}
