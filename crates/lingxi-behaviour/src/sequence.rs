//! What comes next after what was done last: a network reads a shopper's events in order, and its last state is compared with
//! every item.
//!
//! Shapes: `n` items, `t` numbers of a [whitened](crate::alignment) text vector, `d` of a state, at most `l` events.
//!
//! 1. Each item has a row `e_i = delta_i + W text_i` (2507.19473): what its text says through an adaptor, and a delta of its
//!    own that starts at zero; or only one of both. An item that nobody took is placed by its text alone.
//! 2. An event is `sqrt(d) e_i` plus rows for its place from the end, its kind, and the time since the event before ([`lessons`]).
//! 3. A [`network`] turns events into states; [`sasrec`] is self-attention, plain or gated, [`gru`] a memory,
//!    [`next_it_net`] and [`caser`] convolutions.
//! 4. A [`loss`] holds each state against what came next, and an [`agreement`](crate::agreement) may hold text and rows of items together; one step
//!    is [`machine`].
//!
//! `score(x, i) = c h(x) . e_i` with `h` the state of the last event and `c` a constant of the model. Fresh events are
//! scored without training.
//!
//! Cost a request: one pass over at most `l` events (`l (4 d^2 + 2 d f + l d)` multiplications a block), then `d` an item.
//! Memory while training: about `4 n d` bytes seven times (parameters, two of the optimiser, gradients, the best so far), and
//! four of a lane each.

mod caser;
mod gru;
mod lessons;
mod loss;
mod machine;
mod network;
mod next_it_net;
mod patches;
mod sasrec;

use crate::agreement::Agreement;
use crate::alignment::whiten::Whitening;
use crate::error::{Result, require, same_length};
use lessons::{Lessons, known};
use lingxi_data::artefact::{Reader, Writer};
use lingxi_data::{Because, Context, Contribution, EventKind, Events, ItemId, ItemVectors, Score};
use lingxi_kernels::{dot, matmul_nn_add, matmul_nt};
use lingxi_train::Course;
pub use lingxi_train::{Step, TrainerConfig};
pub use loss::Loss;
use machine::{Lane, Machine, Places};
use network::{Network, Noise};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::path::Path;

const NAME: &str = "sequence";
/// So many latest items are asked what they give to a score; the others count as one.
const EXPLAINED: usize = 8;
/// So many sequences say how large the model's scores are.
const SIZED: usize = 512;

/// Which network reads the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Self-attention.
    #[default]
    SasRec,
    /// Self-attention whose sums are gated.
    Gated,
    /// A memory rewritten by gates.
    Gru4Rec,
    /// A memory with a cell.
    Lstm,
    /// Convolution with holes.
    NextItNet,
    /// Convolution across and down the latest events.
    Caser,
}

/// What an item is to the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// A row of its own.
    Ids,
    /// What its text says.
    Text,
    /// Both; without item vectors its own row.
    #[default]
    Both,
}

/// How a sequence model is built and trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SequenceConfig {
    /// The network; default self-attention.
    pub network: Kind,
    /// What an item is; default its text and a row of its own.
    pub input: Input,
    /// Whether an item is also what is known of it: its vector in `models.embedding`, beside that of its text. Default no. Whoever
    /// fits the model joins the vectors.
    pub knowledge: bool,
    /// Directions of the text vectors that are read; default 128.
    pub text_dims: usize,
    /// Length of a state; default 64.
    pub dim: usize,
    /// Blocks one after the other; default 2.
    pub layers: usize,
    /// Heads of attention; default 2.
    pub heads: usize,
    /// Inner width of a block; default 128.
    pub inner: usize,
    /// At most so many latest events are read; default 50.
    pub length: usize,
    /// Share of numbers that is left out at random while training; default 0.3.
    pub dropout: f32,
    /// Share of the items that go without a row of their own in a step, so that text learns to place goods that nobody took;
    /// default 0. Only where items have both.
    pub id_dropout: f32,
    /// What is made small; default the full softmax.
    pub loss: Loss,
    /// A loss beside it that brings text and the rows of items together; default none. Only where items have both.
    pub agreement: Option<Agreement>,
    /// Kinds of events that are predicted; default all.
    pub targets: Vec<EventKind>,
    /// Share of the shoppers whose last event is held out of training to watch (at most 4,096); default 0.05.
    pub held_out: f64,
    /// How it is trained.
    pub training: TrainerConfig,
}

