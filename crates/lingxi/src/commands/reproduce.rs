//! `lingxi reproduce`: a published protocol, our rows under the published ones.

use super::evaluate::{measure_and_print, measured};
use crate::cli::ReproduceArgs;
use crate::figures;
use crate::pipeline;
use crate::progress::Progress;
use crate::recipe::{Content, Recipe};
use crate::report::say;
use crate::reproduce::parts::parts;
use crate::reproduce::seeds::seeds;
use crate::site::{Site, data_of};
use crate::stages::arrivals::Arrivals;
use crate::stages::cold::{Cold, cold};
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
    let site = Site::new(data_of(args.data.clone(), &args.name), args.seed, Progress::new(args.json), false)?;
    if args.ablation {
        let parts = parts(&recipe, &site)?;
        return if args.json { parts.line(&recipe.name).print() } else { Ok(say(&parts.table())?) };
    }
    if args.seeds > 1 {
        return several(&recipe, &site, args);
    }
    if args.cold {
        let cold = cold_goods(&recipe, &site)?;
        return if args.json {
            figures::cold_line(&recipe.name, &cold).print()
        } else {
            Ok(say(&figures::cold_table(&cold))?)
        };
    }
    measure_and_print("reproduce", &recipe, &site, args.json)
}

/// The same with several seeds.
fn several(recipe: &Recipe, site: &Site, args: &ReproduceArgs) -> anyhow::Result<()> {
    let mut columns = figures::columns(recipe);
    let seeds = seeds(args.seed, args.seeds, |seed| {
        let site = Site { seed, ..site.clone() };
        if !args.cold {
            return Ok(measured(recipe, &site)?.1.result);
        }
        let cold = cold_goods(recipe, &site)?;
        let mut report = cold.result;
        let beside = [(TIMES, Some(cold.times_nearest)), ("lift", cold.lift), (LOSS, Some(cold.warm_loss))];
        report.metrics.extend(beside.into_iter().filter_map(|(name, x)| Some((name.to_owned(), x?))));
        Ok(report)
    })?;
    if args.json {
        return seeds.line(&recipe.name).print();
    }
    columns.extend(["recall@20", TIMES, "lift", LOSS].map(str::to_owned));
    columns.dedup();
    Ok(say(&seeds.table(&columns))?)
}

/// New goods against the nearest text.
const TIMES: &str = "times nearest text";
/// What known goods lose.
const LOSS: &str = "warm loss";

/// Goods that nobody took: `lingxi reproduce NAME --cold`.
fn cold_goods(recipe: &Recipe, site: &Site) -> anyhow::Result<Cold> {
    let started = Instant::now();
    // Read by the encoder as it comes: it learns below, from the goods that stay.
    let frozen = Recipe { content: Content { tune: None, ..recipe.content.clone() }, ..recipe.clone() };
    let read = pipeline::read(&frozen, &Arrivals::default(), site)?;
    let mut cold = cold(recipe, &read, site)?;
    cold.result.seconds = started.elapsed().as_secs_f64();
    Ok(cold)
}
