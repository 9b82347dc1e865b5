//! How the alignment learns: pairs and text come in, the parameters of the projection go out.
//!
//! One step: project all nodes, propagate over the whole graph, contrast a batch of pairs, and the same backward. A
//! seeded share of the pairs is held out of the graph; its loss decides when to stop and which parameters are kept.

use super::AlignmentConfig;
use super::network::{Buffers, Shape, backward, forward};
use crate::error::Result;
use crate::graph::contrast::{Batch, Contrast};
use crate::graph::propagation::Graph;
use crate::pairs::Lists;
use lingxi_kernels::axpy;
use lingxi_train::{Course, Learner, TrainerConfig};
use rand::seq::SliceRandom;
use rand::seq::index::sample;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A shopper and an item that they took.
type Pair = (u32, u32);

/// Largest number of held-out pairs that a loss is measured on.
const HELD_OUT_AT_MOST: usize = 4_096;

/// The differentiable part: parameters -> representations -> loss -> gradient, with all buffers.
pub(crate) struct Machine {
    pub shape: Shape,
    pub graph: Graph,
    /// Text of all nodes, `[users + items, input]`.
    pub text: Vec<f32>,
    buffers: Buffers,
    contrast: Contrast,
    e: Vec<f32>,
    d_e: Vec<f32>,
}

impl Machine {
    /// `items_text [items, input]`; shoppers start from the weighted mean of their items.
    pub fn new(shape: Shape, by_user: &Lists, items_text: &[f32], layers: usize) -> Machine {
        let items = items_text.len() / shape.input;
        let mut text = users_text(by_user, items_text, shape.input);
        text.extend_from_slice(items_text);
        let graph = Graph::of(by_user, items, layers);
        let size = (graph.users + items) * shape.output;
        let (e, d_e) = (vec![0.0; size], vec![0.0; size]);
        Machine { shape, graph, text, buffers: Buffers::default(), contrast: Contrast::default(), e, d_e }
    }

    /// Representations of all nodes, `[users + items, output]`.
    pub fn represent(&mut self, parameters: &[f32]) -> &[f32] {
        forward(self.shape, parameters, &self.text, &mut self.buffers, &mut self.e);
        self.graph.propagate(&mut self.e, self.shape.output);
        &self.e
    }

    /// The loss of a batch under `parameters`.
    pub fn loss(&mut self, parameters: &[f32], batch: &Batch, taken: &Lists, t: f32) -> f64 {
        self.represent(parameters);
        self.contrast.loss(&self.e, self.shape.output, self.graph.users, batch, taken, t)
    }

    /// The gradient of the last [`Machine::loss`].
    pub fn gradient(&mut self, parameters: &[f32], t: f32, gradient: &mut [f32]) {
        let d = self.shape.output;
        self.d_e.fill(0.0);
        self.contrast.backward(d, t, &mut self.d_e);
        self.graph.propagate(&mut self.d_e, d);
        backward(self.shape, parameters, &self.text, &mut self.buffers, &self.d_e, gradient);
    }
}

/// The weighted mean text of each shopper's items, `[users, input]`; zero without items.
fn users_text(by_user: &Lists, items_text: &[f32], input: usize) -> Vec<f32> {
    let mut text = vec![0.0f32; by_user.len() * input];
    for (user, row) in text.chunks_mut(input).enumerate() {
        let (ids, values) = by_user.row(user);
        let total: f32 = values.iter().sum();
        for (&item, &value) in ids.iter().zip(values) {
            let at = item as usize * input;
            axpy(value / total, &items_text[at..at + input], row);
        }
    }
    text
}

/// Trains the projection on `by_user` (items below `items_text.len() / shape.input`, each taken by somebody).
pub(crate) fn train(
    config: &AlignmentConfig,
    shape: Shape,
    by_user: &Lists,
    items_text: &[f32],
    seed: u64,
    course: &mut Course<'_>,
) -> Result<Vec<f32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (pairs, held_out) = hold_out(by_user, config.held_out, &mut rng);
    let machine = Machine::new(shape, &by_user.without(&held_out), items_text, config.layers);
    let mut watched = Batch { pairs: held_out, negatives: Vec::new() };
    let items = (items_text.len() / shape.input) as u32;
    watched.negatives = negatives(config, items, &mut rng);
    let gradient = vec![0.0; shape.len()];
    let mut steps = Steps { config, by_user, items, pairs, watched, machine, gradient };
    Ok(course.train(&steps.trainer(), &mut steps, shape.initial(seed), seed)?)
}

