//! One value with interval per estimator, the one that the rule chose, or a refusal.

use super::choice;
use super::overlap::{Bars, Overlap};
use super::rounds::{Grid, Rounds};
use super::slate::{Outlook, Slates};
use super::terms::{Columns, Terms, Value, mean};
use super::tuning::{CANDIDATES, DELTA, slope};
use super::{direct, doubly_robust, slate, weighting};
use crate::{EvalError, Result};
use serde::{Deserialize, Serialize};

/// How a log is evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportConfig {
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Bootstrap resamples; 0 leaves bootstrap intervals out.
    pub resamples: usize,
    /// Weights of IPS and DR above this count as this.
    pub clip: f64,
    /// From where on the log is refused.
    pub bars: Bars,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for ReportConfig {
    fn default() -> Self {
        ReportConfig { confidence: 0.95, resamples: 1000, clip: f64::INFINITY, bars: Bars::default(), seed: 1 }
    }
}

/// What one estimator says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// `dm`, `ips`, `snips`, `dr`, `sndr`, `switch-dr`, `dr-os`; for slates `sips`, `iips`, `rips`, `cascade-dr`.
    pub estimator: String,
    /// Threshold or shrinkage that SLOPE chose; infinity is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<f64>,
    /// The value of the policy per round (or slate).
    pub value: f64,
    /// How far chance moves it.
    pub standard_error: f64,
    /// Student's t interval, wider where the estimate may be biased: it is as uncertain as its estimated error.
    pub interval: [f64; 2],
    /// Percentile bootstrap interval, which knows of no bias; where resamples were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<[f64; 2]>,
    /// Estimated mean squared error, as the rule of choice has it.
    pub estimated_error: f64,
}

/// What a log says of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What the logging policy earned per round (or slate), with its interval.
    pub logged: Value,
    /// How well the log covers the policy.
    pub overlap: Overlap,
    /// Why there is no answer, if there is none; then nothing is estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The rule by which an estimate is chosen.
    pub rule: String,
    /// Name of the estimator chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// What each estimator says.
    pub estimates: Vec<Estimate>,
}

impl Report {
    /// The estimate that the rule chose.
    pub fn chosen(&self) -> Option<&Estimate> {
        self.estimates.iter().find(|estimate| Some(&estimate.estimator) == self.chosen.as_ref())
    }
}

/// An estimator's terms under its name.
#[derive(Clone, Debug)]
pub struct Named {
    /// As in [`Estimate::estimator`].
    pub estimator: &'static str,
    /// Threshold or shrinkage.
    pub parameter: Option<f64>,
    /// Whether enough rounds alone would make it right.
    pub consistent: bool,
    /// What it adds up.
    pub terms: Terms,
}

/// All estimators of single rounds; those that need a model only `with_model`.
pub fn estimators(columns: &Columns, with_model: bool, clip: f64) -> Vec<Named> {
    let named = |estimator, consistent, terms| Named { estimator, parameter: None, consistent, terms };
    let whole = clip.is_infinite();
    let mut all = vec![
        named("ips", whole, weighting::ips(columns, clip)),
        named("snips", true, weighting::self_normalised(columns)),
    ];
    if with_model {
        all.insert(0, named("dm", false, direct::terms(columns)));
        all.push(named("dr", whole, doubly_robust::dr(columns, clip)));
        all.push(named("sndr", true, doubly_robust::self_normalised(columns)));
        all.push(tuned("switch-dr", columns, doubly_robust::switch));
        all.push(tuned("dr-os", columns, doubly_robust::shrunk));
    }
    all
}

/// The estimator with the parameter that SLOPE chooses.
fn tuned(estimator: &'static str, columns: &Columns, make: impl Fn(&Columns, f64) -> Terms) -> Named {
    let mut candidates: Vec<Terms> = CANDIDATES.iter().map(|parameter| make(columns, *parameter)).collect();
    let best = slope(&candidates, DELTA);
    let (parameter, terms) = (CANDIDATES[best], candidates.swap_remove(best));
    Named { estimator, parameter: Some(parameter), consistent: parameter.is_infinite(), terms }
}

