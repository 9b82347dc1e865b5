//! An experiment as a person writes it, and whether it can be run.
//!
//! The text of a TOML file or the body of a request comes in, a checked [`ExperimentConfig`] goes out, or [`Wrong`]: the place,
//! what fits there, what came and what to do.

use super::measure::Measure;
use lingxi_decide::PolicyConfig;
use lingxi_eval::experiment::{Arm, Experiment};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The example that comes with the program.
pub const EXAMPLE: &str = include_str!("../../../../recipes/experiment.toml");

/// Most arms of an experiment.
pub const MOST_ARMS: usize = 8;

/// Longest name of an experiment, an arm or a layer, in bytes.
pub const MAX_NAME: usize = 64;

/// Longest remark, in bytes.
pub const MAX_ABOUT: usize = 1000;

/// Largest file, in bytes.
const MAX_FILE: u64 = 1 << 16;

/// What is tried on whom, and what must not happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentConfig {
    /// Its name, also the salt of its arms; a new name deals the shoppers anew.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub about: String,
    /// Experiments of one layer share its shoppers; what one layer does is independent of what another does.
    #[serde(default = "usual_layer")]
    pub layer: String,
    /// The part of the layer's shoppers that takes part, from and up to, within 0 to 1.
    #[serde(default = "everybody")]
    pub part: [f64; 2],
    /// The arms; the first is the control, which gets what is served.
    pub arms: Vec<ArmConfig>,
    /// What is measured.
    #[serde(default = "usual_metrics")]
    pub metrics: Vec<Measure>,
    /// What stops an arm.
    #[serde(default)]
    pub guardrails: Vec<GuardrailConfig>,
    /// The risk that any interval of the whole experiment ever misses the truth.
    #[serde(default = "usual_alpha")]
    pub alpha: f64,
    /// Shoppers of two arms at which intervals should be tightest: how many are expected.
    #[serde(default = "usual_shoppers")]
    pub shoppers: u64,
    /// Shoppers that each arm must have before anything is said.
    #[serde(default = "usual_first")]
    pub first: u64,
    /// What a shopper does later than so many hours after they were first met is not counted.
    #[serde(default)]
    pub within_hours: Option<f64>,
}

/// One arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmConfig {
    /// Its name.
    pub name: String,
    /// Its share of the shoppers, relative to those of the other arms.
    pub share: f64,
    /// How much the policy may explore, 0 to 1; absent: as served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explore: Option<f64>,
    /// The policy; absent: as served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyConfig>,
}

/// An arm that surely does worse than this is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardrailConfig {
    /// One of the metrics.
    pub metric: Measure,
    /// The loss that is tolerated, as a part of the control's mean.
    pub tolerated: f64,
}

fn usual_layer() -> String {
    "ranking".into()
}

fn everybody() -> [f64; 2] {
    [0.0, 1.0]
}

fn usual_metrics() -> Vec<Measure> {
    vec![Measure::Conversion]
}

fn usual_alpha() -> f64 {
    0.05
}

fn usual_shoppers() -> u64 {
    10_000
}

fn usual_first() -> u64 {
    200
}

/// What is wrong with an experiment.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field}: expected {expected}, got {got}")]
pub struct Wrong {
    /// Where, such as `arms[1].policy`.
    pub field: String,
    /// What would do.
    pub expected: String,
    /// What came.
    pub got: String,
}

