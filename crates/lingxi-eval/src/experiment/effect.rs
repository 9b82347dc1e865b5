//! What does being recommended do, when nobody ran an experiment?
//!
//! Rows of a log come in: whether the item was recommended, what came of it, and what decided on it; out go the
//! average effect and the effect in each group with intervals, those of the groups wide enough to hold all at once
//! (Bonferroni). Augmented inverse propensity weighting (Robins et al. 1994), cross-fitted (Chernozhukov et al., arXiv
//! 1608.00060): with e(x) the chance of being recommended and m1, m0 the expected outcome with and without, each row
//! says m1 - m0 + t (y - m1) / e - (1 - t) (y - m0) / (1 - e); the effect is the mean of the rows and their spread its
//! interval. It is right if either e or m is, provided that nothing else decided on both.

use super::linear::Linear;
use crate::ope::terms::{Terms, Value, mean};
use crate::{EvalError, Result};
use lingxi_train::logistic::Logistic;
use rand::seq::SliceRandom;
use rand::{SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};

/// The log, column by column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposures {
    /// Whether it was recommended.
    pub treated: Vec<bool>,
    /// What came of it.
    pub outcome: Vec<f64>,
    /// Numbers per row.
    pub dim: usize,
    /// What may have decided on both, row-major `[rows, dim]`.
    pub features: Vec<f64>,
    /// Chance of being recommended where the log knows it; learnt if absent.
    pub propensity: Option<Vec<f64>>,
    /// The group of each row.
    pub group: Vec<u32>,
    /// Names of the groups.
    pub groups: Vec<String>,
}

/// How the effect is estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EffectConfig {
    /// Confidence of the interval of the average, and of those of all groups together.
    pub confidence: f64,
    /// Parts that are predicted by the others.
    pub folds: usize,
    /// Chances below this, or above 1 less this, count as this.
    pub clip: f64,
    /// Who falls into which part.
    pub seed: u64,
}

impl Default for EffectConfig {
    fn default() -> Self {
        EffectConfig { confidence: 0.95, folds: 5, clip: 0.01, seed: 1 }
    }
}

/// The part of clipped rows from which on a log is refused.
const TOO_MANY_CLIPPED: f64 = 0.1;

/// An effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// `all`, or the group.
    pub group: String,
    /// Rows.
    pub rows: usize,
    /// The effect with its interval.
    pub effect: Value,
    /// Mean outcome of the recommended less that of the others: what a naive reader takes for the effect.
    pub naive: f64,
}

/// The effects in a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effects {
    /// Over all rows.
    pub average: Effect,
    /// In each group.
    pub groups: Vec<Effect>,
    /// Part of the rows whose chance was clipped.
    pub clipped: f64,
    /// Why there is no answer, if there is none: some rows could hardly have been treated otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// Estimates the effects.
///
/// # Errors
/// Columns that do not fit, or too few rows of either sort.
pub fn estimate(log: &Exposures, config: &EffectConfig) -> Result<Effects> {
    check(log, config)?;
    let (scores, clipped) = scores(log, config)?;
    let refusal = (clipped > TOO_MANY_CLIPPED).then(|| {
        format!(
            "the log cannot answer: for {:.0}% of the rows it was all but certain whether the item is recommended \
             (bar {:.0}%), so nothing compares with them; leave them out, or recommend with more chance",
            100.0 * clipped,
            100.0 * TOO_MANY_CLIPPED
        )
    });
    // Several groups are several chances to be wrong: together they keep the confidence that the average has alone.
    let of_groups = 1.0 - (1.0 - config.confidence) / log.groups.len().max(1) as f64;
    let of = |name: &str, rows: Vec<usize>, confidence: f64| {
        let chosen: Vec<f64> = rows.iter().map(|&i| scores[i]).collect();
        let terms = Terms { correction: vec![0.0; chosen.len()], base: chosen, norm: None };
        let effect = terms.with_interval(confidence);
        Effect { group: name.into(), rows: rows.len(), effect, naive: naive(log, &rows) }
    };
    let members = |group: u32| (0..log.outcome.len()).filter(|&i| log.group[i] == group).collect();
    let groups =
        log.groups.iter().enumerate().map(|(group, name)| of(name, members(group as u32), of_groups)).collect();
    let average = of("all", (0..log.outcome.len()).collect(), config.confidence);
    Ok(Effects { average, groups, clipped, refusal })
}

