//! Where each parameter lies: all of the encoder's tensors, then what the strategy adds, then the head, in one flat slice
//! `theta`. The trained ones follow each other in a slice of their own, which is what optimiser and checkpoints know.

use super::strategy::{Lora, Matrix, Strategy};
use crate::error::Result;
use crate::folder::{Config, OpenWeights};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// A matrix `[n,k]` with its bias, and what is added beside it.
pub(crate) struct DenseAt {
    pub n: usize,
    pub k: usize,
    pub weight: Range<usize>,
    pub bias: Range<usize>,
    pub low: Vec<LowAt>,
}

/// A product of low rank: `y[column..column + n] += scale x A B` with `A [k,r]` and `B [r,n]`.
pub(crate) struct LowAt {
    pub a: Range<usize>,
    pub b: Range<usize>,
    pub rank: usize,
    pub column: usize,
    pub n: usize,
    pub scale: f32,
}

/// Two narrow layers: `x + up gelu(down x)`.
pub(crate) struct AdapterAt {
    pub down: DenseAt,
    pub up: DenseAt,
}

/// A layer norm's weight and bias.
pub(crate) type NormAt = [Range<usize>; 2];

pub(crate) struct LayerAt {
    pub qkv: DenseAt,
    pub out: DenseAt,
    pub norm: NormAt,
    pub up: DenseAt,
    pub down: DenseAt,
    pub last: NormAt,
    /// After attention and after the feed-forward part.
    pub adapters: Option<[AdapterAt; 2]>,
    /// Keys, then values, `[length, h]` each.
    pub prefix: Option<[Range<usize>; 2]>,
}

/// A tensor of the model's file.
pub(crate) struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub range: Range<usize>,
}

pub(crate) struct Places {
    /// `[vocab,h]`
    pub words: Range<usize>,
    /// `[positions,h]`, all rows of the file.
    pub positions: Range<usize>,
    /// `[types,h]`; empty where the family has none.
    pub types: Range<usize>,
    pub norm: NormAt,
    pub layers: Vec<LayerAt>,
    /// What a saved encoder has.
    pub tensors: Vec<Tensor>,
    pub head: Range<usize>,
    /// Ranges that are trained, and where each begins in the slice of trained parameters.
    trained: Vec<(Range<usize>, usize)>,
}

/// Hands out ranges one after the other.
struct Layout {
    at: usize,
    tensors: Vec<Tensor>,
}

impl Layout {
    fn next(&mut self, n: usize) -> Range<usize> {
        self.at += n;
        self.at - n..self.at
    }

    fn tensor(&mut self, name: String, shape: &[usize]) -> Range<usize> {
        let range = self.next(shape.iter().product());
        self.tensors.push(Tensor { name, shape: shape.to_vec(), range: range.clone() });
        range
    }

    fn norm(&mut self, name: &str, h: usize) -> NormAt {
        ["weight", "bias"].map(|part| self.tensor(format!("{name}.{part}"), &[h]))
    }

    /// One matrix of all parts, one below the other.
    fn dense(&mut self, parts: &[String], n: usize, k: usize) -> DenseAt {
        let (weight, rows) = (self.at, parts.len() * n);
        for part in parts {
            self.tensor(format!("{part}.weight"), &[n, k]);
        }
        let bias = self.at;
        for part in parts {
            self.tensor(format!("{part}.bias"), &[n]);
        }
        DenseAt { n: rows, k, weight: weight..bias, bias: bias..self.at, low: Vec::new() }
    }

    fn added(&mut self, n: usize, k: usize) -> DenseAt {
        DenseAt { n, k, weight: self.next(n * k), bias: self.next(n), low: Vec::new() }
    }
}