fn wrong<T>(field: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Result<T, Wrong> {
    Err(Wrong { field: field.into(), expected: expected.into(), got: got.to_string() })
}

impl ExperimentConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Names the file, and the line or the field where it does not fit.
    pub fn read(path: &Path) -> anyhow::Result<ExperimentConfig> {
        use crate::failure::UserError;
        let remedy = "lingxi experiment start --help shows one";
        let unreadable = || format!("cannot read {}", path.display());
        let bytes =
            std::fs::metadata(path).map_err(|why| UserError::new(unreadable(), "check the path").because(why))?;
        if bytes.len() > MAX_FILE {
            let message = format!("{}: expected at most {MAX_FILE} bytes, got {}", path.display(), bytes.len());
            return Err(UserError::new(message, remedy).into());
        }
        let text =
            std::fs::read_to_string(path).map_err(|why| UserError::new(unreadable(), "check the path").because(why))?;
        let refused = |why: &dyn std::fmt::Display| {
            UserError::new(format!("{}: {}", path.display(), why.to_string().trim_end()), remedy)
        };
        let config: ExperimentConfig = toml::from_str(&text).map_err(|why| refused(&why))?;
        config.check().map_err(|why| refused(&why))?;
        Ok(config)
    }

    /// Whether it can be run, by itself.
    ///
    /// # Errors
    /// [`Wrong`] names the first field that does not fit.
    pub fn check(&self) -> Result<(), Wrong> {
        named("name", &self.name)?;
        named("layer", &self.layer)?;
        if self.about.len() > MAX_ABOUT {
            return wrong("about", format!("at most {MAX_ABOUT} bytes"), format!("{} bytes", self.about.len()));
        }
        let [from, to] = self.part;
        if !(0.0 <= from && from < to && to <= 1.0) {
            return wrong("part", "two numbers within 0 to 1, the first below the second", format!("{from}, {to}"));
        }
        self.check_arms()?;
        self.check_measures()?;
        if !(self.alpha >= 1e-6 && self.alpha <= 0.5) {
            return wrong("alpha", "a risk from 0.000001 to 0.5", self.alpha);
        }
        if !(100..=1_000_000_000).contains(&self.shoppers) {
            return wrong("shoppers", "100 to 1000000000", self.shoppers);
        }
        if !(30..=1_000_000_000).contains(&self.first) {
            return wrong("first", "30 to 1000000000: with fewer the intervals do not hold", self.first);
        }
        match self.within_hours {
            Some(hours) if !(hours > 0.0 && hours <= 87_600.0) => wrong("within_hours", "above 0, up to 87600", hours),
            _ => Ok(()),
        }
    }

    fn check_arms(&self) -> Result<(), Wrong> {
        if !(2..=MOST_ARMS).contains(&self.arms.len()) {
            return wrong("arms", format!("2 to {MOST_ARMS}, the control first"), self.arms.len());
        }
        for (i, arm) in self.arms.iter().enumerate() {
            let at = |field: &str| format!("arms[{i}].{field}");
            named(&at("name"), &arm.name)?;
            if self.arms[..i].iter().any(|other| other.name == arm.name) {
                return wrong(at("name"), "one arm of a name", &arm.name);
            }
            if !(arm.share > 0.0 && arm.share <= 1e6) {
                return wrong(at("share"), "above 0, up to 1000000", arm.share);
            }
            if i == 0 && (arm.explore.is_some() || arm.policy.is_some()) {
                let expected = "no explore and no policy: the first arm is the control, which gets what is served";
                return wrong("arms[0]", expected, "one of them");
            }
            if let Some(explore) = arm.explore.filter(|explore| !(0.0..=1.0).contains(explore)) {
                return wrong(at("explore"), "a number from 0 to 1", explore);
            }
            if let Some(policy) = &arm.policy {
                check_policy(&at("policy"), policy)?;
            }
        }
        Ok(())
    }

    fn check_measures(&self) -> Result<(), Wrong> {
        if self.metrics.is_empty() {
            return wrong("metrics", Measure::ALL.map(Measure::name).join(", "), "none");
        }
        for (i, metric) in self.metrics.iter().enumerate() {
            if self.metrics[..i].contains(metric) {
                return wrong("metrics", "each metric once", metric.name());
            }
        }
        for (i, guardrail) in self.guardrails.iter().enumerate() {
            let at = |field: &str| format!("guardrails[{i}].{field}");
            if !self.metrics.contains(&guardrail.metric) {
                let known: Vec<&str> = self.metrics.iter().map(|metric| metric.name()).collect();
                return wrong(
                    at("metric"),
                    format!("one of the metrics {}", known.join(", ")),
                    guardrail.metric.name(),
                );
            }
            if self.guardrails[..i].iter().any(|other| other.metric == guardrail.metric) {
                return wrong(at("metric"), "one guardrail of a metric", guardrail.metric.name());
            }
            if !(0.0..=100.0).contains(&guardrail.tolerated) {
                return wrong(at("tolerated"), "a part of the control's mean from 0 to 100", guardrail.tolerated);
            }
        }
        Ok(())
    }

    /// Whether it can run beside those that run: the layer has shoppers left for it, and no other layer sets what it sets.
    ///
    /// # Errors
    /// [`Wrong`] names the field, and the experiment that is in the way.
    pub fn check_beside(&self, running: &[&ExperimentConfig]) -> Result<(), Wrong> {
        let [from, to] = self.part;
        for other in running {
            if other.layer != self.layer {
                if let Some(what) = self.settings().find(|what| other.settings().any(|own| own == *what)) {
                    let expected =
                        format!("the layer {:?}, whose experiment {} sets {what} too", other.layer, other.name);
                    return wrong("layer", expected, &self.layer);
                }
            } else if from < other.part[1] && other.part[0] < to {
                let [low, high] = other.part;
                let expected = format!("a part of the layer outside {low} to {high}, which {} has", other.name);
                return wrong("part", expected, format!("{from}, {to}"));
            }
        }
        Ok(())
    }

    /// Who is in which arm.
    pub fn deal(&self) -> Experiment {
        let arm = |arm: &ArmConfig| Arm { name: arm.name.clone(), weight: arm.share };
        Experiment {
            name: self.name.clone(),
            layer: self.layer.clone(),
            part: self.part,
            arms: self.arms.iter().map(arm).collect(),
        }
    }

    /// What its arms set.
    fn settings(&self) -> impl Iterator<Item = &'static str> {
        let sets = |what, is_set: fn(&ArmConfig) -> bool| self.arms.iter().any(is_set).then_some(what);
        sets("policy", |arm| arm.policy.is_some()).into_iter().chain(sets("explore", |arm| arm.explore.is_some()))
    }

    /// Seconds after the first slate in which what a shopper does counts.
    pub fn within(&self) -> Option<i64> {
        self.within_hours.map(|hours| (hours * 3600.0).ceil() as i64)
    }
}

