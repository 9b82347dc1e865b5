//! Off-policy evaluation against logs whose truth is known.

use crate::venv;
use lingxi_eval::EvalError;
use lingxi_eval::ope::coverage::{Trials, run};
use lingxi_eval::ope::outlook::{Cases, outlook};
use lingxi_eval::ope::reward_model::{RewardModelConfig, one_hot, predict};
use lingxi_eval::ope::slate::Slates;
use lingxi_eval::ope::synthetic::{Softmax, World};
use lingxi_eval::ope::{Bars, Grid, ReportConfig, Rounds, evaluate, evaluate_slates};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn check_trials(trials: Trials, least_covered: usize) {
    let coverage = run(&trials, &|| ()).unwrap();
    assert!(coverage.chosen.covered >= least_covered, "{coverage:#?}");
    assert!(coverage.ratio_to_best <= 1.1, "{coverage:#?}");
}

#[test]
fn intervals_cover_the_truth_and_the_rule_chooses_well() {
    // At 95% fewer than 20 of 24 would happen once in 200 times.
    check_trials(Trials { runs: 24, rounds: 2000, ..Trials::default() }, 20);
}

#[test]
fn of_a_hundred_logs_the_interval_covers_in_93_and_the_chosen_is_within_a_tenth_of_the_best() {
    if venv::slow("evaluate 100 made-up logs of 10,000 rounds") {
        check_trials(Trials::default(), 93);
    }
}

fn log(n: usize) -> (World, Rounds) {
    let world = World::new(6, 3, 4);
    let rounds = world.log(n, Softmax { sharpness: 2.0 }, 1);
    (world, rounds)
}

#[test]
fn the_policy_that_logged_is_worth_what_it_earned() {
    let (world, rounds) = log(500);
    let own = world.chances(&rounds, Softmax { sharpness: 2.0 });
    let report = evaluate(&rounds, &own, None, &ReportConfig::default()).unwrap();
    let mean = rounds.reward.iter().sum::<f64>() / 500.0;
    assert!((report.overlap.effective - 500.0).abs() < 1e-6);
    for estimate in &report.estimates {
        assert!((estimate.value - mean).abs() < 1e-9, "{estimate:?}");
        let [low, high] = estimate.bootstrap.unwrap();
        assert!(
            (low - estimate.interval[0]).abs() < 0.01 && (high - estimate.interval[1]).abs() < 0.01,
            "{estimate:?}"
        );
    }
}

#[test]
fn a_policy_that_the_log_hardly_met_is_refused_and_nothing_is_estimated() {
    let (world, rounds) = log(400);
    let greedy = world.chances(&rounds, Softmax { sharpness: 500.0 });
    let config = ReportConfig { bars: Bars { effective: 350.0, ..Bars::default() }, ..ReportConfig::default() };
    let report = evaluate(&rounds, &greedy, None, &config).unwrap();
    assert!(report.refusal.as_ref().unwrap().contains("log more or with more exploration"), "{report:?}");
    assert!(report.estimates.is_empty() && report.chosen.is_none() && report.chosen().is_none());
}

#[test]
fn an_action_that_was_never_logged_cannot_be_evaluated() {
    let (_, mut rounds) = log(400);
    rounds.n_actions = 7;
    let mut row = [0.0; 7];
    (row[0], row[6]) = (0.5, 0.5);
    let chances = Grid { width: 7, values: row.repeat(400) };
    let report = evaluate(&rounds, &chances, None, &ReportConfig::default()).unwrap();
    assert!(report.refusal.unwrap().contains("50% it shows what the log never shows"));
}

#[test]
fn columns_that_make_no_sense_are_refused_by_name() {
    let (world, rounds) = log(100);
    let own = world.chances(&rounds, Softmax { sharpness: 2.0 });
    let refused = |rounds: &Rounds, chances: &Grid, expected: &str| {
        let error: EvalError = evaluate(rounds, chances, None, &ReportConfig::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    let mut zero = rounds.clone();
    zero.propensity[7] = 0.0;
    refused(&zero, &own, "logged round 7, propensity: expected above 0, at most 1, got 0");
    let mut beyond = rounds.clone();
    beyond.action[3] = 6;
    refused(&beyond, &own, "logged round 3, action: expected below 6, got 6");
    let mut half = own.clone();
    half.values[0] += 0.5;
    refused(&rounds, &half, "chances that add up to 1");
    let short = Grid { values: own.values[6..].to_vec(), ..own.clone() };
    refused(&rounds, &short, "expected length 600, got 594");
    refused(&rounds.select(&[]), &own, "logged rounds, at least");
    let config = RewardModelConfig { folds: 0, ..RewardModelConfig::default() };
    assert!(predict(&rounds, &one_hot(6), &config).unwrap_err().to_string().contains("folds"));
}

/// Slates of two places logged half best, half other; the second place pays only if the first was the best.
fn made_slates(n: usize, seed: u64) -> (Slates, Cases) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut slates, mut cases) = (Slates::default(), Cases::default());
    for _ in 0..n {
        slates.starts.push(slates.reward.len());
        let best: [bool; 2] = [rng.random(), rng.random()];
        let rates = [if best[0] { 0.4 } else { 0.2 }, if best[0] && best[1] { 0.5 } else { 0.1 }];
        for (best, rate) in best.iter().zip(rates) {
            slates.reward.push(f64::from(u8::from(rng.random::<f64>() < rate)));
            slates.logged.push(0.5);
            slates.target.push(if *best { 0.9 } else { 0.1 });
            cases.best.push(*best);
            cases.chance_of_best.push(0.9);
        }
    }
    slates.starts.push(slates.reward.len());
    (slates, cases)
}

#[test]
fn slate_estimators_find_the_value_of_another_policy_and_cascade_dr_varies_least() {
    // 0.9 * 0.4 + 0.1 * 0.2 in the first place, 0.81 * 0.5 + 0.19 * 0.1 in the second.
    let truth = 0.38 + 0.424;
    let (mut covered, runs) = ([0; 3], 60);
    let mut errors = [0.0; 3];
    for seed in 0..runs {
        let (slates, cases) = made_slates(1000, seed);
        let report = evaluate_slates(&slates, Some(&outlook(&slates, &cases)), &ReportConfig::default()).unwrap();
        for (i, name) in ["sips", "rips", "cascade-dr"].iter().enumerate() {
            let estimate = report.estimates.iter().find(|estimate| estimate.estimator == *name).unwrap();
            covered[i] += usize::from((estimate.interval[0]..=estimate.interval[1]).contains(&truth));
            errors[i] += (estimate.value - truth).powi(2);
        }
    }
    // At 95% fewer than 51 of 60 would happen once in 500 times.
    assert!(covered.iter().all(|covered| *covered >= 51), "{covered:?}");
    assert!(errors[2] < errors[1] && errors[1] < errors[0], "{errors:?}");
}
