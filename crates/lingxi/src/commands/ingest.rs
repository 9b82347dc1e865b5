//! `lingxi ingest`: reads and cleans a shop's files, and says which columns were taken for what, what was dropped and why.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use lingxi_data::ingest::{self, Ingested, Report};
use serde::Serialize;

use crate::cli::IngestArgs;
use crate::failure::UserError;
use crate::progress::{Progress, Stage, Unit};
use crate::recipe::Recipe;
use crate::report::{self, ResultLine, say};

/// The `result` of the JSON line.
#[derive(Serialize)]
struct Outcome<'a> {
    seconds: f64,
    rows_per_second: f64,
    shoppers: usize,
    items: usize,
    events: usize,
    categories: usize,
    /// Whether events carry a time; otherwise only an order.
    timed: bool,
    /// Where the columns were written, with `--out`.
    out: Option<&'a Path>,
    report: &'a Report,
}

/// Answers `lingxi ingest`.
///
/// # Errors
/// A recipe or a file that cannot be used (named with line and field), or `--out` that cannot be written.
pub fn run(args: &IngestArgs) -> anyhow::Result<()> {
    let recipe = Recipe::read(&args.recipe)?;
    let base = base_directory(args)?;
    let mut watch = Watch::new(Progress::new(args.json));
    let started = Instant::now();
    let ingested = ingest::read(&recipe.data, &base, &mut |at| watch.see(&at))?;
    let seconds = started.elapsed().as_secs_f64();
    watch.close();
    if let Some(out) = &args.out {
        fs::create_dir_all(out).map_err(|error| not_writable(out).because(error))?;
        ingested.save(out)?;
    }
    let outcome = outcome(&ingested, seconds, args.out.as_deref());
    if args.json {
        return ResultLine::new("ingest", Some(&recipe.name), outcome).print();
    }
    say(&ingested.report.to_string())?;
    say(&summary(&outcome))?;
    Ok(())
}

/// Paths in a recipe are relative to `--data`, or else to the recipe itself.
fn base_directory(args: &IngestArgs) -> anyhow::Result<PathBuf> {
    let base = match &args.data {
        Some(data) => data.clone(),
        None => args.recipe.parent().unwrap_or(Path::new("")).to_path_buf(),
    };
    if !base.as_os_str().is_empty() && !base.is_dir() {
        let message = format!("data directory: expected a directory, got {}", base.display());
        return Err(UserError::new(message, "lingxi ingest --recipe FILE --data DIR").into());
    }
    Ok(base)
}

fn not_writable(out: &Path) -> UserError {
    UserError::new(format!("cannot create {}", out.display()), "give --out a directory that can be written")
}

fn outcome<'a>(ingested: &'a Ingested, seconds: f64, out: Option<&'a Path>) -> Outcome<'a> {
    let rows: u64 = ingested.report.files.iter().map(|file| file.read).sum();
    Outcome {
        seconds,
        rows_per_second: rows as f64 / seconds.max(f64::MIN_POSITIVE),
        shoppers: ingested.users.len(),
        items: ingested.catalog.len(),
        events: ingested.interactions.len(),
        categories: ingested.catalog.categories.len(),
        timed: ingested.timed,
        out,
        report: &ingested.report,
    }
}

fn summary(outcome: &Outcome<'_>) -> String {
    let count = |n: usize| report::count(n as u64);
    let mut text = format!(
        "{} events of {} shoppers on {} goods in {} categories; {} ({} rows/s)",
        count(outcome.events),
        count(outcome.shoppers),
        count(outcome.items),
        count(outcome.categories),
        report::duration(outcome.seconds),
        report::count(outcome.rows_per_second as u64)
    );
    if let Some(out) = outcome.out {
        text.push_str(&format!("\nwritten to {}", out.display()));
    }
    text
}

/// One bar per file. Its total is what the share read so far foretells.
struct Watch {
    progress: Progress,
    file: PathBuf,
    stage: Option<Stage>,
}

impl Watch {
    fn new(progress: Progress) -> Self {
        Self { progress, file: PathBuf::new(), stage: None }
    }

    fn see(&mut self, at: &ingest::Progress<'_>) {
        if self.file != at.path || self.stage.is_none() {
            self.close();
            let name = at.path.file_name().unwrap_or_default().to_string_lossy();
            self.stage = Some(self.progress.stage(&format!("read {name}"), None, Unit::Of("rows")));
            self.file = at.path.to_path_buf();
        }
        if let Some(stage) = &self.stage {
            if at.done > 0.0 {
                stage.set_total((at.rows as f64 / f64::from(at.done)) as u64);
            }
            stage.set(at.rows);
        }
    }

    fn close(&mut self) {
        if let Some(stage) = self.stage.take() {
            stage.finish("");
        }
    }
}
