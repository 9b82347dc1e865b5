//! `lingxi simulate`: does exploring pay? Every policy against shoppers with hidden, drifting interests.

use crate::cli::SimulateArgs;
use crate::failure::UserError;
use crate::pipeline;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::report::{ResultLine, count, say, table};
use crate::simulate::arms::{BASE, named, tradeoff, written};
use crate::simulate::calibration::Degrees;
use crate::simulate::run::{Outcome, mean_by_shopper};
use crate::simulate::{Scale, Simulated, chart, simulate};
use crate::site::{Site, data_of};
use crate::stages::arrivals::Arrivals;
use lingxi_data::artefact::write_atomically;
use lingxi_eval::calibration::Calibration;
use serde_json::{Value, json};
use std::time::Instant;

/// The arm that stands as the result, if it was played.
const MAIN: &str = "thompson";
/// Learns as that one does, and never explores.
const UNEXPLORING: &str = "learnt greedy";

/// Answers `lingxi simulate`.
///
/// # Errors
/// Data that is not where it should be, or too few events.
pub fn run(args: &SimulateArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let progress = Progress::new(args.json);
    let mut arms = if args.tradeoff { tradeoff() } else { named(&args.policies)? };
    arms.extend(args.policy.iter().map(|text| written(text)).collect::<anyhow::Result<Vec<_>>>()?);
    let recipe = match &args.recipe {
        Some(path) => Recipe::read(path)?,
        None => Recipe::built_in(&args.name)?,
    };
    let data = match &args.data {
        Some(data) => data_of(data.clone(), &args.name),
        None => crate::assets::ensure(&args.name, &progress)?,
    };
    let site = Site::new(data, args.seed, progress, false)?;
    let read = pipeline::read(&recipe, &Arrivals::default(), &site)?;
    let Some(meaning) = &read.meaning else {
        let message = format!("{}: its goods have no text, and interests are found by what goods mean", recipe.name);
        return Err(UserError::new(message, "choose a recipe with text and an encoder").into());
    };
    let scale = Scale {
        decisions: args.decisions as usize,
        shoppers: args.shoppers as usize,
        goods: args.goods as usize,
        places: args.places as usize,
        seed: args.seed,
    };
    let stream = args.stream.as_deref().map(|folder| (folder, scale.decisions));
    let slates = arms.len() * scale.decisions;
    let stage = progress.stage("simulate", Some(slates as u64), crate::progress::Unit::Of("slates"));
    let simulated = simulate(&read.shop, meaning, scale, &arms, stream, &|slates| stage.add(slates))?;
    stage.finish(&format!("{} policies", simulated.arms.len()));
    if let Some(folder) = &args.stream {
        return Ok(say(&format!("{} decisions in {}", count(scale.decisions as u64), folder.display()))?);
    }
    if let Some(path) = &args.svg {
        write_atomically(path, chart::svg(&simulated.arms).as_bytes())?;
    }
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        return line(&recipe.name, &simulated, scale, seconds).print();
    }
    say(&summary(&simulated, scale))?;
    say(&rows(&simulated))?;
    if let Some((more, [low, high])) = explored(&simulated) {
        say(&format!("exploring brought {MAIN} {more:+.4} [{low:+.4}, {high:+.4}] clicks a slate over {UNEXPLORING}"))?;
    }
    Ok(say(&format!("{seconds:.0} s; curves with --svg FILE, all figures with --json"))?)
}

/// Mean difference to the base per slate with its interval, shopper by shopper.
fn against(outcome: &Outcome, base: &Outcome) -> (f64, [f64; 2]) {
    let pairs = outcome.by_shopper.iter().zip(&base.by_shopper);
    let differences: Vec<(f64, f64)> = pairs.map(|(a, b)| (a.0 - b.0, a.1)).collect();
    let (mean, deviation) = mean_by_shopper(&differences);
    (mean, [mean - 1.96 * deviation, mean + 1.96 * deviation])
}

/// The outcome that stands as the result, and the one that all are compared with: greedy, or where that was not played the first.
fn outcomes(simulated: &Simulated) -> (&Outcome, &Outcome) {
    let of = |name: &str| simulated.arms.iter().find(|arm| arm.name == name);
    let base = of(BASE).or(simulated.arms.first()).expect("the base is always played");
    (of(MAIN).unwrap_or(base), base)
}

/// What exploring brought per slate: the main arm less the one that learns alike and never explores, with the interval.
fn explored(simulated: &Simulated) -> Option<(f64, [f64; 2])> {
    let of = |name: &str| simulated.arms.iter().find(|arm| arm.name == name);
    Some(against(of(MAIN)?, of(UNEXPLORING)?))
}

