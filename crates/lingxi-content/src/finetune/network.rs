//! The encoder there and back, a few texts at a time. The equations are those of [`crate::bert`]; what is added:
//!
//! ```text
//! x = norm(x + A1(dropout(attention(..) Wo' + b)))      A: x, or x + up gelu(down x) with adapters
//! x = norm(x + A2(dropout(gelu(..) Wdown' + b)))
//! attention(q, [prefix keys; k], [prefix values; v])    with a prefix
//! ```
//!
//! A [`Pass`] keeps what its way back reads; passes on different threads share the [`Network`]. Layers below the first trained one
//! are computed without dropout, and nothing goes back through them.

use super::dense::{Dense, Hands};
use super::places::{AdapterAt, LayerAt, NormAt, Places};
use crate::folder::Config;
use lingxi_kernels::attention_back::{Look, Weights, attend_backward, attend_keep};
use lingxi_kernels::backward::{Normal, dropout, gelu_backward, gelu_into, layer_norm_backward, layer_norm_keep};
use lingxi_kernels::{Mask, Precision, axpy, scatter_add};
use rayon::prelude::*;
use std::ops::Range;

/// All parameters, and their matrices packed.
pub(crate) struct Network {
    pub config: Config,
    pub places: Places,
    pub theta: Vec<f32>,
    precision: Precision,
    layers: Vec<[Dense; 4]>,
    adapters: Vec<Option<[[Dense; 2]; 2]>>,
}

/// What is dropped in a pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Noise {
    pub share: f32,
    pub seed: u32,
}

impl Noise {
    pub const NONE: Noise = Noise { share: 0.0, seed: 0 };

    /// Each place of the network drops others.
    fn at(self, place: u32) -> u32 {
        (self.seed ^ place.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b)
    }

    pub fn drop(self, place: u32, x: &mut [f32]) {
        dropout(x, self.share, self.at(place));
    }
}

/// Texts on their way, and what their way back reads.
#[derive(Default)]
pub(crate) struct Pass {
    pub ids: Vec<u32>,
    pub offsets: Vec<usize>,
    /// States `[tokens,h]`: what came out last, on the way back its gradient.
    pub x: Vec<f32>,
    /// Added to the sum of word and position vectors: an adversary's push.
    pub push: Vec<f32>,
    embedding: Normal,
    layers: Vec<Kept>,
    hands: Hands,
    d: [Vec<f32>; 3],
}

/// What one layer keeps.
#[derive(Default)]
struct Kept {
    x: Vec<f32>,
    qkv: Vec<f32>,
    /// Rows of a text with its prefix, where there is one.
    wide: Vec<usize>,
    weights: Weights,
    seen: Vec<f32>,
    norm: Normal,
    y: Vec<f32>,
    up: Vec<f32>,
    bent: Vec<f32>,
    last: Normal,
    halves: [Narrow; 2],
}

/// What an adapter keeps.
#[derive(Default)]
struct Narrow {
    x: Vec<f32>,
    down: Vec<f32>,
    bent: Vec<f32>,
}

impl Network {
    pub fn new(config: Config, places: Places, theta: Vec<f32>, precision: Precision) -> Network {
        let mut network = Network { config, places, theta, precision, layers: vec![], adapters: vec![] };
        network.pack();
        network
    }

    /// Packs all matrices, from `theta` as it is.
    pub fn pack(&mut self) {
        let (theta, precision) = (&self.theta, self.precision);
        let pack = |at: &LayerAt| at.denses().map(|dense| Dense::new(dense, theta, precision));
        self.layers = self.places.layers.par_iter().map(pack).collect();
        self.adapters = self.places.layers.iter().map(|at| pack_adapters(at, theta, precision)).collect();
    }

    /// What the packed matrices of the way forward take.
    pub fn bytes(&self) -> usize {
        let adapters = self.adapters.iter().flatten().flatten().flatten();
        self.layers.iter().flatten().chain(adapters).map(Dense::bytes).sum()
    }

    pub fn in_numbers(&mut self, precision: Precision) {
        self.precision = precision;
        self.pack();
    }

    /// Takes trained parameters; only matrices that are trained are packed anew.
    pub fn set(&mut self, parameters: &[f32]) {
        let Network { places, theta, precision, layers, adapters, .. } = self;
        places.scatter(parameters, theta);
        let all = places.layers.par_iter().zip(layers.par_iter_mut()).zip(adapters);
        all.for_each(|((at, layer), narrow)| {
            for (dense, at) in layer.iter_mut().zip(at.denses()) {
                if places.slot(&at.weight).is_some() {
                    *dense = Dense::new(at, theta, *precision);
                }
            }
            *narrow = pack_adapters(at, theta, *precision);
        });
    }

