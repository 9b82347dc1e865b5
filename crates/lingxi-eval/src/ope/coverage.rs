//! Do the intervals cover, and does the rule choose well?
//!
//! Made-up logs whose truth is known come in, one per seed, each from a world of its own; out go, for every estimator
//! and for the one that the rule chose, how often the interval held the truth and how far off the value was.

use super::report::{Report, ReportConfig, evaluate, relative_error};
use super::reward_model::{RewardModelConfig, one_hot, predict};
use super::synthetic::{Softmax, World};
use super::terms::mean;
use crate::{EvalError, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The logs to make.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trials {
    /// Logs, with the seeds `seed..seed + runs`.
    pub runs: usize,
    /// Rounds of each.
    pub rounds: usize,
    /// Actions.
    pub actions: usize,
    /// Numbers per context.
    pub dim: usize,
    /// Sharpness of the logging policy.
    pub logging: f64,
    /// Sharpness of the evaluated policy.
    pub evaluated: f64,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// The first seed.
    pub seed: u64,
}

impl Default for Trials {
    fn default() -> Self {
        let (runs, rounds, actions, dim) = (100, 10_000, 10, 5);
        Trials { runs, rounds, actions, dim, logging: 3.0, evaluated: 8.0, confidence: 0.95, seed: 1 }
    }
}

/// How one estimator did over all runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Its name, or `chosen` for the one that the rule chose in each run.
    pub estimator: String,
    /// Runs whose interval held the truth.
    pub covered: usize,
    /// Root mean squared error.
    pub rmse: f64,
    /// Mean relative error.
    pub relative_error: f64,
    /// Mean of estimate less truth.
    pub bias: f64,
    /// Mean width of the interval.
    pub width: f64,
    /// Runs in which the rule chose it.
    pub chosen: usize,
}

/// What came of the trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// The trials.
    pub trials: Trials,
    /// The rule of choice.
    pub rule: String,
    /// What the rule chose.
    pub chosen: Score,
    /// Each estimator alone.
    pub estimators: Vec<Score>,
    /// Root mean squared error of the chosen, over that of the best estimator in hindsight.
    pub ratio_to_best: f64,
}

/// One run: the truth and what was said of it.
struct Run {
    truth: f64,
    report: Report,
}

/// Runs the trials; `done` is told of each that ended, from many threads.
///
/// # Errors
/// Settings that make no log, and a run whose overlap was refused.
pub fn run(trials: &Trials, done: &(dyn Fn() + Sync)) -> Result<Coverage> {
    if trials.runs == 0 || trials.actions < 2 || trials.dim == 0 {
        let got = format!("{} runs, {} actions, {} numbers", trials.runs, trials.actions, trials.dim);
        return Err(EvalError::Config { field: "trials", expected: "a run, two actions, a number per context", got });
    }
    let seeds = trials.seed..trials.seed + trials.runs as u64;
    let runs: Result<Vec<Run>> = seeds.into_par_iter().map(|seed| one(trials, seed).inspect(|_| done())).collect();
    let runs = runs?;
    let names: Vec<String> = runs[0].report.estimates.iter().map(|estimate| estimate.estimator.clone()).collect();
    let estimators: Vec<Score> = names.iter().map(|name| score(&runs, name, |run| index(run, name))).collect();
    let chosen = score(&runs, "chosen", |run| index(run, run.report.chosen.as_deref().unwrap_or_default()));
    let best = estimators.iter().map(|score| score.rmse).fold(f64::INFINITY, f64::min);
    let ratio_to_best = chosen.rmse / best;
    Ok(Coverage { trials: *trials, rule: super::choice::RULE.into(), chosen, estimators, ratio_to_best })
}

fn one(trials: &Trials, seed: u64) -> Result<Run> {
    let world = World::new(trials.actions, trials.dim, seed);
    let (logging, evaluated) = (Softmax { sharpness: trials.logging }, Softmax { sharpness: trials.evaluated });
    let rounds = world.log(trials.rounds, logging, seed);
    let chances = world.chances(&rounds, evaluated);
    let model = RewardModelConfig { seed, ..RewardModelConfig::default() };
    let predicted = predict(&rounds, &one_hot(trials.actions), &model)?;
    let config = ReportConfig { confidence: trials.confidence, resamples: 0, ..ReportConfig::default() };
    let report = evaluate(&rounds, &chances, Some(&predicted), &config)?;
    match &report.refusal {
        None => Ok(Run { truth: world.value(evaluated), report }),
        Some(words) => Err(EvalError::TooLittle {
            what: "trial",
            expected: "a log that can answer".into(),
            got: words.clone(),
            remedy: "give it more rounds, or policies nearer to each other",
        }),
    }
}

fn index(run: &Run, name: &str) -> usize {
    run.report.estimates.iter().position(|estimate| estimate.estimator == name).unwrap_or(0)
}

fn score(runs: &[Run], name: &str, which: impl Fn(&Run) -> usize) -> Score {
    let of = |what: &dyn Fn(&Run, &super::report::Estimate) -> f64| -> Vec<f64> {
        runs.iter().map(|run| what(run, &run.report.estimates[which(run)])).collect()
    };
    let covers = |run: &Run| {
        let [low, high] = run.report.estimates[which(run)].interval;
        (low..=high).contains(&run.truth)
    };
    Score {
        estimator: name.to_owned(),
        covered: runs.iter().filter(|run| covers(run)).count(),
        rmse: mean(&of(&|run, e| (e.value - run.truth).powi(2))).sqrt(),
        relative_error: mean(&of(&|run, e| relative_error(e.value, run.truth))),
        bias: mean(&of(&|run, e| e.value - run.truth)),
        width: mean(&of(&|_, e| e.interval[1] - e.interval[0])),
        chosen: runs.iter().filter(|run| run.report.chosen.as_deref() == Some(name)).count(),
    }
}
