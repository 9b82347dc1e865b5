//! One step of training: parameters and a batch of sequences come in, loss and gradient go out.
//!
//! The batch is dealt to [`LANES`] lanes, some few sequences at a time so that their buffers stay in the cache; each lane
//! goes forwards, through the loss and back, and adds to a gradient of its own. Lanes are added up in their order, so the
//! result does not depend on the number of threads.
//!
//! All parameters lie in one slice: `[delta n d | adaptor t d | positions l d | marks | network]`. The table of items is
//! `delta + text adaptor`, with whichever of both the recipe asks for; with id dropout a share of the items, drawn anew in each
//! step, goes without its delta, both where it was taken and where it is asked for.

use super::SequenceConfig;
use super::lessons::{Lessons, MARKS};
use super::loss::{Asked, Buffers, Candidates, Loss};
use super::network::{Network, Noise};
use crate::agreement::{Agreement, Rows};
use lingxi_kernels::{IGNORED, axpy, matmul_nn_add, matmul_nt, matmul_tn_add};
use lingxi_train::Learner;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::ops::Range;

/// Fixed, so that the order of sums is.
const LANES: usize = 4;
/// Tokens that go through the network at once: as many as the rounded loss takes at a time.
const TOKENS: usize = 256;
/// Held-out states that are ranked at once.
const RANKED: usize = 256;

/// Where each part of the parameters lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Places {
    pub n: usize,
    pub d: usize,
    /// Numbers of a text vector; 0: items are known by their ids alone.
    pub text: usize,
    pub length: usize,
    /// Whether each item has a row of its own.
    pub ids: bool,
    pub network: usize,
}

impl Places {
    pub fn delta(&self) -> Range<usize> {
        0..if self.ids { self.n * self.d } else { 0 }
    }

    pub fn adaptor(&self) -> Range<usize> {
        let from = self.delta().end;
        from..from + self.text * self.d
    }

    /// Positions, counted from the end of a sequence, and the marks after them.
    pub fn rows(&self) -> Range<usize> {
        let from = self.adaptor().end;
        from..from + (self.length + MARKS) * self.d
    }

    pub fn network(&self) -> Range<usize> {
        let from = self.rows().end;
        from..from + self.network
    }

    pub fn len(&self) -> usize {
        self.network().end
    }
}

/// What learns: lessons, the text of their items, and the buffers of all lanes.
pub(crate) struct Machine<'a> {
    config: &'a SequenceConfig,
    places: Places,
    text: &'a [f32],
    lessons: &'a Lessons,
    held: &'a Lessons,
    /// All labels, to draw candidates by how often they are taken, and the logarithm of each item's share.
    labels: Vec<u32>,
    log_share: Vec<f32>,
    table: Vec<f32>,
    candidates: Candidates,
    lanes: Vec<Lane>,
    d_table: Vec<f32>,
    /// Whether an item goes without the row of its own in this step, so that its text alone must place it.
    nameless: Vec<bool>,
}

