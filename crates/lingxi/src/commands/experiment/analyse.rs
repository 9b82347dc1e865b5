//! `lingxi experiment analyse`: rows of shoppers in, what the experiment says out.

use super::rows;
use super::{percent, refused};
use crate::failure::UserError;
use crate::report::{ResultLine, count, metric, say, table};
use anyhow::Result;
use lingxi_eval::experiment::analysis::{Analysis, AnalysisConfig, Comparison, NamedArm, analyse};
use lingxi_eval::experiment::guard::{Guardrail, Verdict};
use lingxi_eval::experiment::sequential::Sequential;
use lingxi_eval::experiment::totals::ArmTotals;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// What the person asked for.
pub struct Asked<'a> {
    pub control: Option<&'a str>,
    pub guard: Option<f64>,
    pub shares: &'a [String],
    pub alpha: f64,
}

/// A shopper: all rows together.
struct Shopper {
    arm: String,
    value: f64,
    before: f64,
    crossed: bool,
}

/// Analyses the file and prints what it says.
pub fn run(path: &Path, asked: &Asked<'_>, json: bool) -> Result<()> {
    let (arms, crossed) = arms(path, asked)?;
    let shoppers: u64 = arms.iter().map(|arm| arm.totals.n).sum();
    let sequential = Sequential { alpha: asked.alpha, tightest: shoppers.max(1) as f64, ..Sequential::default() };
    let config = AnalysisConfig { sequential, guardrail: Guardrail { tolerated: asked.guard.unwrap_or(0.0) } };
    let analysis = analyse(&arms, &config).map_err(refused)?;
    if json {
        let mut result = json!(analysis);
        result["crossed"] = crossed.into();
        return ResultLine::new("experiment", Some("analyse"), result).print();
    }
    if crossed > 0 {
        say(&format!("{} shoppers were in more than one arm and are left out", count(crossed)))?;
    }
    Ok(say(&words(&analysis))?)
}

/// The arms of a file, the control first, and how many shoppers were in several.
fn arms(path: &Path, asked: &Asked<'_>) -> Result<(Vec<NamedArm>, u64)> {
    let mut shoppers: HashMap<String, Shopper> = HashMap::new();
    rows::read(path, |row| {
        let (user, arm, value) = (row.text("user")?, row.text("arm")?, row.number("value")?);
        let before = row.maybe("before")?.unwrap_or(0.0);
        // A shopper is the unit that was dealt: several rows are one shopper who did all of it; the past is one number.
        let new = Shopper { arm: arm.clone(), value: 0.0, before, crossed: false };
        let shopper = shoppers.entry(user).or_insert(new);
        shopper.crossed |= shopper.arm != arm;
        shopper.value += value;
        Ok(())
    })?;
    let mut totals: BTreeMap<&str, ArmTotals> = BTreeMap::new();
    // In the order of ids, so that sums do not depend on the order of a hash table.
    let mut dealt: Vec<(&String, &Shopper)> = shoppers.iter().collect();
    dealt.sort_unstable_by_key(|(user, _)| *user);
    let crossed = dealt.iter().filter(|(_, shopper)| shopper.crossed).count() as u64;
    for (_, shopper) in dealt.into_iter().filter(|(_, shopper)| !shopper.crossed) {
        totals.entry(&shopper.arm).or_default().add(shopper.value, shopper.before);
    }
    let shares = shares(asked.shares)?;
    let control = asked.control.or_else(|| totals.keys().next().copied()).unwrap_or_default();
    if !totals.contains_key(control) {
        let known: Vec<&str> = totals.keys().copied().collect();
        let message = format!("control {control:?}: expected one of the arms {}", known.join(", "));
        return Err(UserError::new(message, "give --control one of them").into());
    }
    let arm = |(name, totals): (&&str, &ArmTotals)| {
        let share = if shares.is_empty() { Some(1.0) } else { shares.get(*name).copied() };
        let missing = || UserError::new(format!("no share for arm {name}"), "give --shares one for each arm");
        Ok(NamedArm { arm: (*name).to_owned(), share: share.ok_or_else(missing)?, totals: *totals })
    };
    let mut arms: Vec<NamedArm> = totals.iter().map(arm).collect::<Result<_>>()?;
    arms.sort_by_key(|arm| arm.arm != control);
    Ok((arms, crossed))
}

fn shares(written: &[String]) -> Result<BTreeMap<String, f64>> {
    let share = |text: &String| {
        let parsed = text.split_once('=').and_then(|(arm, share)| Some((arm.to_owned(), share.parse::<f64>().ok()?)));
        parsed.ok_or_else(|| {
            UserError::new(format!("share {text:?}: expected ARM=SHARE"), "--shares control=0.5,new=0.5").into()
        })
    };
    written.iter().map(share).collect()
}

fn words(analysis: &Analysis) -> String {
    let arm = |arm: &NamedArm| {
        vec![arm.arm.clone(), count(arm.totals.n), metric(arm.totals.mean), metric(arm.totals.variance().sqrt())]
    };
    let arms: Vec<Vec<String>> = analysis.arms.iter().map(arm).collect();
    let ratio = &analysis.ratio;
    let sizes = if ratio.sound { "as they should be" } else { "NOT as they should be" };
    let compared: Vec<Vec<String>> = analysis.comparisons.iter().map(row).collect();
    let header = ["arm", "difference", "lift", "always valid", "one look", "p", "CUPED saved", "verdict"];
    let mut out = format!(
        "{}\nsizes are {sizes} (p = {:.3})\n\n{}",
        table(&["arm", "shoppers", "mean", "deviation"], &arms, &[1, 2, 3]),
        ratio.p_value,
        table(&header, &compared, &[1, 2, 5, 6])
    );
    for comparison in &analysis.comparisons {
        if let Verdict::Stop { why } | Verdict::Broken { why } = &comparison.verdict {
            out += &format!("\n{}: {why}", comparison.arm);
        }
    }
    out
}

fn row(comparison: &Comparison) -> Vec<String> {
    let interval = |[low, high]: [f64; 2]| format!("{low:+.4} to {high:+.4}");
    vec![
        comparison.arm.clone(),
        format!("{:+.4}", comparison.difference),
        comparison.lift.map_or_else(|| "-".into(), percent),
        comparison.always_valid.map_or_else(|| "too early".into(), interval),
        interval(comparison.one_look),
        format!("{:.4}", comparison.p_value),
        percent(comparison.variance_saved),
        match comparison.verdict {
            Verdict::Continue => "go on",
            Verdict::Better => "better",
            Verdict::Stop { .. } => "STOP",
            Verdict::Broken { .. } => "BROKEN",
        }
        .into(),
    ]
}
