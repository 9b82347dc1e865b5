//! Convolution over the latest events as over a picture: Caser (arXiv 1809.07426).
//!
//! Shapes: a window of `L` rows `[L, d]` ends at each event, with zeros before the first. Across, for each height up to `L`,
//! `f` filters of `height d` numbers, ReLU, and the largest value over the window; down, `v` filters of `L` numbers, one sum for
//! each column. A layer of all of them gives the state: `z = W [across; down] + b`, dropout before it.
//!
//! Cost: `tokens (f d L (L + 1) / 2 + v L d + (f L + v d) d)` multiplications forwards, twice that back.

use super::network::{Network, Noise};
use super::patches::{patches, patches_back};
use lingxi_kernels::{Layout, Part, axpy, dot, product_here};
use lingxi_train::linear::Linear;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Events of a window, filters of each height, and filters down.
const WINDOW: usize = 5;
const ACROSS: usize = 16;
const DOWN: usize = 4;

/// The network with the buffers of one pass.
pub(crate) struct Caser {
    d: usize,
    patches: Vec<f32>,
    /// `[heights, tokens, ACROSS]` before ReLU and the largest.
    heights: Vec<Vec<f32>>,
    /// Which row gave the largest value, `[tokens, heights ACROSS]`.
    largest: Vec<usize>,
    both: Vec<f32>,
    d_both: Vec<f32>,
    d_patches: Vec<f32>,
    d_height: Vec<f32>,
}

impl Caser {
    pub fn new(d: usize) -> Caser {
        let none = Vec::new;
        Caser {
            d,
            patches: none(),
            heights: vec![none(); WINDOW],
            largest: Vec::new(),
            both: none(),
            d_both: none(),
            d_patches: none(),
            d_height: none(),
        }
    }

    fn taps() -> [usize; WINDOW] {
        std::array::from_fn(|at| WINDOW - 1 - at)
    }

    /// The filters of one height, least first.
    fn layer(&self, height: usize) -> Linear {
        Linear { k: (height + 1) * self.d, n: ACROSS }
    }

    fn across(&self) -> usize {
        (0..WINDOW).map(|height| self.layer(height).len()).sum()
    }

    fn wide(&self) -> usize {
        WINDOW * ACROSS + DOWN * self.d
    }

    fn last(&self) -> Linear {
        Linear { k: self.wide(), n: self.d }
    }
}

impl Network for Caser {
    fn parameters(&self) -> usize {
        self.across() + DOWN * WINDOW + self.last().len()
    }

    fn start(&self, w: &mut [f32], rng: &mut ChaCha8Rng) {
        let mut rest = w;
        for height in 0..WINDOW {
            let (part, more) = rest.split_at_mut(self.layer(height).len());
            self.layer(height).start(part, rng);
            rest = more;
        }
        let (down, last) = rest.split_at_mut(DOWN * WINDOW);
        down.iter_mut().for_each(|w| *w = rng.random_range(-0.7..0.7));
        self.last().start(last, rng);
    }

    fn forward(&mut self, w: &[f32], x: &mut [f32], offsets: &[usize], noise: Noise) {
        let (d, wide, tokens) = (self.d, self.wide(), x.len() / self.d);
        patches(x, d, offsets, &Self::taps(), &mut self.patches);
        self.both.clear();
        self.both.resize(tokens * wide, 0.0);
        self.largest.resize(tokens * WINDOW * ACROSS, 0);
        let mut at = 0;
        for height in 0..WINDOW {
            let layer = self.layer(height);
            let (matrix, bias) = w[at..at + layer.len()].split_at(layer.k * layer.n);
            at += layer.len();
            let out = &mut self.heights[height];
            out.clear();
            out.extend((0..tokens).flat_map(|_| bias));
            // The latest rows of a window are its last ones.
            let rows = Part { data: &self.patches[(WINDOW - 1 - height) * d..], stride: WINDOW * d };
            let matrix = Part { data: matrix, stride: ACROSS };
            product_here(Layout::Nn, rows, matrix, out, ACROSS, [tokens, ACROSS, layer.k], true);
            for window in offsets.windows(2) {
                for row in window[0]..window[1] {
                    let from = (row + height + 1).saturating_sub(WINDOW).max(window[0]);
                    for filter in 0..ACROSS {
                        let value = |row: &usize| out[row * ACROSS + filter];
                        let best = (from..=row).reduce(|a, b| if value(&b) > value(&a) { b } else { a }).unwrap_or(row);
                        self.largest[row * WINDOW * ACROSS + height * ACROSS + filter] = best;
                        self.both[row * wide + height * ACROSS + filter] = value(&best).max(0.0);
                    }
                }
            }
        }
        let down = &w[at..at + DOWN * WINDOW];
        for (patch, both) in self.patches.chunks_exact(WINDOW * d).zip(self.both.chunks_exact_mut(wide)) {
            for (out, filter) in both[WINDOW * ACROSS..].chunks_exact_mut(d).zip(down.chunks_exact(WINDOW)) {
                patch.chunks_exact(d).zip(filter).for_each(|(row, weight)| axpy(*weight, row, out));
            }
        }
        noise.at(1, &mut self.both);
        self.last().forward(&w[at + DOWN * WINDOW..], &self.both, x);
    }