impl<'a> Machine<'a> {
    pub fn new(
        config: &'a SequenceConfig,
        places: Places,
        text: &'a [f32],
        lessons: &'a Lessons,
        held: &'a Lessons,
    ) -> Machine<'a> {
        let labels: Vec<u32> = lessons.labels.iter().copied().filter(|label| *label != IGNORED).collect();
        let mut log_share = vec![0.0f32; places.n];
        labels.iter().for_each(|label| log_share[*label as usize] += 1.0);
        // An item that is never a label is never drawn either; half a time keeps its logarithm finite.
        log_share.iter_mut().for_each(|x| *x = (x.max(0.5) / labels.len().max(1) as f32).ln());
        let lanes = (0..LANES).map(|_| Lane::new(config.network(), places)).collect();
        let candidates = Candidates::default();
        let (table, d_table, nameless) = (Vec::new(), vec![0.0; places.n * places.d], vec![false; places.n]);
        Machine { config, places, text, lessons, held, labels, log_share, table, candidates, lanes, d_table, nameless }
    }

    /// The table of items under `parameters`.
    pub fn table(&mut self, parameters: &[f32]) -> &[f32] {
        place(&self.places, self.text, parameters, &mut self.table);
        &self.table
    }

    /// Takes their own rows from a share of the items, where text is left to place them.
    fn leave_out_ids(&mut self, parameters: &[f32], seed: u64) {
        let share = self.config.id_dropout;
        if share == 0.0 || self.places.text == 0 || !self.places.ids {
            return;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(!seed);
        let d = self.places.d;
        let rows = self.table.chunks_exact_mut(d).zip(parameters[self.places.delta()].chunks_exact(d));
        for ((row, delta), nameless) in rows.zip(&mut self.nameless) {
            *nameless = rng.random_bool(f64::from(share));
            if *nameless {
                axpy(-1.0, delta, row);
            }
        }
    }

    /// What all states of a step are held against.
    fn draw(&mut self, states: usize, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let c = &mut self.candidates;
        c.items.clear();
        c.log_q.clear();
        match self.config.loss {
            Loss::Full => c.rounded.fill(&self.table, self.places.d),
            Loss::Sampled { negatives } => {
                c.items.extend((0..negatives).map(|_| self.labels[rng.random_range(0..self.labels.len())]));
                let drawn = (negatives as f32).ln();
                c.log_q.extend(c.items.iter().map(|item| drawn + self.log_share[*item as usize]));
                if c.log_q_of_all.is_empty() {
                    c.log_q_of_all.extend(self.log_share.iter().map(|share| drawn + share));
                }
            }
            Loss::InfoNce { negatives, .. } => {
                c.items.extend((0..negatives).map(|_| self.labels[rng.random_range(0..self.labels.len())]));
                c.log_q.resize(negatives, 0.0);
            }
            Loss::Bce | Loss::Mse => {
                c.items.extend((0..states).map(|_| rng.random_range(0..self.places.n as u32)));
            }
        }
    }

    /// States of the last event of each sequence of `lessons`, `[sequences, d]`.
    pub fn last_states(&mut self, parameters: &[f32], lessons: &Lessons) -> Vec<f32> {
        let d = self.places.d;
        let mut out = vec![0.0; lessons.len() * d];
        let (table, chunks) = (&self.table, deal(lessons, 0..lessons.len() as u32));
        let mut parts = Vec::with_capacity(chunks.len());
        let mut rest = &mut out[..];
        for chunk in &chunks {
            let (part, more) = rest.split_at_mut(chunk.len() * d);
            parts.push((chunk, part));
            rest = more;
        }
        let config = self.config;
        let places = self.places;
        parts.into_par_iter().for_each_init(
            || Lane::new(config.network(), places),
            |lane, (chunk, out)| {
                lane.forward(parameters, table, lessons, chunk, Noise::NONE);
                for (row, end) in out.chunks_exact_mut(d).zip(&lane.offsets[1..]) {
                    row.copy_from_slice(&lane.x[(end - 1) * d..end * d]);
                }
            },
        );
        out
    }
}

/// The table of items: what the text says through the adaptor, and what each item has learned itself.
pub(crate) fn place(places: &Places, text: &[f32], parameters: &[f32], table: &mut Vec<f32>) {
    table.clear();
    table.extend_from_slice(&parameters[places.delta()]);
    table.resize(places.n * places.d, 0.0);
    if places.text > 0 {
        matmul_nn_add(text, &parameters[places.adaptor()], table, places.n, places.d, places.text);
    }
}

