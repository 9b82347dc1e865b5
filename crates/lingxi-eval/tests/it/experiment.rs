//! The risks that experiments promise, held against simulation.

use crate::venv;
use lingxi_eval::experiment::effect_trials;
use lingxi_eval::experiment::null_tests::{Measured, NullTests, run};

#[test]
fn of_a_thousand_tests_of_nothing_no_more_are_called_than_promised_though_somebody_looks_after_every_shopper() {
    if !venv::slow("simulate 1,000 A/A tests twice") {
        return;
    }
    let tests = NullTests { runs: 1000, users: 10_000, alpha: 0.05, seed: 1 };
    for metric in [Measured::Rate, Measured::Money] {
        let called = run(&tests, metric, &|| ()).unwrap();
        assert!(called.always_valid <= 50 && called.always_valid_cuped <= 50, "{called:?}");
        assert!(called.peeked > 150, "{called:?}");
    }
}

#[test]
fn of_a_hundred_simulated_logs_the_interval_holds_the_true_effect_in_95() {
    if !venv::slow("estimate the effect in 100 simulated logs") {
        return;
    }
    let trials = effect_trials::run(100, 4000, 1, &|| ()).unwrap();
    assert!(trials.average.covered >= 95, "{trials:#?}");
    assert!(trials.groups.iter().all(|group| group.covered >= 95), "{trials:#?}");
}
