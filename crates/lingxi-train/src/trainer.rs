//! The loop that trained models share: shuffled batches, a schedule, accumulated gradients, held-out checks, early stopping,
//! checkpoints.
//!
//! A model implements [`Learner`]: the gradient of a batch, and a held-out figure. What happens at a step depends on the seed
//! and the step's number alone, never on what ran before in this process; so a run that was killed and goes on from its last
//! [`crate::checkpoint`] takes the same steps as one that was never killed.

use crate::adamw::{AdamW, AdamWConfig};
use crate::early_stopping::{EarlyStopping, Verdict};
use crate::optimiser::{Descent, Optimiser};
use crate::schedule::Schedule;
use crate::sgd::{Sgd, SgdConfig};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainerConfig {
    /// At most so many passes over the examples; default 50.
    pub epochs: usize,
    /// Examples of a batch; default 128.
    pub batch: usize,
    /// Batches whose gradients are added up before a step; default 1.
    pub accumulate: usize,
    /// Which way downhill; default AdamW.
    #[serde(skip_serializing_if = "Descent::is_default")]
    pub optimiser: Descent,
    /// Of SGD; default 0.9.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f32>,
    /// Step size; default 1e-3.
    pub learning_rate: f32,
    /// Steps over which the step size rises; default 0.
    pub warm_up: u64,
    /// What the step size does then; default it stays.
    pub schedule: Schedule,
    /// Weight decay; default 0.
    pub decay: f32,
    /// Gradients longer than this are cut to it; default none.
    pub clip: Option<f32>,
    /// Passes between two held-out checks; default 1.
    pub check_every: usize,
    /// Stop after so many checks without a new best; default 5.
    pub patience: usize,
}

impl Default for TrainerConfig {
    fn default() -> Self {
        TrainerConfig {
            epochs: 50,
            batch: 128,
            accumulate: 1,
            optimiser: Descent::AdamW,
            momentum: None,
            learning_rate: 1e-3,
            warm_up: 0,
            schedule: Schedule::Constant,
            decay: 0.0,
            clip: None,
            check_every: 1,
            patience: 5,
        }
    }
}

impl TrainerConfig {
    /// The first field that is out of its range, with what was expected and what came.
    pub fn wrong(&self) -> Option<(&'static str, &'static str, String)> {
        let counts = [
            ("training.epochs", self.epochs),
            ("training.batch", self.batch),
            ("training.accumulate", self.accumulate),
            ("training.check_every", self.check_every),
            ("training.patience", self.patience),
        ];
        if let Some((field, count)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Some((field, "at least 1", count.to_string()));
        }
        let positive = |x: f32| x.is_finite() && x > 0.0;
        if !positive(self.learning_rate) {
            return Some(("training.learning_rate", "a positive number", self.learning_rate.to_string()));
        }
        if !(self.decay.is_finite() && self.decay >= 0.0) {
            return Some(("training.decay", "at least 0", self.decay.to_string()));
        }
        if let Some(momentum) = self.momentum {
            if self.optimiser != Descent::Sgd {
                return Some(("training.momentum", "none, or optimiser = \"sgd\"", momentum.to_string()));
            }
            if !(0.0..1.0).contains(&momentum) {
                return Some(("training.momentum", "0 to below 1", momentum.to_string()));
            }
        }
        self.clip.filter(|clip| !positive(*clip)).map(|clip| ("training.clip", "a positive number", clip.to_string()))
    }

    /// Steps of a pass over `examples`.
    pub fn steps_of_a_pass(&self, examples: usize) -> u64 {
        (examples.div_ceil(self.batch).div_ceil(self.accumulate)) as u64
    }

    /// The optimiser of `n` parameters before the first step.
    fn begin(&self, n: usize) -> Optimiser {
        let second = if self.optimiser == Descent::AdamW { n } else { 0 };
        self.go_on(vec![0.0; n], vec![0.0; second], 0)
    }

    /// The optimiser with the columns of [`Optimiser::state`].
    pub(crate) fn go_on(&self, first: Vec<f32>, second: Vec<f32>, steps: u64) -> Optimiser {
        let TrainerConfig { learning_rate, decay, clip, .. } = *self;
        match self.optimiser {
            Descent::AdamW => {
                let config = AdamWConfig { learning_rate, decay, clip, ..AdamWConfig::default() };
                Optimiser::AdamW(AdamW::restore(config, first, second, steps))
            }
            Descent::Sgd => {
                let momentum = self.momentum.unwrap_or(SgdConfig::default().momentum);
                Optimiser::Sgd(Sgd::restore(SgdConfig { learning_rate, momentum, decay, clip }, first))
            }
        }
    }
}

