//! Which estimate is to be believed?
//!
//! The terms of several estimators of one value come in, the index of one goes out, by a rule that is stated before the
//! numbers are seen: the smallest estimated mean squared error. The variance of an estimate is that of its influences. Its
//! bias is judged by its distance from a reference that is unbiased by design (DR; IPS without a model; RIPS for slates), of which chance
//! alone explains the variance of the difference: error = variance + max(0, distance^2 - variance of the distance).

use super::terms::{Terms, mean, variance};

/// The rule in words, for reports.
pub const RULE: &str = "smallest estimated mean squared error: variance of the estimate, plus its squared distance from the \
                        unbiased estimate (DR; IPS without a model; RIPS for slates) as far as chance does not explain it";

/// The estimated mean squared error of each candidate, against the one at `reference`.
pub fn errors(candidates: &[&Terms], reference: usize) -> Vec<f64> {
    let unbiased = candidates[reference].influences();
    let error = |terms: &&Terms| {
        let influences = terms.influences();
        let n = influences.len() as f64 - 1.0;
        let apart: Vec<f64> = influences.iter().zip(&unbiased).map(|(x, y)| x - y).collect();
        variance(&influences) / n + (mean(&apart).powi(2) - variance(&apart) / n).max(0.0)
    };
    candidates.iter().map(error).collect()
}

/// The index with the smallest error; of equal ones the first.
pub fn smallest(errors: &[f64]) -> usize {
    (0..errors.len()).min_by(|&a, &b| errors[a].total_cmp(&errors[b])).unwrap_or(0)
}
