//! Convolution over the latest events as over an image: Caser (arXiv 1809.07426).
//!
//! Shapes: `x [tokens, d]`; the image of a token is the latest [`WINDOW`] rows of its sequence, `[L, d]`, zeros before it begins.
//!
//! - Horizontal: for each height `h = 1..L`, [`FILTERS`] filters `F_h [h d, n]` slide down the image, `c_h = ReLU(F_h rows + b)`, and the
//!   largest value of each is kept: what was done in union.
//! - Vertical: [`SUMS`] weighted sums of the rows: what was done at each place.
//! - `z = ReLU(W [o_h, o_v] + b)` of `inner` numbers, dropout before it, and the state is `LN(W' z + b')`.
//!
//! Where the paper has an output row and a bias of its own for every item, here `W'` turns `z` to the rows that all networks share;
//! its vector of each shopper is left out, since a shopper is what they did. A slide that two tokens share is computed once.
//!
//! Cost: `tokens (n d L (L + 1) / 2 + inner (L n + v d) + inner d)` multiplications forwards, twice that back.

use super::network::{Network, Noise, cut, cut_mut};
use super::patches::{patches, patches_back, rectify, rectify_back};
use lingxi_kernels::backward::{Normal, layer_norm_backward, layer_norm_keep};
use lingxi_kernels::{axpy, dot};
use lingxi_train::linear::Linear;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// `L`: rows of an image, as in the paper.
const WINDOW: usize = 5;
/// `n`: filters of each height.
const FILTERS: usize = 16;
/// `v`: vertical filters.
const SUMS: usize = 4;
const EPSILON: f32 = 1e-8;

/// The network with the buffers of one pass.
pub(crate) struct Caser {
    d: usize,
    inner: usize,
    rows: Vec<f32>,
    slides: Vec<Slide>,
    features: Vec<f32>,
    hidden: Vec<f32>,
    last: Normal,
    d_hidden: Vec<f32>,
    d_features: Vec<f32>,
    d_slide: Vec<f32>,
    d_patches: Vec<f32>,
}

/// The filters of one height at every row, and from which row each token has its largest.
#[derive(Default)]
struct Slide {
    patches: Vec<f32>,
    out: Vec<f32>,
    from: Vec<u32>,
}

/// The layers from the features to the state.
#[derive(Clone, Copy)]
struct Layers {
    hidden: Linear,
    state: Linear,
}

impl Caser {
    pub fn new(d: usize, inner: usize) -> Caser {
        let slides = (0..WINDOW).map(|_| Slide::default()).collect();
        let none = Vec::new;
        Caser {
            d,
            inner,
            rows: none(),
            slides,
            features: none(),
            hidden: none(),
            last: Normal::default(),
            d_hidden: none(),
            d_features: none(),
            d_slide: none(),
            d_patches: none(),
        }
    }

    /// The filters of a height.
    fn filters(&self, height: usize) -> Linear {
        Linear { k: height * self.d, n: FILTERS }
    }

    /// Numbers of a token that the convolutions make.
    fn width(&self) -> usize {
        WINDOW * FILTERS + SUMS * self.d
    }

    fn layers(&self) -> Layers {
        Layers { hidden: Linear { k: self.width(), n: self.inner }, state: Linear { k: self.inner, n: self.d } }
    }

    /// The largest value of each filter in the image of each token.
    fn pool(&mut self, height: usize, offsets: &[usize]) {
        let (width, slide) = (self.width(), &mut self.slides[height - 1]);
        slide.from.resize(slide.out.len(), 0);
        for window in offsets.windows(2) {
            for token in window[0]..window[1] {
                let first = token.saturating_sub(WINDOW - height).max(window[0]);
                for filter in 0..FILTERS {
                    let value = |row: usize| slide.out[row * FILTERS + filter];
                    let best =
                        (first..=token).fold(first, |best, row| if value(row) > value(best) { row } else { best });
                    slide.from[token * FILTERS + filter] = best as u32;
                    self.features[token * width + (height - 1) * FILTERS + filter] = value(best);
                }
            }
        }
    }
}

/// Calls with each token, each vertical filter's weight number, and the row that it weighs.
fn sums(offsets: &[usize], mut call: impl FnMut(usize, usize, usize, usize)) {
    for window in offsets.windows(2) {
        for token in window[0]..window[1] {
            for back in 0..WINDOW.min(token - window[0] + 1) {
                (0..SUMS).for_each(|sum| call(token, sum, sum * WINDOW + back, token - back));
            }
        }
    }
}

/// Rows that a filter of this height covers, counted back.
fn taps(height: usize) -> Vec<usize> {
    (0..height).rev().collect()
}

impl Network for Caser {
    fn parameters(&self) -> usize {
        let Layers { hidden, state } = self.layers();
        let filters: usize = (1..=WINDOW).map(|height| self.filters(height).len()).sum();
        filters + SUMS * WINDOW + hidden.len() + state.len() + 2 * self.d
    }