    fn backward(&mut self, w: &[f32], dx: &mut [f32], offsets: &[usize], noise: Noise, g: &mut [f32]) {
        let (d, wide, tokens) = (self.d, self.wide(), dx.len() / self.d);
        let (across, down) = (self.across(), self.across() + DOWN * WINDOW);
        self.d_both.resize(self.both.len(), 0.0);
        self.last().backward(&w[down..], &self.both, dx, &mut self.d_both, false, &mut g[down..]);
        noise.at(1, &mut self.d_both);
        self.d_patches.clear();
        self.d_patches.resize(self.patches.len(), 0.0);
        let rows = self.patches.chunks_exact(WINDOW * d).zip(self.d_patches.chunks_exact_mut(WINDOW * d));
        for ((patch, d_patch), d_both) in rows.zip(self.d_both.chunks_exact(wide)) {
            for (filter, d_out) in d_both[WINDOW * ACROSS..].chunks_exact(d).enumerate() {
                for row in 0..WINDOW {
                    let place = across + filter * WINDOW + row;
                    g[place] += dot(&patch[row * d..(row + 1) * d], d_out);
                    axpy(w[place], d_out, &mut d_patch[row * d..(row + 1) * d]);
                }
            }
        }
        let mut at = 0;
        for height in 0..WINDOW {
            let layer = self.layer(height);
            self.d_height.clear();
            self.d_height.resize(tokens * ACROSS, 0.0);
            for row in 0..tokens {
                for filter in 0..ACROSS {
                    let column = height * ACROSS + filter;
                    let best = self.largest[row * WINDOW * ACROSS + column];
                    if self.heights[height][best * ACROSS + filter] > 0.0 {
                        self.d_height[best * ACROSS + filter] += self.d_both[row * wide + column];
                    }
                }
            }
            let first = (WINDOW - 1 - height) * d;
            let (matrix, g_layer) = (&w[at..at + layer.k * ACROSS], &mut g[at..at + layer.len()]);
            let (g_matrix, g_bias) = g_layer.split_at_mut(layer.k * ACROSS);
            let d_rows = Part { data: &self.d_height, stride: ACROSS };
            let rows = Part { data: &self.patches[first..], stride: WINDOW * d };
            product_here(Layout::Tn, rows, d_rows, g_matrix, ACROSS, [layer.k, ACROSS, tokens], true);
            self.d_height.chunks_exact(ACROSS).for_each(|d_row| axpy(1.0, d_row, g_bias));
            let matrix = Part { data: matrix, stride: ACROSS };
            let d_patches = &mut self.d_patches[first..];
            product_here(Layout::Nt, d_rows, matrix, d_patches, WINDOW * d, [tokens, layer.k, ACROSS], true);
            at += layer.len();
        }
        dx.fill(0.0);
        patches_back(&self.d_patches, d, offsets, &Self::taps(), dx);
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::tests::check;
    use super::*;

    #[test]
    fn the_gradient_of_convolution_over_a_window_agrees_with_finite_differences() {
        check(|| Box::new(Caser::new(6)), 6);
    }
}
