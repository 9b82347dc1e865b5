//! One step of fine-tuning: trained parameters and a batch of examples come in, loss and gradient go out.
//!
//! The texts of a batch are dealt to passes of about [`TOKENS`] tokens; each goes forwards on some thread, the head sees all
//! their vectors at once (texts of a batch may be each other's rivals), and each goes back, adding to the gradient of its lane.
//! Lanes are added up in their order, so the result does not depend on the number of threads.

use super::head::{Head, Slopes, Task, Views, centres};
use super::network::{Network, Noise, Pass};
use super::next;
use super::places::Places;
use super::strategy::Strategy;
use super::tuned::{Tuned, added_of, needs_more};
use super::whiten::Start;
use crate::encoder::Precision;
use crate::error::{ContentError, Result};
use crate::folder::{Config, Folder, Pooling};
use crate::projection::{Bend, Projection};
use lingxi_kernels::{axpy, dot};
use lingxi_train::{Learner, TrainerConfig};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Fixed, so that the order of sums is.
pub(super) const LANES: usize = 4;
/// Tokens of a pass: enough for full speed of the products, little enough to stay in a thread's cache.
const TOKENS: usize = 256;
/// States of layers that nothing changes are kept up to so many bytes.
const MOST_KEPT: usize = 1 << 30;

/// How an encoder is fine-tuned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// What is trained.
    pub strategy: Strategy,
    /// On which loss.
    pub head: Head,
    /// Share that is dropped of states, attention and text vectors; default .1.
    #[serde(default = "tenth")]
    pub dropout: f32,
    /// In which numbers products are made; parameters and sums stay f32.
    #[serde(default)]
    pub precision: Precision,
    /// Longest text, in tokens; default 128.
    #[serde(default = "tokens")]
    pub tokens: usize,
    /// Times that a text is seen in a batch, each time with other parts dropped; default 1.
    #[serde(default = "one")]
    pub views: usize,
    /// Weight of two views' agreement; default 0.
    #[serde(default)]
    pub agreement: f32,
    /// Length of an adversary's push on each text's embeddings (FGM: Miyato et al. 2017, arXiv 1605.07725); default none.
    #[serde(default)]
    pub adversary: Option<f32>,
    /// A layer behind pooling, trained with the head, and what it begins as; default none, unless the encoder has one, which goes on from
    /// where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense: Option<Start>,
    /// How it is trained.
    #[serde(default)]
    pub training: TrainerConfig,
}

fn tenth() -> f32 {
    0.1
}

fn tokens() -> usize {
    128
}

fn one() -> usize {
    1
}

impl Tuning {
    fn check(&self, config: &Config) -> Result<()> {
        let wrong = |field: &str, expected: String, got: String| {
            Err(ContentError::Tuning { field: field.to_owned(), expected, got })
        };
        if !config.family.has_types() {
            return wrong("model", "BERT or RoBERTa: the distances of MPNet have no way back".into(), "mpnet".into());
        }
        if let Some((field, expected, got)) = self.strategy.wrong(config.num_hidden_layers, config.hidden_size) {
            return wrong(field, expected, got);
        }
        if let Some((field, expected, got)) = self.training.wrong() {
            return wrong(field, expected.to_owned(), got);
        }
        if matches!(self.head, Head::Next { .. }) && self.strategy != Strategy::Head {
            let expected = "head, with a dense layer: what asks all texts every time cannot read them every time";
            return wrong("strategy", expected.into(), self.strategy.name().into());
        }
        if self.precision == Precision::Int8 {
            return wrong("precision", "f32 or bf16: bytes are for what has been trained".into(), "int8".into());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return wrong("dropout", "0 to below 1".into(), self.dropout.to_string());
        }
        if !(1..=2).contains(&self.views) {
            return wrong("views", "1 or 2".into(), self.views.to_string());
        }
        if !(2..=4096).contains(&self.tokens) {
            return wrong("tokens", "2 to 4096".into(), self.tokens.to_string());
        }
        let (smoothing, scale) = match self.head {
            Head::Classification { smoothing, scale } => (smoothing, scale.unwrap_or(1.0)),
            _ => (0.0, 1.0),
        };
        if !(scale.is_finite() && scale > 0.0) {
            return wrong("head.classification.scale", "a positive number".into(), scale.to_string());
        }
        if !(0.0..1.0).contains(&smoothing) {
            return wrong("head.classification.smoothing", "0 to below 1".into(), smoothing.to_string());
        }
        let temperature = match self.head {
            Head::InfoNce { temperature }
            | Head::Pairwise { temperature, .. }
            | Head::Companions { temperature }
            | Head::Next { temperature } => temperature,
            _ => 1.0,
        };
        if !(temperature.is_finite() && temperature > 0.0) {
            return wrong("head temperature", "a positive number".into(), temperature.to_string());
        }
        Ok(())
    }
}