/// Letters, digits and `-_.`: names stand in logs and addresses.
fn named(field: &str, name: &str) -> Result<(), Wrong> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(fits)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        return Ok(());
    }
    wrong(field, format!("1 to {MAX_NAME} letters, digits, - _ or ., a letter or digit first"), format!("{name:?}"))
}

fn check_policy(field: &str, policy: &PolicyConfig) -> Result<(), Wrong> {
    if policy.learns() {
        let kind = serde_json::to_value(policy).ok().and_then(|value| value["kind"].as_str().map(str::to_owned));
        let expected = "a policy that does not learn: greedy, epsilon-greedy or softmax";
        return wrong(field, expected, kind.unwrap_or_default());
    }
    match policy.build() {
        Ok(_) => Ok(()),
        Err(lingxi_decide::DecideError::Config { what, expected, got }) => {
            wrong(format!("{field}.{what}"), expected, got)
        }
        Err(other) => wrong(field, "a policy that can be built", other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_eval::experiment::assign;

    fn example() -> ExperimentConfig {
        toml::from_str(EXAMPLE).unwrap()
    }

    #[test]
    fn the_example_can_be_run_and_is_read_back_from_json_as_it_was() {
        let config = example();
        config.check().unwrap();
        assign::check(&[config.deal()]).unwrap();
        assert_eq!(config.within(), Some(336 * 3600));
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ExperimentConfig>(&json).unwrap(), config);
    }

    #[test]
    fn what_cannot_be_run_is_refused_by_its_place() {
        let check = |change: &dyn Fn(&mut ExperimentConfig), field: &str, expected: &str| {
            let mut config = example();
            change(&mut config);
            let wrong = config.check().unwrap_err();
            assert_eq!(wrong.field, field, "{wrong}");
            assert!(wrong.expected.contains(expected), "{wrong}");
        };
        check(&|c| c.name = "a b".into(), "name", "letters");
        check(&|c| c.name = String::new(), "name", "1 to 64");
        check(&|c| c.layer = "-x".into(), "layer", "letter or digit first");
        check(&|c| c.about = "x".repeat(1001), "about", "1000 bytes");
        check(&|c| c.part = [0.5, 0.5], "part", "the first below the second");
        check(&|c| c.part = [f64::NAN, 1.0], "part", "within 0 to 1");
        check(&|c| c.arms.truncate(1), "arms", "2 to 8");
        check(&|c| c.arms[1].name = "control".into(), "arms[1].name", "one arm of a name");
        check(&|c| c.arms[2].share = 0.0, "arms[2].share", "above 0");
        check(&|c| c.arms[0].explore = Some(0.0), "arms[0]", "the control");
        check(&|c| c.arms[1].explore = Some(1.5), "arms[1].explore", "0 to 1");
        let policy = |text: &str| Some(toml::from_str::<PolicyConfig>(text).unwrap());
        check(&|c| c.arms[1].policy = policy("kind = \"square-cb\""), "arms[1].policy", "does not learn");
        let epsilon = "kind = \"epsilon-greedy\"\nepsilon = 1.5";
        check(&|c| c.arms[1].policy = policy(epsilon), "arms[1].policy.epsilon", "0 to 1");
        let cold = "kind = \"softmax\"\ntemperature = 0.0";
        check(&|c| c.arms[1].policy = policy(cold), "arms[1].policy.temperature", "positive");
        check(&|c| c.metrics.clear(), "metrics", "conversion");
        check(&|c| c.metrics.push(Measure::Value), "metrics", "each metric once");
        check(&|c| c.guardrails[1].metric = Measure::Latency, "guardrails[1].metric", "one of the metrics");
        check(&|c| c.guardrails[1].metric = Measure::Conversion, "guardrails[1].metric", "one guardrail");
        check(&|c| c.guardrails[0].tolerated = -0.1, "guardrails[0].tolerated", "part of the control");
        check(&|c| c.alpha = 0.0, "alpha", "a risk");
        check(&|c| c.shoppers = 1, "shoppers", "100");
        check(&|c| c.first = 2, "first", "30");
        check(&|c| c.within_hours = Some(0.0), "within_hours", "above 0");
    }

    #[test]
    fn experiments_of_a_layer_share_its_shoppers_and_layers_do_not_set_the_same() {
        let (mut first, mut other) = (example(), example());
        other.name = "other".into();
        let refused = |other: &ExperimentConfig, first: &ExperimentConfig| other.check_beside(&[first]).unwrap_err();
        assert_eq!(refused(&other, &first).field, "part");
        (first.part, other.part) = ([0.0, 0.5], [0.5, 1.0]);
        assert_eq!(other.check_beside(&[&first]), Ok(()));
        other.layer = "elsewhere".into();
        assert!(refused(&other, &first).expected.contains("sets policy too"));
        other.arms[2].policy = None;
        assert!(refused(&other, &first).expected.contains("sets explore too"));
        other.arms[1].explore = None;
        assert_eq!(other.check_beside(&[&first]), Ok(()), "an experiment in which nothing differs is in nobody's way");
    }
}
