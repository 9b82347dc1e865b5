//! What every estimator is made of.
//!
//! Four [`Columns`] say all that an estimator reads of a round: its importance weight w = p_e(a|x) / p_b(a|x), its
//! reward r, the predicted reward of what was shown q(x, a) and of what the evaluation policy would show q(x, p_e) =
//! sum over a of p_e(a|x) q(x, a). Out of them every estimator makes [`Terms`]: value = mean(base) + mean(correction) /
//! mean(norm), where the norm is 1 unless the estimator normalises itself. Values, standard errors and bootstrap
//! intervals are those of terms.

use super::rounds::{Grid, Rounds};
use crate::{Result, interval};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// What estimators read, one entry per round.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// Importance weight of the logged action.
    pub weight: Vec<f64>,
    /// Logged reward.
    pub reward: Vec<f64>,
    /// Predicted reward of the logged action; 0 without a model.
    pub predicted: Vec<f64>,
    /// Predicted reward of the evaluation policy; 0 without a model.
    pub expected: Vec<f64>,
}

impl Columns {
    /// `chances`: of the evaluation policy; `predicted`: of a reward model, if there is one.
    ///
    /// # Errors
    /// Columns that do not fit each other, rows of chances that are no distribution, propensities outside (0, 1].
    pub fn new(rounds: &Rounds, chances: &Grid, predicted: Option<&Grid>) -> Result<Columns> {
        rounds.check()?;
        chances.check(rounds, "chances of the evaluation policy", true)?;
        if let Some(predicted) = predicted {
            predicted.check(rounds, "predicted rewards", false)?;
        }
        let taken = |of: &Grid, i: usize| of.row(i)[rounds.action[i] as usize];
        let expected = |of: &Grid, i: usize| {
            let (q, p) = (of.row(i), chances.row(i));
            let total: f64 = p.iter().sum();
            q.iter().zip(p).map(|(q, p)| q * p).sum::<f64>() / total
        };
        let all = 0..rounds.len();
        Ok(Columns {
            weight: all.clone().map(|i| taken(chances, i) / rounds.propensity[i]).collect(),
            reward: rounds.reward.clone(),
            predicted: all.clone().map(|i| predicted.map_or(0.0, |of| taken(of, i))).collect(),
            expected: all.map(|i| predicted.map_or(0.0, |of| expected(of, i))).collect(),
        })
    }

    /// r - q(x, a) of each round.
    pub(crate) fn residuals(&self) -> impl Iterator<Item = f64> {
        self.reward.iter().zip(&self.predicted).map(|(r, q)| r - q)
    }
}

/// What an estimator adds up, one entry per round (or slate).
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// What stands without any weight.
    pub base: Vec<f64>,
    /// What is weighted.
    pub correction: Vec<f64>,
    /// What divides the mean correction, if the estimator normalises itself.
    pub norm: Option<Vec<f64>>,
}

/// An estimate with its standard error and interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// The estimate.
    pub value: f64,
    /// Its standard error, by the delta method where the estimator normalises itself.
    pub standard_error: f64,
    /// Student's t interval of the asked-for confidence.
    pub interval: [f64; 2],
}

impl Terms {
    /// The estimate.
    pub fn value(&self) -> f64 {
        mean(&self.base) + mean(&self.correction) / self.divisor()
    }

    fn divisor(&self) -> f64 {
        self.norm.as_deref().map_or(1.0, mean)
    }

    /// One number per round whose mean is the estimate and whose spread is its uncertainty: the influence of each
    /// round, base + (correction - R norm) / mean(norm) + R with R = mean(correction) / mean(norm).
    pub fn influences(&self) -> Vec<f64> {
        let plain = self.base.iter().zip(&self.correction);
        let Some(norm) = &self.norm else { return plain.map(|(b, c)| b + c).collect() };
        let divisor = mean(norm);
        let ratio = mean(&self.correction) / divisor;
        plain.zip(norm).map(|((b, c), n)| b + (c - ratio * n) / divisor + ratio).collect()
    }

    /// The estimate with an interval of `confidence` from its influences.
    pub fn with_interval(&self, confidence: f64) -> Value {
        let influences = self.influences();
        let n = influences.len() as f64;
        let standard_error = (variance(&influences) / (n - 1.0)).sqrt();
        let quantile = StudentsT::new(0.0, 1.0, n - 1.0).map_or(f64::NAN, |t| t.inverse_cdf(0.5 + confidence / 2.0));
        let (value, half) = (self.value(), quantile * standard_error);
        Value { value, standard_error, interval: [value - half, value + half] }
    }

    /// The percentile bootstrap interval: rounds are drawn again with replacement and the estimate is made anew.
    pub fn bootstrap(&self, resamples: usize, confidence: f64, seed: u64) -> [f64; 2] {
        let row = |i: usize| [self.base[i], self.correction[i], self.norm.as_ref().map_or(1.0, |norm| norm[i])];
        let rows: Vec<f64> = (0..self.base.len()).flat_map(row).collect();
        let drawn = interval::bootstrap_means(&rows, 3, resamples, seed);
        let values =
            drawn.iter().map(|means| means[0] + means[1] / means[2]).filter(|value| value.is_finite()).collect();
        interval::central(values, confidence).unwrap_or([self.value(); 2])
    }
}

/// The mean; 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The mean squared distance from the mean.
pub(crate) fn variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|x| (x - centre).powi(2)).sum::<f64>() / values.len().max(1) as f64
}