/// Texts as tokens, and what is known of them.
#[derive(Clone, Debug)]
pub struct Lessons {
    /// Token ids of each text.
    pub texts: Vec<Vec<u32>>,
    /// Of these texts.
    pub task: Task,
}

impl Lessons {
    /// Numbers of the texts that an example has, each once.
    fn learned(&self) -> Vec<u32> {
        let all: Vec<u32> = (0..self.task.len() as u32).collect();
        let mut texts = self.task.texts(&all, 1);
        texts.sort_unstable();
        texts.dedup();
        texts
    }
}

/// What learns.
pub struct Tutor {
    tuning: Tuning,
    network: Network,
    pooling: Pooling,
    projection: Option<Projection>,
    lessons: Lessons,
    held: Lessons,
    passes: Vec<Pass>,
    lanes: Vec<Vec<f32>>,
    /// The first layer that is trained; `None` if embeddings are, or the adversary pushes them.
    first: Option<usize>,
    /// States that came to it, text by text; the text's vector where no layer is trained.
    below: Vec<Vec<f32>>,
    room: usize,
    /// Pooled vectors of the held texts, where no layer is trained.
    held_below: Vec<f32>,
}

impl Tutor {
    /// A tutor of the encoder in `dir`; `lessons` are learned, `held` judges.
    ///
    /// # Errors
    /// A directory or a configuration that is wrong, texts that are missing, a family without a way back.
    pub fn new(dir: &Path, tuning: &Tuning, lessons: Lessons, held: Lessons, seed: u64) -> Result<Tutor> {
        let Folder { config, weights, pooling, projection: last, .. } = Folder::read(dir)?;
        tuning.check(&config)?;
        let h = config.hidden_size;
        let begun = tuning.dense.map(|_| Projection { from: h, to: h, bend: Bend::Identity });
        let projection = last.as_ref().map(|(shape, _)| *shape).or(begun);
        if tuning.strategy == Strategy::Head && lessons.task.outputs() == 0 && projection.is_none() {
            let expected = "whitened or identity: this head has no layer of its own to learn".into();
            return Err(ContentError::Tuning { field: "dense".into(), expected, got: "none".into() });
        }
        let width = projection.map_or(h, |projection| projection.to);
        let own = projection.map_or(0, |projection| projection.len());
        let places = Places::new(&config, &tuning.strategy, own + lessons.task.outputs() * (width + 1));
        let mut theta = places.start(&weights.open()?, &mut ChaCha8Rng::seed_from_u64(seed))?;
        // Adapters and prefixes that the encoder has already go on from where they are.
        if needs_more(dir)?.is_some_and(|strategy| strategy == tuning.strategy) {
            added_of(dir, &places, &mut theta)?;
        }
        let mut network = Network::new(config, places, theta, tuning.precision.into());
        // Where no layer is trained, texts are read once for all that follows.
        let frozen = tuning.adversary.is_none() && network.places.first_trained() == Some(network.places.layers.len());
        let mut all = if frozen { vectors(&network, pooling, &lessons.texts) } else { vec![] };
        let at = network.places.head.start;
        let parameters = match (last, tuning.dense) {
            (Some((_, parameters)), _) => parameters,
            (None, Some(start)) => {
                let learned = lessons.learned();
                let row = |text: &u32| &all[*text as usize * h..][..h];
                let z = match frozen {
                    true => learned.iter().flat_map(row).copied().collect(),
                    false => {
                        let texts: Vec<_> = learned.iter().map(|text| lessons.texts[*text as usize].clone()).collect();
                        vectors(&network, pooling, &texts)
                    }
                };
                start.parameters(&z, h)?
            }
            (None, None) => vec![],
        };
        network.theta[at..at + own].copy_from_slice(&parameters);
        if let (Head::Classification { scale: Some(_), .. }, Task::Classes { labels, classes, .. }) =
            (tuning.head, &lessons.task)
        {
            let z = if frozen { all.clone() } else { vectors(&network, pooling, &lessons.texts) };
            let z = projected(&network, projection, z);
            let layer = centres(&z, width, labels, *classes);
            network.theta[at + own..].copy_from_slice(&layer);
        }
        let mut tutor = Tutor::with(network, (pooling, projection), tuning, lessons, held);
        if frozen {
            tutor.below = all.chunks_exact(h).map(<[f32]>::to_vec).collect();
            if tutor.held.texts == tutor.lessons.texts {
                tutor.held_below = std::mem::take(&mut all);
            }
        }
        Ok(tutor)
    }

