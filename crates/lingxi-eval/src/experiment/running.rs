//! An experiment while it runs: what a server holds, shows and saves.
//!
//! Shoppers are dealt, what they did is added, and whenever somebody or something looks, arms that surely lose are
//! stopped: from then on their shoppers get the control and are no longer counted. What a stopped arm said last is
//! kept. All of it is plain data; a server that saves it after each look goes on where it was.

use super::analysis::{Analysis, AnalysisConfig, Comparison, NamedArm, analyse};
use super::assign::Experiment;
use super::guard::Verdict;
use super::totals::ArmTotals;
use crate::Result;
use serde::{Deserialize, Serialize};

/// A running experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    /// What is tried on whom.
    pub experiment: Experiment,
    /// How it is judged.
    pub config: AnalysisConfig,
    /// Each arm so far, in the order of the experiment.
    pub totals: Vec<ArmTotals>,
    /// What stopped arms said when they were stopped; none for those that go on.
    pub stopped: Vec<Option<Comparison>>,
}

impl Running {
    /// Starts an experiment.
    ///
    /// # Errors
    /// An experiment that cannot be run as written.
    pub fn new(experiment: Experiment, config: AnalysisConfig) -> Result<Running> {
        super::assign::check(std::slice::from_ref(&experiment))?;
        let arms = experiment.arms.len();
        Ok(Running { experiment, config, totals: vec![ArmTotals::default(); arms], stopped: vec![None; arms] })
    }

    /// The arm that `user` gets: the control in place of a stopped one, none for those who do not take part.
    pub fn arm(&self, user: &str) -> Option<usize> {
        let dealt = self.experiment.arm(user)?;
        Some(if self.stopped[dealt].is_some() { 0 } else { dealt })
    }

    /// Adds what a shopper did, all of it in one call: the shopper is the unit that was dealt.
    pub fn add(&mut self, user: &str, value: f64, before: f64) {
        let Some(dealt) = self.experiment.arm(user) else { return };
        if self.stopped[dealt].is_none() && value.is_finite() && before.is_finite() {
            self.totals[dealt].add(value, before);
        }
    }

    /// What the arms that go on say now; those that must be stopped are. None if only the control goes on.
    ///
    /// # Errors
    /// Arms that are still too small to be compared.
    pub fn look(&mut self) -> Result<Option<Analysis>> {
        if !self.goes_on() {
            return Ok(None);
        }
        let shares = self.experiment.shares();
        let going: Vec<usize> = (0..self.totals.len()).filter(|&i| self.stopped[i].is_none()).collect();
        let named = |&i: &usize| NamedArm {
            arm: self.experiment.arms[i].name.clone(),
            share: shares[i],
            totals: self.totals[i],
        };
        let arms: Vec<NamedArm> = going.iter().map(named).collect();
        // The risk stays divided as it was at the start, or stopping an arm would change it.
        let tests = (self.totals.len() - 1) as f64;
        let mut config = self.config;
        config.sequential.alpha *= (arms.len() - 1) as f64 / tests;
        let analysis = analyse(&arms, &config)?;
        for (i, comparison) in going[1..].iter().zip(&analysis.comparisons) {
            if matches!(comparison.verdict, Verdict::Stop { .. }) {
                self.stopped[*i] = Some(comparison.clone());
            }
        }
        Ok(Some(analysis))
    }

    /// Whether any arm but the control goes on.
    pub fn goes_on(&self) -> bool {
        self.stopped[1..].iter().any(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Arm;
    use crate::ope::synthetic::{normal, stream};

    fn running() -> Running {
        let arm = |name: &str| Arm { name: name.into(), weight: 1.0 };
        let arms = vec![arm("control"), arm("worse"), arm("same")];
        let experiment = Experiment { name: "e".into(), layer: "l".into(), part: [0.0, 1.0], arms };
        Running::new(experiment, AnalysisConfig::default()).unwrap()
    }

    #[test]
    fn a_losing_arm_is_stopped_by_itself_and_its_shoppers_get_the_control() {
        let mut running = running();
        let mut rng = stream(3, 1);
        for i in 0..20_000 {
            let user = format!("u{i}");
            let loss = if running.arm(&user) == Some(1) { -0.3 } else { 0.0 };
            running.add(&user, 5.0 + normal(&mut rng) + loss, 0.0);
            if i % 50 == 0 && running.totals.iter().all(|arm| arm.n > 1) {
                running.look().unwrap();
            }
        }
        let stopped = running.stopped[1].clone().unwrap();
        assert!(stopped.difference < -0.1 && running.stopped[2].is_none() && running.goes_on(), "{stopped:?}");
        assert!(running.totals[1].n < 5000, "{}", running.totals[1].n);
        let dealt = (0..1000).map(|i| format!("u{i}")).find(|user| running.experiment.arm(user) == Some(1)).unwrap();
        assert_eq!(running.arm(&dealt), Some(0));
        // What is left has the sizes that it should, and is saved and read back as it was.
        assert!(running.look().unwrap().unwrap().ratio.sound);
        let saved = serde_json::to_string(&running).unwrap();
        assert_eq!(serde_json::from_str::<Running>(&saved).unwrap(), running);
    }
}