    fn start(&self, mut w: &mut [f32], rng: &mut ChaCha8Rng) {
        (1..=WINDOW).for_each(|height| self.filters(height).start(cut_mut(&mut w, self.filters(height).len()), rng));
        let spread = (3.0 / WINDOW as f32).sqrt();
        cut_mut(&mut w, SUMS * WINDOW).iter_mut().for_each(|w| *w = rng.random_range(-spread..spread));
        let Layers { hidden, state } = self.layers();
        hidden.start(cut_mut(&mut w, hidden.len()), rng);
        state.start(cut_mut(&mut w, state.len()), rng);
        cut_mut(&mut w, self.d).fill(1.0);
        w.fill(0.0);
    }

    fn forward(&mut self, mut w: &[f32], x: &mut [f32], offsets: &[usize], noise: Noise) {
        let (d, tokens, width, Layers { hidden, state }) = (self.d, x.len() / self.d, self.width(), self.layers());
        self.rows.clear();
        self.rows.extend_from_slice(x);
        self.features.clear();
        self.features.resize(tokens * width, 0.0);
        for height in 1..=WINDOW {
            let filters = self.filters(height);
            let slide = &mut self.slides[height - 1];
            patches(x, d, offsets, &taps(height), &mut slide.patches);
            slide.out.resize(tokens * FILTERS, 0.0);
            filters.forward(cut(&mut w, filters.len()), &slide.patches, &mut slide.out);
            rectify(&mut slide.out);
            self.pool(height, offsets);
        }
        let weights = cut(&mut w, SUMS * WINDOW);
        sums(offsets, |token, sum, weight, row| {
            let at = token * width + WINDOW * FILTERS + sum * d;
            axpy(weights[weight], &x[row * d..(row + 1) * d], &mut self.features[at..at + d]);
        });
        noise.at(0, &mut self.features);
        self.hidden.resize(tokens * self.inner, 0.0);
        hidden.forward(cut(&mut w, hidden.len()), &self.features, &mut self.hidden);
        rectify(&mut self.hidden);
        state.forward(cut(&mut w, state.len()), &self.hidden, x);
        layer_norm_keep(x, &w[..d], &w[d..], EPSILON, &mut self.last);
    }

    fn backward(&mut self, mut w: &[f32], dx: &mut [f32], offsets: &[usize], noise: Noise, mut g: &mut [f32]) {
        let (d, width, Layers { hidden, state }) = (self.d, self.width(), self.layers());
        let convolutions = w.len() - hidden.len() - state.len() - 2 * d;
        let (mut w_conv, mut g_conv) = (cut(&mut w, convolutions), cut_mut(&mut g, convolutions));
        let (w_hidden, g_hidden) = (cut(&mut w, hidden.len()), cut_mut(&mut g, hidden.len()));
        let (w_state, g_state) = (cut(&mut w, state.len()), cut_mut(&mut g, state.len()));
        let (dw, db) = g.split_at_mut(d);
        layer_norm_backward(dx, &w[..d], &self.last, dw, db);
        self.d_hidden.resize(self.hidden.len(), 0.0);
        state.backward(w_state, &self.hidden, dx, &mut self.d_hidden, false, g_state);
        rectify_back(&self.hidden, &mut self.d_hidden);
        self.d_features.resize(self.features.len(), 0.0);
        hidden.backward(w_hidden, &self.features, &self.d_hidden, &mut self.d_features, false, g_hidden);
        noise.at(0, &mut self.d_features);
        dx.fill(0.0);
        for height in 1..=WINDOW {
            let (filters, slide) = (self.filters(height), &self.slides[height - 1]);
            self.d_slide.clear();
            self.d_slide.resize(slide.out.len(), 0.0);
            for (at, from) in slide.from.iter().enumerate() {
                let (token, filter) = (at / FILTERS, at % FILTERS);
                let feature = token * width + (height - 1) * FILTERS + filter;
                self.d_slide[*from as usize * FILTERS + filter] += self.d_features[feature];
            }
            rectify_back(&slide.out, &mut self.d_slide);
            self.d_patches.resize(slide.patches.len(), 0.0);
            let (w, g) = (cut(&mut w_conv, filters.len()), cut_mut(&mut g_conv, filters.len()));
            filters.backward(w, &slide.patches, &self.d_slide, &mut self.d_patches, false, g);
            patches_back(&self.d_patches, d, offsets, &taps(height), dx);
        }
        sums(offsets, |token, sum, weight, row| {
            let at = token * width + WINDOW * FILTERS + sum * d;
            let d_sum = &self.d_features[at..at + d];
            g_conv[weight] += dot(d_sum, &self.rows[row * d..(row + 1) * d]);
            axpy(w_conv[weight], d_sum, &mut dx[row * d..(row + 1) * d]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::tests::check;
    use super::*;

    #[test]
    fn the_gradient_of_convolution_across_and_down_agrees_with_finite_differences() {
        check(|| Box::new(Caser::new(6, 8)), 6);
    }
}
