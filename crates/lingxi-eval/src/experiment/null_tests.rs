//! Is the promised risk held, however often one looks?
//!
//! Simulated A/A tests come out of a seed: both arms do the same, shoppers come one by one, and after each of them
//! somebody looks. Counted is in how many tests a difference was ever called: by the always-valid interval, with and
//! without CUPED, and, to show why that is needed, by looking again and again at an interval that is meant for one
//! look. Shoppers are dealt by the real hash, their metric is either a rate (bought or not) or money (mostly 0,
//! otherwise log-normal).

use super::assign::{Arm, Experiment};
use super::difference::{difference, theta};
use super::sequential::Sequential;
use super::totals::ArmTotals;
use crate::ope::synthetic::{normal, stream};
use crate::{EvalError, Result};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The tests to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NullTests {
    /// Tests.
    pub runs: usize,
    /// Shoppers of each.
    pub users: usize,
    /// Risk that is promised.
    pub alpha: f64,
    /// Seed of all of them.
    pub seed: u64,
}

/// Metrics that are simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// One shopper in ten buys.
    Rate,
    /// What the shopper spends.
    Money,
}

/// In how many tests a difference was called.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Called {
    /// The metric.
    pub metric: Measured,
    /// Tests.
    pub runs: usize,
    /// By the always-valid interval, at any look.
    pub always_valid: usize,
    /// The same with CUPED.
    pub always_valid_cuped: usize,
    /// By an interval for one look, at its one look at the end.
    pub one_look: usize,
    /// By the same interval at any look: what peeking does.
    pub peeked: usize,
    /// Tests whose arms were called of wrong size, at the end.
    pub ratio: usize,
}

/// Simulates the tests; `done` is told of each that ended, from many threads.
///
/// # Errors
/// [`EvalError::Config`] without a test, with too few shoppers, or with a risk outside (0, 1).
pub fn run(tests: &NullTests, metric: Measured, done: &(dyn Fn() + Sync)) -> Result<Called> {
    let first = Sequential::default().first;
    if tests.runs == 0 || (tests.users as u64) < 4 * first || !(tests.alpha > 0.0 && tests.alpha < 1.0) {
        let got = format!("{} tests of {} shoppers, alpha {}", tests.runs, tests.users, tests.alpha);
        return Err(EvalError::Config { field: "A/A tests", expected: "a test, 800 shoppers, alpha in 0 to 1", got });
    }
    let outcomes: Vec<[bool; 5]> =
        (0..tests.runs).into_par_iter().map(|run| (one(tests, metric, run as u64), done()).0).collect();
    let count = |i: usize| outcomes.iter().filter(|called| called[i]).count();
    Ok(Called {
        metric,
        runs: tests.runs,
        always_valid: count(0),
        always_valid_cuped: count(1),
        one_look: count(2),
        peeked: count(3),
        ratio: count(4),
    })
}

/// One test: what was ever called, in the order of [`Called`].
fn one(tests: &NullTests, metric: Measured, run: u64) -> [bool; 5] {
    let arm = |name: &str| Arm { name: name.into(), weight: 1.0 };
    let (layer, name) = ("null".to_owned(), format!("null {} {run}", tests.seed));
    let experiment = Experiment { name, layer, part: [0.0, 1.0], arms: vec![arm("a"), arm("also a")] };
    let sequential = Sequential { alpha: tests.alpha, tightest: tests.users as f64, ..Sequential::default() };
    let quantile = -super::difference::Difference { value: 0.0, variance: 1.0 }.fixed(tests.alpha)[0];
    let mut rng = stream(tests.seed, run + 1);
    let mut arms = [ArmTotals::default(); 2];
    let mut called = [false; 5];
    for user in 0..tests.users {
        let before = normal(&mut rng);
        let value = value(metric, before, &mut rng);
        let dealt = experiment.arm(&format!("shopper {user}")).unwrap_or(0);
        arms[dealt].add(value, before);
        let [control, treated] = &arms;
        let plain = difference(treated, control, 0.0);
        let cuped = difference(treated, control, theta(&[control, treated]));
        let beyond = |interval: Option<[f64; 2]>| interval.is_some_and(|[low, high]| low > 0.0 || high < 0.0);
        called[0] |= beyond(sequential.interval(&plain, treated.n, control.n));
        called[1] |= beyond(sequential.interval(&cuped, treated.n, control.n));
        called[2] = plain.value.abs() > quantile * plain.variance.sqrt();
        called[3] |= called[2] && treated.n.min(control.n) >= sequential.first;
    }
    let counts = [arms[0].n, arms[1].n];
    called[4] = super::ratio::check(&counts, &[0.5, 0.5], super::ratio::ALPHA).is_ok_and(|check| !check.sound);
    called
}

/// What a shopper with this past does.
fn value(metric: Measured, before: f64, rng: &mut rand_chacha::ChaCha8Rng) -> f64 {
    let buys = rng.random::<f64>() < 0.1 * (0.5 * before).exp() / 1.133;
    match metric {
        Measured::Rate => f64::from(u8::from(buys)),
        Measured::Money if buys => (3.0 + 0.3 * before + 0.8 * normal(rng)).exp(),
        Measured::Money => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_always_holds_the_risk_and_peeking_does_not() {
        let tests = NullTests { runs: 200, users: 3000, alpha: 0.05, seed: 1 };
        let called = run(&tests, Measured::Rate, &|| ()).unwrap();
        // 10 are promised at most; 20 would happen once in 500 tries at exactly that risk.
        assert!(called.always_valid <= 20 && called.always_valid_cuped <= 20, "{called:?}");
        assert!(called.peeked >= 40 && called.one_look <= 20 && called.ratio <= 2, "{called:?}");
    }

    #[test]
    fn tests_that_say_nothing_are_refused() {
        let tests = NullTests { runs: 0, users: 3000, alpha: 0.05, seed: 1 };
        assert!(run(&tests, Measured::Rate, &|| ()).is_err());
    }
}
