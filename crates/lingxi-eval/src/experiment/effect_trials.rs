//! Is the estimated effect right?
//!
//! Simulated logs whose truth is known come in, one per seed; out goes how often the interval held the true effect,
//! over all and in each group, beside the naive difference. Shoppers who like a category are recommended more of it and
//! buy more of it anyway, so the naive difference is too large; three groups have different effects, one of them none.

use super::effect::{EffectConfig, Effects, Exposures, estimate};
use crate::ope::synthetic::{normal, stream};
use crate::ope::terms::mean;
use crate::{EvalError, Result};
use lingxi_train::logistic::sigmoid;
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Numbers that are known of a shopper.
const DIM: usize = 4;

/// The groups and what being recommended adds to the log-odds of buying.
const GROUPS: [(&str, f64); 3] = [("new", 0.9), ("regular", 0.4), ("loyal", 0.0)];

/// Rows by which the truth is known.
const REFERENCE: usize = 1_000_000;

/// How an effect was estimated over all runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// `all`, or the group.
    pub group: String,
    /// The true effect.
    pub truth: f64,
    /// Runs whose interval held it.
    pub covered: usize,
    /// Mean of estimate less truth.
    pub bias: f64,
    /// Mean of the naive difference less truth.
    pub naive_bias: f64,
    /// Mean width of the interval.
    pub width: f64,
}

/// What came of the trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trials {
    /// Runs.
    pub runs: usize,
    /// Rows of each log.
    pub rows: usize,
    /// Confidence of the interval of the average, and of those of all groups together.
    pub confidence: f64,
    /// The average effect.
    pub average: Held,
    /// The effect in each group.
    pub groups: Vec<Held>,
}

/// Runs the trials; `done` is told of each that ended, from many threads.
///
/// # Errors
/// No run, or logs too small to estimate from.
pub fn run(runs: usize, rows: usize, seed: u64, done: &(dyn Fn() + Sync)) -> Result<Trials> {
    if runs == 0 {
        return Err(EvalError::Config { field: "runs", expected: "at least 1", got: runs.to_string() });
    }
    let config = EffectConfig::default();
    let one = |run: u64| {
        let log = simulate(rows, seed, run + 1).0;
        estimate(&log, &EffectConfig { seed: seed.wrapping_add(run), ..config }).inspect(|_| done())
    };
    let effects: Result<Vec<Effects>> = (0..runs as u64).into_par_iter().map(one).collect();
    let effects = effects?;
    let truths = truths(seed);
    let held = |which: usize| {
        let of = |effects: &Effects| match which {
            0 => effects.average.clone(),
            group => effects.groups[group - 1].clone(),
        };
        let all: Vec<super::effect::Effect> = effects.iter().map(of).collect();
        let truth = truths[which];
        let average = |what: &dyn Fn(&super::effect::Effect) -> f64| mean(&all.iter().map(what).collect::<Vec<f64>>());
        Held {
            group: all[0].group.clone(),
            truth,
            covered: all.iter().filter(|e| (e.effect.interval[0]..=e.effect.interval[1]).contains(&truth)).count(),
            bias: average(&|e| e.effect.value - truth),
            naive_bias: average(&|e| e.naive - truth),
            width: average(&|e| e.effect.interval[1] - e.effect.interval[0]),
        }
    };
    let groups = (1..=GROUPS.len()).map(held).collect();
    Ok(Trials { runs, rows, confidence: config.confidence, average: held(0), groups })
}

/// A log of `rows`, and the true effect of each.
fn simulate(rows: usize, seed: u64, run: u64) -> (Exposures, Vec<f64>) {
    let mut rng = stream(seed, run);
    let groups = GROUPS.iter().map(|(name, _)| (*name).to_owned()).collect();
    // The group is a feature too, as one of two numbers.
    let mut log = Exposures { dim: DIM + 2, groups, ..Exposures::default() };
    let mut effects = Vec::with_capacity(rows);
    for _ in 0..rows {
        let x: Vec<f64> = (0..DIM).map(|_| normal(&mut rng)).collect();
        let group = rng.random_range(0..GROUPS.len());
        let liking = 0.8 * x[0] + 0.4 * x[1] - 0.3 * x[2];
        let treated = rng.random::<f64>() < sigmoid(-0.4 + 0.9 * x[0] + 0.5 * x[1] + 0.3 * group as f64);
        let base = -1.4 + liking + 0.4 * group as f64;
        let (without, with) = (sigmoid(base), sigmoid(base + GROUPS[group].1));
        let bought = rng.random::<f64>() < if treated { with } else { without };
        log.treated.push(treated);
        log.outcome.push(f64::from(u8::from(bought)));
        log.features.extend(x);
        log.features.extend([f64::from(u8::from(group == 1)), f64::from(u8::from(group == 2))]);
        log.group.push(group as u32);
        effects.push(with - without);
    }
    (log, effects)
}

/// The true effect over all, then in each group.
fn truths(seed: u64) -> Vec<f64> {
    let (log, effects) = simulate(REFERENCE, seed, 0);
    let of = |group: Option<u32>| {
        let rows = (0..REFERENCE).filter(|&i| group.is_none_or(|group| log.group[i] == group));
        mean(&rows.map(|i| effects[i]).collect::<Vec<f64>>())
    };
    std::iter::once(None).chain((0..GROUPS.len() as u32).map(Some)).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_truth_where_the_naive_difference_is_far_off() {
        let trials = run(20, 3000, 5, &|| ()).unwrap();
        assert!(trials.average.covered >= 17, "{trials:?}");
        assert!(trials.average.naive_bias > 3.0 * trials.average.bias.abs() && trials.average.naive_bias > 0.05);
        trials.groups.iter().for_each(|group| assert!(group.covered >= 16, "{group:?}"));
    }
}
