//! Which arm is a shopper in?
//!
//! The experiments and a shopper's id come in, arms go out, the same for ever: places are hashes of salt and id, so
//! nothing is stored and no two servers disagree. Experiments of one layer share its shoppers: each takes a part of the
//! layer, and nobody is in two of them. Layers have salts of their own and so have experiments, hence what one does to
//! a shopper is independent of what another does (Tang et al., KDD 2010, "Overlapping experiment infrastructure").

use crate::{EvalError, Result};
use serde::{Deserialize, Serialize};

/// One experiment, as a person writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Its name, also the salt of its arms; a new name deals the shoppers anew.
    pub name: String,
    /// The layer whose shoppers it shares.
    pub layer: String,
    /// The part of the layer that takes part, from and up to, within 0 to 1.
    #[serde(default = "everybody")]
    pub part: [f64; 2],
    /// The arms; the first is the control.
    pub arms: Vec<Arm>,
}

/// One arm of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// Its share, relative to the weights of the other arms.
    pub weight: f64,
}

fn everybody() -> [f64; 2] {
    [0.0, 1.0]
}

/// Whether each experiment can be run, and no two of a layer want the same shoppers.
///
/// # Errors
/// [`EvalError::Experiment`] names the experiment and the field.
pub fn check(experiments: &[Experiment]) -> Result<()> {
    for (i, experiment) in experiments.iter().enumerate() {
        let wrong = |field, expected: &'static str, got: String| {
            Err(EvalError::Experiment { name: experiment.name.clone(), field, expected, got })
        };
        let [from, to] = experiment.part;
        if !(0.0 <= from && from < to && to <= 1.0) {
            return wrong("part", "two numbers within 0 to 1, the first below the second", format!("{from}, {to}"));
        }
        if experiment.arms.len() < 2 {
            return wrong("arms", "at least two", experiment.arms.len().to_string());
        }
        if let Some(arm) = experiment.arms.iter().find(|arm| !(arm.weight > 0.0 && arm.weight.is_finite())) {
            return wrong("weight", "above 0", format!("{} of arm {}", arm.weight, arm.name));
        }
        for other in &experiments[..i] {
            if other.name == experiment.name {
                return wrong("name", "one experiment of a name", experiment.name.clone());
            }
            if other.layer == experiment.layer && from < other.part[1] && other.part[0] < to {
                return wrong(
                    "part",
                    "a part that no other experiment of the layer has",
                    format!("{} too", other.name),
                );
            }
        }
    }
    Ok(())
}

impl Experiment {
    /// The index of the arm that `user` is in, or none if the shopper does not take part.
    pub fn arm(&self, user: &str) -> Option<usize> {
        let [from, to] = self.part;
        let at = place("layer", &self.layer, user);
        (from <= at && at < to).then(|| self.deal(user))
    }

    /// The arm of someone who takes part.
    fn deal(&self, user: &str) -> usize {
        let total: f64 = self.arms.iter().map(|arm| arm.weight).sum();
        let at = place("arm", &self.name, user) * total;
        let mut passed = 0.0;
        let dealt = self.arms.iter().position(|arm| {
            passed += arm.weight;
            at < passed
        });
        dealt.unwrap_or(self.arms.len() - 1)
    }

    /// The share of each arm that is meant.
    pub fn shares(&self) -> Vec<f64> {
        let total: f64 = self.arms.iter().map(|arm| arm.weight).sum();
        self.arms.iter().map(|arm| arm.weight / total).collect()
    }
}

/// A number in [0, 1) that looks random and is the same for ever; lengths keep `a` + `bc` apart from `ab` + `c`.
fn place(kind: &str, salt: &str, user: &str) -> f64 {
    let mut hasher = blake3::Hasher::new();
    for part in [kind, salt, user] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    // The 53 bits that a float holds.
    (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::ratio;

    fn experiment(name: &str, layer: &str, part: [f64; 2]) -> Experiment {
        let arm = |name: &str, weight| Arm { name: name.into(), weight };
        Experiment { name: name.into(), layer: layer.into(), part, arms: vec![arm("control", 3.0), arm("new", 1.0)] }
    }

    #[test]
    fn arms_get_the_shares_that_their_weights_say() {
        let experiment = experiment("explore", "ranking", [0.0, 1.0]);
        let mut counts = [0u64; 2];
        (0..40_000).for_each(|i| counts[experiment.arm(&format!("u{i}")).unwrap()] += 1);
        let check = ratio::check(&counts, &experiment.shares(), 0.001).unwrap();
        assert!(check.sound, "{counts:?} {check:?}");
    }

    #[test]
    fn two_experiments_of_a_layer_share_nobody_and_two_layers_are_independent() {
        let (a, b) = (experiment("a", "ranking", [0.0, 0.5]), experiment("b", "ranking", [0.5, 1.0]));
        let c = experiment("c", "page", [0.0, 1.0]);
        check(&[a.clone(), b.clone(), c.clone()]).unwrap();
        let mut both = [[0u64; 2]; 2];
        for user in (0..40_000).map(|i| format!("u{i}")) {
            assert!(a.arm(&user).is_some() != b.arm(&user).is_some());
            if let (Some(of_a), Some(of_c)) = (a.arm(&user), c.arm(&user)) {
                both[of_a][of_c] += 1;
            }
        }
        // Within each arm of a, the arms of c have their own shares.
        for of_a in both {
            assert!(ratio::check(&of_a, &c.shares(), 0.001).unwrap().sound, "{both:?}");
        }
    }

    #[test]
    fn an_assignment_never_changes() {
        let experiment = experiment("explore", "ranking", [0.0, 1.0]);
        let arms: Vec<usize> = ["ann", "bob", "cy", "dee", "eve", "flo"].map(|u| experiment.arm(u).unwrap()).to_vec();
        assert_eq!(arms, [0, 1, 0, 0, 0, 1]);
    }

    #[test]
    fn what_cannot_be_run_is_refused_by_name() {
        let refused = |experiments: &[Experiment], expected: &str| {
            let error = check(experiments).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let good = experiment("a", "l", [0.0, 0.6]);
        refused(&[experiment("a", "l", [0.5, 0.5])], "experiment a, part");
        refused(&[good.clone(), experiment("b", "l", [0.5, 1.0])], "experiment b, part");
        refused(&[good.clone(), experiment("a", "m", [0.0, 1.0])], "experiment a, name");
        refused(&[Experiment { arms: good.arms[..1].to_vec(), ..good.clone() }], "at least two");
        let mut negative = good;
        negative.arms[1].weight = -1.0;
        refused(&[negative], "-1 of arm new");
    }
}
