//! Have the arms the sizes that they should have?
//!
//! Counts and meant shares come in, Pearson's chi-square test goes out. A mismatch says that shoppers were lost or
//! counted twice in one arm, and then nothing else about the test can be believed (Fabijan et al., KDD 2019).
//!
//! That test is for one look. Who looks always asks [`check_always`]: the multinomial test of Lindon and Malek (arXiv
//! 2011.03567) holds its risk over all looks at once. Against the meant shares s it puts the Dirichlet mixture around
//! them, whose likelihood ratio is a martingale if all is well:
//! R = G(c) / G(c + n) * prod G(c s_i + n_i) / (G(c s_i) s_i^n_i), and R passes 1 / a with chance a at most.

use crate::{EvalError, Result};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};
use statrs::function::gamma::ln_gamma;

/// The usual bar: a sound test is called broken once in a thousand.
pub const ALPHA: f64 = 0.001;

/// How close around the meant shares the mixture lies: as if so many shoppers had been seen.
const CLOSENESS: f64 = 1000.0;

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

/// As [`check`], with a p-value that holds however often one looks.
///
/// # Errors
/// As [`check`].
pub fn check_always(counts: &[u64], shares: &[f64], alpha: f64) -> Result<RatioCheck> {
    let once = check(counts, shares, alpha)?;
    let n = once.counts.iter().sum::<u64>() as f64;
    let term = |(count, share): (&u64, &f64)| {
        let (count, prior) = (*count as f64, CLOSENESS * share);
        ln_gamma(prior + count) - ln_gamma(prior) - count * share.ln()
    };
    let log: f64 = once.counts.iter().zip(&once.shares).map(term).sum();
    let p_value = (ln_gamma(CLOSENESS + n) - ln_gamma(CLOSENESS) - log).exp().min(1.0);
    Ok(RatioCheck { p_value, sound: p_value >= alpha, ..once })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ope::synthetic::stream;
    use rand::RngExt;

    #[test]
    fn who_looks_after_every_shopper_calls_a_sound_test_broken_as_seldom_as_promised_and_a_broken_one_soon() {
        let runs = |lost: f64| {
            let broken_at = |seed: u64| {
                let (mut rng, mut counts) = (stream(seed, 5), [0u64; 2]);
                (0..20_000u64).find(|_| {
                    let arm = usize::from(rng.random::<f64>() < 0.5);
                    counts[arm] += u64::from(arm == 0 || rng.random::<f64>() >= lost);
                    !check_always(&counts, &[1.0, 1.0], 0.05).expect("two arms").sound
                })
            };
            (0..200).filter_map(broken_at).collect::<Vec<u64>>()
        };
        // Of 200 at a risk of 5%, 10 are expected at most; 19 would be three deviations more.
        let sound = runs(0.0);
        assert!(sound.len() < 19, "{}", sound.len());
        let broken = runs(0.1);
        assert!(broken.len() == 200 && broken.iter().all(|at| *at < 20_000), "{broken:?}");
    }

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
