//! Have the arms the sizes that they should have?
//!
//! Counts and meant shares come in, Pearson's chi-square test goes out. A mismatch says that shoppers were lost or
//! counted twice in one arm, and then nothing else about the test can be believed (Fabijan et al., KDD 2019).

use crate::{EvalError, Result};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// The usual bar: a sound test is called broken once in a thousand.
pub const ALPHA: f64 = 0.001;

/// What the counts say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatioCheck {
    /// Shoppers of each arm.
    pub counts: Vec<u64>,
    /// Shares that were meant, adding up to 1.
    pub shares: Vec<f64>,
    /// Pearson's statistic.
    pub chi_square: f64,
    /// Chance of counts at least as far off, if all is well.
    pub p_value: f64,
    /// Whether the p-value is not below the bar.
    pub sound: bool,
}

/// Tests `counts` against `shares`.
///
/// # Errors
/// Fewer than two arms, shares that are not above 0, or a different number of both.
pub fn check(counts: &[u64], shares: &[f64], alpha: f64) -> Result<RatioCheck> {
    if counts.len() != shares.len() {
        return Err(EvalError::Length { what: "meant shares", expected: counts.len(), got: shares.len() });
    }
    if counts.len() < 2 || shares.iter().any(|share| !(*share > 0.0 && share.is_finite())) {
        let (field, expected, got) = ("shares", "one above 0 for each of two or more arms", format!("{shares:?}"));
        return Err(EvalError::Config { field, expected, got });
    }
    let (n, total) = (counts.iter().sum::<u64>() as f64, shares.iter().sum::<f64>());
    let shares: Vec<f64> = shares.iter().map(|share| share / total).collect();
    let term = |(count, share): (&u64, &f64)| (*count as f64 - n * share).powi(2) / (n * share).max(f64::MIN_POSITIVE);
    let chi_square: f64 = counts.iter().zip(&shares).map(term).sum();
    let p_value = ChiSquared::new(counts.len() as f64 - 1.0).map_or(f64::NAN, |chi| chi.sf(chi_square));
    Ok(RatioCheck { counts: counts.to_vec(), shares, chi_square, p_value, sound: p_value >= alpha })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_p_value_is_that_of_scipy() {
        // scipy.stats.chisquare([821588, 815482], [818535, 818535]): the example of Fabijan et al.
        let check = check(&[821_588, 815_482], &[0.5, 0.5], ALPHA).unwrap();
        assert!((check.chi_square - 22.774_369).abs() < 1e-4, "{check:?}");
        assert!((check.p_value - 1.8218e-6).abs() < 1e-9 && !check.sound, "{check:?}");
    }

    #[test]
    fn counts_as_meant_are_sound_and_shares_that_make_no_sense_are_refused() {
        assert!(check(&[500, 1010], &[1.0, 2.0], ALPHA).unwrap().sound);
        assert!(check(&[0, 0], &[1.0, 1.0], ALPHA).unwrap().sound);
        assert!(check(&[5, 5], &[1.0, 0.0], ALPHA).is_err() && check(&[5], &[1.0], ALPHA).is_err());
        assert!(check(&[5, 5], &[1.0], ALPHA).is_err());
    }
}
