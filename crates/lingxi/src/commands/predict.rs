//! `lingxi predict`: probabilities of what comes next, and whether they come true.

use crate::assets;
use crate::cli::PredictArgs;
use crate::predict::measure::{Measured, Row, measure};
use crate::predict::recipe::PredictRecipe;
use crate::predict::{Prepared, export, prepare};
use crate::progress::Progress;
use crate::report::{ResultLine, count, duration, metric, say, table};
use crate::site::{Site, data_of};
use anyhow::Result;
use lingxi_eval::probabilities::{Figure, Sharpness};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Instant;

/// Answers `lingxi predict`.
///
/// # Errors
/// A recipe or data that cannot be used, rows that teach nothing.
pub fn run(args: &PredictArgs) -> Result<()> {
    let started = Instant::now();
    let progress = Progress::new(args.json);
    let recipe = match (&args.recipe, &args.name) {
        (Some(path), _) => PredictRecipe::read(path)?,
        (None, name) => PredictRecipe::built_in(name.as_deref().unwrap_or_default())?,
    };
    let site = Site::new(data(args, &recipe, &progress)?, args.seed, progress, false)?;
    let prepared = prepare(&recipe, &site)?;
    let measured = measure(&recipe.predict, &prepared, &site)?;
    if let Some(folder) = &args.export {
        export::export(folder, &prepared, &measured)?;
    }
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        return line(&recipe, &prepared, &measured, args.seed, seconds).print();
    }
    say(&recipe.about)?;
    say(&summary(&prepared, &measured))?;
    say(&rows(&measured))?;
    let chosen = &measured.rows[measured.chosen];
    say(&format!("\nvalidation chose {}; {}", chosen.name, bins(chosen)))?;
    Ok(say(&duration(seconds))?)
}

/// The folder that was named, the one of that name in `LINGXI_DATA`, or the asset.
fn data(args: &PredictArgs, recipe: &PredictRecipe, progress: &Progress) -> Result<PathBuf> {
    if let Some(named) = &args.data {
        return Ok(data_of(named.clone(), &recipe.name));
    }
    if let Some(below) =
        std::env::var_os("LINGXI_DATA").map(|all| PathBuf::from(all).join(&recipe.name)).filter(|at| at.is_dir())
    {
        return Ok(below);
    }
    Ok(assets::ensure(&recipe.name, progress)?)
}

fn summary(prepared: &Prepared, measured: &Measured) -> String {
    let part = |(name, (rows, came)): (&str, (usize, usize))| {
        let share = 100.0 * came as f64 / rows.max(1) as f64;
        format!("{name} {} rows, {} came true ({share:.2}%)", count(rows as u64), count(came as u64))
    };
    let parts: Vec<String> = ["train", "validation", "test"].into_iter().zip(measured.sizes).map(part).collect();
    format!("{}\n{}; {} columns\n", prepared.protocol, parts.join("; "), prepared.lessons.table.columns.len())
}

fn between(figure: Figure) -> String {
    let [low, high] = figure.interval;
    format!("{} [{}, {}]", metric(figure.value), metric(low), metric(high))
}

fn rows(measured: &Measured) -> String {
    let header = [
        "model",
        "valid log-loss",
        "ROC-AUC (95%)",
        "log-loss (95%)",
        "calibration error (95%)",
        "by chance",
        "time",
        "found",
    ];
    let of = |(at, row): (usize, &Row)| {
        let [low, high] = row.calibration.interval;
        vec![
            if at == measured.chosen { format!("{} (chosen)", row.name) } else { row.name.into() },
            format!("{:.4}", row.valid_loss),
            between(row.sharpness.auc),
            between(row.sharpness.log_loss),
            format!("{:.4} [{low:.4}, {high:.4}]", row.calibration.error),
            format!("{:.4}", row.calibration.of_chance[0]),
            duration(row.seconds),
            row.note.clone(),
        ]
    };
    table(&header, &measured.rows.iter().enumerate().map(of).collect::<Vec<_>>(), &[1, 2, 3, 4, 5, 6])
}

fn bins(row: &Row) -> String {
    let bins: Vec<String> =
        row.calibration.bins.iter().map(|bin| format!("{:.3}>{:.3}", bin.foretold, bin.came)).collect();
    format!("foretold>came, tenths of equal count: {}", bins.join(" "))
}

fn line(
    recipe: &PredictRecipe,
    prepared: &Prepared,
    measured: &Measured,
    seed: u64,
    seconds: f64,
) -> ResultLine<Value> {
    let figures = |sharpness: &Sharpness| [("auc", sharpness.auc), ("log_loss", sharpness.log_loss)];
    let of = |row: &Row| {
        let mut metrics: serde_json::Map<String, Value> =
            figures(&row.sharpness).iter().map(|(name, figure)| ((*name).into(), json!(figure.value))).collect();
        metrics.insert("calibration_error".into(), json!(row.calibration.error));
        metrics.insert("calibration_error_by_chance".into(), json!(row.calibration.of_chance[0]));
        metrics.insert("brier".into(), json!(row.calibration.brier));
        let mut interval: serde_json::Map<String, Value> =
            figures(&row.sharpness).iter().map(|(name, figure)| ((*name).into(), json!(figure.interval))).collect();
        interval.insert("calibration_error".into(), json!(row.calibration.interval));
        json!({ "model": row.name, "metrics": metrics, "interval": interval, "valid_log_loss": row.valid_loss,
            "less_chosen": row.less_chosen, "found": row.note, "seconds": row.seconds })
    };
    let mut result = of(&measured.rows[measured.chosen]);
    result["split"] = "test".into();
    result["protocol"] = prepared.protocol.as_str().into();
    result["seed"] = seed.into();
    result["seconds"] = seconds.into();
    result["fit_seconds"] = measured.rows[measured.chosen].seconds.into();
    let size = |(rows, came): (usize, usize)| json!({ "rows": rows, "came": came });
    let [train, valid, test] = measured.sizes.map(size);
    result["rows"] = json!({ "train": train, "valid": valid, "test": test });
    result["bins"] = json!(measured.rows[measured.chosen].calibration.bins);
    let mut line = ResultLine::new("predict", Some(&recipe.name), result);
    let others = measured.rows.iter().enumerate().filter(|(at, _)| *at != measured.chosen);
    line.others = others
        .map(|(_, row)| {
            let mut other = of(row);
            other["kind"] = "model".into();
            other
        })
        .collect();
    line
}
