//! `lingxi tune`: the best settings of a recipe, found on validation.

use crate::cli::TuneArgs;
use crate::commands::serve::folder_of;
use crate::failure::UserError;
use crate::finetune::recipe::FinetuneRecipe;
use crate::pipeline;
use crate::progress::Progress;
use crate::recipe::{self, Recipe};
use crate::report::{self, ResultLine, duration, metric, say};
use crate::site::{Site, data_of};
use crate::stages::arrivals::Arrivals;
use crate::tune::behaviour::Shop;
use crate::tune::log::Kept;
use crate::tune::texts::Texts;
use crate::tune::{Found, SearchTable, Task, Trial, search};
use anyhow::{Context as _, Result};
use lingxi_data::Fingerprint;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Rows of the table; the file of trials has all.
const SHOWN: usize = 20;

/// Answers `lingxi tune`.
///
/// # Errors
/// A recipe without `[search]` or with one that does not fit it, data that cannot be used, a folder that cannot be written.
pub fn run(args: &TuneArgs) -> Result<()> {
    let text = recipe::text_of(&args.recipe)?;
    // A recipe for fine-tuning is one that says how to tune.
    match text.parse::<toml::Table>() {
        Ok(document) if document.contains_key("tuning") => of_texts(args, &text, &document),
        _ => of_shop(args, &text),
    }
}

fn of_shop(args: &TuneArgs, text: &str) -> Result<()> {
    let path = &args.recipe;
    let recipe = Recipe::parse(text, path)?;
    let document: toml::Table = text.parse().context("a recipe that was read before")?;
    let site = Site::new(data(args, &recipe.name), args.seed, Progress::new(args.json), false)?;
    let table = table_of(args, recipe.search.clone())?;
    let shop = Shop::new(&recipe, path, pipeline::read(&recipe, &Arrivals::default(), &site)?, &site);
    find(args, &recipe.name, &document, &table, (&shop, shop.key()))
}

fn of_texts(args: &TuneArgs, text: &str, document: &toml::Table) -> Result<()> {
    let path = &args.recipe;
    let recipe = FinetuneRecipe::parse(text, path)?;
    let site = Site::new(data(args, &recipe.name), args.seed, Progress::new(args.json), false)?;
    let texts = Texts::new(&recipe, path, &site);
    find(args, &recipe.name, document, &table_of(args, recipe.search.clone())?, (&texts, texts.key()))
}

/// The folder that was named, or the recipe's own.
fn data(args: &TuneArgs, name: &str) -> PathBuf {
    data_of(args.data.clone().unwrap_or_else(|| folder_of(&args.recipe)), name)
}

fn table_of(args: &TuneArgs, written: Option<SearchTable>) -> Result<SearchTable> {
    let path = args.recipe.display();
    let Some(mut table) = written else {
        let message = format!("recipe {path}: expected a [search] table, got none");
        return Err(
            UserError::new(message, "say what may be tried in [search.space]; recipes/tune.toml shows how").into()
        );
    };
    table.trials = args.trials.unwrap_or(table.trials);
    table.check().map_err(|why| UserError::new(format!("recipe {path}: search.{why}"), "mend that key"))?;
    Ok(table)
}

fn find(
    args: &TuneArgs,
    name: &str,
    document: &toml::Table,
    table: &SearchTable,
    (trial, key): (&dyn Trial, Fingerprint),
) -> Result<()> {
    let started = Instant::now();
    let files = Files::of(&args.recipe, args.out.as_deref());
    let task = Task { document, table, trials: &files.trials, fresh: args.fresh, key };
    let found = search(&task, trial, Progress::new(args.json))?;
    files.keep(&found, trial.main(), table)?;
    if args.json {
        let seconds = started.elapsed().as_secs_f64();
        return line(name, &found, trial.main(), &files, (args.seed, seconds)).print();
    }
    say(&rows(&found, trial.main(), table))?;
    Ok(say(&format!("the winner is {}; every trial is in {}", files.winner.display(), files.trials.display()))?)
}

/// Where trials and winner lie: beside the recipe, or in a folder that was named.
struct Files {
    trials: PathBuf,
    winner: PathBuf,
}

impl Files {
    fn of(recipe: &Path, out: Option<&Path>) -> Files {
        let folder = out.map_or_else(|| folder_of(recipe), Path::to_path_buf);
        let stem = recipe.file_stem().unwrap_or_default().to_string_lossy();
        Files { trials: folder.join(format!("{stem}.trials.jsonl")), winner: folder.join(format!("{stem}.tuned.toml")) }
    }

    fn keep(&self, found: &Found, main: &str, wanted: &SearchTable) -> Result<()> {
        let best = &found.trials[0];
        let text = format!(
            "# Found by lingxi tune: trial {} of {} has {main} {} on validation ({}).\n{}",
            best.trial.arm,
            wanted.trials,
            score(best),
            best.protocol.as_deref().unwrap_or_default(),
            toml::to_string(&found.document)?
        );
        std::fs::write(&self.winner, text).map_err(|why| {
            let message = format!("cannot write {}", self.winner.display());
            UserError::new(message, "name a folder with --out").because(why).into()
        })
    }
}

fn score(kept: &Kept) -> String {
    match (kept.score, kept.interval) {
        (Some(score), Some([low, high])) => format!("{} [{}, {}]", metric(score), metric(low), metric(high)),
        (Some(score), None) => metric(score),
        (None, _) => "failed".into(),
    }
}

fn rows(found: &Found, main: &str, wanted: &SearchTable) -> String {
    let keys: Vec<&str> = wanted.space.keys().map(String::as_str).collect();
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row = |kept: &Kept| -> Vec<String> {
        let values = keys.iter().map(|key| kept.values.get(*key).map_or_else(String::new, plain));
        let of = [format!("{}", kept.trial.arm), score(kept), format!("{:.2}", kept.trial.share)];
        of.into_iter().chain([duration(kept.seconds)]).chain(values).collect()
    };
    let shown: Vec<Vec<String>> = found.trials.iter().take(SHOWN).map(row).collect();
    let header: Vec<&str> = ["trial", main, "share", "time"].into_iter().chain(keys.iter().copied()).collect();
    let protocol = found.trials[0].protocol.as_deref().unwrap_or_default();
    let right: Vec<usize> = (0..header.len()).collect();
    format!(
        "validation: {protocol}; {} trials, best first\n{}",
        found.trials.len(),
        report::table(&header, &shown, &right)
    )
}

fn line(name: &str, found: &Found, main: &str, files: &Files, (seed, seconds): (u64, f64)) -> ResultLine<Value> {
    let best = &found.trials[0];
    let result = json!({ "split": "valid", "protocol": best.protocol, "seed": seed, "seconds": seconds,
        "metrics": { main: best.score }, "interval": { main: best.interval }, "values": best.values,
        "trial": best.trial.arm, "trials": found.trials.len(), "recipe": files.winner });
    let mut line = ResultLine::new("tune", Some(name), result);
    let row = |kept: &Kept| {
        json!({ "kind": "trial", "trial": kept.trial.arm, "share": kept.trial.share, "metrics": { main: kept.score },
            "interval": { main: kept.interval }, "values": kept.values, "seconds": kept.seconds, "why": kept.why })
    };
    line.others = found.trials[1..].iter().map(row).collect();
    line
}