    fn with(
        network: Network,
        (pooling, projection): (Pooling, Option<Projection>),
        tuning: &Tuning,
        lessons: Lessons,
        held: Lessons,
    ) -> Tutor {
        for part in [&lessons, &held] {
            let fits = tuning.head.fits(&part.task) && part.task.outputs() == lessons.task.outputs();
            let enough = part.task.most().is_none_or(|most| (most as usize) < part.texts.len());
            assert!(fits && enough, "tutor: lessons of another head, or of texts that there are not");
        }
        let places = &network.places;
        let first = if tuning.adversary.is_some() { None } else { places.first_trained() };
        let lanes = vec![vec![0.0; places.trained_beside_embeddings()]; LANES];
        let below = vec![Vec::new(); lessons.texts.len()];
        let (tuning, passes) = (tuning.clone(), Vec::new());
        Tutor {
            tuning,
            network,
            pooling,
            projection,
            lessons,
            held,
            passes,
            lanes,
            first,
            below,
            room: MOST_KEPT,
            held_below: vec![],
        }
    }

    /// What training begins with.
    pub fn parameters(&self) -> Vec<f32> {
        self.network.places.gather(&self.network.theta)
    }

    /// The tuned encoder under `parameters`.
    pub fn tuned(mut self, parameters: &[f32]) -> Tuned {
        self.network.set(parameters);
        Tuned::new(self.network, (self.pooling, self.projection), self.tuning, self.lessons.task.outputs())
    }

    /// Parameters of the layer behind pooling, and those of the head's layer, as they were set last.
    fn behind(&self) -> (&[f32], &[f32]) {
        behind(&self.network, self.projection)
    }

    /// Width of a text's vector, as the head sees it.
    fn width(&self) -> usize {
        self.projection.map_or(self.network.width(), |projection| projection.to)
    }

    /// What the held texts mean to the head under the parameters set last.
    fn held_vectors(&mut self) -> Vec<f32> {
        let frozen = self.first == Some(self.network.config.num_hidden_layers);
        if !frozen {
            return projected(&self.network, self.projection, vectors(&self.network, self.pooling, &self.held.texts));
        }
        if self.held_below.is_empty() {
            self.held_below = vectors(&self.network, self.pooling, &self.held.texts);
        }
        projected(&self.network, self.projection, self.held_below.clone())
    }

    /// The head's loss of text vectors, and its gradients: of the vectors, and of all that lies behind pooling.
    fn behind_pooling(&self, batch: &[u32], views: Views, z: &[f32]) -> Slopes {
        let ((dense, head), task) = (self.behind(), &self.lessons.task);
        let Some(projection) = self.projection else {
            return self.tuning.head.learn(task, batch, views, z, self.width(), head);
        };
        let y = projection.forward(dense, z);
        let mut slopes = self.tuning.head.learn(task, batch, views, &y, self.width(), head);
        let mut g = vec![0.0; dense.len()];
        slopes.z = projection.back(dense, (z, &y), slopes.z, &mut g);
        g.extend(slopes.head);
        Slopes { head: g, ..slopes }
    }

    /// Computes what frozen layers give for texts that have not been seen yet, while there is room.
    fn fill_below(&mut self, texts: &[u32]) {
        let Some(first) = self.first.filter(|first| *first > 0 && self.room > 0) else { return };
        let mut missing: Vec<u32> = texts.iter().copied().filter(|t| self.below[*t as usize].is_empty()).collect();
        missing.sort_unstable();
        missing.dedup();
        let (network, lessons, pooling) = (&self.network, &self.lessons.texts, self.pooling);
        let (h, layers) = (network.width(), network.config.num_hidden_layers);
        let states = |pass: &mut Pass, chunk: &Vec<usize>| {
            take(pass, chunk.iter().map(|at| &lessons[missing[*at] as usize]));
            network.forward(pass, 0..first, Noise::NONE);
            let rows = pass.offsets.windows(2).map(|w| match first == layers {
                true => pooled(&pass.x[w[0] * h..w[1] * h], pooling, h),
                false => pass.x[w[0] * h..w[1] * h].to_vec(),
            });
            chunk.iter().copied().zip(rows).collect::<Vec<_>>()
        };
        let chunks = deal(missing.len(), |at| lessons[missing[at] as usize].len());
        let all: Vec<_> = chunks.par_iter().map_init(Pass::default, states).flatten().collect();
        for (at, rows) in all {
            self.room = self.room.saturating_sub(4 * rows.len());
            self.below[missing[at] as usize] = rows;
        }
    }