/// Sequences in runs of about [`TOKENS`] events.
fn deal(lessons: &Lessons, sequences: impl IntoIterator<Item = u32>) -> Vec<Vec<u32>> {
    let (mut chunks, mut chunk, mut tokens) = (Vec::new(), Vec::new(), 0);
    for sequence in sequences {
        let more = lessons.range(sequence).len();
        if tokens + more > TOKENS && !chunk.is_empty() {
            chunks.push(std::mem::take(&mut chunk));
            tokens = 0;
        }
        chunk.push(sequence);
        tokens += more;
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

impl Learner for Machine<'_> {
    fn examples(&self) -> usize {
        self.lessons.len()
    }

    fn learn(&mut self, parameters: &[f32], batch: &[u32], seed: u64, gradient: &mut [f32]) -> f64 {
        self.table(parameters);
        let lessons = self.lessons;
        let labels =
            |sequence: &u32| lessons.labels[lessons.range(*sequence)].iter().filter(|label| **label != IGNORED).count();
        let counted: usize = batch.iter().map(labels).sum();
        if counted == 0 {
            return 0.0;
        }
        self.leave_out_ids(parameters, seed);
        self.draw(counted, seed);
        let chunks = deal(lessons, batch.iter().copied());
        let mut firsts = Vec::with_capacity(chunks.len());
        let mut first = 0;
        for chunk in &chunks {
            firsts.push(first);
            first += chunk.iter().map(labels).sum::<usize>();
        }
        let step = StepOf {
            parameters,
            table: &self.table,
            lessons,
            candidates: &self.candidates,
            loss: self.config.loss,
            dropout: self.config.dropout,
            share: 1.0 / counted as f32,
        };
        let size = self.places.n * self.places.d + self.places.len() - self.places.rows().start;
        let losses: Vec<f64> = self
            .lanes
            .par_iter_mut()
            .enumerate()
            .map(|(at, lane)| {
                lane.gradient.clear();
                lane.gradient.resize(size, 0.0);
                let mine = chunks.iter().zip(&firsts).enumerate().skip(at).step_by(LANES);
                mine.map(|(number, (chunk, first))| {
                    lane.learn(&step, chunk, *first, seed as u32 ^ (number as u32) << 8)
                })
                .sum::<f64>()
            })
            .collect();
        let apart = self.add_up(parameters, seed, gradient);
        losses.iter().sum::<f64>() / counted as f64 + apart
    }

    fn check(&mut self, parameters: &[f32]) -> Option<f64> {
        if self.held.len() == 0 {
            return None;
        }
        self.table(parameters);
        let (d, n, held) = (self.places.d, self.places.n, self.held);
        let states = self.last_states(parameters, held);
        let mut gain = 0.0;
        for (part, states) in states.chunks(RANKED * d).enumerate() {
            let m = states.len() / d;
            let mut scores = vec![0.0; m * n];
            matmul_nt(states, &self.table, &mut scores, m, n, d);
            let gains: Vec<f64> = scores
                .par_chunks_mut(n)
                .enumerate()
                .map(|(row, scores)| {
                    let range = held.range((part * RANKED + row) as u32);
                    let label = held.labels[range.end - 1] as usize;
                    let own = scores[label];
                    held.items[range].iter().for_each(|seen| scores[*seen as usize] = f32::NEG_INFINITY);
                    let better = scores.iter().filter(|score| **score > own).count();
                    if better < 10 { 1.0 / ((better + 2) as f64).log2() } else { 0.0 }
                })
                .collect();
            gain += gains.iter().sum::<f64>();
        }
        Some(-gain / held.len() as f64)
    }
}

impl Machine<'_> {
    /// Adds the gradients of all lanes; that of the table goes on to its rows and to the adaptor. Returns how far language and
    /// behaviour are apart, where they are asked to agree.
    fn add_up(&mut self, parameters: &[f32], seed: u64, gradient: &mut [f32]) -> f64 {
        let places = self.places;
        let lanes: Vec<&[f32]> = self.lanes.iter().map(|lane| &lane.gradient[..]).collect();
        let table = places.n * places.d;
        let sum = |out: &mut [f32], from: usize| {
            lanes.iter().for_each(|lane| axpy(1.0, &lane[from..from + out.len()], out));
        };
        const PART: usize = 1 << 14;
        let small = places.rows().start..places.len();
        sum(&mut gradient[small], table);
        if places.text == 0 {
            let rows = gradient[places.delta()].par_chunks_mut(PART).enumerate();
            rows.for_each(|(at, out)| sum(out, at * PART));
            return 0.0;
        }
        self.d_table.par_chunks_mut(PART).enumerate().for_each(|(at, out)| {
            out.fill(0.0);
            sum(out, at * PART);
        });
        let apart = match &self.config.agreement {
            Some(agreement) if places.ids => self.agree(agreement, parameters, seed, &mut gradient[places.adaptor()]),
            _ => 0.0,
        };
        if places.ids {
            let d = places.d;
            let rows = self.d_table.chunks_exact(d).zip(gradient[places.delta()].chunks_exact_mut(d));
            rows.zip(&self.nameless)
                .filter(|(_, nameless)| !**nameless)
                .for_each(|((row, out), _)| axpy(1.0, row, out));
        }
        let adaptor = &mut gradient[places.adaptor()];
        matmul_tn_add(self.text, &self.d_table, adaptor, places.text, places.d, places.n);
        apart
    }

    /// Draws goods and adds what brings their text and their rows together.
    fn agree(&mut self, agreement: &Agreement, parameters: &[f32], seed: u64, d_adaptor: &mut [f32]) -> f64 {
        let Places { n, d, text: k, .. } = self.places;
        let mut rng = ChaCha8Rng::seed_from_u64(seed.rotate_left(17));
        let goods = rand::seq::index::sample(&mut rng, n, agreement.goods.min(n)).into_vec();
        let rows = |all: &[f32], width: usize| -> Vec<f32> {
            goods.iter().flat_map(|item| &all[item * width..(item + 1) * width]).copied().collect()
        };
        let m = goods.len();
        let (text, behaviour) = (rows(self.text, k), rows(&self.table, d));
        let mut language = vec![0.0; m * d];
        matmul_nn_add(&text, &parameters[self.places.adaptor()], &mut language, m, d, k);
        let (mut d_language, mut d_behaviour) = (vec![0.0; m * d], vec![0.0; m * d]);
        let apart = agreement.learn(
            m,
            Rows {
                text: &text,
                language: &language,
                behaviour: &behaviour,
                d_language: &mut d_language,
                d_behaviour: &mut d_behaviour,
            },
        );
        matmul_tn_add(&text, &d_language, d_adaptor, k, d, m);
        for (item, d_row) in goods.iter().zip(d_behaviour.chunks_exact(d)) {
            axpy(1.0, d_row, &mut self.d_table[item * d..(item + 1) * d]);
        }
        apart
    }
}

