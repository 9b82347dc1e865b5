//! How do two arms differ?
//!
//! The totals of an arm and of the control come in, the difference of their means and its variance go out, plain or
//! with CUPED (Deng et al., WSDM 2013): from each value is taken what the shopper's past foretells, theta (x - mean x)
//! with theta = cov(y, x) / var(x) pooled within arms. The expected difference stays, the variance falls by the squared
//! correlation.

use super::totals::ArmTotals;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// A difference of means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Mean of the arm less mean of the control.
    pub value: f64,
    /// Its variance.
    pub variance: f64,
}

/// How much of each value its past explains; 0 without a past.
pub fn theta(arms: &[&ArmTotals]) -> f64 {
    let past: f64 = arms.iter().map(|arm| arm.squares_before).sum();
    let joint: f64 = arms.iter().map(|arm| arm.products).sum();
    if past > 0.0 { joint / past } else { 0.0 }
}

/// The difference with what the past explains taken off; `theta` 0 is the plain one.
pub fn difference(arm: &ArmTotals, control: &ArmTotals, theta: f64) -> Difference {
    let variance = |of: &ArmTotals| {
        let squares = of.squares - 2.0 * theta * of.products + theta * theta * of.squares_before;
        squares.max(0.0) / (of.n as f64 - 1.0).max(1.0) / of.n as f64
    };
    let value = (arm.mean - control.mean) - theta * (arm.before - control.before);
    Difference { value, variance: variance(arm) + variance(control) }
}

impl Difference {
    /// The interval of one look that was planned beforehand.
    pub fn fixed(&self, alpha: f64) -> [f64; 2] {
        let half = standard().inverse_cdf(1.0 - alpha / 2.0) * self.variance.sqrt();
        [self.value - half, self.value + half]
    }

    /// The two-sided p-value of one look that was planned beforehand; 1 where nothing varies and nothing differs.
    pub fn p_value(&self) -> f64 {
        if self.variance > 0.0 {
            2.0 * standard().cdf(-self.value.abs() / self.variance.sqrt())
        } else {
            f64::from(u8::from(self.value == 0.0))
        }
    }
}

pub(crate) fn standard() -> Normal {
    Normal::new(0.0, 1.0).expect("a standard normal distribution exists")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(rows: &[(f64, f64)]) -> ArmTotals {
        rows.iter().fold(ArmTotals::default(), |mut totals, (y, x)| (totals.add(*y, *x), totals).1)
    }

    #[test]
    fn a_past_that_explains_all_leaves_the_effect_alone() {
        let past = [1.0, 5.0, 2.0, 8.0, 4.0, 9.0];
        let control = arm(&past.map(|x| (2.0 * x, x)));
        let treated = arm(&past.map(|x| (2.0 * (x + 3.0) + 0.5, x + 3.0)));
        let theta = theta(&[&control, &treated]);
        assert!((theta - 2.0).abs() < 1e-12);
        let cuped = difference(&treated, &control, theta);
        assert!((cuped.value - 0.5).abs() < 1e-9 && cuped.variance < 1e-12, "{cuped:?}");
        assert!((difference(&treated, &control, 0.0).value - 6.5).abs() < 1e-9);
    }

    #[test]
    fn a_past_that_is_not_known_changes_nothing() {
        let (a, b) = (arm(&[(1.0, 0.0), (3.0, 0.0)]), arm(&[(2.0, 0.0), (2.5, 0.0)]));
        assert_eq!(theta(&[&a, &b]), 0.0);
        assert!(difference(&a, &b, 0.0).p_value() > 0.5);
    }
}