    /// Forwards through all texts; their vectors in the order of `texts`.
    fn forward(&mut self, texts: &[u32], chunks: &[Vec<usize>], noise: impl Fn(usize) -> Noise + Sync) -> Vec<f32> {
        self.fill_below(texts);
        let Tutor { network, passes, lessons, below, first, pooling, .. } = self;
        let (h, layers, bottom) = (network.width(), network.config.num_hidden_layers, first.unwrap_or(0));
        passes.resize_with(chunks.len().max(passes.len()), Pass::default);
        if bottom == layers && texts.iter().all(|text| !below[*text as usize].is_empty()) {
            return texts.iter().flat_map(|text| &below[*text as usize]).copied().collect();
        }
        passes.par_iter_mut().zip(chunks).enumerate().for_each(|(number, (pass, chunk))| {
            let of = |at: &usize| texts[*at] as usize;
            take(pass, chunk.iter().map(|at| &lessons.texts[of(at)]));
            if bottom > 0 && bottom < layers && chunk.iter().all(|at| !below[of(at)].is_empty()) {
                pass.x.clear();
                chunk.iter().for_each(|at| pass.x.extend_from_slice(&below[of(at)]));
            } else {
                network.forward(pass, 0..bottom, Noise::NONE);
            }
            if bottom == 0 || bottom < layers {
                network.forward(pass, bottom..layers, noise(number));
            }
        });
        let mut z = vec![0.0; texts.len() * h];
        for (pass, chunk) in passes.iter().zip(chunks) {
            for (at, window) in chunk.iter().zip(pass.offsets.windows(2)) {
                pool(&pass.x[window[0] * h..window[1] * h], *pooling, &mut z[at * h..(at + 1) * h]);
            }
        }
        z
    }

    /// Back through all passes; the gradients of the embeddings stay in the passes.
    fn backward(&mut self, chunks: &[Vec<usize>], d_z: &[f32], noise: impl Fn(usize) -> Noise + Sync) {
        let Tutor { network, passes, lanes, first, pooling, .. } = self;
        let h = network.width();
        if *first == Some(network.config.num_hidden_layers) {
            return;
        }
        let mut dealt: Vec<Vec<_>> = (0..LANES).map(|_| Vec::new()).collect();
        for (number, work) in passes.iter_mut().zip(chunks).enumerate() {
            dealt[number % LANES].push((number, work));
        }
        lanes.par_iter_mut().zip(dealt).for_each(|(lane, work)| {
            for (number, (pass, chunk)) in work {
                for (at, window) in chunk.iter().zip(pass.offsets.windows(2)) {
                    let rows = &mut pass.x[window[0] * h..window[1] * h];
                    pool_back(&d_z[at * h..(at + 1) * h], *pooling, rows);
                }
                network.backward(pass, *first, noise(number), lane);
            }
        });
    }

    /// The adversary's push: the gradient of each text's embeddings, at length `reach` (equation 5 of FGM).
    fn push(&mut self, chunks: &[Vec<usize>], reach: f32) {
        let h = self.network.width();
        self.passes[..chunks.len()].par_iter_mut().for_each(|pass| {
            pass.push.clone_from(&pass.x);
            for window in pass.offsets.windows(2) {
                let rows = &mut pass.push[window[0] * h..window[1] * h];
                let scale = reach / dot(rows, rows).sqrt().max(1e-12);
                rows.iter_mut().for_each(|x| *x *= scale);
            }
        });
    }
}

impl Learner for Tutor {
    fn examples(&self) -> usize {
        self.lessons.task.len()
    }

