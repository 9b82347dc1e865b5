//! Which threshold, which shrinkage?
//!
//! Candidates come in, the index of one goes out. [`slope`] is the rule of Su, Srinath and Krishnamurthy (arXiv
//! 2002.07729) with the constant of Tucker and Lee (2021): from the widest interval to the narrowest, go on as long as
//! each estimate agrees with all wider ones within their widths. [`bias_bound`] is what Su et al. (arXiv 1907.09623)
//! minimise together with the variance.

use super::terms::{Columns, Terms, mean, variance};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Thresholds and shrinkages that are tried, as in the published runs on Open Bandit.
pub const CANDIDATES: [f64; 8] = [10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0, 10_000.0, f64::INFINITY];

/// Risk with which a width or a bias may be underestimated.
pub const DELTA: f64 = 0.1;

/// The index that SLOPE chooses; candidates should become less biased in some order, which need not be given.
pub fn slope(candidates: &[Terms], delta: f64) -> usize {
    let estimates: Vec<(f64, f64)> = candidates.iter().map(|terms| (terms.value(), width(terms, delta))).collect();
    let mut order: Vec<usize> = (0..estimates.len()).collect();
    // Widest first; of equal ones the later first.
    order.sort_by(|&a, &b| estimates[b].1.total_cmp(&estimates[a].1).then(b.cmp(&a)));
    let constant = 6f64.sqrt() - 1.0;
    let mut last = order[0];
    for (rank, &i) in order.iter().enumerate() {
        let (value, own) = estimates[i];
        let agrees = |&j: &usize| (estimates[j].0 - value).abs() <= own + constant * estimates[j].1;
        if !order[..rank].iter().all(agrees) {
            break;
        }
        last = i;
    }
    last
}

/// Half of a one-sided Student's t interval.
fn width(terms: &Terms, delta: f64) -> f64 {
    let influences = terms.influences();
    let n = influences.len() as f64;
    let quantile = StudentsT::new(0.0, 1.0, n - 1.0).map_or(f64::NAN, |t| t.inverse_cdf(1.0 - delta));
    (variance(&influences) / (n - 1.0)).sqrt() * quantile
}

/// An upper bound, at risk `delta`, of the bias that comes from weights `changed` (clipped, shrunk) instead of the true
/// ones: Bernstein's inequality around the mean of (w - changed) (r - q).
pub fn bias_bound(columns: &Columns, changed: impl Fn(f64) -> f64, delta: f64) -> f64 {
    let n = columns.weight.len() as f64;
    let lost: Vec<f64> = columns.weight.iter().zip(columns.residuals()).map(|(w, e)| (w - changed(*w)) * e).collect();
    let squares: Vec<f64> = columns.weight.iter().map(|w| w * w).collect();
    let largest = columns.weight.iter().copied().fold(0.0, f64::max);
    let log = (2.0 / delta).ln();
    mean(&lost).abs() + (2.0 * mean(&squares) * log / n).sqrt() + 2.0 * largest * log / (3.0 * n)
}

/// Variance of the estimate plus the square of a bound of its bias.
pub fn mse_bound(columns: &Columns, terms: &Terms, changed: impl Fn(f64) -> f64, delta: f64) -> f64 {
    variance(&terms.influences()) / columns.weight.len() as f64 + bias_bound(columns, changed, delta).powi(2)
}
