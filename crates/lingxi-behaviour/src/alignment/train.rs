//! The training loop of the alignment: pairs and text come in, the parameters of the projection go out.
//!
//! One step: project all nodes, propagate over the whole graph, contrast a batch of pairs, and the same backward. A
//! seeded share of the pairs is held out of the graph; its loss decides when to stop and which parameters are kept.

use super::network::{Buffers, Shape, backward, forward};
use super::{AlignmentConfig, TrainStep};
use crate::graph::contrast::{Batch, Contrast};
use crate::graph::propagation::Graph;
use crate::pairs::Lists;
use lingxi_train::{AdamW, AdamWConfig, EarlyStopping, Verdict};
use rand::seq::SliceRandom;
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
            lingxi_kernels::axpy(value / total, &items_text[at..at + input], row);
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
    progress: &mut dyn FnMut(TrainStep),
) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let items = (items_text.len() / shape.input) as u32;
    let (mut pairs, held_out) = hold_out(by_user, config.held_out, &mut rng);
    let graph_pairs = by_user.without(&held_out);
    let mut machine = Machine::new(shape, &graph_pairs, items_text, config.layers);
    let sample = |rng: &mut ChaCha8Rng| (0..config.negatives).map(|_| rng.random_range(0..items)).collect();
    let watched = Batch { pairs: held_out, negatives: sample(&mut rng) };
    let mut parameters = shape.initial(seed);
    let (mut best, mut gradient) = (parameters.clone(), vec![0.0f32; shape.len()]);
    let rates = AdamWConfig { learning_rate: config.learning_rate, decay: config.decay, ..Default::default() };
    let mut optimiser = AdamW::new(AdamWConfig { clip: Some(config.clip), ..rates }, shape.len());
    let mut watch = EarlyStopping::new(config.patience, 0.0);
    let mut next = pairs.len();
    for step in 1..=config.steps {
        let batch = Batch { pairs: draw(&mut pairs, &mut next, config.batch, &mut rng), negatives: sample(&mut rng) };
        let loss = machine.loss(&parameters, &batch, by_user, config.temperature);
        machine.gradient(&parameters, config.temperature, &mut gradient);
        optimiser.step(&mut parameters, &gradient, 1.0);
        let due = step % config.check_every == 0 || step == config.steps;
        let held_out_loss = (due && !watched.pairs.is_empty())
            .then(|| machine.loss(&parameters, &watched, by_user, config.temperature));
        progress(TrainStep { step, steps: config.steps, loss, held_out_loss });
        match held_out_loss.map(|loss| watch.judge(loss)) {
            Some(Verdict::Best) => best.copy_from_slice(&parameters),
            Some(Verdict::Stop) => break,
            Some(Verdict::Worse) | None => {}
        }
    }
    if watched.pairs.is_empty() { parameters } else { best }
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

/// The next batch of the shuffled pairs; shuffles anew when they are used up.
fn draw(pairs: &mut [Pair], next: &mut usize, size: usize, rng: &mut ChaCha8Rng) -> Vec<Pair> {
    if *next >= pairs.len() {
        pairs.shuffle(rng);
        *next = 0;
    }
    let end = (*next + size).min(pairs.len());
    let batch = pairs[*next..end].to_vec();
    *next = end;
    batch
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
