//! How the networks on the graph learn: pairs come in, parameters that tell what was taken go out.
//!
//! One step of the trainer: representations of all nodes, the loss of a batch of pairs, and the same backward. A seeded share of the pairs
//! is held out of the graph; their loss decides when to stop and which parameters are kept.

use super::contrast::Batch;
use super::fold_in::{FoldIn, Links, Tables, Voice};
use super::loss::{self, Loss, Objective};
use crate::error::{Result, require};
use crate::history::HistoryWeights;
use crate::pairs::{Lists, Pairs};
use lingxi_data::Events;
use lingxi_kernels::dot;
use lingxi_train::{Course, Learner, TrainerConfig};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Largest number of held-out pairs that a loss is measured on.
const HELD_OUT_AT_MOST: usize = 8_192;
/// Numbers that are set to zero in one task.
const PART: usize = 32_768;

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Which loss; default `softmax`.
    pub loss: Loss,
    /// Temperature of `softmax` and `contrast`; default 1. Cosines want about 0.15.
    pub temperature: f32,
    /// Pairs in one step; default 4,096.
    pub batch: usize,
    /// Items drawn for a step of `contrast`; default 1,024.
    pub negatives: usize,
    /// At most so many passes over the pairs; default 40.
    pub epochs: usize,
    /// Step size; default 3e-3.
    pub learning_rate: f32,
    /// Weight decay; default 1e-4.
    pub decay: f32,
    /// Share of the pairs held out to watch; default 0.02. With 0 all epochs are taken.
    pub held_out: f32,
    /// Stop after so many epochs without a new best; default 3.
    pub patience: usize,
}

impl Default for Training {
    fn default() -> Self {
        Training {
            loss: Loss::Softmax,
            temperature: 1.0,
            batch: 4_096,
            negatives: 1_024,
            epochs: 40,
            learning_rate: 3e-3,
            decay: 1e-4,
            held_out: 0.02,
            patience: 3,
        }
    }
}

impl Training {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        for (field, x) in [
            ("training.batch", self.batch),
            ("training.negatives", self.negatives),
            ("training.epochs", self.epochs),
            ("training.patience", self.patience),
        ] {
            require((1..=1 << 20).contains(&x), field, "1 to 1048576", x)?;
        }
        loss::check("training.temperature", self.temperature)?;
        loss::check("training.learning_rate", self.learning_rate)?;
        require(self.decay.is_finite() && self.decay >= 0.0, "training.decay", "at least 0", self.decay)?;
        require((0.0..0.5).contains(&self.held_out), "training.held_out", "a share in [0, 0.5)", self.held_out)
    }

    /// The same for the trainer's loop. Batches are never put together to one step: a network writes its gradient whole.
    pub(crate) fn trainer(&self) -> TrainerConfig {
        let Training { batch, epochs, learning_rate, decay, patience, .. } = *self;
        TrainerConfig { batch, epochs, learning_rate, decay, patience, accumulate: 1, ..TrainerConfig::default() }
    }
}

/// Parameters -> representations of all nodes, `[users + items, d]`, and back.
pub(crate) trait Network {
    /// Length of a representation.
    fn dim(&self) -> usize;
    /// Parameters to begin with.
    fn start(&self, seed: u64) -> Vec<f32>;
    /// Representations under `parameters`.
    fn forward(&mut self, parameters: &[f32]) -> &[f32];
    /// The gradient of the parameters, given that of the last representations, which it may use up.
    fn backward(&mut self, parameters: &[f32], d_e: &mut [f32], gradient: &mut [f32]);
    /// How each item speaks for a shopper who took it, `[items, d]`, after a forward under the same parameters.
    fn speaks(&self, parameters: &[f32]) -> Vec<f32>;
}

/// `n` even draws around zero.
pub(crate) fn uniform(n: usize, spread: f32, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-spread..spread)).collect()
}

/// Trains the network that `build` makes of the items of each shopper, and reads its tables on the graph of all pairs.
pub(crate) fn fit_network<N: Network>(
    voice: Voice,
    training: &Training,
    history: &HistoryWeights,
    events: &Events<'_>,
    seed: u64,
    build: &dyn Fn(&Lists, usize) -> N,
    course: &mut Course<'_>,
) -> Result<FoldIn> {
    let pairs = Pairs::of(events, history, 0.0);
    let (users, items) = (pairs.by_user.len(), pairs.by_item.len());
    let mut lessons = Lessons::new(training, &pairs.by_user, items, seed, |graph| build(graph, items));
    let start = lessons.network.start(seed);
    let parameters = course.train(&training.trainer(), &mut lessons, start, seed)?;
    drop(lessons);
    let mut whole = build(&pairs.by_user, items);
    let d = whole.dim();
    let mut to = whole.forward(&parameters)[users * d..].to_vec();
    let mut from = whole.speaks(&parameters);
    for (item, (from, to)) in from.chunks_mut(d).zip(to.chunks_mut(d)).enumerate() {
        let length = dot(to, to).sqrt();
        if pairs.by_item.count(item) == 0 {
            // What nobody took has only its random start.
            from.fill(0.0);
            to.fill(0.0);
        } else if training.loss == Loss::Contrast && length > 0.0 {
            to.iter_mut().for_each(|x| *x /= length);
        }
    }
    Ok(FoldIn::new(voice, history, Links::default(), Tables { dim: d, from, to }, events))
}