    pub fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// `pass.x` becomes the states after the layers of `range`; the first of them takes the embeddings, any other what is in
    /// `pass.x`.
    pub fn forward(&self, pass: &mut Pass, range: Range<usize>, noise: Noise) {
        if range.start == 0 {
            self.embed(pass, noise);
        }
        pass.layers.resize_with(self.layers.len(), Kept::default);
        for layer in range {
            self.layer(layer, pass, noise);
        }
    }

    /// From the gradient of the last states in `pass.x` down to layer `first`, or to the embeddings, whose gradient it leaves in
    /// `pass.x`; gradients of trained parameters are added to `g`.
    pub fn backward(&self, pass: &mut Pass, first: Option<usize>, noise: Noise, g: &mut [f32]) {
        for layer in (first.unwrap_or(0)..self.layers.len()).rev() {
            self.layer_back(layer, pass, noise, first == Some(layer), g);
        }
        if first.is_none() {
            noise.drop(0, &mut pass.x);
            self.norm_back(&self.places.norm, &mut pass.x, &pass.embedding, g);
        }
    }

    /// Adds the gradients of the words and positions of a pass that went back.
    pub fn embed_back(&self, pass: &Pass, g: &mut [f32]) {
        let (h, places) = (self.width(), &self.places);
        if let Some(slot) = places.slot(&places.words) {
            scatter_add(&mut g[slot], h, &pass.ids, &pass.x);
        }
        if let Some(slot) = places.slot(&places.positions) {
            let rows: Vec<u32> = self.positions(pass).map(|row| row as u32).collect();
            scatter_add(&mut g[slot], h, &rows, &pass.x);
        }
        if let Some(slot) = places.slot(&places.types).filter(|slot| !slot.is_empty()) {
            pass.x.chunks_exact(h).for_each(|row| axpy(1.0, row, &mut g[slot.start..slot.start + h]));
        }
    }

    /// The row of the table of positions of each token.
    fn positions<'a>(&'a self, pass: &'a Pass) -> impl Iterator<Item = usize> + 'a {
        let first = self.config.first_position();
        pass.offsets.windows(2).flat_map(move |window| first..first + window[1] - window[0])
    }

    fn embed(&self, pass: &mut Pass, noise: Noise) {
        let (h, theta, places) = (self.width(), &self.theta, &self.places);
        let (words, positions) = (&theta[places.words.clone()], &theta[places.positions.clone()]);
        let mut x = std::mem::take(&mut pass.x);
        x.clear();
        for (id, place) in pass.ids.iter().zip(self.positions(pass)) {
            let from = x.len();
            x.extend_from_slice(&words[*id as usize * h..][..h]);
            axpy(1.0, &positions[place * h..][..h], &mut x[from..]);
            if !places.types.is_empty() {
                axpy(1.0, &theta[places.types.start..][..h], &mut x[from..]);
            }
        }
        if pass.push.len() == x.len() {
            axpy(1.0, &pass.push, &mut x);
        }
        let [weight, bias] = places.norm.clone().map(|range| &theta[range]);
        layer_norm_keep(&mut x, weight, bias, self.config.layer_norm_eps, &mut pass.embedding);
        noise.drop(0, &mut x);
        pass.x = x;
    }

    fn look(&self, layer: usize, noise: Noise) -> Look {
        let seed = noise.at(3 * layer as u32 + 1);
        Look { heads: self.config.num_attention_heads, mask: Mask::Full, dropout: noise.share, seed }
    }