/// Evaluates `chances` on `rounds`; without `predicted` only weights are used.
///
/// # Errors
/// Columns that do not fit each other; settings outside their range.
pub fn evaluate(rounds: &Rounds, chances: &Grid, predicted: Option<&Grid>, config: &ReportConfig) -> Result<Report> {
    let columns = Columns::new(rounds, chances, predicted)?;
    let overlap = Overlap::of(rounds, chances, &columns.weight);
    let all = || estimators(&columns, predicted.is_some(), config.clip);
    report(&columns.reward, overlap, all, config)
}

/// Evaluates slates; without an `outlook` only weights are used. IIPS is not among them: it needs marginal
/// probabilities, which a log of probabilities given the places above does not have.
///
/// # Errors
/// Columns that do not fit each other; settings outside their range.
pub fn evaluate_slates(slates: &Slates, outlook: Option<&Outlook>, config: &ReportConfig) -> Result<Report> {
    slates.check()?;
    let whole = slates.whole();
    let all = || {
        let named = |estimator, terms| Named { estimator, parameter: None, consistent: true, terms };
        let mut all = vec![named("sips", slate::standard(slates)), named("rips", slate::reward_interaction(slates))];
        all.extend(outlook.map(|outlook| named("cascade-dr", slate::cascade_dr(slates, outlook))));
        all
    };
    report(&whole.reward, Overlap::of_weights(&whole.weight), all, config)
}

/// A report over the rewards of rounds or slates. `estimators` are made only if the log is not refused.
fn report(
    rewards: &[f64],
    overlap: Overlap,
    estimators: impl FnOnce() -> Vec<Named>,
    config: &ReportConfig,
) -> Result<Report> {
    if !(config.confidence > 0.0 && config.confidence < 1.0) {
        let (field, expected, got) = ("confidence", "between 0 and 1", config.confidence.to_string());
        return Err(EvalError::Config { field, expected, got });
    }
    let n = rewards.len();
    let logged =
        Terms { base: rewards.to_vec(), correction: vec![0.0; n], norm: None }.with_interval(config.confidence);
    let refusal = overlap.refusal(&config.bars);
    let mut report =
        Report { logged, overlap, refusal, rule: choice::RULE.into(), chosen: None, estimates: Vec::new() };
    if report.refusal.is_some() {
        return Ok(report);
    }
    let named = estimators();
    let errors = choice::errors(&named);
    report.chosen = choice::smallest(&errors).map(|i| named[i].estimator.to_owned());
    report.estimates = named.iter().zip(&errors).map(|(named, error)| estimate(named, *error, config)).collect();
    Ok(report)
}

fn estimate(named: &Named, estimated_error: f64, config: &ReportConfig) -> Estimate {
    let Value { value, standard_error, interval } = named.terms.with_interval(config.confidence);
    // What may be biased is as uncertain as its whole error.
    let wider = estimated_error.sqrt() / standard_error.max(f64::MIN_POSITIVE);
    let stretch = |end: f64| if standard_error > 0.0 { value + wider * (end - value) } else { end };
    let bootstrap = || named.terms.bootstrap(config.resamples, config.confidence, config.seed);
    Estimate {
        estimator: named.estimator.to_owned(),
        parameter: named.parameter.filter(|parameter| parameter.is_finite()),
        value,
        standard_error,
        interval: interval.map(stretch),
        bootstrap: (config.resamples > 0).then(bootstrap),
        estimated_error,
    }
}

/// How far an estimate is from the truth, as a part of the truth.
pub fn relative_error(estimate: f64, truth: f64) -> f64 {
    ((estimate - truth) / truth).abs()
}

/// Mean and standard deviation (with n - 1) of repeated figures.
pub fn mean_and_deviation(values: &[f64]) -> [f64; 2] {
    let n = values.len() as f64;
    [mean(values), (super::terms::variance(values) * n / (n - 1.0)).sqrt()]
}