fn check(log: &Exposures, config: &EffectConfig) -> Result<()> {
    let n = log.treated.len();
    let lengths = [
        ("outcomes", log.outcome.len(), n),
        ("features", log.features.len(), n * log.dim),
        ("groups", log.group.len(), n),
        ("propensities", log.propensity.as_ref().map_or(n, Vec::len), n),
    ];
    for (what, got, expected) in lengths {
        if got != expected {
            return Err(EvalError::Length { what, expected, got });
        }
    }
    if config.folds < 2 || !(config.clip > 0.0 && config.clip < 0.5) {
        let got = format!("{} folds, clip {}", config.folds, config.clip);
        return Err(EvalError::Config { field: "effect", expected: "two folds, clip between 0 and 0.5", got });
    }
    let treated = log.treated.iter().filter(|treated| **treated).count();
    let least = 10 * config.folds;
    if treated < least || n - treated < least {
        return Err(EvalError::TooLittle {
            what: "effect of being recommended",
            expected: format!("{least} rows of each sort"),
            got: format!("{treated} recommended, {} not", n - treated),
            remedy: "give a longer log",
        });
    }
    let numbers = log.outcome.iter().chain(&log.features).chain(log.propensity.iter().flatten());
    match numbers.enumerate().find(|(_, x)| !x.is_finite()) {
        Some((round, x)) => {
            Err(EvalError::Round { round: round % n, field: "number", expected: "finite".into(), got: x.to_string() })
        }
        None => Ok(()),
    }
}

/// What each row says of the effect, and the part of clipped rows.
fn scores(log: &Exposures, config: &EffectConfig) -> Result<(Vec<f64>, f64)> {
    let n = log.treated.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut StdRng::seed_from_u64(config.seed));
    let (mut scores, mut clipped) = (vec![0.0; n], 0);
    for fold in 0..config.folds {
        let held = |rank: usize| rank * config.folds / n == fold;
        let train: Vec<usize> = (0..n).filter(|rank| !held(*rank)).map(|rank| order[rank]).collect();
        let models = Models::fit(log, &train)?;
        for i in (0..n).filter(|rank| held(*rank)).map(|rank| order[rank]) {
            let row = &log.features[i * log.dim..(i + 1) * log.dim];
            let chance = match (&log.propensity, &models.chance) {
                (Some(known), _) => known[i],
                (None, Some(model)) => model.predict(row),
                (None, None) => 0.5,
            };
            let e = chance.clamp(config.clip, 1.0 - config.clip);
            clipped += usize::from(e != chance);
            let (m1, m0, y) = (models.outcome[1].predict(row), models.outcome[0].predict(row), log.outcome[i]);
            scores[i] = m1 - m0 + if log.treated[i] { (y - m1) / e } else { -(y - m0) / (1.0 - e) };
        }
    }
    Ok((scores, clipped as f64 / n as f64))
}

/// An expected outcome.
enum Outcome {
    Rate(Logistic),
    Number(Linear),
}

impl Outcome {
    fn predict(&self, row: &[f64]) -> f64 {
        match self {
            Outcome::Rate(model) => model.predict(row),
            Outcome::Number(model) => model.predict(row),
        }
    }
}

struct Models {
    chance: Option<Logistic>,
    /// Without and with.
    outcome: [Outcome; 2],
}

impl Models {
    fn fit(log: &Exposures, train: &[usize]) -> Result<Models> {
        let features = |rows: &[usize]| -> Vec<f64> {
            rows.iter().flat_map(|&i| &log.features[i * log.dim..(i + 1) * log.dim]).copied().collect()
        };
        let chance = match &log.propensity {
            Some(_) => None,
            None => {
                let treated: Vec<f64> = train.iter().map(|&i| f64::from(u8::from(log.treated[i]))).collect();
                Some(Logistic::fit(&features(train), log.dim, &treated, 1.0)?)
            }
        };
        let rate = log.outcome.iter().all(|y| (0.0..=1.0).contains(y));
        let outcome = |with: bool| {
            let rows: Vec<usize> = train.iter().copied().filter(|&i| log.treated[i] == with).collect();
            let y: Vec<f64> = rows.iter().map(|&i| log.outcome[i]).collect();
            let x = features(&rows);
            if rate {
                Ok(Outcome::Rate(Logistic::fit(&x, log.dim, &y, 1.0)?))
            } else {
                Linear::fit(&x, log.dim, &y).map(Outcome::Number)
            }
        };
        Ok(Models { chance, outcome: [outcome(false)?, outcome(true)?] })
    }
}

fn naive(log: &Exposures, rows: &[usize]) -> f64 {
    let of = |with: bool| -> Vec<f64> {
        rows.iter().filter(|&&i| log.treated[i] == with).map(|&i| log.outcome[i]).collect()
    };
    mean(&of(true)) - mean(&of(false))
}
