//! What would our own policy have earned on Open Bandit's uniform log, beside the Thompson policy that the shop really ran?
//!
//! Replay: row by row our policy says with what probability it would have shown the logged item, and only then learns what came
//! of it. SNIPS weighs the rows by that probability over the logged one (Swaminathan and Joachims 2015); the shop's Thompson
//! policy has a log of its own. Features of an item: 1, the log of the shopper's affinity to it, its three categories one-hot, and its
//! number. Settings are fixed here and were never fitted to this log.

use super::sample::{affinities, ranks_of_items};
use crate::failure::UserError;
use crate::report::{count, metric};
use anyhow::Result;
use lingxi_data::{ItemId, Lesson, Policy, Scored};
use lingxi_decide::explore::ThompsonConfig;
use lingxi_decide::{Explorer, PolicyConfig};
use lingxi_eval::ope::terms::Value;
use lingxi_eval::ope::{Bars, Columns, Overlap, Rounds, Terms, weighting};
use serde::Serialize;
use std::path::Path;

const CONFIDENCE: f64 = 0.95;
const RESAMPLES: usize = 2000;

/// What both policies are worth.
#[derive(Clone, Debug, Serialize)]
pub struct Replay {
    /// Our policy after the log.
    pub policy: String,
    /// Our policy by SNIPS, with Student's t interval.
    pub ours: Value,
    /// The middle 95% of bootstrap resamples.
    pub bootstrap: [f64; 2],
    /// The shop's Thompson policy on its own log.
    pub thompson: Value,
    /// The uniform policy that made the log.
    pub uniform: Value,
    /// Ours less Thompson's, with the interval of two independent logs.
    pub difference: (f64, [f64; 2]),
    /// How much the log says of our policy.
    pub overlap: Overlap,
    /// Why the log says too little, if it does.
    pub refusal: Option<String>,
}

/// Replays the log of `folder/random` and reads that of `folder/bts`.
///
/// # Errors
/// Files that are not what they should be.
pub fn replay(folder: &Path, log: &Rounds, thompson: &[f64], seed: u64) -> Result<Replay> {
    let n = log.n_actions;
    let affinities = affinities(&folder.join("random/all/all.csv"), n)?;
    let (items, width) = ranks_of_items(&folder.join("random/all/item_context.csv"))?;
    let config = ThompsonConfig { scale: 0.06, ridge: 10.0, floor: 0.05, seed, ..ThompsonConfig::default() };
    let mut policy = PolicyConfig::Thompson(config).build()?;
    let rows = |round: usize| -> Vec<f32> {
        let one = |item: usize| {
            [1.0, affinities[round * n + item].ln_1p()]
                .into_iter()
                .chain(items[item * width..][..width].iter().copied())
        };
        (0..n).flat_map(one).collect()
    };
    let weight =
        (0..log.len()).map(|round| weigh(&mut policy, log, round, rows(round))).collect::<Result<Vec<f64>>>()?;
    let nothing = vec![0.0; weight.len()];
    let overlap = Overlap::of_weights(&weight);
    let columns = Columns { weight, reward: log.reward.clone(), predicted: nothing.clone(), expected: nothing };
    let terms = weighting::self_normalised(&columns);
    let (ours, theirs) = (terms.with_interval(CONFIDENCE), of(thompson));
    let between = ours.value - theirs.value;
    let half = 1.96 * (ours.standard_error.powi(2) + theirs.standard_error.powi(2)).sqrt();
    Ok(Replay {
        policy: policy.version(),
        ours,
        bootstrap: terms.bootstrap(RESAMPLES, CONFIDENCE, seed),
        thompson: theirs,
        uniform: of(&log.reward),
        difference: (between, [between - half, between + half]),
        refusal: overlap.refusal(&Bars::default()),
        overlap,
    })
}

/// The weight of one row, asked before the policy learns what came of it.
fn weigh(policy: &mut Explorer, log: &Rounds, round: usize, features: Vec<f32>) -> Result<f64> {
    let (n, action) = (log.n_actions, log.action[round] as usize);
    if action >= n {
        return Err(UserError::new(format!("row {round}: item {action} of {n}"), "lingxi assets verify obp").into());
    }
    let mut scored = Scored::new((0..n as u32).map(ItemId).collect(), vec![0.0; n]);
    scored.features = features;
    let probability = policy.probability(&scored, action);
    let width = scored.width();
    let features = scored.features[action * width..][..width].to_vec();
    policy.learn(&[Lesson { item: ItemId(action as u32), features, reward: log.reward[round] as f32, weight: 1.0 }]);
    Ok(probability / log.propensity[round])
}

fn of(rewards: &[f64]) -> Value {
    let terms = Terms { base: rewards.to_vec(), correction: vec![0.0; rewards.len()], norm: None };
    terms.with_interval(CONFIDENCE)
}

impl Replay {
    /// For people.
    pub fn words(&self) -> String {
        let value = |v: &Value| format!("{} [{}, {}]", metric(v.value), metric(v.interval[0]), metric(v.interval[1]));
        let (between, [low, high]) = self.difference;
        let head = format!(
            "our policy learning row by row on the uniform log, by SNIPS: {} (bootstrap [{}, {}]); the shop's Thompson policy on its own: \
             {}; uniform: {}\nours less Thompson's: {between:+.5} [{low:+.5}, {high:+.5}]; {} rows worth {} of the policy's own",
            value(&self.ours),
            metric(self.bootstrap[0]),
            metric(self.bootstrap[1]),
            value(&self.thompson),
            value(&self.uniform),
            count(self.overlap.rounds as u64),
            count(self.overlap.effective.round() as u64),
        );
        self.refusal.as_ref().map_or(head.clone(), |why| format!("{head}\n{why}"))
    }
}