    fn layer(&self, layer: usize, pass: &mut Pass, noise: Noise) {
        let (at, [qkv, out, up, down], theta) = (&self.places.layers[layer], &self.layers[layer], &self.theta);
        let adapters = self.adapters[layer].as_ref();
        let Pass { x, layers, hands, d: [half, ..], offsets, .. } = pass;
        let kept = &mut layers[layer];
        kept.x.clone_from(x);
        qkv.forward(&at.qkv, theta, x, &mut kept.qkv, hands);
        let heads = self.look(layer, noise);
        if let Some(prefix) = &at.prefix {
            self.with_prefix(prefix, offsets, kept);
            half.resize(kept.qkv.len() / 3, 0.0);
            attend_keep(heads, &kept.qkv, &kept.wide, half, &mut kept.weights);
            kept.seen.clear();
            rows_of_texts(offsets, &kept.wide, x.len() / self.tokens(offsets), |_, wide| {
                kept.seen.extend_from_slice(&half[wide]);
            });
        } else {
            kept.seen.resize(x.len(), 0.0);
            attend_keep(heads, &kept.qkv, offsets, &mut kept.seen, &mut kept.weights);
        }
        out.forward(&at.out, theta, &kept.seen, half, hands);
        noise.drop(3 * layer as u32 + 2, half);
        self.adapt(at, adapters, 0, half, kept, hands);
        axpy(1.0, half, x);
        self.norm(&at.norm, x, &mut kept.norm);
        kept.y.clone_from(x);
        up.forward(&at.up, theta, x, &mut kept.up, hands);
        kept.bent.resize(kept.up.len(), 0.0);
        gelu_into(&kept.up, &mut kept.bent);
        down.forward(&at.down, theta, &kept.bent, half, hands);
        noise.drop(3 * layer as u32 + 3, half);
        self.adapt(at, adapters, 1, half, kept, hands);
        axpy(1.0, half, x);
        self.norm(&at.last, x, &mut kept.last);
    }

    /// `lowest`: nobody asks for the gradient of what came in.
    fn layer_back(&self, layer: usize, pass: &mut Pass, noise: Noise, lowest: bool, g: &mut [f32]) {
        let (at, [qkv, out, up, down], theta) = (&self.places.layers[layer], &self.layers[layer], &self.theta);
        let (places, adapters) = (&self.places, self.adapters[layer].as_ref());
        let Pass { x: d, layers, hands, d: [half, wide, scratch], offsets, .. } = pass;
        let kept = &mut layers[layer];
        self.norm_back(&at.last, d, &kept.last, g);
        half.clone_from(d);
        self.adapt_back(at, adapters, 1, half, kept, hands, g);
        noise.drop(3 * layer as u32 + 3, half);
        wide.resize(kept.up.len(), 0.0);
        down.backward((&at.down, places, theta), &kept.bent, half, Some((wide, false)), g, hands);
        gelu_backward(&kept.up, wide);
        up.backward((&at.up, places, theta), &kept.y, wide, Some((d, true)), g, hands);
        self.norm_back(&at.norm, d, &kept.norm, g);
        half.clone_from(d);
        self.adapt_back(at, adapters, 0, half, kept, hands, g);
        noise.drop(3 * layer as u32 + 2, half);
        let mut d_seen = std::mem::take(scratch);
        d_seen.resize(kept.seen.len(), 0.0);
        out.backward((&at.out, places, theta), &kept.seen, half, Some((&mut d_seen, false)), g, hands);
        wide.resize(kept.qkv.len(), 0.0);
        let heads = self.look(layer, noise);
        if let Some(prefix) = &at.prefix {
            let h = self.width();
            let mut d_wide = vec![0.0; kept.qkv.len() / 3];
            rows_of_texts(offsets, &kept.wide, h, |own, wide| d_wide[wide].copy_from_slice(&d_seen[own]));
            attend_backward(heads, &kept.qkv, &kept.wide, &kept.weights, &d_wide, wide, half);
            self.prefix_back(prefix, wide, kept, g);
            rows_of_texts(offsets, &kept.wide, 3 * h, |own, from| wide.copy_within(from, own.start));
            wide.truncate(3 * d.len());
        } else {
            attend_backward(heads, &kept.qkv, offsets, &kept.weights, &d_seen, wide, half);
        }
        *scratch = d_seen;
        let below = (!lowest).then_some((&mut d[..], true));
        qkv.backward((&at.qkv, places, theta), &kept.x, wide, below, g, hands);
    }

    fn tokens(&self, offsets: &[usize]) -> usize {
        offsets.last().copied().unwrap_or(0).max(1)
    }

    /// Puts the rows of the prefix before each text's, in `kept.qkv`.
    fn with_prefix(&self, [keys, values]: &[Range<usize>; 2], offsets: &[usize], kept: &mut Kept) {
        let (h, own) = (self.width(), std::mem::take(&mut kept.qkv));
        let length = keys.len() / h;
        kept.wide.clear();
        kept.wide.push(0);
        for window in offsets.windows(2) {
            for row in 0..length {
                kept.qkv.extend(std::iter::repeat_n(0.0, h));
                for part in [keys, values] {
                    kept.qkv.extend_from_slice(&self.theta[part.start + row * h..][..h]);
                }
            }
            kept.qkv.extend_from_slice(&own[window[0] * 3 * h..window[1] * 3 * h]);
            kept.wide.push(kept.qkv.len() / (3 * h));
        }
    }