    fn learn(&mut self, parameters: &[f32], batch: &[u32], seed: u64, gradient: &mut [f32]) -> f64 {
        self.network.set(parameters);
        let tuning = self.tuning.clone();
        let views = Views { count: tuning.views, agreement: tuning.agreement };
        let texts = self.lessons.task.texts(batch, views.count);
        let chunks = deal(texts.len(), |at| self.lessons.texts[texts[at] as usize].len());
        let noise = |number: usize| Noise {
            share: tuning.dropout,
            seed: (seed ^ (seed >> 32)) as u32 ^ (number as u32).wrapping_add(1).wrapping_mul(0x9e37_79b9),
        };
        // Of the texts' vectors: a number that no pass has.
        let over_all = noise(usize::MAX);
        self.passes.iter_mut().for_each(|pass| pass.push.clear());
        self.lanes.par_iter_mut().for_each(|lane| lane.fill(0.0));
        let mut loss = 0.0;
        let rounds = if tuning.adversary.is_some() { 2 } else { 1 };
        for round in 0..rounds {
            let mut z = self.forward(&texts, &chunks, noise);
            over_all.drop(0, &mut z);
            let mut slopes = self.behind_pooling(batch, views, &z);
            loss += slopes.loss / rounds as f64;
            over_all.drop(0, &mut slopes.z);
            slopes.z.iter_mut().chain(&mut slopes.head).for_each(|d| *d /= rounds as f32);
            if let Some(slot) = self.network.places.slot(&self.network.places.head) {
                axpy(1.0, &slopes.head, &mut gradient[slot]);
            }
            self.backward(&chunks, &slopes.z, noise);
            // From where the passes left them.
            self.passes[..chunks.len()].iter().for_each(|pass| self.network.embed_back(pass, gradient));
            if let (0, Some(reach)) = (round, tuning.adversary) {
                self.push(&chunks, reach);
            }
        }
        add_up(&self.lanes, self.network.places.trained_beside_embeddings(), gradient);
        loss
    }

    /// Classes: the share of errors plus a thousandth of the loss, which decides between equals; visits: the same, where an error is a
    /// text that is not among the first 20; all others: the loss.
    fn check(&mut self, parameters: &[f32]) -> Option<f64> {
        if self.held.task.is_empty() {
            return None;
        }
        self.network.set(parameters);
        let z = self.held_vectors();
        let (h, tuning, head) = (self.width(), &self.tuning, self.behind().1);
        let views = Views { count: 1, agreement: 0.0 };
        let all: Vec<u32> = (0..self.held.task.len() as u32).collect();
        let (mut loss, mut right) = (0.0, 0);
        for batch in all.chunks(self.tuning.training.batch) {
            let texts = self.held.task.texts(batch, 1);
            let z: Vec<f32> = texts.iter().flat_map(|t| &z[*t as usize * h..][..h]).copied().collect();
            let part = tuning.head.learn(&self.held.task, batch, views, &z, h, head);
            loss += part.loss * batch.len() as f64 / all.len() as f64;
            if let Task::Classes { labels, classes, .. } = &self.held.task {
                let y = tuning.head.answer(&z, h, head, *classes);
                let best = y.chunks_exact(*classes).map(best);
                right += best.zip(batch).filter(|(best, i)| *best as u32 == labels[**i as usize]).count();
            }
            if let Task::Visits { rivals, visits } = &self.held.task {
                let batch = batch.iter().map(|at| &visits[*at as usize]).collect();
                right += next::found(&next::Asked { rivals, batch }, &z, h);
            }
        }
        match self.held.task {
            Task::Classes { .. } | Task::Visits { .. } => Some(1.0 - right as f64 / all.len() as f64 + loss / 1000.0),
            _ => Some(loss),
        }
    }
}

/// Adds the lanes' gradients of all that is no embedding, in their order.
pub(super) fn add_up(lanes: &[Vec<f32>], beside: usize, gradient: &mut [f32]) {
    const PART: usize = 1 << 14;
    gradient[..beside].par_chunks_mut(PART).enumerate().for_each(|(part, out)| {
        for lane in lanes {
            axpy(1.0, &lane[part * PART..part * PART + out.len()], out);
        }
    });
}

/// The place of the largest number.
pub(crate) fn best(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (at, x)| if *x > row[best] { at } else { best })
}

/// Parameters of the layer behind pooling, and those of the head's layer.
pub(crate) fn behind(network: &Network, projection: Option<Projection>) -> (&[f32], &[f32]) {
    network.theta[network.places.head.clone()].split_at(projection.map_or(0, |projection| projection.len()))
}

/// Pooled vectors, and what the layer behind pooling makes of them, if there is one.
pub(crate) fn projected(network: &Network, projection: Option<Projection>, z: Vec<f32>) -> Vec<f32> {
    match projection {
        Some(projection) => projection.forward(behind(network, Some(projection)).0, &z),
        None => z,
    }
}