impl Places {
    pub fn new(config: &Config, strategy: &Strategy, head: usize) -> Places {
        let (h, f, family) = (config.hidden_size, config.intermediate_size, config.family);
        let mut to = Layout { at: 0, tensors: Vec::new() };
        let words = to.tensor("embeddings.word_embeddings.weight".into(), &[config.vocab_size, h]);
        let rows = [config.max_position_embeddings, h];
        let positions = to.tensor("embeddings.position_embeddings.weight".into(), &rows);
        let types = match family.has_types() {
            true => to.tensor("embeddings.token_type_embeddings.weight".into(), &[config.type_vocab_size, h]),
            false => to.at..to.at,
        };
        let norm = to.norm("embeddings.LayerNorm", h);
        let names = family.names();
        let mut layers: Vec<LayerAt> = (0..config.num_hidden_layers)
            .map(|layer| {
                let name = |part: &str| format!("encoder.layer.{layer}.{part}");
                LayerAt {
                    qkv: to.dense(&names.qkv.map(name), h, h),
                    out: to.dense(&[name(names.out)], h, h),
                    norm: to.norm(&name(names.norm), h),
                    up: to.dense(&[name("intermediate.dense")], f, h),
                    down: to.dense(&[name("output.dense")], h, f),
                    last: to.norm(&name("output.LayerNorm"), h),
                    adapters: None,
                    prefix: None,
                }
            })
            .collect();
        let base = to.at;
        for layer in &mut layers {
            match strategy {
                Strategy::Lora(lora) => layer.add_low(lora, &mut to),
                Strategy::Adapters { width } => {
                    layer.adapters =
                        Some([0, 1].map(|_| AdapterAt { down: to.added(*width, h), up: to.added(h, *width) }));
                }
                Strategy::Prefix { length } => layer.prefix = Some([0, 1].map(|_| to.next(length * h))),
                Strategy::Full | Strategy::Head | Strategy::Top(_) => {}
            }
        }
        let added = base..to.at;
        let head = to.next(head);
        let places =
            Places { words, positions, types, norm, layers, tensors: to.tensors, head: head.clone(), trained: vec![] };
        let mut ranges = places.trained_of(strategy, base);
        ranges.extend([added, head]);
        if *strategy == Strategy::Full {
            // Last, so that threads which never touch them need no room for their gradients.
            ranges.push(0..places.norm[0].start);
        }
        places.train(ranges)
    }

    /// Ranges of the encoder that a strategy trains.
    fn trained_of(&self, strategy: &Strategy, base: usize) -> Vec<Range<usize>> {
        match strategy {
            Strategy::Full => std::iter::once(self.norm[0].start..base).collect(),
            Strategy::Top(n) => {
                let first = self.layers.len().saturating_sub(*n);
                self.layers.get(first).map(|layer| layer.qkv.weight.start..base).into_iter().collect()
            }
            Strategy::Adapters { .. } => {
                self.layers.iter().flat_map(|layer| layer.norm.iter().chain(&layer.last).cloned()).collect()
            }
            Strategy::Head | Strategy::Lora(_) | Strategy::Prefix { .. } => vec![],
        }
    }

    fn train(mut self, ranges: Vec<Range<usize>>) -> Places {
        let mut at = 0;
        for range in ranges.into_iter().filter(|range| !range.is_empty()) {
            let n = range.len();
            self.trained.push((range, at));
            at += n;
        }
        self
    }

    /// What the strategy adds beside the encoder.
    pub fn added(&self) -> Range<usize> {
        self.tensors.last().map_or(0, |tensor| tensor.range.end)..self.head.start
    }

    /// Length of `theta`.
    pub fn len(&self) -> usize {
        self.head.end
    }

    /// Number of trained parameters.
    pub fn trained_len(&self) -> usize {
        self.trained.last().map_or(0, |(range, at)| at + range.len())
    }

    /// Number of trained parameters that are no embeddings: they come first.
    pub fn trained_beside_embeddings(&self) -> usize {
        self.trained_len() - self.slot(&(0..self.norm[0].start)).map_or(0, |slot| slot.len())
    }

