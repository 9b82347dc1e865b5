//! A network of one hidden layer that learns which bends of the features matter.
//!
//! `[n, d] -> [n, hidden]`: h = tanh(W x + b), and for fitting y = v' h + u' x + c under squared error by Adam (Kingma and Ba
//! 2015, arXiv 1412.6980), one row at a time in a seeded order. What leaves is [h, x]: the last layer is somebody else's.

use super::thompson::normals;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

const RATE: f32 = 3e-3;
const BETA: [f32; 2] = [0.9, 0.999];

/// Parameters in one row: W `[hidden, d]`, b `[hidden]`, v `[hidden]`, u `[d]`, c.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    dim: usize,
    hidden: usize,
    parameters: Vec<f32>,
}

impl Network {
    /// Random bends, no output yet.
    pub fn new(dim: usize, hidden: usize, seed: u64) -> Network {
        let mut parameters = normals(hidden * dim, &mut ChaCha8Rng::seed_from_u64(seed));
        let scale = 1.0 / (dim.max(1) as f32).sqrt();
        parameters.iter_mut().for_each(|w| *w *= scale);
        parameters.resize(hidden * dim + 2 * hidden + dim + 1, 0.0);
        Network { dim, hidden, parameters }
    }

    /// Whether there are as many parameters as the shape says, all finite.
    pub fn is_whole(&self) -> bool {
        let Network { dim, hidden, parameters } = self;
        let expected = hidden.checked_mul(*dim).and_then(|n| n.checked_add(2 * hidden + dim + 1));
        *dim > 0 && expected == Some(parameters.len()) && parameters.iter().all(|p| p.is_finite())
    }

    /// Number of features of a row that comes in.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of features of a row that leaves.
    pub fn width(&self) -> usize {
        self.hidden + self.dim
    }

    /// Row-major `[n, width]` for row-major `[n, dim]`.
    pub fn features(&self, x: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(x.len() / self.dim.max(1) * self.width());
        for row in x.chunks_exact(self.dim.max(1)) {
            self.bend(row, &mut out);
            out.extend_from_slice(row);
        }
        out
    }

    fn bend(&self, x: &[f32], out: &mut Vec<f32>) {
        let (w, b) = self.parameters.split_at(self.hidden * self.dim);
        out.extend(w.chunks_exact(self.dim).zip(b).map(|(w, b)| (dot(w, x) + b).tanh()));
    }

    /// Fits rows `x` to `y`, each counted by `weight`, in `epochs` passes; the same seed gives the same network.
    pub fn fit(&mut self, x: &[f32], y: &[f32], weight: &[f32], epochs: usize, seed: u64) {
        let mut order: Vec<usize> = (0..y.len()).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut adam = Adam::new(self.parameters.len());
        let mut gradient = vec![0.0; self.parameters.len()];
        for _ in 0..epochs {
            order.shuffle(&mut rng);
            for batch in order.chunks(16) {
                gradient.fill(0.0);
                for &i in batch {
                    let scale = weight[i] / batch.len() as f32;
                    self.backward(&x[i * self.dim..][..self.dim], y[i], scale, &mut gradient);
                }
                adam.step(&mut self.parameters, &gradient);
            }
        }
    }

    /// Adds the gradient of scale / 2 (y' - y)^2 and returns y'.
    fn backward(&self, x: &[f32], y: f32, scale: f32, gradient: &mut [f32]) -> f32 {
        let (d, h) = (self.dim, self.hidden);
        let mut bent = Vec::with_capacity(h);
        self.bend(x, &mut bent);
        let (v, rest) = self.parameters[h * d + h..].split_at(h);
        let predicted = dot(v, &bent) + dot(&rest[..d], x) + rest[d];
        let error = scale * (predicted - y);
        for k in 0..h {
            let back = error * v[k] * (1.0 - bent[k] * bent[k]);
            gradient[k * d..(k + 1) * d].iter_mut().zip(x).for_each(|(g, x)| *g += back * x);
            gradient[h * d + k] += back;
            gradient[h * d + h + k] += error * bent[k];
        }
        let tail = h * d + 2 * h;
        gradient[tail..tail + d].iter_mut().zip(x).for_each(|(g, x)| *g += error * x);
        gradient[tail + d] += error;
        predicted
    }
}

/// First and second moments of one fit.
struct Adam {
    moments: [Vec<f32>; 2],
    steps: i32,
}

impl Adam {
    fn new(n: usize) -> Adam {
        Adam { moments: [vec![0.0; n], vec![0.0; n]], steps: 0 }
    }

    fn step(&mut self, parameters: &mut [f32], gradient: &[f32]) {
        self.steps += 1;
        let unbias = BETA.map(|beta| 1.0 - beta.powi(self.steps));
        let [first, second] = &mut self.moments;
        for (((p, g), m), s) in parameters.iter_mut().zip(gradient).zip(first).zip(second) {
            *m = BETA[0] * *m + (1.0 - BETA[0]) * g;
            *s = BETA[1] * *s + (1.0 - BETA[1]) * g * g;
            *p -= RATE * (*m / unbias[0]) / ((*s / unbias[1]).sqrt() + 1e-8);
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_what_finite_differences_say() {
        let mut network = Network::new(3, 4, 7);
        let shape = network.parameters.len();
        network.parameters = normals(shape, &mut ChaCha8Rng::seed_from_u64(1));
        let (x, y) = ([0.3, -0.7, 1.1], 0.4);
        let mut gradient = vec![0.0; shape];
        network.backward(&x, y, 1.0, &mut gradient);
        let loss = |network: &Network| 0.5 * (network.backward(&x, y, 0.0, &mut vec![0.0; shape]) - y).powi(2);
        for (i, expected) in gradient.iter().enumerate() {
            let (mut up, mut down) = (network.clone(), network.clone());
            up.parameters[i] += 1e-2;
            down.parameters[i] -= 1e-2;
            let slope = (loss(&up) - loss(&down)) / 2e-2;
            assert!((slope - expected).abs() < 2e-2 * (1.0 + slope.abs()), "{i}: {slope} {expected}");
        }
    }

    #[test]
    fn it_learns_a_bend_that_no_line_follows_and_the_same_one_for_a_seed() {
        let x = normals(800, &mut ChaCha8Rng::seed_from_u64(2));
        let y: Vec<f32> = x.chunks(2).map(|x| if x[0] * x[1] > 0.0 { 1.0 } else { 0.0 }).collect();
        let fit = || {
            let mut network = Network::new(2, 16, 3);
            network.fit(&x, &y, &vec![1.0; y.len()], 60, 4);
            network
        };
        let network = fit();
        let predict = |x: &[f32]| network.backward(x, 0.0, 0.0, &mut vec![0.0; network.parameters.len()]);
        let error: f32 = x.chunks(2).zip(&y).map(|(x, y)| (predict(x) - y).powi(2)).sum::<f32>() / y.len() as f32;
        assert!(error < 0.12, "a line leaves 0.25, this leaves {error}");
        assert_eq!(network, fit());
    }
}
