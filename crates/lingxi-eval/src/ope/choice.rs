//! Which estimate is to be believed?
//!
//! Several estimates of one value come in, an estimated mean squared error of each goes out, and the smallest is
//! chosen: a rule that is stated before the numbers are seen. The variance of an estimate is that of its influences.
//! IPS, SNIPS, DR and SNDR come as near to the truth as one likes with enough rounds, so variance is all their error.
//! DM, Switch-DR, DRos and whatever is clipped need not: to their variance is added the squared distance from the
//! consistent estimate that varies least, which overstates their bias rather than hides it.

use super::report::Named;
use super::terms::variance;

/// The rule in words, for reports.
pub const RULE: &str = "the smallest estimated mean squared error: the variance and, unless enough rounds alone would make it \
                        right, the squared distance from the estimate of least variance that they would make right";

/// The estimated mean squared error of each estimate.
pub fn errors(estimates: &[Named]) -> Vec<f64> {
    let variances: Vec<f64> = estimates.iter().map(own_variance).collect();
    let consistent = (0..estimates.len()).filter(|&i| estimates[i].consistent);
    let least = consistent.min_by(|&a, &b| variances[a].total_cmp(&variances[b]));
    let reference = least.map(|i| estimates[i].terms.value());
    let error = |(named, variance): (&Named, &f64)| match reference {
        Some(reference) if !named.consistent => variance + (named.terms.value() - reference).powi(2),
        _ => *variance,
    };
    estimates.iter().zip(&variances).map(error).collect()
}

fn own_variance(named: &Named) -> f64 {
    let influences = named.terms.influences();
    variance(&influences) / (influences.len() as f64 - 1.0)
}

/// The index with the smallest error; of equal ones the first.
pub fn smallest(errors: &[f64]) -> Option<usize> {
    (0..errors.len()).min_by(|&a, &b| errors[a].total_cmp(&errors[b]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ope::Terms;

    fn named(estimator: &'static str, consistent: bool, values: &[f64]) -> Named {
        let terms = Terms { base: values.to_vec(), correction: vec![0.0; values.len()], norm: None };
        Named { estimator, parameter: None, consistent, terms }
    }

    #[test]
    fn a_sure_estimate_is_chosen_only_while_it_is_near_a_consistent_one() {
        let noisy: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        let chosen =
            |sure: f64| smallest(&errors(&[named("dm", false, &vec![sure; 100]), named("dr", true, &noisy)])).unwrap();
        // The consistent estimate is 0.5 with a standard error of 0.05.
        assert_eq!((chosen(0.52), chosen(0.6), chosen(0.4)), (0, 1, 1));
    }
}
