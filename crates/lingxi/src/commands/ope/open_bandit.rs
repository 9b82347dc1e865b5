//! The Open Bandit small sample: our estimators under the published protocol, and the policy's value directly.
//!
//! Protocol of zr-obp `examples/obd`: campaign "all", the log of the random policy, the Thompson policy at the start of the
//! campaign evaluated, its own log the truth. Each of 30 runs draws the log again with replacement, fits a logistic regression
//! (C = 100, 3-fold cross-fitted, one per position), and measures |estimate - truth| / truth.

use super::words;
use crate::assets;
use crate::cli::OpeArgs;
use crate::failure::UserError;
use crate::progress::{Progress, Unit};
use crate::report::{ResultLine, metric, say, table};
use anyhow::{Context as _, Result};
use lingxi_eval::ope::report::{self, Named, estimators, mean_and_deviation, relative_error};
use lingxi_eval::ope::reward_model::{RewardModelConfig, predict};
use lingxi_eval::ope::{Columns, PerAction, Report, ReportConfig, Rounds, evaluate, thompson};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

/// Places of the shop's slate.
const PLACES: usize = 3;

/// Runs of the published table.
const RUNS: usize = 30;

/// What to try when the sample cannot be read.
const VERIFY: &str = "lingxi assets verify obp";

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
    let log = read_log(&data.join("random/all/all.csv"), items.values.len() / items.n_actions)?;
    let truth = read_log(&data.join("bts/all/all.csv"), log.n_actions)?.reward;
    let truth = truth.iter().sum::<f64>() / truth.len() as f64;
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
    let rows = rows(&errors);
    if args.json {
        return line(&rows, &whole, truth, runs, args.seed).print();
    }
    say(&format!("Open Bandit, \"all\", random -> Thompson: relative error over {runs} bootstrap runs"))?;
    say(&table(&["estimator", "ours", "± sd", "published", "± sd", "within"], &cells(&rows), &[1, 2, 3, 4]))?;
    say(&format!("\nthe whole log; the Thompson policy's own log says {}\n{}", metric(truth), words(&whole)))?;
    Ok(())
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
fn errors_of_run(
    log: &Rounds,
    items: &PerAction,
    by_place: &[f64],
    truth: f64,
    seed: u64,
    run: u64,
) -> Result<Vec<f64>> {
    let rounds = log.select(&lingxi_eval::interval::draw_rows(log.len(), seed, run));
    let named = estimators(&columns(&rounds, items, by_place, seed)?.0, true, f64::INFINITY);
    let error = |name: &str| {
        let of = |named: &&Named| named.estimator == name;
        named.iter().find(of).map_or(f64::NAN, |named| relative_error(named.terms.value(), truth))
    };
    Ok(PUBLISHED.iter().map(|(name, ..)| error(name)).collect())
}

fn columns(rounds: &Rounds, items: &PerAction, by_place: &[f64], seed: u64) -> Result<(Columns, PerAction, PerAction)> {
    let predicted = predict(rounds, items, &RewardModelConfig { seed, ..RewardModelConfig::default() })?;
    let chances = PerAction::by_position(by_place, rounds.n_actions, &rounds.position);
    Ok((Columns::new(rounds, &chances, Some(&predicted))?, chances, predicted))
}

/// The value of the policy on the log as it is.
fn whole_log(log: &Rounds, items: &PerAction, by_place: &[f64], args: &OpeArgs) -> Result<Report> {
    let (_, chances, predicted) = columns(log, items, by_place, args.seed)?;
    let clip = args.clip.unwrap_or(f64::INFINITY);
    let config = ReportConfig { seed: args.seed, clip, ..ReportConfig::default() };
    Ok(evaluate(log, &chances, Some(&predicted), &config)?)
}

/// The value of somebody's policy beside that of the Thompson policy, as its own log has it.
fn direct(file: &Path, log: &Rounds, items: &PerAction, thompson: f64, args: &OpeArgs) -> Result<()> {
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

/// Chances as a person wrote them; what is not named is never shown.
fn given(file: &Path, n_actions: usize) -> Result<Vec<f64>> {
    let table = read_csv(file, "write CSV with the columns position, item and chance")?;
    let position: Vec<usize> = column(&table, "position", |text| text.parse::<usize>().ok()?.checked_sub(1))?;
    let item: Vec<usize> = column(&table, "item", |text| text.parse().ok())?;
    let chance: Vec<f64> = column(&table, "chance", |text| text.parse().ok().filter(|p| (0.0..=1.0).contains(p)))?;
    let mut out = vec![0.0; PLACES * n_actions];
    for ((position, item), chance) in position.into_iter().zip(item).zip(chance) {
        if position >= PLACES || item >= n_actions {
            let got = format!("{}: position {}, item {item}", file.display(), position + 1);
            return Err(
                UserError::new(got, format!("positions are 1 to {PLACES}, items 0 to {}", n_actions - 1)).into()
            );
        }
        out[position * n_actions + item] += chance;
    }
    Ok(out)
}

/// The chances of the Thompson policy at the start of the campaign, `[places, actions]`.
fn policy(path: &Path, n_actions: usize) -> Result<Vec<f64>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (alpha, beta) = (prior(&text, "alpha"), prior(&text, "beta"));
    let chances =
        thompson::chances(&alpha, &beta, PLACES).filter(|_| alpha.len() == n_actions && beta.len() == n_actions);
    chances
        .with_context(|| format!("{}: expected two positive parameters for each of {n_actions} items", path.display()))
}