    /// Where the gradient of a range of `theta` lies among the trained parameters; `None` if it is not trained.
    pub fn slot(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let (whole, at) =
            self.trained.iter().find(|(whole, _)| whole.start <= range.start && range.end <= whole.end)?;
        let from = at + range.start - whole.start;
        Some(from..from + range.len())
    }

    /// The first layer that has a trained parameter; the number of layers if none has. `None` if words or positions are trained.
    pub fn first_trained(&self) -> Option<usize> {
        if self.slot(&self.words).is_some() {
            return None;
        }
        let of = |layer: &LayerAt| layer.ranges().any(|range| self.slot(&range).is_some());
        Some(self.layers.iter().position(of).unwrap_or(self.layers.len()))
    }

    /// Copies the trained parameters out of `theta`.
    pub fn gather(&self, theta: &[f32]) -> Vec<f32> {
        self.trained.iter().flat_map(|(range, _)| &theta[range.clone()]).copied().collect()
    }

    /// Copies the trained parameters into `theta`.
    pub fn scatter(&self, parameters: &[f32], theta: &mut [f32]) {
        for (range, at) in &self.trained {
            theta[range.clone()].copy_from_slice(&parameters[*at..at + range.len()]);
        }
    }

    /// `theta` with the weights of a model; what is added begins without effect, and the head at zero.
    pub fn start(&self, weights: &OpenWeights<'_>, rng: &mut ChaCha8Rng) -> Result<Vec<f32>> {
        let mut theta = vec![0.0; self.len()];
        for tensor in &self.tensors {
            theta[tensor.range.clone()].copy_from_slice(&weights.take(&tensor.name, &tensor.shape)?);
        }
        let mut draw = |range: &Range<usize>, spread: f32| {
            theta[range.clone()].iter_mut().for_each(|w| *w = rng.random_range(-spread..spread));
        };
        for layer in &self.layers {
            // One of the two factors is zero: the network begins as it was, and both have a gradient soon.
            for dense in layer.denses() {
                dense.low.iter().for_each(|low| draw(&low.a, (3.0 / dense.k as f32).sqrt()));
            }
            for adapter in layer.adapters.iter().flatten() {
                draw(&adapter.down.weight, (3.0 / adapter.down.k as f32).sqrt());
            }
            layer.prefix.iter().flatten().for_each(|range| draw(range, 0.5));
        }
        Ok(theta)
    }
}

impl LayerAt {
    /// Its four matrices, in the order in which a token meets them.
    pub fn denses(&self) -> [&DenseAt; 4] {
        [&self.qkv, &self.out, &self.up, &self.down]
    }

    fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let denses = self.denses().into_iter().flat_map(DenseAt::ranges);
        let adapters = self.adapters.iter().flatten().flat_map(|a| a.down.ranges().chain(a.up.ranges()));
        let norms = self.norm.iter().chain(&self.last).chain(self.prefix.iter().flatten()).cloned();
        denses.chain(adapters).chain(norms)
    }

    fn add_low(&mut self, lora: &Lora, to: &mut Layout) {
        let h = self.out.n;
        for matrix in &lora.on {
            let (dense, column, n) = match matrix {
                Matrix::Query => (&mut self.qkv, 0, h),
                Matrix::Key => (&mut self.qkv, h, h),
                Matrix::Value => (&mut self.qkv, 2 * h, h),
                Matrix::Out => (&mut self.out, 0, h),
                Matrix::Up => (&mut self.up, 0, self.down.k),
                Matrix::Down => (&mut self.down, 0, h),
            };
            let (a, b) = (to.next(dense.k * lora.rank), to.next(lora.rank * n));
            dense.low.push(LowAt { a, b, rank: lora.rank, column, n, scale: lora.alpha / lora.rank as f32 });
        }
    }
}

impl DenseAt {
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let low = self.low.iter().flat_map(|low| [low.a.clone(), low.b.clone()]);
        [self.weight.clone(), self.bias.clone()].into_iter().chain(low)
    }
}