/// What the trainer's loop asks for. Its example is a step, whose seed draws the pairs, and its pass ends with a look at the held-out
/// pairs.
struct Steps<'a> {
    config: &'a AlignmentConfig,
    by_user: &'a Lists,
    items: u32,
    pairs: Vec<Pair>,
    watched: Batch,
    machine: Machine,
    gradient: Vec<f32>,
}

impl Steps<'_> {
    fn trainer(&self) -> TrainerConfig {
        let c = self.config;
        TrainerConfig {
            epochs: c.steps.div_ceil(c.check_every),
            batch: 1,
            learning_rate: c.learning_rate,
            decay: c.decay,
            clip: Some(c.clip),
            patience: c.patience,
            ..TrainerConfig::default()
        }
    }
}

impl Learner for Steps<'_> {
    fn examples(&self) -> usize {
        self.config.check_every
    }

    fn learn(&mut self, parameters: &[f32], _: &[u32], seed: u64, gradient: &mut [f32]) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = self.config.batch.min(self.pairs.len());
        let drawn = sample(&mut rng, self.pairs.len(), count);
        let pairs = drawn.into_iter().map(|at| self.pairs[at]).collect();
        let batch = Batch { pairs, negatives: negatives(self.config, self.items, &mut rng) };
        let t = self.config.temperature;
        let loss = self.machine.loss(parameters, &batch, self.by_user, t);
        self.machine.gradient(parameters, t, &mut self.gradient);
        axpy(1.0, &self.gradient, gradient);
        loss
    }

    fn check(&mut self, parameters: &[f32]) -> Option<f64> {
        let watched = &self.watched;
        let loss = || self.machine.loss(parameters, watched, self.by_user, self.config.temperature);
        (!watched.pairs.is_empty()).then(loss)
    }
}

/// The sampled items of a step.
fn negatives(config: &AlignmentConfig, items: u32, rng: &mut ChaCha8Rng) -> Vec<u32> {
    (0..config.negatives).map(|_| rng.random_range(0..items)).collect()
}

/// All pairs in two: those to learn from, shuffled, and those to watch, rising.
fn hold_out(by_user: &Lists, share: f32, rng: &mut ChaCha8Rng) -> (Vec<Pair>, Vec<Pair>) {
    let mut pairs: Vec<Pair> =
        (0..by_user.len()).flat_map(|user| by_user.row(user).0.iter().map(move |&item| (user as u32, item))).collect();
    pairs.shuffle(rng);
    let count = ((pairs.len() as f32 * share) as usize).min(HELD_OUT_AT_MOST);
    let mut held_out = pairs.split_off(pairs.len() - count);
    held_out.sort_unstable();
    (pairs, held_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::HistoryWeights;
    use crate::pairs::Pairs;
    use lingxi_data::{Event, EventKind, Interactions, ItemId, Purpose, UserId};
    use lingxi_train::gradient_check;

    #[test]
    fn the_gradient_of_projection_propagation_and_contrast_agrees_with_finite_differences() {
        let event =
            |u: u32, i: u32| Event { user: UserId(u), item: ItemId(i), at: 0, kind: EventKind::Buy, value: 1.0 };
        let rows = (0..40u32).map(|e| event(e % 6, (e * e + e / 6) % 9)).collect();
        let log = Interactions::from_events(rows, 6, 9).unwrap();
        let pairs = Pairs::of(&log.for_purpose(Purpose::Training), &HistoryWeights::default(), 0.0);
        let shape = Shape { input: 5, hidden: 7, output: 4 };
        let text: Vec<f32> = (0..9 * 5).map(|i| ((i * 31 + 7) % 19) as f32 / 9.0 - 1.0).collect();
        let mut machine = Machine::new(shape, &pairs.by_user, &text, 2);
        let batch = Batch { pairs: vec![(0, 0), (1, 2), (3, 3), (5, 2), (0, 6)], negatives: vec![8, 1, 4, 0, 2, 5] };
        let (parameters, t) = (shape.initial(3), 0.3);
        let mut gradient = vec![0.0; shape.len()];
        machine.loss(&parameters, &batch, &pairs.by_user, t);
        machine.gradient(&parameters, t, &mut gradient);
        let loss = |w: &[f32]| machine.loss(w, &batch, &pairs.by_user, t);
        gradient_check(&parameters, &gradient, 2e-3, 0.01, 40, 5, loss).unwrap();
    }
}
