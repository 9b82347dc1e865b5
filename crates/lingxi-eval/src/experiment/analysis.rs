//! What does an experiment say now?
//!
//! Named totals come in, one [`Analysis`] goes out: sizes, means, every arm's difference from the control with an
//! always-valid and a one-look interval, with CUPED where a past is known, and the verdict of the guardrail. With
//! several arms the risk alpha is divided among them (Bonferroni).

use super::difference::{Difference, difference, theta};
use super::guard::{Guardrail, Verdict, judge};
use super::ratio::{self, RatioCheck};
use super::sequential::Sequential;
use super::totals::ArmTotals;
use crate::{EvalError, Result};
use serde::{Deserialize, Serialize};

/// How an experiment is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalysisConfig {
    /// Intervals; alpha is the risk of the whole experiment.
    pub sequential: Sequential,
    /// What must not happen.
    pub guardrail: Guardrail,
}

/// An arm and what it is so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedArm {
    /// Its name.
    pub arm: String,
    /// Share of the shoppers that was meant for it.
    pub share: f64,
    /// What it is so far.
    pub totals: ArmTotals,
}

/// An arm beside the control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The arm.
    pub arm: String,
    /// Mean of the arm less mean of the control, with CUPED where a past is known.
    pub difference: f64,
    /// The same as a part of the control's mean; absent if that is 0.
    pub lift: Option<f64>,
    /// Holds however often one looks; absent while an arm is too small.
    pub always_valid: Option<[f64; 2]>,
    /// Holds if this is the one look that was planned.
    pub one_look: [f64; 2],
    /// Two-sided, of that one look.
    pub p_value: f64,
    /// Without CUPED.
    pub plain_difference: f64,
    /// The part of the variance that CUPED took away.
    pub variance_saved: f64,
    /// What is to be done.
    pub verdict: Verdict,
}

/// What an experiment says now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// The risk of the whole experiment.
    pub alpha: f64,
    /// The arms; the first is the control.
    pub arms: Vec<NamedArm>,
    /// Whether they have the sizes that they should.
    pub ratio: RatioCheck,
    /// Each other arm beside the control.
    pub comparisons: Vec<Comparison>,
}

/// Judges an experiment; the first arm is the control.
///
/// # Errors
/// Fewer than two arms, an arm with fewer than two shoppers, shares or risks that make no sense.
pub fn analyse(arms: &[NamedArm], config: &AnalysisConfig) -> Result<Analysis> {
    let alpha = config.sequential.alpha;
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(EvalError::Config { field: "alpha", expected: "between 0 and 1", got: alpha.to_string() });
    }
    if let Some(small) = arms.iter().find(|arm| arm.totals.n < 2) {
        return Err(EvalError::TooLittle {
            what: "experiment",
            expected: "two shoppers in every arm".into(),
            got: format!("{} in {}", small.totals.n, small.arm),
            remedy: "check the names of the arms, or wait",
        });
    }
    let counts: Vec<u64> = arms.iter().map(|arm| arm.totals.n).collect();
    let shares: Vec<f64> = arms.iter().map(|arm| arm.share).collect();
    let ratio = ratio::check(&counts, &shares, ratio::ALPHA)?;
    let all: Vec<&ArmTotals> = arms.iter().map(|arm| &arm.totals).collect();
    let theta = theta(&all);
    let own = Sequential { alpha: alpha / (arms.len() - 1) as f64, ..config.sequential };
    let control = &arms[0].totals;
    let compare = |arm: &NamedArm| {
        let (plain, cuped) = (difference(&arm.totals, control, 0.0), difference(&arm.totals, control, theta));
        comparison(arm, control, plain, cuped, &own, &ratio, &config.guardrail)
    };
    let comparisons = arms[1..].iter().map(compare).collect();
    Ok(Analysis { alpha, arms: arms.to_vec(), ratio, comparisons })
}

fn comparison(
    arm: &NamedArm,
    control: &ArmTotals,
    plain: Difference,
    cuped: Difference,
    sequential: &Sequential,
    ratio: &RatioCheck,
    guardrail: &Guardrail,
) -> Comparison {
    let always_valid = sequential.interval(&cuped, arm.totals.n, control.n);
    Comparison {
        arm: arm.arm.clone(),
        difference: cuped.value,
        lift: (control.mean != 0.0).then(|| cuped.value / control.mean.abs()),
        always_valid,
        one_look: cuped.fixed(sequential.alpha),
        p_value: cuped.p_value(),
        plain_difference: plain.value,
        variance_saved: if plain.variance > 0.0 { 1.0 - cuped.variance / plain.variance } else { 0.0 },
        verdict: judge(always_valid, control.mean, ratio, guardrail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ope::synthetic::{normal, stream};

    /// An arm whose metric is its past plus noise plus `effect`.
    fn arm(name: &str, n: usize, effect: f64, seed: u64) -> NamedArm {
        let mut rng = stream(seed, 9);
        let mut totals = ArmTotals::default();
        for _ in 0..n {
            let before = normal(&mut rng);
            totals.add(10.0 + before + 0.5 * normal(&mut rng) + effect, before);
        }
        NamedArm { arm: name.into(), share: 0.5, totals }
    }

    #[test]
    fn a_losing_arm_is_stopped_and_a_winning_one_found() {
        let with = |effect: f64| {
            let arms = [arm("control", 3000, 0.0, 1), arm("new", 3000, effect, 2)];
            analyse(&arms, &AnalysisConfig::default()).unwrap().comparisons.remove(0)
        };
        assert!(matches!(with(-0.2).verdict, Verdict::Stop { .. }), "{:?}", with(-0.2));
        assert_eq!(with(0.2).verdict, Verdict::Better);
        let none = with(0.0);
        assert_eq!(none.verdict, Verdict::Continue);
        assert!((none.variance_saved - 0.8).abs() < 0.03, "{none:?}");
    }

    #[test]
    fn an_experiment_without_arms_or_shoppers_is_refused_in_words() {
        let error = |arms: &[NamedArm]| analyse(arms, &AnalysisConfig::default()).unwrap_err().to_string();
        assert!(error(&[arm("a", 100, 0.0, 1), arm("b", 1, 0.0, 2)]).contains("got 1 in b"));
        assert!(error(&[arm("a", 100, 0.0, 1)]).contains("two or more arms"));
        assert!(error(&[]).contains("two or more arms"));
    }
}
