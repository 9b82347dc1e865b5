//! Must an arm be stopped?
//!
//! The always-valid interval of an arm's difference comes in, a verdict goes out. As the interval holds however often
//! one looks, a program may ask after every shopper and stop an arm by itself, and stops a harmless one at most with
//! the risk alpha.

use super::ratio::RatioCheck;
use serde::{Deserialize, Serialize};

/// What must not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// The loss, as a part of the control's mean, that is tolerated: an arm that surely loses more is stopped.
    pub tolerated: f64,
}

/// What is to be done with an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// It surely wins: go on if you like, the answer is known.
    Better,
    /// It surely loses more than is tolerated: take its shoppers back to the control.
    Stop {
        /// In words.
        why: String,
    },
    /// The arms do not have the sizes that they should: stop all, find the fault.
    Broken {
        /// In words.
        why: String,
    },
}

/// The verdict over an arm. `interval`: of its difference from the control, whose mean is `control`.
pub fn judge(interval: Option<[f64; 2]>, control: f64, ratio: &RatioCheck, guardrail: &Guardrail) -> Verdict {
    if !ratio.sound {
        let why = format!(
            "arms of {:?} shoppers where shares {:.3?} were meant (p = {:.1e}): shoppers are lost or counted twice",
            ratio.counts, ratio.shares, ratio.p_value
        );
        return Verdict::Broken { why };
    }
    let bar = -guardrail.tolerated * control.abs();
    match interval {
        Some([_, high]) if high < bar => {
            let why = format!("its difference is surely below {high:.6}, and {bar:.6} is tolerated");
            Verdict::Stop { why }
        }
        Some([low, _]) if low > 0.0 => Verdict::Better,
        _ => Verdict::Continue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::ratio;

    #[test]
    fn an_arm_is_stopped_when_its_whole_interval_is_below_what_is_tolerated() {
        let sound = ratio::check(&[1000, 1000], &[0.5, 0.5], ratio::ALPHA).unwrap();
        let guardrail = Guardrail { tolerated: 0.02 };
        let verdict = |interval| judge(interval, 1.0, &sound, &guardrail);
        assert!(matches!(verdict(Some([-0.1, -0.03])), Verdict::Stop { .. }));
        assert_eq!(verdict(Some([-0.1, -0.01])), Verdict::Continue);
        assert_eq!(verdict(Some([0.01, 0.2])), Verdict::Better);
        assert_eq!(verdict(None), Verdict::Continue);
    }

    #[test]
    fn arms_of_wrong_sizes_make_every_other_verdict_void() {
        let broken = ratio::check(&[1000, 1200], &[0.5, 0.5], ratio::ALPHA).unwrap();
        let verdict = judge(Some([0.1, 0.2]), 1.0, &broken, &Guardrail::default());
        assert!(matches!(verdict, Verdict::Broken { .. }), "{verdict:?}");
    }
}