/// What a model does for its training.
pub trait Learner {
    /// Number of examples; batches are numbers below it.
    fn examples(&self) -> usize;
    /// The loss of a batch under `parameters`, whose gradient is added to `gradient`. All that is drawn at random depends on
    /// `seed` alone.
    fn learn(&mut self, parameters: &[f32], batch: &[u32], seed: u64, gradient: &mut [f32]) -> f64;
    /// A held-out figure, lower is better; `None` if nothing is held out.
    fn check(&mut self, parameters: &[f32]) -> Option<f64>;
}

/// A step of training, for progress and run logs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Counted from 1.
    pub step: u64,
    /// The most there can be; training may stop earlier.
    pub steps: u64,
    /// Of the step's batches.
    pub loss: f64,
    /// The step size.
    pub rate: f64,
    /// The length of the gradient before clipping.
    pub gradient: f64,
    /// The held-out figure, when it was looked at.
    pub held_out: Option<f64>,
}

/// All that a run is, between two steps.
#[derive(Clone, Debug)]
pub struct State {
    /// As they are.
    pub parameters: Vec<f32>,
    /// As they were when the held-out figure was best; empty before the first.
    pub best: Vec<f32>,
    /// Of the optimiser.
    pub optimiser: Optimiser,
    /// Of the held-out checks.
    pub watch: EarlyStopping,
    /// Steps taken.
    pub step: u64,
    /// Whether training has ended.
    pub ended: bool,
}

impl State {
    /// Before the first step.
    pub fn new(config: &TrainerConfig, parameters: Vec<f32>) -> State {
        let optimiser = config.begin(parameters.len());
        let watch = EarlyStopping::new(config.patience, 0.0);
        State { parameters, best: Vec::new(), optimiser, watch, step: 0, ended: false }
    }

    /// The parameters to keep: the best ones, or the last where nothing was held out.
    pub fn outcome(self) -> Vec<f32> {
        if self.best.is_empty() { self.parameters } else { self.best }
    }
}

/// Trains from the start to the end and returns the best parameters. Deterministic for a seed.
pub fn train(
    config: &TrainerConfig,
    learner: &mut dyn Learner,
    parameters: Vec<f32>,
    seed: u64,
    seen: &mut dyn FnMut(Step),
) -> Vec<f32> {
    let mut state = State::new(config, parameters);
    go_on(config, learner, &mut state, seed, &mut |step, _| seen(step));
    state.outcome()
}

/// Goes on from `state` to the end; `seen` is called after each step with the state that would go on from there.
pub fn go_on(
    config: &TrainerConfig,
    learner: &mut dyn Learner,
    state: &mut State,
    seed: u64,
    seen: &mut dyn FnMut(Step, &State),
) {
    let pass = config.steps_of_a_pass(learner.examples());
    let steps = pass * config.epochs as u64;
    let mut gradient = vec![0.0f32; state.parameters.len()];
    let (mut order, mut order_of) = (Vec::new(), u64::MAX);
    while state.step < steps && !state.ended {
        let (epoch, at) = (state.step / pass, (state.step % pass) as usize);
        if order_of != epoch {
            order = shuffled(learner.examples(), seed, epoch);
            order_of = epoch;
        }
        gradient.fill(0.0);
        let examples = order.chunks(config.batch * config.accumulate).nth(at).unwrap_or_default();
        let batches = examples.len().div_ceil(config.batch);
        let mut loss = 0.0;
        for (part, batch) in examples.chunks(config.batch).enumerate() {
            let drawn = mixed(seed, state.step * config.accumulate as u64 + part as u64);
            loss += learner.learn(&state.parameters, batch, drawn, &mut gradient) / batches as f64;
        }
        if batches > 1 {
            gradient.iter_mut().for_each(|g| *g /= batches as f32);
        }
        state.step += 1;
        let share = config.schedule.share(state.step, config.warm_up, steps);
        let length = state.optimiser.step(&mut state.parameters, &gradient, share);
        let due = state.step.is_multiple_of(pass * config.check_every as u64) || state.step == steps;
        let held_out = if due { learner.check(&state.parameters) } else { None };
        match held_out.map(|figure| state.watch.judge(figure)) {
            Some(Verdict::Best) => state.best.clone_from(&state.parameters),
            Some(Verdict::Stop) => state.ended = true,
            Some(Verdict::Worse) | None => {}
        }
        let rate = f64::from(share * config.learning_rate);
        seen(Step { step: state.step, steps, loss, rate, gradient: f64::from(length), held_out }, state);
    }
    state.ended = true;
}

/// The order of the examples in one pass.
fn shuffled(n: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(mixed(!seed, epoch)));
    order
}

/// A seed of its own for each step: the finaliser of SplitMix64.
fn mixed(seed: u64, step: u64) -> u64 {
    let mut z = seed.wrapping_add((step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
