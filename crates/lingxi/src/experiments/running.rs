//! Which arms is a shopper in, and what does that change?
//!
//! The kept experiments come in once per change; a shopper's id comes in with every slate, and what they are [`Dealt`] goes
//! out: settings in place of those that are served, the arms to count them in, and the note for the log.

use super::Kept;
use super::measure::Deeds;
use crate::store::Met;
use lingxi_data::{Policy, Rows};
use lingxi_eval::experiment::Experiment;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// The experiments that run now; whoever began with them ends with them.
#[derive(Default)]
pub struct Experiments {
    running: RwLock<Arc<Vec<Running>>>,
    changing: Mutex<()>,
}

/// One of them, ready to deal.
struct Running {
    id: i64,
    experiment: Experiment,
    arms: Vec<Arm>,
}

/// What an arm changes while it goes on.
struct Arm {
    goes_on: bool,
    explore: Option<f64>,
    policy: Option<Arc<dyn Policy>>,
}

/// What a shopper gets and where they count.
#[derive(Default)]
pub struct Dealt {
    explore: Option<f64>,
    policy: Option<Arc<dyn Policy>>,
    /// Number of the experiment and place of the arm.
    arms: Vec<(i64, usize)>,
    note: String,
}

impl Experiments {
    /// Deals by these from now on; those that ended are passed over.
    pub fn put(&self, kept: &[Kept]) {
        let running = kept.iter().filter(|kept| kept.runs()).map(Running::of).collect();
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(running);
    }

    /// What a shopper gets.
    pub fn deal(&self, user: &str) -> Dealt {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut dealt = Dealt::default();
        for one in running.iter() {
            let Some(at) = one.experiment.arm(user).filter(|&at| one.arms[at].goes_on) else { continue };
            let arm = &one.arms[at];
            dealt.explore = arm.explore.or(dealt.explore);
            dealt.policy = arm.policy.clone().or(dealt.policy);
            dealt.arms.push((one.id, at));
            let (name, arm) = (&one.experiment.name, &one.experiment.arms[at].name);
            write!(dealt.note, " @{name}/{arm}").expect("a text takes any text");
        }
        dealt
    }

    /// What a shopper gets for a request that lets the policy explore so much: one that holds it back is answered as asked, and
    /// is no part of an experiment.
    pub fn deal_for(&self, user: &str, explore: f64) -> Dealt {
        if explore < 1.0 { Dealt::default() } else { self.deal(user) }
    }

    /// Whether any runs.
    pub fn any(&self) -> bool {
        !self.running.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Held by whoever starts or stops one, so that what was checked still holds when it is stored.
    pub fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn of(kept: &Kept) -> Running {
        let arm = |(at, arm): (usize, &super::ArmConfig)| {
            // Checked when it was started; one that this version cannot build is served as all others are.
            let built = arm.policy.as_ref().and_then(|policy| policy.build().ok());
            let policy = built.map(|policy| Arc::new(policy) as Arc<dyn Policy>);
            Arm { goes_on: kept.arms[at].stopped.is_none(), explore: arm.explore, policy }
        };
        let arms = kept.config.arms.iter().enumerate().map(arm).collect();
        Running { id: kept.id, experiment: kept.config.deal(), arms }
    }
}

impl Dealt {
    /// How much the policy may explore: as the arm says, or as `served`.
    pub fn explore(&self, served: f64) -> f64 {
        self.explore.unwrap_or(served)
    }

    /// The policy in place of the one that is served.
    pub fn policy(&self) -> Option<&dyn Policy> {
        self.policy.as_deref()
    }

    /// The arms as they stand behind the policy in the log; empty if there are none.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// That the shopper was shown a slate in these arms, for those who count; `history` is what they did before it.
    pub fn met(&self, history: Rows<'_>, took: Duration) -> Vec<Met> {
        if self.arms.is_empty() {
            return Vec::new();
        }
        let (before, ms) = (Deeds::before(history), took.as_secs_f64() * 1e3);
        self.arms.iter().map(|&(experiment, arm)| Met { experiment, arm, before, ms }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::{ExperimentConfig, KeptArm, Measure, Stopped, config};

    fn kept(id: i64, name: &str, layer: &str) -> Kept {
        let config: ExperimentConfig = toml::from_str(config::EXAMPLE).unwrap();
        let config = ExperimentConfig { name: name.into(), layer: layer.into(), ..config };
        let arms = vec![KeptArm::default(); config.arms.len()];
        Kept { id, config, started: 0, ended: None, arms }
    }

    #[test]
    fn a_shopper_is_dealt_the_settings_of_their_arm_and_of_a_stopped_arm_what_is_served() {
        let (experiments, mut one) = (Experiments::default(), kept(7, "one", "ranking"));
        experiments.put(std::slice::from_ref(&one));
        let users: Vec<String> = (0..400).map(|i| format!("u{i}")).collect();
        let in_arm = |at: usize| users.iter().filter(|u| one.config.deal().arm(u) == Some(at)).collect::<Vec<_>>();
        let arms: Vec<Vec<&String>> = (0..3).map(in_arm).collect();
        for (at, (explore, policy, note)) in
            [(1.0, None, " @one/control"), (0.5, None, " @one/half"), (1.0, Some("greedy/1"), " @one/best-only")]
                .into_iter()
                .enumerate()
        {
            let dealt = experiments.deal(arms[at][0]);
            assert_eq!((dealt.explore(1.0), dealt.note()), (explore, note));
            assert_eq!(dealt.policy().map(Policy::version).as_deref(), policy);
            assert_eq!(dealt.met(Rows::default(), Duration::from_millis(2))[0].arm, at);
        }
        let gone = arms[2][0].clone();
        one.arms[2].stopped = Some(Stopped { at: 1, by: Measure::Conversion, why: "it lost".into(), said: Vec::new() });
        experiments.put(std::slice::from_ref(&one));
        let dealt = experiments.deal(&gone);
        assert!(
            dealt.policy().is_none()
                && dealt.note().is_empty()
                && dealt.met(Rows::default(), Duration::ZERO).is_empty()
        );
        one.ended = Some((2, "enough".into()));
        experiments.put(&[one]);
        assert!(!experiments.any() && experiments.deal("u1").note().is_empty());
    }

    #[test]
    fn a_shopper_is_in_an_arm_of_every_layer_at_once() {
        let experiments = Experiments::default();
        experiments.put(&[kept(1, "one", "ranking"), kept(2, "two", "page")]);
        let dealt = experiments.deal("ann");
        assert_eq!(dealt.met(Rows::default(), Duration::ZERO).len(), 2);
        assert!(dealt.note().contains("@one/") && dealt.note().contains("@two/"), "{}", dealt.note());
    }
}