/// Pooled vectors `[texts,h]`, nothing dropped.
pub(crate) fn vectors(network: &Network, pooling: Pooling, texts: &[Vec<u32>]) -> Vec<f32> {
    let (h, layers) = (network.width(), network.config.num_hidden_layers);
    let chunks = deal(texts.len(), |at| texts[at].len());
    let forward = |pass: &mut Pass, chunk: &Vec<usize>| {
        take(pass, chunk.iter().map(|at| &texts[*at]));
        network.forward(pass, 0..layers, Noise::NONE);
        let mut out = vec![0.0; chunk.len() * h];
        for (out, window) in out.chunks_exact_mut(h).zip(pass.offsets.windows(2)) {
            pool(&pass.x[window[0] * h..window[1] * h], pooling, out);
        }
        out
    };
    let parts: Vec<Vec<f32>> = chunks.par_iter().with_max_len(1).map_init(Pass::default, forward).collect();
    let mut z = vec![0.0; texts.len() * h];
    for (at, row) in chunks.iter().flatten().zip(parts.iter().flat_map(|part| part.chunks_exact(h))) {
        z[at * h..(at + 1) * h].copy_from_slice(row);
    }
    z
}

pub(super) fn take<'a>(pass: &mut Pass, texts: impl Iterator<Item = &'a Vec<u32>>) {
    pass.ids.clear();
    pass.offsets.clear();
    pass.offsets.push(0);
    for text in texts {
        pass.ids.extend_from_slice(text);
        pass.offsets.push(pass.ids.len());
    }
}

/// Places `0..n` in passes of about [`TOKENS`] tokens, texts of similar length together.
pub(super) fn deal(n: usize, length: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|at| std::cmp::Reverse(length(*at)));
    let whole: usize = (0..n).map(&length).sum();
    // A small batch still keeps all lanes busy.
    let most = TOKENS.min(whole.div_ceil(LANES)).max(1);
    let (mut chunks, mut chunk, mut tokens) = (Vec::new(), Vec::new(), 0);
    for at in order {
        if tokens + length(at) > most && !chunk.is_empty() {
            chunks.push(std::mem::take(&mut chunk));
            tokens = 0;
        }
        tokens += length(at);
        chunk.push(at);
    }
    chunks.extend((!chunk.is_empty()).then_some(chunk));
    chunks
}

fn pooled(states: &[f32], pooling: Pooling, h: usize) -> Vec<f32> {
    let mut out = vec![0.0; h];
    pool(states, pooling, &mut out);
    out
}

/// Token states `[n,h]` to the text's vector.
fn pool(states: &[f32], pooling: Pooling, out: &mut [f32]) {
    let n = states.len() / out.len();
    match pooling {
        Pooling::Mean => states.chunks_exact(out.len()).for_each(|row| axpy(1.0 / n as f32, row, out)),
        Pooling::Cls => out.copy_from_slice(&states[..out.len()]),
        Pooling::Last => out.copy_from_slice(&states[states.len() - out.len()..]),
    }
}