/// What the trainer's loop asks for: an example is a pair.
pub(crate) struct Lessons<'a, N> {
    training: &'a Training,
    taken: &'a Lists,
    items: u32,
    pairs: Vec<(u32, u32)>,
    watched: Batch,
    objective: Objective,
    pub network: N,
    d_e: Vec<f32>,
}

impl<'a, N: Network> Lessons<'a, N> {
    /// Holds out pairs of `taken`; the network is built on the graph of the others.
    pub fn new(
        training: &'a Training,
        taken: &'a Lists,
        items: usize,
        seed: u64,
        build: impl FnOnce(&Lists) -> N,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let of = |user: usize| taken.row(user).0.iter().map(move |&item| (user as u32, item));
        let mut pairs: Vec<(u32, u32)> = (0..taken.len()).flat_map(of).collect();
        pairs.shuffle(&mut rng);
        let count = ((pairs.len() as f32 * training.held_out) as usize).min(HELD_OUT_AT_MOST);
        let mut held_out = pairs.split_off(pairs.len() - count);
        held_out.sort_unstable();
        let network = build(&taken.without(&held_out));
        let watched = Batch { pairs: held_out, negatives: Vec::new() };
        let objective = Objective::new(training.loss, training.temperature);
        let items = items as u32;
        let mut lessons = Lessons { training, taken, items, pairs, watched, objective, network, d_e: Vec::new() };
        lessons.watched.negatives = lessons.draw(lessons.watched.pairs.len(), &mut rng);
        lessons
    }

    fn draw(&self, pairs: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
        let count = self.training.loss.draws(pairs, self.training.negatives);
        (0..count).map(|_| rng.random_range(0..self.items)).collect()
    }
}

impl<N: Network> Learner for Lessons<'_, N> {
    fn examples(&self) -> usize {
        self.pairs.len()
    }

    fn learn(&mut self, parameters: &[f32], batch: &[u32], seed: u64, gradient: &mut [f32]) -> f64 {
        let pairs = batch.iter().map(|at| self.pairs[*at as usize]).collect();
        let negatives = self.draw(batch.len(), &mut ChaCha8Rng::seed_from_u64(seed));
        let (d, users) = (self.network.dim(), self.taken.len());
        let e = self.network.forward(parameters);
        self.d_e.resize(e.len(), 0.0);
        self.d_e.par_chunks_mut(PART).for_each(|d_e| d_e.fill(0.0));
        let batch = Batch { pairs, negatives };
        let loss = self.objective.of(e, d, users, &batch, self.taken, Some(&mut self.d_e));
        self.network.backward(parameters, &mut self.d_e, gradient);
        loss
    }

    fn check(&mut self, parameters: &[f32]) -> Option<f64> {
        if self.watched.pairs.is_empty() {
            return None;
        }
        let (d, users) = (self.network.dim(), self.taken.len());
        Some(self.objective.of(self.network.forward(parameters), d, users, &self.watched, self.taken, None))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use lingxi_data::{Event, EventKind, Interactions, ItemId, Purpose, UserId};

    /// Six shoppers, nine items, forty events.
    pub fn small() -> Pairs {
        let event =
            |u: u32, i: u32| Event { user: UserId(u), item: ItemId(i), at: 0, kind: EventKind::Buy, value: 1.0 };
        let rows = (0..40u32).map(|e| event(e % 6, (e * e + e / 6) % 9)).collect();
        let log = Interactions::from_events(rows, 6, 9).unwrap();
        Pairs::of(&log.for_purpose(Purpose::Training), &HistoryWeights::default(), 0.0)
    }

    /// Checks forward, every loss and backward of a network on [`small`] against finite differences.
    pub fn check(network: &mut dyn Network, parameters: &[f32]) {
        check_some(network, parameters, &[Loss::Bpr, Loss::Softmax, Loss::Contrast]);
    }

    /// The same for some losses.
    pub fn check_some(network: &mut dyn Network, parameters: &[f32], losses: &[Loss]) {
        let taken = small().by_user;
        let pairs = vec![(0, 0), (1, 2), (3, 3), (5, 2), (0, 6)];
        for &loss in losses {
            let negatives = match loss {
                Loss::Bpr => vec![8, 1, 4, 0, 2],
                Loss::Softmax => vec![],
                Loss::Contrast => vec![8, 1, 4, 0, 2, 5],
            };
            let batch = Batch { pairs: pairs.clone(), negatives };
            let mut objective = Objective::new(loss, 0.5);
            let d = network.dim();
            let e = network.forward(parameters).to_vec();
            let (mut d_e, mut gradient) = (vec![0.0; e.len()], vec![0.0; parameters.len()]);
            objective.of(&e, d, 6, &batch, &taken, Some(&mut d_e));
            network.backward(parameters, &mut d_e, &mut gradient);
            let value = |w: &[f32]| objective.of(network.forward(w), d, 6, &batch, &taken, None);
            lingxi_train::gradient_check(parameters, &gradient, 5e-3, 0.01, 40, 5, value)
                .unwrap_or_else(|why| panic!("{loss:?}: {why:?}"));
        }
    }
}
