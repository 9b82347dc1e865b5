//! `lingxi experiment effect`: the effect of being recommended, from a log or from simulated ones whose truth is known.

use super::{refused, rows};
use crate::failure::UserError;
use crate::progress::{Progress, Unit};
use crate::report::{ResultLine, count, metric, say, table};
use anyhow::Result;
use lingxi_eval::experiment::effect::{Effect, EffectConfig, Effects, Exposures, estimate};
use lingxi_eval::experiment::effect_trials::{self, Held, Trials};
use std::path::Path;

/// Columns of a log that are no features.
const OWN: [&str; 4] = ["treated", "outcome", "group", "propensity"];

/// Simulates logs and says how often the interval held the truth.
pub fn simulated(runs: usize, rows: usize, seed: u64, json: bool) -> Result<()> {
    let stage = Progress::new(json).stage("simulate logs", Some(runs as u64), Unit::Of("logs"));
    let trials = effect_trials::run(runs, rows, seed, &|| stage.add(1)).map_err(refused)?;
    stage.finish("");
    if json {
        return ResultLine::new("experiment", Some("effect"), trials).print();
    }
    Ok(say(&trial_words(&trials))?)
}

/// Estimates the effects in a log.
pub fn of_log(path: &Path, seed: u64, json: bool) -> Result<()> {
    let log = read(path)?;
    let effects = estimate(&log, &EffectConfig { seed, ..EffectConfig::default() }).map_err(refused)?;
    if json {
        return ResultLine::new("experiment", Some("effect"), effects).print();
    }
    Ok(say(&words(&effects))?)
}

/// All columns but treated, outcome, group and propensity are features.
fn read(path: &Path) -> Result<Exposures> {
    let mut log = Exposures::default();
    let mut features: Option<Vec<String>> = None;
    let mut propensities: Vec<Option<f64>> = Vec::new();
    rows::read(path, |row| {
        let names =
            features.get_or_insert_with(|| row.names().filter(|name| !OWN.contains(&name.as_str())).cloned().collect());
        for name in names.iter() {
            log.features.push(row.number(name)?);
        }
        let treated = row.text("treated")?;
        log.treated.push(match treated.as_str() {
            "1" | "1.0" | "true" => true,
            "0" | "0.0" | "false" => false,
            _ => {
                return Err(UserError::new(
                    format!("treated: expected 0 or 1, got {treated:?}"),
                    "put the column right",
                )
                .into());
            }
        });
        log.outcome.push(row.number("outcome")?);
        propensities.push(row.maybe("propensity")?);
        if row.names().any(|name| name == "group") {
            let group = row.text("group")?;
            let known = log.groups.iter().position(|name| *name == group);
            log.group.push(known.unwrap_or(log.groups.len()) as u32);
            if known.is_none() {
                log.groups.push(group);
            }
        } else {
            log.group.push(0);
        }
        Ok(())
    })?;
    log.dim = features.map_or(0, |features| features.len());
    log.propensity = propensities.into_iter().collect();
    Ok(log)
}

fn words(effects: &Effects) -> String {
    let row = |effect: &Effect| {
        let [low, high] = effect.effect.interval;
        vec![
            effect.group.clone(),
            count(effect.rows as u64),
            format!("{:+.4}", effect.effect.value),
            format!("{low:+.4} to {high:+.4}"),
            format!("{:+.4}", effect.naive),
        ]
    };
    if let Some(refusal) = &effects.refusal {
        return refusal.clone();
    }
    let rows: Vec<Vec<String>> = std::iter::once(&effects.average).chain(&effects.groups).map(row).collect();
    table(&["group", "rows", "effect", "95% interval", "naive difference"], &rows, &[1, 2, 4])
}

fn trial_words(trials: &Trials) -> String {
    let row = |held: &Held| {
        vec![
            held.group.clone(),
            metric(held.truth),
            format!("{}/{}", held.covered, trials.runs),
            format!("{:+.4}", held.bias),
            format!("{:+.4}", held.naive_bias),
            metric(held.width),
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(&trials.average).chain(&trials.groups).map(row).collect();
    format!(
        "{} simulated logs of {} rows; intervals of {}%\n{}",
        trials.runs,
        count(trials.rows as u64),
        100.0 * trials.confidence,
        table(&["group", "true effect", "covered", "bias", "naive bias", "width"], &rows, &[1, 2, 3, 4, 5])
    )
}