fn pool_back(d: &[f32], pooling: Pooling, states: &mut [f32]) {
    let n = states.len() / d.len();
    states.fill(0.0);
    match pooling {
        Pooling::Mean => states.chunks_exact_mut(d.len()).for_each(|row| axpy(1.0 / n as f32, d, row)),
        Pooling::Cls => states[..d.len()].copy_from_slice(d),
        Pooling::Last => {
            let last = states.len() - d.len();
            states[last..].copy_from_slice(d);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::family::Family;
    use crate::finetune::head::{Pair, Teacher, Visit};
    use crate::finetune::strategy::{Lora, Matrix};
    use lingxi_train::gradient_check;
    use rand::RngExt;

    pub(crate) fn tiny() -> Config {
        Config {
            family: Family::Bert,
            hidden_act: "gelu".into(),
            hidden_size: 8,
            intermediate_size: 12,
            layer_norm_eps: 1e-5,
            max_position_embeddings: 10,
            num_attention_heads: 2,
            num_hidden_layers: 2,
            type_vocab_size: 2,
            pad_token_id: 0,
            relative_attention_num_buckets: 32,
            vocab_size: 20,
            position_embedding_type: "absolute".into(),
        }
    }

    fn tuning(strategy: Strategy, head: Head) -> Tuning {
        let text = serde_json::json!({"strategy": strategy, "head": head, "dropout": 0.2});
        serde_json::from_value(text).unwrap()
    }

    /// A tutor of a small random network, where everything that begins at zero is random too.
    fn tutor(tuning: &Tuning, task: Task, pooling: Pooling) -> (Tutor, Vec<f32>) {
        tutor_behind(tuning, task, pooling, None)
    }

    fn tutor_behind(
        tuning: &Tuning,
        task: Task,
        pooling: Pooling,
        projection: Option<Projection>,
    ) -> (Tutor, Vec<f32>) {
        let config = tiny();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let texts: Vec<Vec<u32>> =
            (0..6).map(|_| (0..rng.random_range(1..8)).map(|_| rng.random_range(0..20)).collect()).collect();
        let (own, width) = projection.map_or((0, 8), |projection| (projection.len(), projection.to));
        let places = Places::new(&config, &tuning.strategy, own + task.outputs() * (width + 1));
        let mut theta: Vec<f32> = (0..places.len()).map(|_| rng.random_range(-0.5f32..0.5)).collect();
        for layer in &places.layers {
            layer
                .norm
                .iter()
                .chain(&layer.last)
                .step_by(2)
                .for_each(|r| theta[r.clone()].iter_mut().for_each(|x| *x += 1.0));
        }
        let network = Network::new(config, places, theta, lingxi_kernels::Precision::F32);
        let lessons = Lessons { texts: texts.clone(), task: task.clone() };
        let tutor = Tutor::with(network, (pooling, projection), tuning, lessons, Lessons { texts, task });
        let parameters = tutor.parameters();
        (tutor, parameters)
    }

    fn classes() -> Task {
        Task::Classes { labels: vec![0, 2, 1, 0, 1, 2], classes: 3, teacher: None }
    }

    fn pairs() -> Task {
        let pair = |left, right, worse: &[u32]| Pair { left, right, worse: worse.to_vec() };
        Task::Pairs(vec![pair(0, 1, &[2, 3]), pair(2, 3, &[4]), pair(4, 5, &[1]), pair(5, 0, &[3])])
    }

    fn lora() -> Strategy {
        use Matrix::{Down, Key, Out, Query, Up, Value};
        Strategy::Lora(Lora { rank: 2, alpha: 3.0, on: vec![Query, Key, Value, Out, Up, Down] })
    }

    fn strategies() -> [Strategy; 6] {
        [
            Strategy::Full,
            Strategy::Head,
            Strategy::Top(1),
            lora(),
            Strategy::Adapters { width: 3 },
            Strategy::Prefix { length: 2 },
        ]
    }

    fn check(tuning: &Tuning, task: Task, pooling: Pooling) {
        check_behind(tuning, task, pooling, None);
    }

    fn check_behind(tuning: &Tuning, task: Task, pooling: Pooling, projection: Option<Projection>) {
        let (mut tutor, parameters) = tutor_behind(tuning, task.clone(), pooling, projection);
        let batch: Vec<u32> = (0..task.len() as u32).collect();
        let mut gradient = vec![0.0; parameters.len()];
        tutor.learn(&parameters, &batch, 5, &mut gradient);
        let what = format!("{} with {:?} behind {projection:?}", tuning.strategy.name(), tuning.head);
        let loss = |at: &[f32]| tutor.learn(at, &batch, 5, &mut vec![0.0; at.len()]);
        if let Err(wrong) = gradient_check(&parameters, &gradient, 1e-2, 0.03, 40, 3, loss) {
            panic!("{what}: {wrong:?}");
        }
        // Rows of words and places that no text has, and keys' biases, which move all scores of a row alike, have none.
        let moved = gradient.iter().filter(|g| **g != 0.0).count();
        assert!(moved * 2 > gradient.len(), "{what}: {moved} of {} parameters have a gradient", gradient.len());
    }

    #[test]
    fn every_strategy_with_every_head_has_the_gradient_of_its_loss() {
        let contrast = Head::InfoNce { temperature: 0.5 };
        let order = Head::Pairwise { margin: 0.1, temperature: 0.5 };
        for strategy in strategies() {
            let class = tuning(strategy.clone(), Head::Classification { smoothing: 0.1, scale: None });
            check(&class, classes(), Pooling::Mean);
            check(
                &tuning(strategy.clone(), Head::Regression),
                Task::Values { targets: vec![1.0, -1.0, 0.5, 2.0, 0.0, 1.5] },
                Pooling::Cls,
            );
            let groups = Task::Groups(vec![vec![0, 1, 2], vec![3, 4], vec![2, 5]]);
            if strategy == Strategy::Head {
                let visit = |past: &[(u32, f32)], next| Visit { past: past.to_vec(), next };
                let visits =
                    vec![visit(&[(0, 0.7), (3, 0.3)], 1), visit(&[(1, 1.0)], 5), visit(&[(5, 0.5), (0, 0.5)], 4)];
                let visits = Task::Visits { rivals: vec![0, 1, 3, 4, 5], visits };
                let behind = Some(Projection { from: 8, to: 6, bend: Bend::Identity });
                check_behind(&tuning(strategy, Head::Next { temperature: 0.5 }), visits, Pooling::Mean, behind);
            } else {
                check(&tuning(strategy.clone(), Head::Companions { temperature: 0.5 }), groups, Pooling::Mean);
                check(&tuning(strategy.clone(), contrast), pairs(), Pooling::Mean);
                check(&tuning(strategy.clone(), order), pairs(), Pooling::Mean);
            }
        }
    }

    #[test]
    fn a_layer_behind_pooling_has_the_gradient_of_its_loss_for_every_strategy_and_head() {
        let contrast = Head::InfoNce { temperature: 0.5 };
        let groups = Task::Groups(vec![vec![0, 1, 2], vec![3, 4], vec![2, 5]]);
        for (strategy, bend) in strategies().into_iter().zip([Bend::Identity, Bend::Tanh].into_iter().cycle()) {
            let behind = Some(Projection { from: 8, to: 5, bend });
            let class = Head::Classification { smoothing: 0.0, scale: Some(3.0) };
            check_behind(&tuning(strategy.clone(), class), classes(), Pooling::Mean, behind);
            check_behind(&tuning(strategy.clone(), contrast), pairs(), Pooling::Cls, behind);
            let companions = Head::Companions { temperature: 0.5 };
            check_behind(&tuning(strategy, companions), groups.clone(), Pooling::Mean, behind);
        }
    }

    #[test]
    fn two_views_that_must_agree_and_a_teacher_have_the_gradient_of_their_loss() {
        let mut config = tuning(lora(), Head::Classification { smoothing: 0.0, scale: Some(3.0) });
        (config.views, config.agreement) = (2, 0.7);
        check(&config, classes(), Pooling::Mean);
        let logits = (0..18).map(|i| (i * 7 % 5) as f32).collect();
        let teacher = Some(Teacher { logits, temperature: 2.0, share: 0.6 });
        let task = Task::Classes { labels: vec![0, 2, 1, 0, 1, 2], classes: 3, teacher };
        check(
            &tuning(Strategy::Top(2), Head::Classification { smoothing: 0.0, scale: Some(3.0) }),
            task,
            Pooling::Mean,
        );
    }

    #[test]
    fn an_adversary_raises_the_loss_by_a_push_of_its_length() {
        let mut config = tuning(Strategy::Full, Head::Classification { smoothing: 0.0, scale: Some(3.0) });
        let loss_at = |config: &Tuning| {
            let (mut tutor, parameters) = tutor(config, classes(), Pooling::Mean);
            let loss = tutor.learn(&parameters, &[0, 1, 2, 3, 4, 5], 5, &mut vec![0.0; parameters.len()]);
            (loss, tutor)
        };
        let (calm, _) = loss_at(&config);
        config.adversary = Some(0.1);
        let (pushed, tutor) = loss_at(&config);
        assert!(pushed > calm, "half of the loss is that of the pushed texts: {pushed} over {calm}");
        for pass in tutor.passes.iter().filter(|pass| !pass.push.is_empty()) {
            for window in pass.offsets.windows(2) {
                let rows = &pass.push[window[0] * 8..window[1] * 8];
                assert!((dot(rows, rows).sqrt() - 0.1).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn a_batch_is_learned_alike_on_any_number_of_threads_and_however_often() {
        for strategy in [Strategy::Full, Strategy::Top(1), Strategy::Head] {
            let config = tuning(strategy, Head::Classification { smoothing: 0.0, scale: Some(3.0) });
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let (mut tutor, parameters) = tutor(&config, classes(), Pooling::Mean);
                    let mut gradients = [vec![0.0; parameters.len()], vec![0.0; parameters.len()]];
                    let losses = gradients.each_mut().map(|g| tutor.learn(&parameters, &[0, 1, 2, 3, 4, 5], 5, g));
                    (losses.map(f64::to_bits), gradients)
                })
            };
            let (one, three) = (run(1), run(3));
            assert!(one == three && one.0[0] == one.0[1] && one.1[0] == one.1[1], "{}", config.strategy.name());
        }
    }
}
