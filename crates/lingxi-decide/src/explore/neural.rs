//! A network says what matters, a Bayesian last layer how sure we are: neural-linear Thompson sampling (Riquelme, Tucker and
//! Snoek 2018, arXiv 1802.09127).
//!
//! The last lessons are kept. Every `refit` lessons the [`Network`] goes on fitting them and the last layer is computed anew
//! from all of them; in between each lesson updates the last layer alone. What is older than the memory is forgotten.

use super::lin_ucb::learnt;
use super::own::Own;
use super::ridge::Ridge;
use super::{Beliefs, Distribution, Network, Place, ThompsonConfig};
use crate::{DecideError, Result};
use lingxi_data::{Lesson, Scored};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Passes over the memory at each fit.
const EPOCHS: usize = 3;

/// Settings of [`NeuralThompson`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NeuralThompsonConfig {
    /// Width of the hidden layer, at most 256.
    pub hidden: usize,
    /// Lessons that are kept, at most a million.
    pub memory: usize,
    /// Lessons between two fits of the network.
    pub refit: usize,
    /// Standard deviation of the noise of a reward: greater explores more.
    pub scale: f64,
    /// Coefficient vectors that vote for each place, at most 1024.
    pub draws: usize,
    /// Strength of the prior of the last layer, in lessons.
    pub ridge: f64,
    /// Share of draws that is spread evenly over the eligible candidates.
    pub floor: f64,
    /// Seed of the network and of the stream of coefficient vectors.
    pub seed: u64,
}

impl Default for NeuralThompsonConfig {
    fn default() -> Self {
        let ThompsonConfig { scale, draws, ridge, floor, seed, .. } = ThompsonConfig::default();
        NeuralThompsonConfig { hidden: 16, memory: 20_000, refit: 5_000, scale, draws, ridge, floor, seed }
    }
}

impl NeuralThompsonConfig {
    fn last_layer(&self) -> ThompsonConfig {
        let NeuralThompsonConfig { scale, draws, ridge, floor, seed, .. } = *self;
        ThompsonConfig { scale, draws, ridge, half_life: None, floor, seed, own: None }
    }
}

/// The policy and what it learnt; memory: as many lessons as it keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeuralThompson {
    config: NeuralThompsonConfig,
    network: Option<Network>,
    last: Ridge,
    kept: VecDeque<Lesson>,
    lessons: u64,
}

impl NeuralThompson {
    /// The policy before the first lesson.
    ///
    /// # Errors
    /// [`DecideError::Config`] names what is outside its range.
    pub fn new(config: NeuralThompsonConfig) -> Result<NeuralThompson> {
        let limits =
            [("hidden", config.hidden, 256), ("memory", config.memory, 1_000_000), ("refit", config.refit, 1_000_000)];
        for (what, number, most) in limits {
            if number == 0 || number > most {
                return Err(DecideError::Config {
                    what,
                    expected: "1 to 256 (hidden) or 1000000",
                    got: number.to_string(),
                });
            }
        }
        let last = Ridge::new(config.last_layer().check()?)?;
        Ok(NeuralThompson { config, network: None, last, kept: VecDeque::new(), lessons: 0 })
    }

    fn add(&mut self, lesson: &Lesson) {
        let finite = lesson.reward.is_finite() && lesson.features.iter().all(|x| x.is_finite());
        if !finite || lesson.features.is_empty() || lesson.weight.is_nan() || lesson.weight <= 0.0 {
            return;
        }
        let dim = lesson.features.len();
        let network = self.network.get_or_insert_with(|| Network::new(dim, self.config.hidden, self.config.seed));
        if network.dim() != dim {
            return;
        }
        self.last.learn(&network.features(&lesson.features), lesson.reward, lesson.weight);
        self.kept.push_back(lesson.clone());
        if self.kept.len() > self.config.memory {
            self.kept.pop_front();
        }
        self.lessons += 1;
        if self.lessons.is_multiple_of(self.config.refit as u64) {
            self.refit();
        }
    }

    fn refit(&mut self) {
        let Some(network) = &mut self.network else { return };
        let x: Vec<f32> = self.kept.iter().flat_map(|lesson| &lesson.features).copied().collect();
        let y: Vec<f32> = self.kept.iter().map(|lesson| lesson.reward).collect();
        let weight: Vec<f32> = self.kept.iter().map(|lesson| lesson.weight).collect();
        network.fit(&x, &y, &weight, EPOCHS, self.config.seed.wrapping_add(self.lessons));
        let config = self.config.last_layer().check().expect("checked when the policy was made");
        self.last = Ridge::new(config).expect("checked when the policy was made");
        for ((row, y), weight) in network.features(&x).chunks_exact(network.width()).zip(&y).zip(&weight) {
            self.last.learn(row, *y, *weight);
        }
    }
}

impl Distribution for NeuralThompson {
    fn version(&self) -> String {
        let NeuralThompsonConfig { hidden, memory, refit, scale, draws, ridge, floor, seed } = self.config;
        let settings = format!("{hidden}, {memory}, {refit}, {scale}, {draws}, {ridge}, {floor}, {seed}");
        format!("neural-thompson({settings})/1@{}", self.lessons)
    }

    fn beliefs(&self, scored: &Scored) -> Beliefs {
        let by_score = || Beliefs { worth: scored.scores.clone(), ..Beliefs::default() };
        let Some(network) = self.network.as_ref().filter(|network| network.dim() == scored.width()) else {
            return by_score();
        };
        let features = network.features(&scored.features);
        let seen = Scored { items: scored.items.clone(), scores: scored.scores.clone(), features, novelty: Vec::new() };
        learnt(&self.last, &Own::default(), &seen).map_or_else(by_score, |worth| {
            self.config.last_layer().beliefs(&self.last, &seen.features, network.width(), worth)
        })
    }

    fn probabilities(&self, place: &Place<'_>) -> Vec<f64> {
        self.config.last_layer().probabilities(place)
    }

    fn learn(&mut self, lessons: &[Lesson]) {
        lessons.iter().for_each(|lesson| self.add(lesson));
    }

    fn is_whole(&self) -> bool {
        let dim = self.network.as_ref().map_or(0, Network::dim);
        let width = self.network.as_ref().map_or(0, Network::width);
        let finite = |lesson: &Lesson| lesson.features.iter().all(|x| x.is_finite()) && lesson.reward.is_finite();
        self.network.as_ref().is_none_or(Network::is_whole)
            && self.last.is_whole()
            && (self.last.dim() == 0 || self.last.dim() == width)
            && self.kept.len() <= self.config.memory
            && self.kept.iter().all(|lesson| lesson.features.len() == dim && finite(lesson))
            && NeuralThompson::new(self.config).is_ok()
    }
}
