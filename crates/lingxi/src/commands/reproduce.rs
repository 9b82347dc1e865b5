//! `lingxi reproduce`: a published protocol, our rows under the published ones.

use super::evaluate::measure_and_print;
use crate::cli::ReproduceArgs;
use crate::figures;
use crate::pipeline;
use crate::progress::Progress;
use crate::recipe::{Content, Recipe};
use crate::report::say;
use crate::site::{Site, data_of};
use crate::stages::arrivals::Arrivals;
use crate::stages::cold::cold;
use std::time::Instant;

/// Answers `lingxi reproduce`.
///
/// # Errors
/// An unknown name, or data that is not where it should be.
pub fn run(args: &ReproduceArgs) -> anyhow::Result<()> {
    let recipe = match &args.recipe {
        Some(path) => Recipe { name: args.name.clone(), ..Recipe::read(path)? },
        None => Recipe::built_in(&args.name)?,
    };
    let data = data_of(args.data.clone(), &args.name);
    if args.cold {
        return cold_goods(&recipe, data, args.seed, args.json);
    }
    measure_and_print("reproduce", &recipe, data, args.seed, args.json)
}

/// Goods that nobody took: `lingxi reproduce NAME --cold`.
fn cold_goods(recipe: &Recipe, data: std::path::PathBuf, seed: u64, json: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    let site = Site::new(data, seed, Progress::new(json), false)?;
    // Read by the encoder as it comes: it learns below, from the goods that stay.
    let frozen = Recipe { content: Content { tune: None, ..recipe.content.clone() }, ..recipe.clone() };
    let read = pipeline::read(&frozen, &Arrivals::default(), &site)?;
    let mut cold = cold(recipe, &read, &site)?;
    cold.result.seconds = started.elapsed().as_secs_f64();
    if json {
        return figures::cold_line(&recipe.name, &cold).print();
    }
    say(&figures::cold_table(&cold))?;
    Ok(())
}