impl Default for SequenceConfig {
    fn default() -> Self {
        SequenceConfig {
            network: Kind::SasRec,
            input: Input::Both,
            knowledge: false,
            text_dims: 128,
            dim: 64,
            layers: 2,
            heads: 2,
            inner: 128,
            length: 50,
            dropout: 0.3,
            id_dropout: 0.0,
            loss: Loss::Full,
            agreement: None,
            targets: Vec::new(),
            held_out: 0.05,
            training: TrainerConfig::default(),
        }
    }
}

impl SequenceConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        for (field, x, most) in [
            ("sequence.text_dims", self.text_dims, 4_096),
            ("sequence.dim", self.dim, 1_024),
            ("sequence.layers", self.layers, 32),
            ("sequence.heads", self.heads, 64),
            ("sequence.inner", self.inner, 4_096),
            ("sequence.length", self.length, 1_000),
        ] {
            require(x > 0 && x <= most, field, "at least 1, and not thousands", x)?;
        }
        require(self.dim.is_multiple_of(self.heads), "sequence.heads", "a divisor of sequence.dim", self.heads)?;
        require((0.0..0.95).contains(&self.dropout), "sequence.dropout", "a share in [0, 0.95)", self.dropout)?;
        require((0.0..=1.0).contains(&self.id_dropout), "sequence.id_dropout", "a share in [0, 1]", self.id_dropout)?;
        require((0.0..0.5).contains(&self.held_out), "sequence.held_out", "a share in [0, 0.5)", self.held_out)?;
        if let Some(agreement) = &self.agreement {
            agreement.validate()?;
        }
        if let Loss::Sampled { negatives } | Loss::InfoNce { negatives, .. } = self.loss {
            require((1..=65_536).contains(&negatives), "sequence.loss.negatives", "1 to 65536", negatives)?;
        }
        if let Loss::InfoNce { temperature, .. } = self.loss {
            let fits = temperature.is_finite() && temperature > 0.0;
            require(fits, "sequence.loss.temperature", "a positive number", temperature)?;
        }
        match self.training.wrong() {
            Some((field, expected, got)) => Err(crate::BehaviourError::Config { field, expected, got }),
            None => Ok(()),
        }
    }

    fn network(&self) -> Box<dyn Network> {
        let Self { dim: d, layers, heads, inner, .. } = *self;
        let attention = |gated| sasrec::SasRec::new(sasrec::Shape { d, layers, heads, inner, gated });
        match self.network {
            Kind::SasRec => Box::new(attention(false)),
            Kind::Gated => Box::new(attention(true)),
            Kind::Gru4Rec => Box::new(gru::Recurrent::new(gru::Memory::Gru, d, layers)),
            Kind::Lstm => Box::new(gru::Recurrent::new(gru::Memory::Lstm, d, layers)),
            Kind::NextItNet => Box::new(next_it_net::NextItNet::new(d, layers)),
            Kind::Caser => Box::new(caser::Caser::new(d, inner)),
        }
    }
}

/// The trained model.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceModel {
    config: SequenceConfig,
    places: Places,
    /// Those beside the table: positions, marks, network.
    parameters: Vec<f32>,
    /// `[n, d]`, a row for every item of the catalogue.
    table: Vec<f32>,
    /// What a score is multiplied by.
    scale: f32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    model: String,
    config: SequenceConfig,
    scale: f32,
}

