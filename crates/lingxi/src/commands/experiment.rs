//! `lingxi experiment`: plan a test, deal its shoppers, analyse it, and hold the promised risks against simulation.

mod analyse;
mod effect;
mod rows;
mod running;

use crate::cli::{ExperimentAction, ExperimentArgs, PlanArgs};
use crate::failure::UserError;
use crate::progress::{Progress, Unit};
use crate::report::{ResultLine, count, metric, say, table};
use anyhow::Result;
use lingxi_eval::experiment::null_tests::{Called, Measured, NullTests, run as simulate};
use lingxi_eval::experiment::plan::{Plan, PlanConfig, plan};
use lingxi_eval::experiment::{Experiment, assign};
use serde::Deserialize;
use serde_json::json;
use std::path::Path;

/// Answers `lingxi experiment`.
///
/// # Errors
/// Numbers outside their range, files that cannot be read, experiments that cannot be run.
pub fn run(args: &ExperimentArgs) -> Result<()> {
    match &args.action {
        ExperimentAction::Plan(wanted) => print_plan(wanted, args.json),
        ExperimentAction::Assign { experiments, users } => deal(experiments, users, args.json),
        ExperimentAction::Analyse { file, control, guard, shares, alpha } => {
            let asked = analyse::Asked { control: control.as_deref(), guard: *guard, shares, alpha: *alpha };
            analyse::run(file, &asked, args.json)
        }
        ExperimentAction::Aa { runs, users, alpha } => {
            aa(&NullTests { runs: *runs, users: *users, alpha: *alpha, seed: args.seed }, args.json)
        }
        ExperimentAction::Start { file, server } => running::start(file, server, args.json),
        ExperimentAction::List { server } => running::list(server, args.json),
        ExperimentAction::Show { name, server } => running::show(name, server, args.json),
        ExperimentAction::Stop { name, why, server } => running::stop(name, why.as_deref(), server, args.json),
        ExperimentAction::Remove { name, server } => running::remove(name, server, args.json),
        ExperimentAction::Effect { file: Some(file), simulated: false, .. } => {
            effect::of_log(file, args.seed, args.json)
        }
        ExperimentAction::Effect { runs, rows, .. } => effect::simulated(*runs, *rows, args.seed, args.json),
    }
}

/// What the library refuses is the person's turn; its messages say what would do.
fn refused(why: lingxi_eval::EvalError) -> UserError {
    UserError::new(why.to_string(), "lingxi experiment --help")
}

fn print_plan(args: &PlanArgs, json: bool) -> Result<()> {
    let rate = (args.mean * (1.0 - args.mean)).max(0.0).sqrt();
    let config = PlanConfig {
        mean: args.mean,
        deviation: args.deviation.unwrap_or(rate),
        lift: args.lift,
        daily: args.daily * args.traffic,
        treated: args.treated,
        correlation: args.correlation,
        alpha: args.alpha,
        power: args.power,
    };
    let plan = plan(&config).map_err(refused)?;
    if json {
        return ResultLine::new("experiment", Some("plan"), plan).print();
    }
    Ok(say(&plan_words(&plan))?)
}

fn plan_words(plan: &Plan) -> String {
    let config = &plan.config;
    let row = |name: &str, effort: &lingxi_eval::experiment::plan::Effort| {
        vec![name.to_owned(), count(effort.shoppers), count(effort.days)]
    };
    let efforts = [row("one look at the end", &plan.one_look), row("looking always", &plan.always)];
    let after: Vec<Vec<String>> = plan
        .after_days
        .iter()
        .map(|[days, one, always]| vec![format!("{days:.0}"), percent(*one), percent(*always)])
        .collect();
    format!(
        "a lift of {} on {} found with {} power at a risk of {}\n{}\n\nsmallest lift found after\n{}",
        percent(config.lift),
        metric(config.mean),
        percent(config.power),
        percent(config.alpha),
        table(&["", "shoppers", "days"], &efforts, &[1, 2]),
        table(&["days", "one look", "looking always"], &after, &[0, 1, 2])
    )
}

fn percent(part: f64) -> String {
    format!("{:.1}%", 100.0 * part)
}

/// The experiments of a shop, as a person writes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Experiments {
    #[serde(rename = "experiment")]
    experiments: Vec<Experiment>,
}

fn deal(path: &Path, users: &[String], json: bool) -> Result<()> {
    let unreadable = || format!("cannot read {}", path.display());
    let text = std::fs::read_to_string(path)
        .map_err(|why| UserError::new(unreadable(), "give a TOML file with [[experiment]] tables").because(why))?;
    let shop: Experiments =
        toml::from_str(&text).map_err(|why| UserError::new(unreadable(), "put the line right").because(why))?;
    assign::check(&shop.experiments).map_err(refused)?;
    let arm = |experiment: &Experiment, user: &str| experiment.arm(user).map(|arm| experiment.arms[arm].name.clone());
    let row = |user: &String| {
        let arms: serde_json::Map<_, _> =
            shop.experiments.iter().map(|experiment| (experiment.name.clone(), json!(arm(experiment, user)))).collect();
        json!({ "user": user, "arms": arms })
    };
    if json {
        let dealt: Vec<_> = users.iter().map(row).collect();
        return ResultLine::new("experiment", Some("assign"), json!({ "users": dealt })).print();
    }
    let mut header = vec!["shopper"];
    header.extend(shop.experiments.iter().map(|experiment| experiment.name.as_str()));
    let cells = |user: &String| {
        let arms = shop.experiments.iter().map(|experiment| arm(experiment, user).unwrap_or_else(|| "-".into()));
        std::iter::once(user.clone()).chain(arms).collect::<Vec<_>>()
    };
    Ok(say(&table(&header, &users.iter().map(cells).collect::<Vec<_>>(), &[]))?)
}

fn aa(tests: &NullTests, json: bool) -> Result<()> {
    let stage = Progress::new(json).stage("simulate A/A tests", Some(2 * tests.runs as u64), Unit::Of("tests"));
    let of = |metric| simulate(tests, metric, &|| stage.add(1)).map_err(refused);
    let called = [of(Measured::Rate)?, of(Measured::Money)?];
    stage.finish("");
    let held =
        |called: &Called| called.always_valid.max(called.always_valid_cuped) as f64 <= tests.alpha * tests.runs as f64;
    if json {
        let result = json!({ "tests": tests, "looks": "after every shopper", "held": called.iter().all(held), "called": called });
        return ResultLine::new("experiment", Some("aa"), result).print();
    }
    let row = |called: &Called| {
        let share = |n: usize| format!("{n} ({})", percent(n as f64 / tests.runs as f64));
        let metric = json!(called.metric).as_str().unwrap_or_default().to_owned();
        let counts = [called.always_valid, called.always_valid_cuped, called.one_look, called.peeked, called.ratio];
        std::iter::once(metric).chain(counts.map(share)).collect::<Vec<_>>()
    };
    say(&format!(
        "{} tests in which nothing differs, {} shoppers each, a look after every shopper; a difference was called by",
        count(tests.runs as u64),
        count(tests.users as u64)
    ))?;
    let header = ["metric", "always valid", "with CUPED", "one look", "the same, peeked at", "wrong sizes"];
    say(&table(&header, &called.iter().map(row).collect::<Vec<_>>(), &[1, 2, 3, 4, 5]))?;
    let verdict = if called.iter().all(held) { "held" } else { "not held" };
    Ok(say(&format!("\nthe promised risk of {} is {verdict} by the always-valid intervals", percent(tests.alpha)))?)
}