/// The numbers under `all:` and `name:`, one `- number` a line.
fn prior(text: &str, name: &str) -> Vec<f64> {
    let lines = text.lines().skip_while(|line| *line != "all:").skip(1).take_while(|line| line.starts_with(' '));
    let of_name = lines.skip_while(|line| line.trim() != format!("{name}:")).skip(1);
    of_name.map_while(|line| line.trim().strip_prefix("- ")).map_while(|number| number.parse().ok()).collect()
}

/// A table with a header, as strings.
fn read_csv(path: &Path, remedy: &str) -> Result<(Vec<String>, Vec<csv::StringRecord>)> {
    let fail = |why: csv::Error| UserError::new(format!("cannot read {}", path.display()), remedy).because(why);
    let mut reader = csv::Reader::from_path(path).map_err(fail)?;
    let header = reader.headers().map_err(fail)?.iter().map(str::to_owned).collect();
    let rows: Result<Vec<csv::StringRecord>, csv::Error> = reader.records().collect();
    Ok((header, rows.map_err(fail)?))
}

/// A column by its name, each cell read by `parse`.
fn column<T>(
    table: &(Vec<String>, Vec<csv::StringRecord>),
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>> {
    let missing = || UserError::new(format!("no column {name}"), format!("there are {}", table.0.join(", ")));
    let at = table.0.iter().position(|column| column == name).ok_or_else(missing)?;
    let cell = |row: &csv::StringRecord| {
        let text = row.get(at).unwrap_or_default();
        let line = row.position().map_or(0, csv::Position::line);
        let unexpected = || UserError::new(format!("line {line}, {name}: unexpected {text:?}"), "put the line right");
        Ok(parse(text).ok_or_else(unexpected)?)
    };
    table.1.iter().map(cell).collect()
}

/// Strings as their rank among the sorted distinct ones.
fn ranks(table: &(Vec<String>, Vec<csv::StringRecord>), name: &str) -> Result<(Vec<usize>, usize)> {
    let values = column(table, name, |text| Some(text.to_owned()))?;
    let mut distinct = values.clone();
    distinct.sort_unstable();
    distinct.dedup();
    Ok((values.iter().map(|value| distinct.partition_point(|other| other < value)).collect(), distinct.len()))
}

/// Features of the goods as obp prepares them: three categories as numbers, and one number.
fn item_features(path: &Path) -> Result<PerAction> {
    let table = read_csv(path, VERIFY)?;
    let categories: Vec<Vec<usize>> =
        (1..4).map(|i| Ok(ranks(&table, &format!("item_feature_{i}"))?.0)).collect::<Result<_>>()?;
    let number: Vec<f64> = column(&table, "item_feature_0", |text| text.parse().ok())?;
    let row = |i: usize| categories.iter().map(move |c| c[i] as f64).chain([number[i]]);
    Ok(PerAction { n_actions: 4, values: (0..number.len()).flat_map(row).collect() })
}

/// A log as obp prepares it: contexts are the shopper's four categories, one-hot without the first of each.
fn read_log(path: &Path, n_actions: usize) -> Result<Rounds> {
    let table = read_csv(path, VERIFY)?;
    let categories: Vec<(Vec<usize>, usize)> =
        (0..4).map(|i| ranks(&table, &format!("user_feature_{i}"))).collect::<Result<_>>()?;
    let one_hot = |i: usize| {
        categories.iter().flat_map(move |(ranks, n)| (1..*n).map(move |k| f64::from(u8::from(ranks[i] == k))))
    };
    let action: Vec<u32> = column(&table, "item_id", |text| text.parse().ok())?;
    Ok(Rounds {
        n_actions,
        n_positions: PLACES,
        dim: categories.iter().map(|(_, n)| n - 1).sum(),
        context: (0..action.len()).flat_map(one_hot).collect(),
        // Positions are written from 1.
        position: column(&table, "position", |text| text.parse::<u32>().ok()?.checked_sub(1))?,
        reward: column(&table, "click", |text| text.parse().ok())?,
        propensity: column(&table, "propensity_score", |text| text.parse().ok())?,
        action,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prior_of_one_campaign_ends_where_the_next_begins() {
        let text = "men:\n  alpha:\n    - 9.0\nall:\n  alpha:\n    - 1.0\n    - 2.0\n  beta:\n    - 3.0\n    - 4.0\nwomen:\n  alpha:\n    - 5.0\n";
        assert_eq!((prior(text, "alpha"), prior(text, "beta")), (vec![1.0, 2.0], vec![3.0, 4.0]));
        assert_eq!(prior(text, "gamma"), Vec::<f64>::new());
    }
}
