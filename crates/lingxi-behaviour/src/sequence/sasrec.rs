//! Self-attention over a shopper's events: SASRec (arXiv 1808.09781), with its layer norms first and GELU.
//!
//! Shapes: `x [tokens, d]`, `h` heads, inner width `f`. Each of `layers` blocks, `Attn` causal within a sequence:
//!
//! `x = x + W_o Attn(W_qkv LN(x))`, then `x = x + W_2 GELU(W_1 LN(x))`, dropout before each sum; last `LN(x)`.
//!
//! With `gated` each sum is weighed by the shopper's own row, as in LiGR (arXiv 2502.03417), the modern variant:
//!
//! `x = x + sigmoid(W_g x) * Attn(..)`, and the same for the second half.
//!
//! Cost: `tokens (4 d^2 + 2 d f + n d)` multiplications a block forwards with `n` events in a sequence, twice that back.

use super::network::{Network, Noise, cut, cut_mut};
use lingxi_kernels::Mask;
use lingxi_kernels::attention_back::{Look, Weights as Seen, attend_backward, attend_keep};
use lingxi_kernels::backward::{Normal, gelu_backward, gelu_into, layer_norm_backward, layer_norm_keep, sigmoid};
use lingxi_train::linear::Linear;
use rand_chacha::ChaCha8Rng;

const EPSILON: f32 = 1e-8;

/// Sizes of the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub d: usize,
    pub layers: usize,
    pub heads: usize,
    pub inner: usize,
    pub gated: bool,
}

/// The network with the buffers of one pass.
pub(crate) struct SasRec {
    shape: Shape,
    blocks: Vec<Block>,
    last: Normal,
    scratch: [Vec<f32>; 3],
}

/// What one block keeps for the way back.
#[derive(Default)]
struct Block {
    /// What came in and what came to the second half; only gates read them.
    first: Half,
    second: Half,
    qkv: Vec<f32>,
    weights: Seen,
    seen: Vec<f32>,
    up: Vec<f32>,
    bent: Vec<f32>,
}

#[derive(Default)]
struct Half {
    x: Vec<f32>,
    normal: Normal,
    /// After the layer norm.
    rows: Vec<f32>,
    /// What the half adds, before its gate.
    out: Vec<f32>,
    gate: Vec<f32>,
}

/// One block's parameters in their order.
struct Weights<'a> {
    norm: [[&'a [f32]; 2]; 2],
    qkv: &'a [f32],
    out: &'a [f32],
    up: &'a [f32],
    down: &'a [f32],
    gates: [&'a [f32]; 2],
}

/// Their gradients.
struct Slopes<'a> {
    norm: [[&'a mut [f32]; 2]; 2],
    qkv: &'a mut [f32],
    out: &'a mut [f32],
    up: &'a mut [f32],
    down: &'a mut [f32],
    gates: [&'a mut [f32]; 2],
}

impl Shape {
    fn qkv(self) -> Linear {
        Linear { k: self.d, n: 3 * self.d }
    }

    fn square(self) -> Linear {
        Linear { k: self.d, n: self.d }
    }

    fn up(self) -> Linear {
        Linear { k: self.d, n: self.inner }
    }

    fn down(self) -> Linear {
        Linear { k: self.inner, n: self.d }
    }

    /// An event sees itself and what came before it.
    fn look(self) -> Look {
        Look { heads: self.heads, mask: Mask::Causal, dropout: 0.0, seed: 0 }
    }

    fn gate(self) -> usize {
        if self.gated { self.square().len() } else { 0 }
    }

    fn block(self) -> usize {
        4 * self.d + self.qkv().len() + self.square().len() + self.up().len() + self.down().len() + 2 * self.gate()
    }

    fn weights<'a>(self, rest: &mut &'a [f32]) -> Weights<'a> {
        let mut norm = || [cut(rest, self.d), cut(rest, self.d)];
        let norm = [norm(), norm()];
        Weights {
            norm,
            qkv: cut(rest, self.qkv().len()),
            out: cut(rest, self.square().len()),
            up: cut(rest, self.up().len()),
            down: cut(rest, self.down().len()),
            gates: [cut(rest, self.gate()), cut(rest, self.gate())],
        }
    }

    fn slopes<'a>(self, rest: &mut &'a mut [f32]) -> Slopes<'a> {
        let mut norm = || [cut_mut(rest, self.d), cut_mut(rest, self.d)];
        let norm = [norm(), norm()];
        Slopes {
            norm,
            qkv: cut_mut(rest, self.qkv().len()),
            out: cut_mut(rest, self.square().len()),
            up: cut_mut(rest, self.up().len()),
            down: cut_mut(rest, self.down().len()),
            gates: [cut_mut(rest, self.gate()), cut_mut(rest, self.gate())],
        }
    }
}

