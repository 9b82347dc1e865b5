//! The Open Bandit small sample: our estimators under the published protocol, and the policy's value directly.
//!
//! Protocol of zr-obp `examples/obd`: campaign "all", the log of the random policy, the Thompson policy at the start of
//! the campaign evaluated, its own log the truth. Each of 30 runs draws the log again with replacement, fits a logistic
//! regression (C = 100, 3-fold cross-fitted, one per position), and measures |estimate - truth| / truth.

use super::replay::replay;
use super::sample::{given, item_features, policy, read_log};
use super::words;
use crate::assets;
use crate::cli::OpeArgs;
use crate::failure::UserError;
use crate::progress::{Progress, Unit};
use crate::report::{ResultLine, metric, say, table};
use anyhow::Result;
use lingxi_eval::ope::report::{Named, estimators, mean_and_deviation, relative_error};
use lingxi_eval::ope::reward_model::{RewardModelConfig, predict};
use lingxi_eval::ope::{Columns, Grid, Report, ReportConfig, Rounds, evaluate};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

/// Runs of the published table.
const RUNS: usize = 30;

/// The published table: estimator, mean relative error, its standard deviation.
const PUBLISHED: [(&str, f64, f64); 7] = [
    ("dm", 0.156_876, 0.109_898),
    ("ips", 0.311_082, 0.311_170),
    ("snips", 0.311_795, 0.334_736),
    ("dr", 0.292_464, 0.315_485),
    ("sndr", 0.302_407, 0.328_434),
    ("switch-dr", 0.258_410, 0.160_598),
    ("dr-os", 0.159_520, 0.109_660),
];

/// Reproduces the table and prints it with the direct report.
pub fn run(args: &OpeArgs) -> Result<()> {
    let progress = Progress::new(args.json);
    let place = assets::ensure("obp", &progress)?;
    let data = place.join("dataset/obd");
    let items = item_features(&data.join("random/all/item_context.csv"))?;
    let log = read_log(&data.join("random/all/all.csv"), items.values.len() / items.width)?;
    let own = read_log(&data.join("bts/all/all.csv"), log.n_actions)?.reward;
    let truth = own.iter().sum::<f64>() / own.len() as f64;
    if let Some(file) = &args.chances {
        return direct(file, &log, &items, truth, args);
    }
    let by_place = policy(&place.join("policy/conf/prior_bts.yaml"), log.n_actions)?;
    let runs = args.runs.unwrap_or(RUNS);
    let stage = progress.stage("bootstrap the log", Some(runs as u64), Unit::Of("runs"));
    let errors: Result<Vec<Vec<f64>>> = (0..runs as u64)
        .into_par_iter()
        .map(|run| errors_of_run(&log, &items, &by_place, truth, args.seed, run).inspect(|_| stage.add(1)))
        .collect();
    let errors = errors?;
    stage.finish("");
    let whole = whole_log(&log, &items, &by_place, args)?;
    let stage = progress.stage("replay our policy", Some(log.len() as u64), Unit::Of("rows"));
    let replayed = replay(&data, &log, &own, args.seed)?;
    stage.finish("");
    let rows = rows(&errors);
    if args.json {
        let mut line = line(&rows, &whole, truth, runs, args.seed);
        let mut replayed = json!(replayed);
        replayed["kind"] = "replay".into();
        line.others.push(replayed);
        return line.print();
    }
    say(&format!("Open Bandit, \"all\", random -> Thompson: relative error over {runs} bootstrap runs"))?;
    say(&table(&["estimator", "ours", "± sd", "published", "± sd", "within"], &cells(&rows), &[1, 2, 3, 4]))?;
    say(&format!("\nthe whole log; the Thompson policy's own log says {}\n{}", metric(truth), words(&whole)))?;
    Ok(say(&replayed.words())?)
}

/// An estimator's error beside the published one.
struct Row {
    estimator: &'static str,
    ours: [f64; 2],
    published: [f64; 2],
}

impl Row {
    /// Whether ours is no further from the published mean than the published standard deviation.
    fn within(&self) -> bool {
        (self.ours[0] - self.published[0]).abs() <= self.published[1]
    }
}

