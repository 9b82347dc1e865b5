//! Is one model better than another, or was it luck?
//!
//! Two reports over the same cases come in; the difference of their means goes out with its bootstrap interval and two
//! p-values: of a randomisation test, which flips at random which model a case's figure came from and assumes nothing
//! about the distribution, and of Student's paired t-test.

use crate::{EvalError, Report, Result, interval};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// How a model compares with another on one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// The metric.
    pub metric: String,
    /// Mean of the first model less that of the second.
    pub difference: f64,
    /// 95% bootstrap interval of the difference.
    pub interval: [f64; 2],
    /// Two-sided p-value of the randomisation test.
    pub p_randomisation: f64,
    /// Two-sided p-value of the paired t-test; 1 where no case differs.
    pub p_t: f64,
    /// Number of cases.
    pub cases: usize,
    /// Cases in which the figures differ.
    pub differing: usize,
}

/// Compares `a` with `b` on `metric`, with `draws` random flips (10,000 resolve p to about 0.001).
///
/// # Errors
/// [`EvalError::Unpaired`] if a report lacks the metric per case or the reports are about different cases.
pub fn paired_test(a: &Report, b: &Report, metric: &str, draws: usize, seed: u64) -> Result<Paired> {
    let fail = |why: String| EvalError::Unpaired { metric: metric.into(), why };
    let column = |report: &Report| {
        report.per_case(metric).ok_or_else(|| fail(format!("{} has no such figure per case", report.model)))
    };
    let (left, right) = (column(a)?, column(b)?);
    if a.asked != b.asked || (&a.split, &a.protocol) != (&b.split, &b.protocol) {
        return Err(fail(format!(
            "{} was measured on {} cases ({}, {}), {} on {} ({}, {})",
            a.model,
            left.len(),
            a.split,
            a.protocol,
            b.model,
            right.len(),
            b.split,
            b.protocol
        )));
    }
    let differences: Vec<f64> = left.iter().zip(&right).map(|(x, y)| x - y).collect();
    let nonzero: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    Ok(Paired {
        metric: metric.into(),
        difference: interval::means(&differences, 1)[0],
        interval: interval::bootstrap(&differences, 1, 1000, 0.95, seed)[0],
        p_randomisation: randomisation(&nonzero, draws, seed),
        p_t: t_test(&differences),
        cases: differences.len(),
        differing: nonzero.len(),
    })
}

/// The share of sign flips whose sum is at least as far from 0 as the observed one; the observed one counts as a draw, so
/// p is never 0. Differences of 0 add nothing to any sum and are left out.
fn randomisation(differences: &[f64], draws: usize, seed: u64) -> f64 {
    let observed = differences.iter().sum::<f64>().abs();
    let extreme = |draw: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(draw + 1);
        let mut sum = 0.0;
        for chunk in differences.chunks(64) {
            let bits = rng.next_u64();
            let signed = chunk.iter().enumerate().map(|(i, d)| if bits >> i & 1 == 1 { *d } else { -*d });
            sum += signed.sum::<f64>();
        }
        // A rounding error must not turn an equal sum into a smaller one.
        sum.abs() >= observed - 1e-9 * observed.max(1e-300)
    };
    let count = (0..draws as u64).into_par_iter().filter(|draw| extreme(*draw)).count();
    (count + 1) as f64 / (draws + 1) as f64
}

fn t_test(differences: &[f64]) -> f64 {
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let distribution = StudentsT::new(0.0, 1.0, n - 1.0);
    match distribution {
        Ok(t) if variance > 0.0 => 2.0 * t.cdf(-(mean / (variance / n).sqrt()).abs()),
        // All cases differ by the same amount, or there is one case: only "no difference at all" can be said.
        _ => {
            if mean == 0.0 || n < 2.0 {
                1.0
            } else {
                0.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_those_of_scipy_and_of_all_flips() {
        // scipy.stats.ttest_1samp(differences, 0).pvalue
        let differences = [0.3, -0.1, 0.4, 0.2, 0.5, -0.2, 0.1, 0.6];
        assert!((t_test(&differences) - 0.058_321_711_731_645).abs() < 1e-9, "{}", t_test(&differences));
        // All 256 flips can be counted.
        let exact = exact_randomisation(&differences);
        assert!((randomisation(&differences, 200_000, 1) - exact).abs() < 0.005);
    }

    fn exact_randomisation(differences: &[f64]) -> f64 {
        let n = differences.len();
        let sum = |flips: u32| -> f64 {
            differences.iter().enumerate().map(|(i, d)| if flips >> i & 1 == 1 { *d } else { -*d }).sum()
        };
        let observed = differences.iter().sum::<f64>().abs();
        (0..1u32 << n).filter(|flips| sum(*flips).abs() >= observed - 1e-9).count() as f64 / f64::from(1u32 << n)
    }

    #[test]
    fn no_difference_gives_no_evidence() {
        assert_eq!(t_test(&[0.0; 10]), 1.0);
        assert_eq!(randomisation(&[], 100, 1), 1.0);
    }
}