fn row(outcome: &Outcome, base: &Outcome) -> Value {
    let last = outcome.curve.last().cloned().unwrap_or_default();
    let (difference, interval) = against(outcome, base);
    json!({
        "kind": "policy", "model": outcome.name, "policy": outcome.version,
        "metrics": {
            "reward": outcome.reward, "regret": last.regret / last.decisions.max(1) as f64, "discovered": last.discovered,
            "coverage": last.coverage, "seller_gap": last.seller_gap, "group_gap": last.group_gap, "score": outcome.score,
            "microseconds": 1e6 * outcome.seconds, "reward_over_base": difference,
        },
        "base": base.name, "interval": { "reward": outcome.interval, "reward_over_base": interval },
    })
}

fn line(name: &str, simulated: &Simulated, scale: Scale, seconds: f64) -> ResultLine<Value> {
    let (main, base) = outcomes(simulated);
    let mut result = row(main, base);
    result["split"] = "simulated".into();
    result["protocol"] = protocol(scale).into();
    result["seed"] = scale.seed.into();
    result["seconds"] = seconds.into();
    let mut line = ResultLine::new("simulate", Some(name), result);
    line.others.push(json!({ "kind": "fit", "metrics": &simulated.fit }));
    line.others.push(json!({ "kind": "next interest", "metrics": &simulated.foretold }));
    if let Some(calibration) = &simulated.calibration {
        line.others.push(json!({ "kind": "interests", "metrics": calibration }));
    }
    if let Some((more, interval)) = explored(simulated) {
        line.others.push(json!({
            "kind": "exploring", "model": MAIN, "base": UNEXPLORING,
            "metrics": { "reward_over_base": more }, "interval": { "reward_over_base": interval },
        }));
    }
    for outcome in &simulated.arms {
        let mut arm = row(outcome, base);
        arm["curve"] = json!(outcome.curve);
        line.others.push(arm);
    }
    line
}

fn protocol(scale: Scale) -> String {
    format!("{} slates of {} per policy, shoppers fitted to the log", count(scale.decisions as u64), scale.places)
}

fn summary(simulated: &Simulated, scale: Scale) -> String {
    let (fit, foretold) = (&simulated.fit, &simulated.foretold);
    let head = format!(
        "{}: {} shoppers, {} goods, {} hidden interests\n\
         fitted: interests move by {:.2} between both parts of a log, {:.1} new ones a shopper\n\
         assumed: {:.0}% of random goods are clicked in the first place, places are looked at with 1/sqrt(place), clicks sate\n\
         next new interest among the three likeliest: {:.3} (by reach alone {:.3}, {} held-out steps)\n",
        protocol(scale),
        count(fit.shoppers as u64),
        count(fit.goods as u64),
        fit.interests,
        fit.drift,
        fit.new_interests,
        100.0 * fit.clicked_at_random,
        foretold.hit_at_3,
        foretold.reach_hit_at_3,
        count(foretold.steps as u64),
    );
    head + &simulated.calibration.as_ref().map_or_else(String::new, calibrated)
}

fn calibrated(found: &Degrees) -> String {
    let of = |name: &str, c: &Calibration| {
        let [low, high] = c.interval;
        format!(
            "  {name}: calibration error {:.4} [{low:.4}, {high:.4}], by chance alone {:.4} (95%: {:.4}); Brier {:.4}\n",
            c.error, c.of_chance[0], c.of_chance[1], c.brier
        )
    };
    let bins: Vec<String> =
        found.degrees.bins.iter().map(|bin| format!("{:.3}>{:.3}", bin.foretold, bin.came)).collect();
    format!(
        "the five greatest degrees of interest before {} later events of {} shoppers, {} categories; one of five came true in {:.1}%\n{}{}  \
         foretold>came, tenths of equal count: {}\n",
        count(found.events as u64),
        count(found.shoppers as u64),
        found.categories,
        100.0 * found.hit,
        of("degrees", &found.degrees),
        of("the shop's shares for all", &found.shares),
        bins.join(" "),
    )
}

fn rows(simulated: &Simulated) -> String {
    let (_, base) = outcomes(simulated);
    let over = format!("over {} (95%)", base.name);
    let header = ["policy", "clicks", &over, "regret", "found", "shown", "sellers", "groups", "us"];
    let of = |outcome: &Outcome| {
        let last = outcome.curve.last().cloned().unwrap_or_default();
        let (difference, [low, high]) = against(outcome, base);
        vec![
            outcome.name.clone(),
            format!("{:.4}", outcome.reward),
            format!("{difference:+.4} [{low:+.4}, {high:+.4}]"),
            format!("{:.4}", last.regret / last.decisions.max(1) as f64),
            format!("{:.3}", last.discovered),
            format!("{:.3}", last.coverage),
            format!("{:.3}", last.seller_gap),
            format!("{:.3}", last.group_gap),
            format!("{:.0}", 1e6 * outcome.seconds),
        ]
    };
    table(&header, &simulated.arms.iter().map(of).collect::<Vec<_>>(), &[1, 2, 3, 4, 5, 6, 7, 8])
}