fn rows(errors: &[Vec<f64>]) -> Vec<Row> {
    let row = |(i, (estimator, mean, deviation)): (usize, &(&'static str, f64, f64))| {
        let of_runs: Vec<f64> = errors.iter().map(|run| run[i]).collect();
        Row { estimator, ours: mean_and_deviation(&of_runs), published: [*mean, *deviation] }
    };
    PUBLISHED.iter().enumerate().map(row).collect()
}

fn cells(rows: &[Row]) -> Vec<Vec<String>> {
    let cell = |row: &Row| {
        let mut cells = vec![row.estimator.to_owned()];
        cells.extend(row.ours.iter().chain(&row.published).map(|x| format!("{x:.3}")));
        cells.push(if row.within() { "yes" } else { "no" }.into());
        cells
    };
    rows.iter().map(cell).collect()
}

fn line(rows: &[Row], whole: &Report, truth: f64, runs: usize, seed: u64) -> ResultLine<Value> {
    let metrics: serde_json::Map<String, Value> =
        rows.iter().map(|row| (format!("relative_error@{}", row.estimator), json!(row.ours[0]))).collect();
    let deviations: serde_json::Map<String, Value> =
        rows.iter().map(|row| (format!("relative_error@{}", row.estimator), json!(row.ours[1]))).collect();
    let result = json!({ "protocol": "campaign all, random -> bts, bootstrap, logistic regression, 3 folds", "runs": runs,
        "seed": seed, "truth": truth, "metrics": metrics, "deviation": deviations,
        "within_published": rows.iter().all(Row::within) });
    let mut line = ResultLine::new("ope", Some("obp"), result);
    line.others.extend(rows.iter().map(|row| {
        json!({ "kind": "published", "estimator": row.estimator, "mean": row.published[0], "deviation": row.published[1],
            "ours": row.ours[0], "within": row.within() })
    }));
    let mut report = json!(whole);
    report["kind"] = "whole log".into();
    line.others.push(report);
    line
}

/// The relative errors of one bootstrap sample, in the order of the published table.
fn errors_of_run(log: &Rounds, items: &Grid, by_place: &[f64], truth: f64, seed: u64, run: u64) -> Result<Vec<f64>> {
    let rounds = log.select(&lingxi_eval::interval::draw_rows(log.len(), seed, run));
    let named = estimators(&columns(&rounds, items, by_place, seed)?.0, true, f64::INFINITY);
    let error = |name: &str| {
        let of = |named: &&Named| named.estimator == name;
        named.iter().find(of).map_or(f64::NAN, |named| relative_error(named.terms.value(), truth))
    };
    Ok(PUBLISHED.iter().map(|(name, ..)| error(name)).collect())
}

fn columns(rounds: &Rounds, items: &Grid, by_place: &[f64], seed: u64) -> Result<(Columns, Grid, Grid)> {
    let predicted = predict(rounds, items, &RewardModelConfig { seed, ..RewardModelConfig::default() })?;
    let chances = Grid::by_position(by_place, rounds.n_actions, &rounds.position);
    Ok((Columns::new(rounds, &chances, Some(&predicted))?, chances, predicted))
}

/// The value of the policy on the log as it is.
fn whole_log(log: &Rounds, items: &Grid, by_place: &[f64], args: &OpeArgs) -> Result<Report> {
    let (_, chances, predicted) = columns(log, items, by_place, args.seed)?;
    let clip = args.clip.unwrap_or(f64::INFINITY);
    let config = ReportConfig { seed: args.seed, clip, ..ReportConfig::default() };
    Ok(evaluate(log, &chances, Some(&predicted), &config)?)
}

/// The value of somebody's policy beside that of the Thompson policy, as its own log has it.
fn direct(file: &Path, log: &Rounds, items: &Grid, thompson: f64, args: &OpeArgs) -> Result<()> {
    let by_place = given(file, log.n_actions)?;
    let report = whole_log(log, items, &by_place, args).map_err(|why| {
        UserError::new(format!("{}: {why}", file.display()), "give one chance for each place and item")
    })?;
    if args.json {
        let mut line = ResultLine::new("ope", Some("obp"), json!(report));
        line.others.push(json!({ "kind": "own log", "policy": "thompson", "value": thompson }));
        return line.print();
    }
    Ok(say(&format!("the Thompson policy's own log says {}\n{}", metric(thompson), words(&report)))?)
}
