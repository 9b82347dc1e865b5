//! What would each action have earned?
//!
//! Rounds and features of the actions come in, a predicted reward of every action in every round goes out. One logistic
//! regression per position over the features of the round and of the action, as obp's `RegressionModel` has it, and
//! cross-fitted (Chernozhukov et al., arXiv 1608.00060): a round is predicted by models that did not see it, which
//! doubly robust estimators need for their intervals.

use super::rounds::{Grid, Rounds};
use crate::{EvalError, Result};
use lingxi_train::logistic::{Logistic, sigmoid};
use rand::seq::SliceRandom;
use rand::{SeedableRng, rngs::StdRng};

/// How rewards are predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RewardModelConfig {
    /// Inverse of the ridge.
    pub strength: f64,
    /// Parts of the log that are predicted by the others; 1 predicts what was learnt from.
    pub folds: usize,
    /// Who falls into which part.
    pub seed: u64,
}

impl Default for RewardModelConfig {
    fn default() -> Self {
        RewardModelConfig { strength: 100.0, folds: 3, seed: 1 }
    }
}

/// Features of actions that say only which one it is.
pub fn one_hot(n_actions: usize) -> Grid {
    let values = (0..n_actions * n_actions).map(|i| f64::from(u8::from(i / n_actions == i % n_actions))).collect();
    Grid { width: n_actions, values }
}

/// Predicts the reward of every action. `features`: one row per action.
///
/// # Errors
/// Columns that do not fit, or a position that a fold never saw.
pub fn predict(rounds: &Rounds, features: &Grid, config: &RewardModelConfig) -> Result<Grid> {
    rounds.check()?;
    let (n, expected) = (rounds.len(), rounds.n_actions * features.width);
    if features.values.len() != expected {
        return Err(EvalError::Length { what: "features of actions", expected, got: features.values.len() });
    }
    if config.folds == 0 || config.folds > n {
        let (field, expected, got) = ("folds", "from 1 to the number of rounds", config.folds.to_string());
        return Err(EvalError::Config { field, expected, got });
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut StdRng::seed_from_u64(config.seed));
    let mut fold_of = vec![0; n];
    order.iter().enumerate().for_each(|(rank, &i)| fold_of[i] = rank * config.folds / n);
    let scale = Scale::of(&rounds.reward);
    let mut out = Grid { width: rounds.n_actions, values: vec![0.0; n * rounds.n_actions] };
    for fold in 0..config.folds {
        let learns = |i: &usize| config.folds == 1 || fold_of[*i] != fold;
        let models = models(rounds, features, &scale, config.strength, &learns)?;
        for i in (0..n).filter(|i| fold_of[*i] == fold) {
            let row = &mut out.values[i * rounds.n_actions..(i + 1) * rounds.n_actions];
            predict_actions(&models[rounds.position[i] as usize], rounds.context(i), features, row);
            row.iter_mut().for_each(|q| *q = scale.back(*q));
        }
    }
    Ok(out)
}

/// A model's predictions for every action, where features are those of the round, then those of the action.
fn predict_actions(model: &Logistic, context: &[f64], actions: &Grid, out: &mut [f64]) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (of_context, of_action) = model.weights.split_at(context.len());
    let start = dot(of_context, context) + model.intercept;
    for (action, out) in out.iter_mut().enumerate() {
        *out = sigmoid(start + dot(of_action, actions.row(action)));
    }
}

/// One model per position.
fn models(
    rounds: &Rounds,
    features: &Grid,
    scale: &Scale,
    strength: f64,
    learns: &dyn Fn(&usize) -> bool,
) -> Result<Vec<Logistic>> {
    let dim = rounds.dim + features.width;
    let of_position = |position: u32| {
        let rows: Vec<usize> = (0..rounds.len()).filter(|&i| rounds.position[i] == position).filter(learns).collect();
        if rows.is_empty() {
            return Err(EvalError::TooLittle {
                what: "reward model",
                expected: "logged rounds in every position and part of the log".into(),
                got: format!("none in position {position}"),
                remedy: "log more, or use fewer folds",
            });
        }
        let mut x = Vec::with_capacity(rows.len() * dim);
        for &i in &rows {
            x.extend_from_slice(rounds.context(i));
            x.extend_from_slice(features.row(rounds.action[i] as usize));
        }
        let y: Vec<f64> = rows.iter().map(|&i| scale.unit(rounds.reward[i])).collect();
        Ok(Logistic::fit(&x, dim, &y, strength)?)
    };
    (0..rounds.n_positions as u32).map(of_position).collect()
}

/// Rewards within [0, 1] stay as they are, others are stretched to it for the fit and back for the prediction.
struct Scale {
    low: f64,
    width: f64,
}

impl Scale {
    fn of(rewards: &[f64]) -> Scale {
        let (low, high) = rewards.iter().fold((0f64, 1f64), |(low, high), r| (low.min(*r), high.max(*r)));
        Scale { low, width: high - low }
    }

    fn unit(&self, reward: f64) -> f64 {
        (reward - self.low) / self.width
    }

    fn back(&self, unit: f64) -> f64 {
        self.low + self.width * unit
    }
}
