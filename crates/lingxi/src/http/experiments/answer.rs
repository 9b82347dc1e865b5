//! An experiment as it is answered: what is tried, what it says now, and the state of its guardrails.

use crate::experiments::look::{Guarded, Measured, Standing};
use crate::experiments::{Kept, look};
use crate::http::timestamp;
use lingxi_decide::PolicyConfig;
use lingxi_eval::experiment::Verdict;
use lingxi_eval::experiment::analysis::Comparison;
use lingxi_eval::experiment::guard::{Guardrail, judge};
use lingxi_eval::experiment::ratio::RatioCheck;
use serde::Serialize;

/// An experiment.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Experiment {
    name: String,
    about: String,
    layer: String,
    part: [f64; 2],
    /// `running` or `ended`.
    state: &'static str,
    started: String,
    /// When and why it ended; null while it runs.
    ended: Option<String>,
    why: Option<String>,
    alpha: f64,
    /// Shoppers of an arm before anything is said.
    first: u64,
    within_hours: Option<f64>,
    arms: Vec<Arm>,
    /// Null if only the control goes on.
    sample_ratio: Option<SampleRatio>,
    metrics: Vec<Metric>,
    guardrails: Vec<Guard>,
}

/// An arm; the first is the control.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Arm {
    name: String,
    /// Adding up to 1 with those of the others.
    share: f64,
    explore: Option<f64>,
    policy: Option<PolicyConfig>,
    shoppers: u64,
    /// When and why it was stopped; null while it goes on.
    stopped: Option<String>,
    why: Option<String>,
}

/// Whether the arms have the sizes that they should.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SampleRatio {
    sound: bool,
    /// Holds however often one looks.
    p_value: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    metric: &'static str,
    less_is_better: bool,
    /// Of each arm, in their order.
    means: Vec<f64>,
    deviations: Vec<f64>,
    /// Each arm beside the control, the control left out; null while there is nothing to compare.
    compared: Vec<Option<Compared>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Compared {
    arm: String,
    /// With what the past explains taken off (CUPED).
    difference: f64,
    lift: Option<f64>,
    /// Holds however often one looks; null while an arm is too small.
    interval: Option<[f64; 2]>,
    /// The part of the variance that CUPED took away.
    variance_saved: f64,
    /// `early`, `open`, `better`, `worse`, or `broken` if the sizes are wrong.
    verdict: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Guard {
    metric: &'static str,
    tolerated: f64,
    /// The difference from the control at which an arm is stopped.
    bar: f64,
    /// Each arm, the control left out.
    arms: Vec<GuardedArm>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GuardedArm {
    arm: String,
    /// `early`, `open`, `holds` or `stopped`.
    state: &'static str,
}

impl Experiment {
    /// What a kept experiment says now.
    pub(super) fn of(kept: &Kept) -> Experiment {
        let (config, looked) = (&kept.config, look(kept));
        let ratio = looked.ratio.as_ref();
        Experiment {
            name: config.name.clone(),
            about: config.about.clone(),
            layer: config.layer.clone(),
            part: config.part,
            state: if kept.runs() { "running" } else { "ended" },
            started: timestamp::text(kept.started),
            ended: kept.ended.as_ref().map(|(at, _)| timestamp::text(*at)),
            why: kept.ended.as_ref().map(|(_, why)| why.clone()),
            alpha: config.alpha,
            first: config.first,
            within_hours: config.within_hours,
            arms: arms(kept),
            sample_ratio: ratio.map(|ratio| SampleRatio { sound: ratio.sound, p_value: ratio.p_value }),
            metrics: looked.metrics.iter().enumerate().map(|(place, of)| metric(kept, place, of, ratio)).collect(),
            guardrails: looked.guardrails.iter().map(|guarded| guard(kept, guarded)).collect(),
        }
    }
}

fn arms(kept: &Kept) -> Vec<Arm> {
    let shares = kept.config.deal().shares();
    let arm = |(at, config): (usize, &crate::experiments::ArmConfig)| {
        let of_arm = &kept.arms[at];
        let stopped = of_arm.stopped.as_ref();
        Arm {
            name: config.name.clone(),
            share: shares[at],
            explore: config.explore,
            policy: config.policy,
            shoppers: of_arm.totals.first().map_or(0, |totals| totals.n),
            stopped: stopped.map(|stopped| timestamp::text(stopped.at)),
            why: stopped.map(|stopped| stopped.why.clone()),
        }
    };
    kept.config.arms.iter().enumerate().map(arm).collect()
}

fn metric(kept: &Kept, place: usize, measured: &Measured, ratio: Option<&RatioCheck>) -> Metric {
    let totals = |arm: usize| kept.arms[arm].totals.get(place).copied().unwrap_or_default();
    let arms = 0..kept.arms.len();
    let compared = |comparison: &Comparison| Compared {
        arm: comparison.arm.clone(),
        difference: comparison.difference,
        lift: comparison.lift,
        interval: comparison.always_valid,
        variance_saved: comparison.variance_saved,
        verdict: verdict(measured, comparison, ratio),
    };
    Metric {
        metric: measured.metric.name(),
        less_is_better: measured.metric.less_is_better(),
        means: arms.clone().map(|arm| totals(arm).mean).collect(),
        deviations: arms.map(|arm| totals(arm).variance().sqrt()).collect(),
        compared: measured.compared.iter().map(|one| one.as_ref().map(compared)).collect(),
    }
}

/// A metric without a guardrail is judged as if nothing were tolerated; nothing follows from it.
fn verdict(measured: &Measured, comparison: &Comparison, ratio: Option<&RatioCheck>) -> &'static str {
    let Some(interval) = comparison.always_valid else { return "early" };
    let gain = look::gain(measured.metric, interval);
    let Some(ratio) = ratio else { return if gain[1] < 0.0 { "worse" } else { "open" } };
    match judge(Some(gain), 0.0, ratio, &Guardrail::default()) {
        Verdict::Continue => "open",
        Verdict::Better => "better",
        Verdict::Stop { .. } => "worse",
        Verdict::Broken { .. } => "broken",
    }
}

fn guard(kept: &Kept, guarded: &Guarded) -> Guard {
    let metric = guarded.config.metric;
    let place = kept.config.metrics.iter().position(|other| *other == metric);
    let control = place.and_then(|place| kept.arms[0].totals.get(place)).map_or(0.0, |totals| totals.mean);
    let loss = guarded.config.tolerated * control.abs();
    let arm = |(standing, config): (&Standing, &crate::experiments::ArmConfig)| GuardedArm {
        arm: config.name.clone(),
        state: match standing {
            Standing::Early => "early",
            Standing::Open => "open",
            Standing::Holds => "holds",
            Standing::Broken(_) => "stopped",
        },
    };
    Guard {
        metric: metric.name(),
        tolerated: guarded.config.tolerated,
        bar: if metric.less_is_better() { loss } else { -loss },
        arms: guarded.arms.iter().zip(&kept.config.arms[1..]).map(arm).collect(),
    }
}
