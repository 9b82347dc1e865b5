//! Made-up logs whose truth is known: do intervals cover, does the rule choose well?

use crate::cli::OpeArgs;
use crate::failure::UserError;
use crate::progress::{Progress, Unit};
use crate::report::{ResultLine, metric, say, table};
use lingxi_eval::ope::coverage::{self, Coverage, Score, Trials};

/// Runs the trials and prints what came of them.
pub fn run(args: &OpeArgs) -> anyhow::Result<()> {
    let defaults = Trials::default();
    let runs = args.runs.unwrap_or(defaults.runs);
    let trials = Trials { runs, rounds: args.rounds.unwrap_or(defaults.rounds), seed: args.seed, ..defaults };
    let stage = Progress::new(args.json).stage("evaluate made-up logs", Some(runs as u64), Unit::Of("logs"));
    let coverage = coverage::run(&trials, &|| stage.add(1));
    let coverage = coverage.map_err(|why| UserError::new(why.to_string(), "lingxi ope --synthetic --runs 100"))?;
    stage.finish("");
    if args.json {
        return ResultLine::new("ope", Some("synthetic"), coverage).print();
    }
    Ok(say(&words(&coverage))?)
}

fn words(coverage: &Coverage) -> String {
    let trials = &coverage.trials;
    let row = |score: &Score| {
        vec![
            score.estimator.clone(),
            format!("{}/{}", score.covered, trials.runs),
            format!("{:.5}", score.rmse),
            metric(score.relative_error),
            format!("{:+.5}", score.bias),
            metric(score.width),
            score.chosen.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = coverage.estimators.iter().chain([&coverage.chosen]).map(row).collect();
    let header = ["estimator", "covered", "rmse", "rel. error", "bias", "width", "chosen"];
    format!(
        "{} logs of {} rounds, {} actions, {} numbers per context, softmax({}) logged, softmax({}) evaluated\n{}\n\
         chosen by {}\nerror of the chosen over that of the best in hindsight: {:.3}",
        trials.runs,
        trials.rounds,
        trials.actions,
        trials.dim,
        trials.logging,
        trials.evaluated,
        table(&header, &rows, &[1, 2, 3, 4, 5, 6]),
        coverage.rule,
        coverage.ratio_to_best
    )
}