/// Trains on `events`. Deterministic for a seed.
///
/// # Errors
/// [`crate::BehaviourError::Config`] for a value out of range; [`crate::BehaviourError::Input`] if the vectors are of another
/// catalogue, are asked for and not there, or if no shopper did two things; [`crate::BehaviourError::Train`] if the run cannot be
/// kept.
pub fn fit(
    config: &SequenceConfig,
    events: &Events<'_>,
    vectors: Option<&ItemVectors>,
    seed: u64,
    course: &mut Course<'_>,
) -> Result<SequenceModel> {
    config.validate()?;
    let vectors = vectors.filter(|_| config.input != Input::Ids);
    let refuse = |expected: &str, got: &str, remedy: &'static str| crate::BehaviourError::Input {
        operation: "fit sequence",
        expected: expected.into(),
        got: got.into(),
        remedy,
    };
    if config.input == Input::Text && vectors.is_none() {
        let remedy = "give the catalogue a text column, or set sequence.input to ids";
        return Err(refuse("item vectors", "none", remedy));
    }
    let all_text = match vectors {
        Some(vectors) => {
            same_length("fit sequence: item vectors", events.n_items(), vectors.len())?;
            Whitening::fit(vectors, config.text_dims)?.items(vectors)
        }
        None => Vec::new(),
    };
    // Goods that nobody took teach nothing: training runs on the others alone.
    let taken: Vec<u32> = (0u32..).zip(events.item_counts()).filter(|(_, count)| *count > 0).map(|(i, _)| i).collect();
    let mut number = vec![u32::MAX; events.n_items()];
    taken.iter().zip(0..).for_each(|(item, at)| number[*item as usize] = at);
    let (lessons, held) = Lessons::of(config, events, &number, seed);
    if lessons.len() == 0 {
        return Err(refuse(
            "a shopper with two events",
            "none",
            "give more events, or leave the model out of the recipe",
        ));
    }
    let width = all_text.len().checked_div(events.n_items()).unwrap_or(0);
    let text: Vec<f32> = taken.iter().flat_map(|&i| &all_text[i as usize * width..][..width]).copied().collect();
    let places = Places {
        n: taken.len(),
        d: config.dim,
        text: width,
        length: config.length,
        ids: config.input != Input::Text,
        network: config.network().parameters(),
    };
    let mut machine = Machine::new(config, places, &text, &lessons, &held);
    let start = start(config, &places, seed);
    let parameters = course.train(&config.training, &mut machine, start, seed)?;
    let learned = machine.table(&parameters).to_vec();
    let scale = 1.0 / size_of_scores(&mut machine, &parameters, &learned, &lessons, config.dim);
    let mut model = SequenceModel {
        config: config.clone(),
        places: Places { n: events.n_items(), text: 0, ids: false, ..places },
        parameters: parameters[places.rows().start..].to_vec(),
        table: vec![0.0; events.n_items() * config.dim],
        scale,
    };
    model.place_all(&taken, &learned, &all_text, &parameters[places.adaptor()]);
    Ok(model)
}

/// The parameters before the first step.
fn start(config: &SequenceConfig, places: &Places, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut parameters = vec![0.0f32; places.len()];
    // Scores of the start are small: states have length sqrt(d), rows of items about 0.4 / sqrt(d) of it.
    let even = |part: &mut [f32], spread: f32, rng: &mut ChaCha8Rng| {
        part.iter_mut().for_each(|w| *w = rng.random_range(-spread..spread));
    };
    if places.text == 0 {
        even(&mut parameters[places.delta()], 0.035, &mut rng);
    }
    let spread = 0.035 / (places.text.max(1) as f32).sqrt();
    even(&mut parameters[places.adaptor()], spread, &mut rng);
    config.network().start(&mut parameters[places.network()], &mut rng);
    parameters
}

/// The standard deviation of the scores of some sequences, so that those of the model are around one.
fn size_of_scores(machine: &mut Machine<'_>, parameters: &[f32], table: &[f32], lessons: &Lessons, d: usize) -> f32 {
    let some = lessons.some(SIZED);
    let states = machine.last_states(parameters, &some);
    let (m, n) = (states.len() / d, table.len() / d);
    let mut scores = vec![0.0; m * n];
    matmul_nt(&states, table, &mut scores, m, n, d);
    let (mut sum, mut square) = (0.0, 0.0);
    scores.iter().for_each(|x| (sum, square) = (sum + f64::from(*x), square + f64::from(*x).powi(2)));
    let count = scores.len() as f64;
    ((square / count - (sum / count).powi(2)).max(1e-12).sqrt()) as f32
}

impl SequenceModel {
    /// The configuration that the model was trained with.
    pub fn config(&self) -> &SequenceConfig {
        &self.config
    }

    /// Rows of all items, row-major `[n_items, dim]`, and `dim`.
    pub fn item_vectors(&self) -> (&[f32], usize) {
        (&self.table, self.config.dim)
    }

    /// Learned rows where there are some; elsewhere what the text says, and the mean row where there is no text either.
    fn place_all(&mut self, taken: &[u32], learned: &[f32], text: &[f32], adaptor: &[f32]) {
        let (d, n) = (self.config.dim, self.n_items());
        if text.is_empty() {
            let mut mean = vec![0.0f32; d];
            learned
                .chunks_exact(d)
                .for_each(|row| lingxi_kernels::axpy(d as f32 / learned.len() as f32, row, &mut mean));
            self.table.chunks_exact_mut(d).for_each(|row| row.copy_from_slice(&mean));
        } else {
            matmul_nn_add(text, adaptor, &mut self.table, n, d, text.len() / n);
        }
        for (&item, row) in taken.iter().zip(learned.chunks_exact(d)) {
            self.table[item as usize * d..][..d].copy_from_slice(row);
        }
    }

