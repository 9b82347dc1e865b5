//! A layer `y = x W + b`, there and back, on the thread that calls: `x[m,k]`, `W[k,n]`, `b[n]`, all row-major. The parameters
//! of a layer lie in one slice, `W` then `b`, and so do their gradients.

use lingxi_kernels::{Layout, Part, axpy, product_here};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Sizes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Numbers of a row that comes in.
    pub k: usize,
    /// Numbers of a row that goes out.
    pub n: usize,
}

impl Linear {
    /// Number of parameters.
    pub fn len(self) -> usize {
        self.k * self.n + self.n
    }

    /// Whether there is no parameter.
    pub fn is_empty(self) -> bool {
        self.n == 0
    }

    /// Fills `w` with a start of even spread `sqrt(3 / k)`, which keeps the size of rows; `b` is zero.
    pub fn start(self, w: &mut [f32], rng: &mut ChaCha8Rng) {
        let spread = (3.0 / self.k as f32).sqrt();
        let (matrix, bias) = w.split_at_mut(self.k * self.n);
        matrix.iter_mut().for_each(|w| *w = rng.random_range(-spread..spread));
        bias.fill(0.0);
    }

    /// `out = x W + b`.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn forward(self, w: &[f32], x: &[f32], out: &mut [f32]) {
        let m = out.len() / self.n;
        let (matrix, bias) = w.split_at(self.k * self.n);
        out.chunks_exact_mut(self.n).for_each(|row| row.copy_from_slice(bias));
        let (x, matrix) = (Part { data: x, stride: self.k }, Part { data: matrix, stride: self.n });
        product_here(Layout::Nn, x, matrix, out, self.n, [m, self.n, self.k], true);
    }

    /// Given `dy`, adds to the gradients `g` of the parameters, and writes `dx`, or with `add` adds to it.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn backward(self, w: &[f32], x: &[f32], dy: &[f32], dx: &mut [f32], add: bool, g: &mut [f32]) {
        self.gradient(x, dy, g);
        let (m, matrix) = (dy.len() / self.n, Part { data: &w[..self.k * self.n], stride: self.n });
        product_here(Layout::Nt, Part { data: dy, stride: self.n }, matrix, dx, self.k, [m, self.k, self.n], add);
    }

    /// The part of [`Linear::backward`] that is the parameters'.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn gradient(self, x: &[f32], dy: &[f32], g: &mut [f32]) {
        let m = dy.len() / self.n;
        let (g_matrix, g_bias) = g.split_at_mut(self.k * self.n);
        let (x, d) = (Part { data: x, stride: self.k }, Part { data: dy, stride: self.n });
        product_here(Layout::Tn, x, d, g_matrix, self.n, [self.k, self.n, m], true);
        dy.chunks_exact(self.n).for_each(|dy| axpy(1.0, dy, g_bias));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient_check;
    use rand::SeedableRng;

    #[test]
    fn the_gradients_of_a_layer_agree_with_finite_differences() {
        let layer = Linear { k: 5, n: 3 };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        // Parameters, then the rows that come in.
        let mut at: Vec<f32> = (0..layer.len() + 4 * 5).map(|_| rng.random_range(-1.0..1.0)).collect();
        layer.start(&mut at[..layer.len()], &mut rng);
        let weigh: Vec<f32> = (0..12).map(|i| (i as f32 - 5.0) / 4.0).collect();
        let loss = |at: &[f32]| {
            let mut out = vec![0.0; 12];
            layer.forward(&at[..layer.len()], &at[layer.len()..], &mut out);
            out.iter().zip(&weigh).map(|(y, w)| f64::from(y * y * w)).sum::<f64>()
        };
        let mut out = vec![0.0; 12];
        layer.forward(&at[..layer.len()], &at[layer.len()..], &mut out);
        let dy: Vec<f32> = out.iter().zip(&weigh).map(|(y, w)| 2.0 * y * w).collect();
        let mut gradient = vec![0.0; at.len()];
        let (g, dx) = gradient.split_at_mut(layer.len());
        layer.backward(&at[..layer.len()], &at[layer.len()..], &dy, dx, false, g);
        gradient_check(&at, &gradient, 1e-2, 0.01, 30, 2, loss).unwrap();
    }
}