impl SasRec {
    pub fn new(shape: Shape) -> SasRec {
        let blocks = (0..shape.layers).map(|_| Block::default()).collect();
        SasRec { shape, blocks, last: Normal::default(), scratch: Default::default() }
    }
}

impl Network for SasRec {
    fn parameters(&self) -> usize {
        self.shape.layers * self.shape.block() + 2 * self.shape.d
    }

    fn start(&self, w: &mut [f32], rng: &mut ChaCha8Rng) {
        let (s, mut rest) = (self.shape, w);
        for _ in 0..s.layers {
            let at = s.slopes(&mut rest);
            for [weight, bias] in at.norm {
                weight.fill(1.0);
                bias.fill(0.0);
            }
            s.qkv().start(at.qkv, rng);
            s.square().start(at.out, rng);
            s.up().start(at.up, rng);
            s.down().start(at.down, rng);
            at.gates.into_iter().filter(|gate| !gate.is_empty()).for_each(|gate| s.square().start(gate, rng));
        }
        rest[..s.d].fill(1.0);
        rest[s.d..].fill(0.0);
    }

    fn forward(&mut self, w: &[f32], x: &mut [f32], offsets: &[usize], noise: Noise) {
        let (s, mut rest) = (self.shape, w);
        for (layer, block) in self.blocks.iter_mut().enumerate() {
            let at = s.weights(&mut rest);
            let place = 2 * layer as u32 + 1;
            block.first.enter(x, at.norm[0]);
            block.qkv.resize(3 * x.len(), 0.0);
            s.qkv().forward(at.qkv, &block.first.rows, &mut block.qkv);
            block.seen.resize(x.len(), 0.0);
            attend_keep(s.look(), &block.qkv, offsets, &mut block.seen, &mut block.weights);
            block.first.out.resize(x.len(), 0.0);
            s.square().forward(at.out, &block.seen, &mut block.first.out);
            noise.at(place, &mut block.first.out);
            block.first.leave(s, at.gates[0], x);
            block.second.enter(x, at.norm[1]);
            block.up.resize(x.len() / s.d * s.inner, 0.0);
            block.bent.resize(block.up.len(), 0.0);
            s.up().forward(at.up, &block.second.rows, &mut block.up);
            gelu_into(&block.up, &mut block.bent);
            block.second.out.resize(x.len(), 0.0);
            s.down().forward(at.down, &block.bent, &mut block.second.out);
            noise.at(place + 1, &mut block.second.out);
            block.second.leave(s, at.gates[1], x);
        }
        layer_norm_keep(x, &rest[..s.d], &rest[s.d..], EPSILON, &mut self.last);
    }