    fn row(&self, item: ItemId) -> &[f32] {
        &self.table[item.index() * self.config.dim..][..self.config.dim]
    }

    /// The history as the network reads it.
    fn past(&self, context: &Context<'_>) -> Vec<lessons::Known> {
        let n = self.n_items() as u32;
        let mut past = known(&context.history, |item| (item < n).then_some(item), |_| false);
        past.drain(..past.len().saturating_sub(self.config.length));
        past
    }

    /// The scaled last state of each past, `[pasts, d]`; zero where it is empty.
    fn states(&self, pasts: &[Vec<lessons::Known>]) -> Vec<f32> {
        let d = self.config.dim;
        let mut lane = Lane::new(self.config.network(), self.places);
        let mut states = vec![0.0; pasts.len() * d];
        for (past, state) in pasts.iter().zip(states.chunks_exact_mut(d)).filter(|(past, _)| !past.is_empty()) {
            let mut lessons = Lessons::default();
            lessons.add(past, |_| lingxi_kernels::IGNORED);
            lane.forward(&self.parameters, &self.table, &lessons, &[0], Noise::NONE);
            state.iter_mut().zip(&lane.x[(past.len() - 1) * d..]).for_each(|(out, x)| *out = self.scale * x);
        }
        states
    }

    /// Writes the model to one file.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Data`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let header = Header { model: NAME.into(), config: self.config.clone(), scale: self.scale };
        Ok(Writer::default()
            .column("parameters", &[self.parameters.len()], &self.parameters)
            .column("table", &[self.n_items(), self.config.dim], &self.table)
            .write(path, &header)?)
    }

    /// Reads a model that [`SequenceModel::save`] wrote.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Data`] if the file is missing, damaged or of another kind; [`crate::BehaviourError::Input`] if its
    /// columns do not fit each other.
    pub fn load(path: &Path) -> Result<SequenceModel> {
        let file = Reader::open(path)?;
        let Header { config, scale, .. } = file.meta()?;
        config.validate()?;
        let (parameters, table): (Vec<f32>, Vec<f32>) = (file.column("parameters")?, file.column("table")?);
        let n = table.len() / config.dim;
        let network = config.network().parameters();
        let places = Places { n, d: config.dim, text: 0, length: config.length, ids: false, network };
        same_length("load sequence: table", n * config.dim, table.len())?;
        same_length("load sequence: parameters", places.len(), parameters.len())?;
        Ok(SequenceModel { config, places, parameters, table, scale })
    }
}

impl Score for SequenceModel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn n_items(&self) -> usize {
        self.table.len() / self.config.dim
    }

    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        let past = self.past(context);
        if past.is_empty() {
            return out.fill(0.0);
        }
        let state = self.states(&[past]);
        for (item, out) in items.iter().zip(out) {
            *out = if item.index() < self.n_items() { dot(self.row(*item), &state) } else { 0.0 };
        }
    }

    fn score_all(&self, contexts: &[Context<'_>], out: &mut [f32]) {
        use rayon::prelude::*;
        let pasts: Vec<_> = contexts.iter().map(|context| self.past(context)).collect();
        let states: Vec<f32> = pasts.par_chunks(16).flat_map_iter(|pasts| self.states(pasts)).collect();
        matmul_nt(&states, &self.table, out, contexts.len(), self.n_items(), self.config.dim);
    }

    /// By how much the score would be lower without each of the latest items; the rest of the score is a constant.
    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        let past = self.past(context);
        if past.is_empty() || item.index() >= self.n_items() {
            return Vec::new();
        }
        let asked = past.len().saturating_sub(EXPLAINED)..past.len();
        let mut pasts = vec![past.clone()];
        pasts.extend(asked.clone().map(|at| [&past[..at], &past[at + 1..]].concat()));
        let states = self.states(&pasts);
        let scores: Vec<f32> = states.chunks_exact(self.config.dim).map(|state| dot(self.row(item), state)).collect();
        let part = |because, value| Contribution { model: NAME, because, value };
        let mut parts: Vec<Contribution> = asked
            .zip(&scores[1..])
            .map(|(at, without)| {
                let because = Because::BoughtTogether { item: ItemId(past[at].item), kind: past[at].kind() };
                part(because, scores[0] - without)
            })
            .collect();
        let rest = scores[0] - parts.iter().map(|part| part.value).sum::<f32>();
        parts.push(part(Because::Baseline, rest));
        parts
    }
}
