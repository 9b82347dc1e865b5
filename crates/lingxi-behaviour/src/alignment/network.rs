//! The projection from language to behaviour: two layers with a leaky rectifier between, forward and by hand backward.
//!
//! `H = leaky(T W1 + b1)`, `E = H W2 + b2`; shapes `T [m, i]`, `W1 [i, h]`, `W2 [h, o]`, `E [m, o]`. All parameters are one
//! flat slice, in the order `W1, b1, W2, b2`. Cost: `2 m h (i + o)` forward, twice that backward.

use lingxi_kernels::{matmul_nn, matmul_nt, matmul_tn};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

const SLOPE: f32 = 0.01;

/// Sizes of the two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub input: usize,
    pub hidden: usize,
    pub output: usize,
}

impl Shape {
    /// Number of parameters.
    pub fn len(self) -> usize {
        self.hidden * (self.input + 1) + self.output * (self.hidden + 1)
    }

    /// Where `b1`, `W2` and `b2` begin.
    fn splits(self) -> [usize; 3] {
        let b1 = self.input * self.hidden;
        let w2 = b1 + self.hidden;
        [b1, w2, w2 + self.hidden * self.output]
    }

    /// Uniform in `+-sqrt(6 / (fan in + fan out))`, biases zero (Glorot and Bengio, 2010).
    pub fn initial(self, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut parameters = vec![0.0f32; self.len()];
        let [b1, w2, b2] = self.splits();
        for (range, fans) in [(0..b1, self.input + self.hidden), (w2..b2, self.hidden + self.output)] {
            let limit = (6.0 / fans as f32).sqrt();
            parameters[range].iter_mut().for_each(|w| *w = rng.random_range(-limit..limit));
        }
        parameters
    }
}

/// Buffers of one batch size, kept between steps: fresh ones would cost a page fault every 4 KiB.
#[derive(Default)]
pub(crate) struct Buffers {
    hidden: Vec<f32>,
    d_hidden: Vec<f32>,
}

/// `E [m, o]` of `text [m, i]`; keeps what the backward needs.
pub(crate) fn forward(shape: Shape, parameters: &[f32], text: &[f32], buffers: &mut Buffers, out: &mut [f32]) {
    let Shape { input, hidden, output } = shape;
    let m = text.len() / input;
    let [b1, w2, b2] = shape.splits();
    buffers.hidden.resize(m * hidden, 0.0);
    matmul_nn(text, &parameters[..b1], &mut buffers.hidden, m, hidden, input);
    let bias = &parameters[b1..w2];
    buffers.hidden.par_chunks_mut(hidden).with_min_len(256).for_each(|row| {
        row.iter_mut().zip(bias).for_each(|(x, b)| {
            *x += b;
            *x = x.max(SLOPE * *x);
        });
    });
    matmul_nn(&buffers.hidden, &parameters[w2..b2], out, m, output, hidden);
    let bias = &parameters[b2..];
    out.par_chunks_mut(output).with_min_len(256).for_each(|row| {
        row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
    });
}

/// The gradient of all parameters, given `d_out [m, o]` and the buffers of the same forward.
pub(crate) fn backward(
    shape: Shape,
    parameters: &[f32],
    text: &[f32],
    buffers: &mut Buffers,
    d_out: &[f32],
    gradient: &mut [f32],
) {
    let Shape { input, hidden, output } = shape;
    let m = text.len() / input;
    let [b1, w2, b2] = shape.splits();
    matmul_tn(&buffers.hidden, d_out, &mut gradient[w2..b2], hidden, output, m);
    sum_rows(d_out, &mut gradient[b2..]);
    buffers.d_hidden.resize(m * hidden, 0.0);
    matmul_nt(d_out, &parameters[w2..b2], &mut buffers.d_hidden, m, hidden, output);
    // The rectifier keeps the sign, so its slope is read from its value.
    let chunks = buffers.d_hidden.par_chunks_mut(4_096).zip(buffers.hidden.par_chunks(4_096));
    chunks.for_each(|(d, h)| d.iter_mut().zip(h).for_each(|(d, h)| *d *= if *h > 0.0 { 1.0 } else { SLOPE }));
    matmul_tn(text, &buffers.d_hidden, &mut gradient[..b1], input, hidden, m);
    sum_rows(&buffers.d_hidden, &mut gradient[b1..w2]);
}

fn sum_rows(rows: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for row in rows.chunks(out.len()) {
        out.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}
