//! How many shoppers, how many days?
//!
//! What the metric is like and which lift matters come in, numbers of shoppers and days go out, for one look at the end
//! and for looking always. N = (z(1 - alpha / 2) + z(power))^2 s^2 (1 - c^2) (1 / p + 1 / (1 - p)) / d^2, where s is
//! the metric's deviation, c its correlation with its past (CUPED), p the part in the tested arm and d the difference;
//! looking always needs the N at which half the always-valid interval and z(power) standard errors fit into d.

use super::difference::standard;
use super::sequential::Sequential;
use crate::{EvalError, Result};
use serde::{Deserialize, Serialize};
use statrs::distribution::ContinuousCDF;

/// What is known before the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanConfig {
    /// Mean of the metric without the change.
    pub mean: f64,
    /// Its standard deviation.
    pub deviation: f64,
    /// The smallest lift worth finding, as a part of the mean.
    pub lift: f64,
    /// Shoppers a day that take part.
    pub daily: f64,
    /// Part of those in the tested arm.
    pub treated: f64,
    /// Correlation of the metric with its past.
    pub correlation: f64,
    /// Risk of calling a difference where there is none.
    pub alpha: f64,
    /// Chance of finding a lift that is there.
    pub power: f64,
}

/// How long it takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What it was made for.
    pub config: PlanConfig,
    /// With one look at the end.
    pub one_look: Effort,
    /// Looking always.
    pub always: Effort,
    /// Smallest lift that is found after so many days, with one look and looking always.
    pub after_days: Vec<[f64; 3]>,
}

/// Shoppers of all arms, and whole days.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effort {
    /// Shoppers of both arms.
    pub shoppers: u64,
    /// Days that it takes, at least one.
    pub days: u64,
}

/// Plans a test.
///
/// # Errors
/// [`EvalError::Config`] names a number outside its range.
pub fn plan(config: &PlanConfig) -> Result<Plan> {
    check(config)?;
    let effort =
        |shoppers: f64| Effort { shoppers: shoppers.ceil() as u64, days: (shoppers / config.daily).ceil() as u64 };
    let wanted = (config.lift * config.mean).abs();
    let found = |days: f64| {
        let shoppers = days * config.daily;
        [days, one_look(config, shoppers) / config.mean.abs(), always(config, shoppers) / config.mean.abs()]
    };
    Ok(Plan {
        config: *config,
        one_look: effort(shoppers_for(wanted, |n| one_look(config, n))),
        always: effort(shoppers_for(wanted, |n| always(config, n))),
        after_days: [7.0, 14.0, 28.0].map(found).to_vec(),
    })
}

fn check(config: &PlanConfig) -> Result<()> {
    let within = |x: f64| x > 0.0 && x < 1.0;
    let rules: [(&'static str, &'static str, f64, bool); 8] = [
        ("mean", "a number other than 0", config.mean, config.mean != 0.0 && config.mean.is_finite()),
        ("deviation", "above 0", config.deviation, config.deviation > 0.0 && config.deviation.is_finite()),
        ("lift", "a number other than 0", config.lift, config.lift != 0.0 && config.lift.is_finite()),
        ("daily", "above 0", config.daily, config.daily > 0.0 && config.daily.is_finite()),
        ("treated", "between 0 and 1", config.treated, within(config.treated)),
        ("correlation", "within -1 and 1", config.correlation, config.correlation.abs() < 1.0),
        ("alpha", "between 0 and 1", config.alpha, within(config.alpha)),
        ("power", "between 0 and 1", config.power, within(config.power)),
    ];
    match rules.into_iter().find(|(.., holds)| !holds) {
        Some((field, expected, got, _)) => Err(EvalError::Config { field, expected, got: got.to_string() }),
        None => Ok(()),
    }
}

fn variance(config: &PlanConfig, shoppers: f64) -> f64 {
    let arms = 1.0 / config.treated + 1.0 / (1.0 - config.treated);
    config.deviation.powi(2) * (1.0 - config.correlation.powi(2)) * arms / shoppers
}

/// The smallest difference that one look finds.
fn one_look(config: &PlanConfig, shoppers: f64) -> f64 {
    let z = standard().inverse_cdf(1.0 - config.alpha / 2.0) + standard().inverse_cdf(config.power);
    z * variance(config, shoppers).sqrt()
}

/// The smallest difference that is found by then looking always.
fn always(config: &PlanConfig, shoppers: f64) -> f64 {
    let sequential = Sequential { alpha: config.alpha, tightest: shoppers, ..Sequential::default() };
    let variance = variance(config, shoppers);
    sequential.half(variance, shoppers) + standard().inverse_cdf(config.power) * variance.sqrt()
}

/// The fewest shoppers with which `found` is no more than `wanted`; it falls with their number.
fn shoppers_for(wanted: f64, found: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (1.0, 1e15);
    while high / low > 1.0 + 1e-9 {
        let middle = f64::sqrt(low * high);
        if found(middle) <= wanted { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PlanConfig {
        let deviation = (0.05f64 * 0.95).sqrt();
        let (mean, lift, daily, treated, correlation) = (0.05, 0.1, 2000.0, 0.5, 0.0);
        PlanConfig { mean, deviation, lift, daily, treated, correlation, alpha: 0.05, power: 0.8 }
    }

    #[test]
    fn one_look_needs_what_the_textbook_says() {
        // (1.959964 + 0.841621)^2 * 0.0475 * 4 / 0.005^2 = 59,652
        let plan = plan(&config()).unwrap();
        assert!((plan.one_look.shoppers as i64 - 59_652).abs() <= 2, "{plan:?}");
        assert_eq!(plan.one_look.days, 30);
        assert!(plan.always.shoppers > plan.one_look.shoppers && plan.always.shoppers < 3 * plan.one_look.shoppers);
    }

    #[test]
    fn a_past_that_explains_three_quarters_needs_a_quarter_of_the_shoppers() {
        let shoppers = |correlation| plan(&PlanConfig { correlation, ..config() }).unwrap().one_look.shoppers as f64;
        assert!((shoppers(0.75f64.sqrt()) / shoppers(0.0) - 0.25).abs() < 1e-3);
    }

    #[test]
    fn a_number_outside_its_range_is_named() {
        let error = plan(&PlanConfig { power: 1.0, ..config() }).unwrap_err().to_string();
        assert!(error.contains("power") && error.contains("got 1"), "{error}");
    }
}
