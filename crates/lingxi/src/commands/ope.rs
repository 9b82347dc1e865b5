//! `lingxi ope`: what would another policy have earned on what was logged?
//!
//! Three logs can be asked: the Open Bandit small sample beside its published table ([`open_bandit`]; our own
//! policy on it: [`replay`]), made-up logs
//! whose truth is known ([`synthetic`]), and a shop's own decisions ([`decisions`]).

mod decisions;
mod open_bandit;
mod replay;
mod sample;
mod synthetic;

use crate::cli::OpeArgs;
use crate::failure::UserError;
use crate::report::{count, metric, table};
use lingxi_eval::ope::{Estimate, Report};

/// Answers `lingxi ope`.
///
/// # Errors
/// A log that cannot be read or weighed, or a policy that it cannot be asked for.
pub fn run(args: &OpeArgs) -> anyhow::Result<()> {
    match (&args.data, &args.decisions, args.synthetic) {
        (Some(_), None, false) => open_bandit::run(args),
        (None, Some(file), false) => decisions::run(file, args),
        (None, None, true) => synthetic::run(args),
        _ => Err(UserError::new(
            "expected one log: --data obp, --synthetic, or --decisions FILE",
            "lingxi ope --data obp, or lingxi export decisions --out FILE and lingxi ope --decisions FILE",
        )
        .into()),
    }
}

/// A report for people.
fn words(report: &Report) -> String {
    let overlap = &report.overlap;
    let mut out = format!(
        "{} logged, worth {} of the policy's own; largest weight {:.1}, mean weight {:.3}\n",
        count(overlap.rounds as u64),
        count(overlap.effective.round() as u64),
        overlap.largest_weight,
        overlap.mean_weight
    );
    let [low, high] = report.logged.interval;
    out += &format!("as logged: {} [{}, {}]\n", metric(report.logged.value), metric(low), metric(high));
    if let Some(refusal) = &report.refusal {
        return out + "\n" + refusal + "\n";
    }
    let rows: Vec<Vec<String>> = report.estimates.iter().map(|estimate| row(estimate, report)).collect();
    out += &table(&["estimator", "value", "95% interval", "bootstrap", "error (est.)", "parameter"], &rows, &[1, 4, 5]);
    out + &format!("\nchosen by {}\n", report.rule)
}

fn row(estimate: &Estimate, report: &Report) -> Vec<String> {
    let interval = |[low, high]: [f64; 2]| format!("{}-{}", metric(low), metric(high));
    let chosen = report.chosen.as_ref() == Some(&estimate.estimator);
    vec![
        if chosen { format!("{} (chosen)", estimate.estimator) } else { estimate.estimator.clone() },
        metric(estimate.value),
        interval(estimate.interval),
        estimate.bootstrap.map_or_else(|| "-".into(), interval),
        format!("{:.5}", estimate.estimated_error.sqrt()),
        estimate.parameter.map_or_else(|| "-".into(), |parameter| format!("{parameter}")),
    ]
}