    fn backward(&mut self, w: &[f32], d: &mut [f32], offsets: &[usize], noise: Noise, g: &mut [f32]) {
        let s = self.shape;
        let blocks = s.layers * s.block();
        let (dw, db) = g[blocks..].split_at_mut(s.d);
        layer_norm_backward(d, &w[blocks..blocks + s.d], &self.last, dw, db);
        let [d_out, d_rows, d_wide] = &mut self.scratch;
        d_rows.resize(d.len(), 0.0);
        for (layer, block) in self.blocks.iter_mut().enumerate().rev() {
            let part = layer * s.block()..(layer + 1) * s.block();
            let (at, slopes) = (s.weights(&mut &w[part.clone()]), s.slopes(&mut &mut g[part]));
            let (place, [first_norm, second_norm], [first_gate, second_gate]) =
                (2 * layer as u32 + 1, slopes.norm, slopes.gates);
            let d_gate = block.second.turn(s, at.gates[1], d, d_out, second_gate);
            noise.at(place + 1, d_out);
            d_wide.resize(block.up.len(), 0.0);
            s.down().backward(at.down, &block.bent, d_out, d_wide, false, slopes.down);
            gelu_backward(&block.up, d_wide);
            s.up().backward(at.up, &block.second.rows, d_wide, d_rows, false, slopes.up);
            block.second.back(at.norm[1], d_rows, d, d_gate, second_norm);
            let d_gate = block.first.turn(s, at.gates[0], d, d_out, first_gate);
            noise.at(place, d_out);
            s.square().backward(at.out, &block.seen, d_out, d_rows, false, slopes.out);
            d_wide.resize(block.qkv.len(), 0.0);
            attend_backward(s.look(), &block.qkv, offsets, &block.weights, d_rows, d_wide, d_out);
            s.qkv().backward(at.qkv, &block.first.rows, d_wide, d_rows, false, slopes.qkv);
            block.first.back(at.norm[0], d_rows, d, d_gate, first_norm);
        }
    }
}

impl Half {
    /// Keeps what comes in, and its layer norm.
    fn enter(&mut self, x: &[f32], norm: [&[f32]; 2]) {
        self.x.clear();
        self.x.extend_from_slice(x);
        self.rows.clear();
        self.rows.extend_from_slice(x);
        layer_norm_keep(&mut self.rows, norm[0], norm[1], EPSILON, &mut self.normal);
    }

    /// Adds what the half says, through its gate if it has one.
    fn leave(&mut self, s: Shape, gate: &[f32], x: &mut [f32]) {
        if gate.is_empty() {
            return x.iter_mut().zip(&self.out).for_each(|(x, out)| *x += out);
        }
        self.gate.resize(x.len(), 0.0);
        s.square().forward(gate, &self.x, &mut self.gate);
        sigmoid(&mut self.gate);
        x.iter_mut().zip(&self.out).zip(&self.gate).for_each(|((x, out), gate)| *x += gate * out);
    }

    /// The gradient of what the half says into `d_out`; what the gate gives to the row that came in is returned.
    fn turn(&mut self, s: Shape, gate: &[f32], d: &[f32], d_out: &mut Vec<f32>, g: &mut [f32]) -> Vec<f32> {
        d_out.clear();
        d_out.extend_from_slice(d);
        if gate.is_empty() {
            return Vec::new();
        }
        // The gate's place takes its own gradient.
        for ((d, out), gate) in d_out.iter_mut().zip(&self.out).zip(&mut self.gate) {
            let open = *gate;
            *gate = *d * out * open * (1.0 - open);
            *d *= open;
        }
        let mut dx = vec![0.0; d.len()];
        s.square().backward(gate, &self.x, &self.gate, &mut dx, false, g);
        dx
    }

    /// Adds what comes back through the layer norm and the gate to the gradient of the row that came in.
    fn back(&self, norm: [&[f32]; 2], d_rows: &mut [f32], d: &mut [f32], d_gate: Vec<f32>, g: [&mut [f32]; 2]) {
        let [dw, db] = g;
        layer_norm_backward(d_rows, norm[0], &self.normal, dw, db);
        d.iter_mut().zip(&*d_rows).for_each(|(d, row)| *d += row);
        d.iter_mut().zip(&d_gate).for_each(|(d, gate)| *d += gate);
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::tests::check;
    use super::*;

    #[test]
    fn the_gradient_of_attention_agrees_with_finite_differences_with_and_without_gates() {
        for gated in [false, true] {
            let shape = Shape { d: 6, layers: 2, heads: 2, inner: 10, gated };
            check(|| Box::new(SasRec::new(shape)), 6);
        }
    }
}
