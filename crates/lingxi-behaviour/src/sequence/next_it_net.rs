//! Convolution with holes: NextItNet (arXiv 1808.05163), whose reach doubles with each half of a block.
//!
//! Shapes: `x [tokens, d]`, a kernel of three rows. Each of `layers` blocks, with hole `s = 1` and then `2`, `4` and `8` ..:
//!
//! `x = x + ReLU(LN(C_2s ReLU(LN(C_s x))))` with `C_s x` at row `t` a layer of rows `t - 2s`, `t - s` and `t`; dropout before the
//! sum; last `LN(x)`.
//!
//! Cost: `tokens 6 d^2` multiplications a block forwards, twice that back.

use super::network::{Network, Noise};
use super::patches::{patches, patches_back, rectify, rectify_back};
use lingxi_kernels::backward::{Normal, layer_norm_backward, layer_norm_keep};
use lingxi_train::linear::Linear;
use rand_chacha::ChaCha8Rng;

const EPSILON: f32 = 1e-8;

/// The network with the buffers of one pass.
pub(crate) struct NextItNet {
    d: usize,
    /// Two a block.
    halves: Vec<Half>,
    last: Normal,
    d_half: Vec<f32>,
    d_patches: Vec<f32>,
}

#[derive(Default)]
struct Half {
    patches: Vec<f32>,
    normal: Normal,
    out: Vec<f32>,
}

impl NextItNet {
    pub fn new(d: usize, layers: usize) -> NextItNet {
        let halves = (0..2 * layers).map(|_| Half::default()).collect();
        NextItNet { d, halves, last: Normal::default(), d_half: Vec::new(), d_patches: Vec::new() }
    }

    fn layer(&self) -> Linear {
        Linear { k: 3 * self.d, n: self.d }
    }

    /// Parameters of a half: its layer, then scale and shift of its norm.
    fn half(&self) -> usize {
        self.layer().len() + 2 * self.d
    }
}

/// Which rows a half reads: four blocks until the holes begin again.
fn taps(half: usize) -> [usize; 3] {
    let hole = 1 << (half % 8);
    [2 * hole, hole, 0]
}

impl Network for NextItNet {
    fn parameters(&self) -> usize {
        self.halves.len() * self.half() + 2 * self.d
    }

    fn start(&self, w: &mut [f32], rng: &mut ChaCha8Rng) {
        let (d, layer) = (self.d, self.layer());
        let (halves, last) = w.split_at_mut(self.halves.len() * self.half());
        for half in halves.chunks_exact_mut(self.half()) {
            let (matrix, norm) = half.split_at_mut(layer.len());
            layer.start(matrix, rng);
            norm[..d].fill(1.0);
            norm[d..].fill(0.0);
        }
        last[..d].fill(1.0);
        last[d..].fill(0.0);
    }

    fn forward(&mut self, w: &[f32], x: &mut [f32], offsets: &[usize], noise: Noise) {
        let (d, layer, size) = (self.d, self.layer(), self.half());
        for at in 0..self.halves.len() {
            let (matrix, norm) = w[at * size..(at + 1) * size].split_at(layer.len());
            let (before, now) = self.halves.split_at_mut(at);
            let half = &mut now[0];
            let rows = if at % 2 == 0 { &*x } else { &before[at - 1].out[..] };
            patches(rows, d, offsets, &taps(at), &mut half.patches);
            half.out.resize(x.len(), 0.0);
            layer.forward(matrix, &half.patches, &mut half.out);
            layer_norm_keep(&mut half.out, &norm[..d], &norm[d..], EPSILON, &mut half.normal);
            rectify(&mut half.out);
            if at % 2 == 1 {
                let mut more = half.out.clone();
                noise.at(at as u32, &mut more);
                x.iter_mut().zip(more).for_each(|(x, more)| *x += more);
            }
        }
        let last = &w[self.halves.len() * size..];
        layer_norm_keep(x, &last[..d], &last[d..], EPSILON, &mut self.last);
    }

    fn backward(&mut self, w: &[f32], dx: &mut [f32], offsets: &[usize], noise: Noise, g: &mut [f32]) {
        let (d, layer, size, count) = (self.d, self.layer(), self.half(), self.halves.len());
        let (g_halves, g_last) = g.split_at_mut(count * size);
        let (dw, db) = g_last.split_at_mut(d);
        layer_norm_backward(dx, &w[count * size..count * size + d], &self.last, dw, db);
        for at in (0..count).rev() {
            let half = &self.halves[at];
            let (matrix, norm) = w[at * size..(at + 1) * size].split_at(layer.len());
            let (g_matrix, g_norm) = g_halves[at * size..(at + 1) * size].split_at_mut(layer.len());
            if at % 2 == 1 {
                self.d_half.clear();
                self.d_half.extend_from_slice(dx);
                noise.at(at as u32, &mut self.d_half);
            }
            rectify_back(&half.out, &mut self.d_half);
            let (dw, db) = g_norm.split_at_mut(d);
            layer_norm_backward(&mut self.d_half, &norm[..d], &half.normal, dw, db);
            self.d_patches.resize(half.patches.len(), 0.0);
            layer.backward(matrix, &half.patches, &self.d_half, &mut self.d_patches, false, g_matrix);
            if at % 2 == 1 {
                self.d_half.fill(0.0);
                patches_back(&self.d_patches, d, offsets, &taps(at), &mut self.d_half);
            } else {
                patches_back(&self.d_patches, d, offsets, &taps(at), dx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::tests::check;
    use super::*;

    #[test]
    fn the_gradient_of_convolution_with_holes_agrees_with_finite_differences() {
        check(|| Box::new(NextItNet::new(6, 2)), 6);
    }
}
