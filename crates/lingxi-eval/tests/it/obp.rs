//! The off-policy estimators are those of PyPI's obp.
//!
//! `obp.json` is what `obp.py` printed of obp 0.4.1 and, for what that does not have yet (cascade DR, SLOPE, clipping), of
//! 0.5.7; the slow test (`LINGXI_SLOW=1`) prints it anew and compares with that as well.

use crate::venv;
use lingxi_eval::ope::slate::{self, Outlook, Slates};
use lingxi_eval::ope::tuning::slope;
use lingxi_eval::ope::{Columns, Grid, Rounds, Terms, direct, doubly_robust, weighting};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What we must agree with obp to.
const TOLERANCE: f64 = 1e-6;

/// The thresholds and shrinkages that `obp.py` lets SLOPE choose from.
const LAMBDAS: [f64; 7] = [0.5, 1.0, 2.0, 5.0, 10.0, 50.0, f64::INFINITY];

#[derive(Deserialize)]
struct Reference {
    actions: usize,
    positions: usize,
    rounds: BTreeMap<String, Vec<f64>>,
    length: usize,
    slates: BTreeMap<String, Vec<f64>>,
    values: BTreeMap<String, f64>,
}

impl Reference {
    /// The logged rounds as our columns.
    fn columns(&self) -> Columns {
        let of = |name: &str| &self.rounds[name];
        let ids = |name: &str| -> Vec<u32> { of(name).iter().map(|x| *x as u32).collect() };
        let rounds = Rounds {
            n_actions: self.actions,
            n_positions: self.positions,
            dim: 0,
            context: Vec::new(),
            action: ids("action"),
            position: ids("position"),
            reward: of("reward").clone(),
            propensity: of("pscore").clone(),
        };
        // obp's arrays are [rounds, actions, positions]; ours are those of each round's position.
        let at_position = |name: &str| {
            let one =
                |i: usize, a: usize| of(name)[(i * self.actions + a) * self.positions + rounds.position[i] as usize];
            let row = |i: usize| (0..self.actions).map(move |a| one(i, a));
            Grid { width: self.actions, values: (0..rounds.len()).flat_map(row).collect() }
        };
        let (chances, predicted) = (at_position("action_dist"), at_position("estimated_rewards_by_reg_model"));
        Columns::new(&rounds, &chances, Some(&predicted)).unwrap()
    }

    fn lists(&self) -> (Slates, Outlook) {
        let of = |name: &str| self.slates[name].clone();
        let (reward, action, dist, q) = (of("reward"), of("action"), of("dist"), of("q_hat"));
        let starts = (0..=reward.len() / self.length).map(|i| i * self.length).collect();
        let actions = q.len() / reward.len();
        let row = |place: usize| place * actions..(place + 1) * actions;
        let expected = |place: usize| q[row(place)].iter().zip(&dist[row(place)]).map(|(q, p)| q * p).sum();
        let outlook = Outlook {
            predicted: (0..reward.len()).map(|place| q[place * actions + action[place] as usize]).collect(),
            expected: (0..reward.len()).map(expected).collect(),
        };
        (Slates { starts, reward, logged: of("logged"), target: of("target") }, outlook)
    }
}

fn ours(name: &str, columns: &Columns, (slates, outlook): &(Slates, Outlook)) -> Terms {
    let (name, parameter) = name.split_once('@').map_or((name, 0.0), |(name, x)| (name, x.parse().unwrap()));
    let chosen = |make: fn(&Columns, f64) -> Terms| {
        let mut candidates: Vec<Terms> = LAMBDAS.iter().map(|lambda| make(columns, *lambda)).collect();
        let best = slope(&candidates, 0.1);
        candidates.swap_remove(best)
    };
    match name {
        "dm" => direct::terms(columns),
        "ips" => weighting::ips(columns, f64::INFINITY),
        "ips-clipped" => weighting::ips(columns, parameter),
        "snips" => weighting::self_normalised(columns),
        "dr" => doubly_robust::dr(columns, f64::INFINITY),
        "dr-clipped" => doubly_robust::dr(columns, parameter),
        "sndr" => doubly_robust::self_normalised(columns),
        "switch-dr" => doubly_robust::switch(columns, parameter),
        "dr-os" => doubly_robust::shrunk(columns, parameter),
        "slope-switch-dr" => chosen(doubly_robust::switch),
        "slope-dr-os" => chosen(doubly_robust::shrunk),
        "sips" => slate::standard(slates),
        "iips" => slate::independent(slates),
        "rips" => slate::reward_interaction(slates),
        "cascade-dr" => slate::cascade_dr(slates, outlook),
        other => panic!("{other} is none of our estimators"),
    }
}

fn check_agreement(reference: &Reference) {
    let (columns, lists) = (reference.columns(), reference.lists());
    for (name, expected) in &reference.values {
        let got = ours(name, &columns, &lists).value();
        assert!((got - expected).abs() < TOLERANCE, "{name}: {got} instead of {expected}");
    }
    assert!(reference.values.len() >= 21, "only {} values compared", reference.values.len());
}

fn committed() -> Reference {
    serde_json::from_str(include_str!("obp.json")).unwrap()
}

#[test]
fn every_estimator_says_what_obp_says_on_the_committed_fixture() {
    check_agreement(&committed());
}

#[test]
fn the_obp_fixture_is_what_the_pinned_releases_print_today() {
    if !venv::slow("install obp 0.4.1 and 0.5.7 and compare with them") {
        return;
    }
    let venv = venv::reference();
    let directories = [venv::alone(&venv, "obp", "0.4.1"), venv::alone(&venv, "obp", "0.5.7")];
    let fresh: Reference = serde_json::from_slice(&venv::printed(&venv, "obp.py", &directories)).unwrap();
    check_agreement(&fresh);
    for (name, expected) in &committed().values {
        assert!(
            (fresh.values[name] - expected).abs() < TOLERANCE,
            "{name}: the committed fixture is not what obp.py prints"
        );
    }
}