/// What all lanes of a step read.
struct StepOf<'a> {
    parameters: &'a [f32],
    table: &'a [f32],
    lessons: &'a Lessons,
    candidates: &'a Candidates,
    loss: Loss,
    dropout: f32,
    share: f32,
}

/// The buffers of one thread's work, and its gradient: `[table | positions and marks | network]`.
pub(crate) struct Lane {
    network: Box<dyn Network>,
    places: Places,
    gradient: Vec<f32>,
    pub x: Vec<f32>,
    pub offsets: Vec<usize>,
    d_x: Vec<f32>,
    asked: Vec<usize>,
    labels: Vec<u32>,
    states: Vec<f32>,
    d_states: Vec<f32>,
    buffers: Buffers,
}

impl Lane {
    pub fn new(network: Box<dyn Network>, places: Places) -> Lane {
        Lane {
            network,
            places,
            gradient: Vec::new(),
            x: Vec::new(),
            offsets: Vec::new(),
            d_x: Vec::new(),
            asked: Vec::new(),
            labels: Vec::new(),
            states: Vec::new(),
            d_states: Vec::new(),
            buffers: Buffers::default(),
        }
    }

    /// `x` becomes the states of the chunk's events.
    pub fn forward(&mut self, parameters: &[f32], table: &[f32], lessons: &Lessons, chunk: &[u32], noise: Noise) {
        let (d, rows) = (self.places.d, &parameters[self.places.rows()]);
        self.x.clear();
        self.offsets.clear();
        self.offsets.push(0);
        let scale = (d as f32).sqrt();
        for &sequence in chunk {
            for at in lessons.range(sequence) {
                let from = self.x.len();
                self.x.extend(table[lessons.items[at] as usize * d..][..d].iter().map(|x| x * scale));
                for row in self.places.beside(lessons, at, sequence) {
                    axpy(1.0, &rows[row * d..(row + 1) * d], &mut self.x[from..]);
                }
            }
            self.offsets.push(self.x.len() / d);
        }
        noise.at(0, &mut self.x);
        self.network.forward(&parameters[self.places.network()], &mut self.x, &self.offsets, noise);
    }

    /// The summed loss of a chunk; its gradient is added to this lane's.
    fn learn(&mut self, step: &StepOf<'_>, chunk: &[u32], first: usize, seed: u32) -> f64 {
        let (places, d) = (self.places, self.places.d);
        let noise = Noise { share: step.dropout, seed };
        self.forward(step.parameters, step.table, step.lessons, chunk, noise);
        self.asked.clear();
        self.labels.clear();
        self.states.clear();
        let tokens = chunk.iter().flat_map(|sequence| step.lessons.range(*sequence));
        for (row, at) in tokens.enumerate().filter(|(_, at)| step.lessons.labels[*at] != IGNORED) {
            self.asked.push(row);
            self.labels.push(step.lessons.labels[at]);
            self.states.extend_from_slice(&self.x[row * d..(row + 1) * d]);
        }
        self.d_states.clear();
        self.d_states.resize(self.states.len(), 0.0);
        let (d_table, rest) = self.gradient.split_at_mut(places.n * d);
        let asked = Asked { states: &self.states, labels: &self.labels, first, share: step.share };
        let loss =
            step.loss.learn(&asked, step.table, d, step.candidates, &mut self.d_states, d_table, &mut self.buffers);
        self.d_x.clear();
        self.d_x.resize(self.x.len(), 0.0);
        for (row, d_state) in self.asked.iter().zip(self.d_states.chunks_exact(d)) {
            self.d_x[row * d..(row + 1) * d].copy_from_slice(d_state);
        }
        let (d_rows, d_network) = rest.split_at_mut(places.rows().len());
        self.network.backward(&step.parameters[places.network()], &mut self.d_x, &self.offsets, noise, d_network);
        noise.at(0, &mut self.d_x);
        let scale = (d as f32).sqrt();
        let mut rows = self.d_x.chunks_exact(d);
        for &sequence in chunk {
            for (at, d_row) in step.lessons.range(sequence).zip(&mut rows) {
                let item = step.lessons.items[at] as usize * d;
                axpy(scale, d_row, &mut d_table[item..item + d]);
                for row in places.beside(step.lessons, at, sequence) {
                    axpy(1.0, d_row, &mut d_rows[row * d..(row + 1) * d]);
                }
            }
        }
        loss
    }
}

impl Places {
    /// The rows beside the item's that an event is made of: its place from the end, its kind, the time since the one before.
    fn beside(&self, lessons: &Lessons, at: usize, sequence: u32) -> [usize; 3] {
        let from_the_end = lessons.range(sequence).end - 1 - at;
        let [kind, gap] = lessons.marks[at].map(|mark| self.length + usize::from(mark));
        [from_the_end, kind, gap]
    }
}

#[cfg(test)]
mod tests;
