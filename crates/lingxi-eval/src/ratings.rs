//! How far are predicted ratings from the true ones?

use crate::{EvalConfig, EvalError, Report, Result, interval};
use std::collections::BTreeMap;

/// Mean absolute error (`mae`) and root mean square error (`rmse`) of `predicted` against `truth`, one pair per held-out
/// rating, with their bootstrap intervals over pairs.
///
/// # Errors
/// [`EvalError::Length`] if the columns differ in length, [`EvalError::Nothing`] if they are empty,
/// [`EvalError::Config`] if the settings name no protocol.
pub fn rating_errors(model: &str, predicted: &[f32], truth: &[f32], config: &EvalConfig) -> Result<Report> {
    if predicted.len() != truth.len() {
        return Err(EvalError::Length { what: "predicted ratings", expected: truth.len(), got: predicted.len() });
    }
    if truth.is_empty() {
        return Err(EvalError::Nothing { what: format!("ratings by {model}") });
    }
    config.validate()?;
    let errors = predicted.iter().zip(truth).map(|(p, t)| f64::from(*p) - f64::from(*t));
    let values: Vec<f64> = errors.flat_map(|e| [e.abs(), e * e]).collect();
    let mean = interval::means(&values, 2);
    let bounds = interval::bootstrap(&values, 2, config.resamples, config.confidence, config.seed);
    Ok(Report {
        model: model.into(),
        split: config.split.clone(),
        protocol: format!("{}, held-out ratings", config.protocol),
        seed: config.seed,
        cases: truth.len(),
        metrics: BTreeMap::from([("mae".into(), mean[0]), ("rmse".into(), mean[1].sqrt())]),
        interval: BTreeMap::from([("mae".into(), bounds[0]), ("rmse".into(), bounds[1].map(f64::sqrt))]),
        ..Report::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_those_done_by_hand_and_a_short_column_is_refused() {
        let config = EvalConfig { protocol: "by ratio".into(), ..EvalConfig::default() };
        let report = rating_errors("mean", &[1.0, 2.0, 5.0], &[2.0, 2.0, 3.0], &config).unwrap();
        assert!((report.metrics["mae"] - 1.0).abs() < 1e-12);
        assert!((report.metrics["rmse"] - (5.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!(rating_errors("mean", &[1.0], &[], &config).is_err());
    }
}
