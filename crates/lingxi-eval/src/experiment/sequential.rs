//! Intervals that hold however often one looks.
//!
//! A difference with its variance V and the number of shoppers t come in, an interval goes out that holds the truth at
//! all times at once with probability 1 - alpha: the asymptotic confidence sequence of Waudby-Smith et al. (arXiv
//! 2103.06476, Gaussian mixture), a normal mixture as in the mixture SPRT (Johari et al., arXiv 1512.04922):
//!
//! half width = sqrt(V (t r + 1) / (t r) * 2 ln(sqrt(t r + 1) / alpha)), where r (their rho squared) decides at which t
//! the interval is tightest: r = (-2 ln alpha + ln(-2 ln alpha) + 1) / t.
//!
//! The theorem is about many shoppers; while an arm has fewer than [`Sequential::first`] nothing is said.

use super::difference::Difference;
use serde::{Deserialize, Serialize};

/// How intervals are made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequential {
    /// Risk that the interval ever misses the truth.
    pub alpha: f64,
    /// Shoppers of both arms at which the interval should be tightest.
    pub tightest: f64,
    /// Shoppers that each arm must have before anything is said.
    pub first: u64,
}

impl Default for Sequential {
    fn default() -> Self {
        Sequential { alpha: 0.05, tightest: 10_000.0, first: 200 }
    }
}

impl Sequential {
    /// Half the width of the interval of a difference of `variance` among `shoppers` of both arms.
    pub fn half(&self, variance: f64, shoppers: f64) -> f64 {
        let log = -2.0 * self.alpha.ln();
        let grown = shoppers * (log + log.ln() + 1.0) / self.tightest;
        (variance * (grown + 1.0) / grown * 2.0 * ((grown + 1.0).sqrt() / self.alpha).ln()).sqrt()
    }

    /// The interval now; without bounds while an arm is too small to speak.
    pub fn interval(&self, difference: &Difference, arm: u64, control: u64) -> Option<[f64; 2]> {
        if arm.min(control) < self.first || difference.variance <= 0.0 {
            return None;
        }
        let half = self.half(difference.variance, (arm + control) as f64);
        Some([difference.value - half, difference.value + half])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_always_costs_a_wider_interval_that_still_shrinks() {
        let sequential = Sequential::default();
        let half = |t: f64| sequential.half(4.0 / t, t);
        let fixed = |t: f64| 1.96 * (4.0 / t).sqrt();
        for t in [500.0, 10_000.0, 1e6] {
            assert!(half(t) > 1.3 * fixed(t) && half(t) < 2.5 * fixed(t), "{t}: {} {}", half(t), fixed(t));
            assert!(half(2.0 * t) < half(t));
        }
    }

    #[test]
    fn it_is_tightest_where_it_was_asked_to_be() {
        let at = |tightest: f64| Sequential { tightest, ..Sequential::default() }.half(4.0 / 10_000.0, 10_000.0);
        assert!(at(10_000.0) < at(2_000.0) && at(10_000.0) < at(50_000.0));
    }

    #[test]
    fn a_small_arm_says_nothing() {
        let difference = Difference { value: 3.0, variance: 0.1 };
        assert_eq!(Sequential::default().interval(&difference, 199, 5000), None);
        assert!(Sequential::default().interval(&difference, 200, 5000).is_some());
    }
}