    fn prefix_back(&self, prefix: &[Range<usize>; 2], d_qkv: &[f32], kept: &Kept, g: &mut [f32]) {
        let h = self.width();
        for (part, range) in prefix.iter().enumerate() {
            let Some(slot) = self.places.slot(range) else { continue };
            for from in &kept.wide[..kept.wide.len() - 1] {
                for (row, g) in g[slot.clone()].chunks_exact_mut(h).enumerate() {
                    axpy(1.0, &d_qkv[(from + row) * 3 * h + (part + 1) * h..][..h], g);
                }
            }
        }
    }

    fn norm(&self, at: &NormAt, x: &mut [f32], kept: &mut Normal) {
        let [weight, bias] = at.clone().map(|range| &self.theta[range]);
        layer_norm_keep(x, weight, bias, self.config.layer_norm_eps, kept);
    }

    fn norm_back(&self, at: &NormAt, d: &mut [f32], kept: &Normal, g: &mut [f32]) {
        let weight = &self.theta[at[0].clone()];
        match (self.places.slot(&at[0]), self.places.slot(&at[1])) {
            (Some(weights), Some(biases)) => {
                // Both lie side by side.
                let (dw, db) = g[weights.start..biases.end].split_at_mut(weight.len());
                layer_norm_backward(d, weight, kept, dw, db);
            }
            _ => layer_norm_backward(d, weight, kept, &mut vec![0.0; weight.len()], &mut vec![0.0; weight.len()]),
        }
    }

    fn adapt(
        &self,
        at: &LayerAt,
        adapters: Option<&[[Dense; 2]; 2]>,
        half: usize,
        x: &mut [f32],
        kept: &mut Kept,
        hands: &mut Hands,
    ) {
        let (Some(at), Some([down, up])) = (at.adapters.as_ref(), adapters.map(|both| &both[half])) else { return };
        let (AdapterAt { down: d_at, up: u_at }, kept) = (&at[half], &mut kept.halves[half]);
        kept.x.clear();
        kept.x.extend_from_slice(x);
        down.forward(d_at, &self.theta, x, &mut kept.down, hands);
        kept.bent.resize(kept.down.len(), 0.0);
        gelu_into(&kept.down, &mut kept.bent);
        let mut out = Vec::new();
        up.forward(u_at, &self.theta, &kept.bent, &mut out, hands);
        axpy(1.0, &out, x);
    }

    #[expect(clippy::too_many_arguments, reason = "one call's worth of a layer")]
    fn adapt_back(
        &self,
        at: &LayerAt,
        adapters: Option<&[[Dense; 2]; 2]>,
        half: usize,
        d: &mut [f32],
        kept: &Kept,
        hands: &mut Hands,
        g: &mut [f32],
    ) {
        let (Some(at), Some([down, up])) = (at.adapters.as_ref(), adapters.map(|both| &both[half])) else { return };
        let (AdapterAt { down: d_at, up: u_at }, kept) = (&at[half], &kept.halves[half]);
        let mut d_bent = vec![0.0; kept.bent.len()];
        up.backward((u_at, &self.places, &self.theta), &kept.bent, d, Some((&mut d_bent, false)), g, hands);
        gelu_backward(&kept.down, &mut d_bent);
        down.backward((d_at, &self.places, &self.theta), &kept.x, &d_bent, Some((d, true)), g, hands);
    }
}

fn pack_adapters(at: &LayerAt, theta: &[f32], precision: Precision) -> Option<[[Dense; 2]; 2]> {
    let pack = |at: &AdapterAt| [&at.down, &at.up].map(|dense| Dense::new(dense, theta, precision));
    at.adapters.as_ref().map(|both| [pack(&both[0]), pack(&both[1])])
}

/// The numbers of each text, without and with its prefix, in rows of `h`.
fn rows_of_texts(offsets: &[usize], wide: &[usize], h: usize, mut then: impl FnMut(Range<usize>, Range<usize>)) {
    for (own, wide) in offsets.windows(2).zip(wide.windows(2)) {
        let n = own[1] - own[0];
        then(own[0] * h..own[1] * h, (wide[1] - n) * h..wide[1] * h);
    }
}
