//! What every network of this room is: rows of a shopper's events come in, states that say what comes next go out.
//!
//! Several sequences lie packed one after the other in `[tokens, d]`, `offsets` say where each begins; nothing is padded. A
//! network owns the buffers of one pass, so each thread has its own; parameters and gradients are slices of the caller.

use rand_chacha::ChaCha8Rng;

/// A network there and back. A state may depend on its own row and those before it in its sequence, never on later ones.
pub(crate) trait Network: Send {
    /// Number of parameters.
    fn parameters(&self) -> usize;
    /// Fills the parameters with a start.
    fn start(&self, w: &mut [f32], rng: &mut ChaCha8Rng);
    /// `x [tokens, d]`: rows become states.
    fn forward(&mut self, w: &[f32], x: &mut [f32], offsets: &[usize], noise: Noise);
    /// After [`Network::forward`] of the same arguments, `d [tokens, d]`: gradients of states become gradients of rows, and
    /// the gradient `g` of the parameters grows.
    fn backward(&mut self, w: &[f32], d: &mut [f32], offsets: &[usize], noise: Noise, g: &mut [f32]);
}

/// What is left out at random while training, the same on the way back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    /// Share of the numbers that become zero.
    pub share: f32,
    /// Of this pass.
    pub seed: u32,
}

impl Noise {
    /// Leaves nothing out.
    pub const NONE: Noise = Noise { share: 0.0, seed: 0 };

    /// Leaves out at one place of a network; places have numbers.
    pub fn at(self, place: u32, x: &mut [f32]) {
        lingxi_kernels::backward::dropout(x, self.share, self.seed ^ place.wrapping_mul(0x9e37_79b9));
    }
}

/// Takes the next `n` numbers.
pub(crate) fn cut<'a>(rest: &mut &'a [f32], n: usize) -> &'a [f32] {
    let (part, more) = rest.split_at(n);
    *rest = more;
    part
}

/// Takes the next `n` numbers.
pub(crate) fn cut_mut<'a>(rest: &mut &'a mut [f32], n: usize) -> &'a mut [f32] {
    let (part, more) = std::mem::take(rest).split_at_mut(n);
    *rest = more;
    part
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use lingxi_train::gradient_check;
    use rand::{RngExt, SeedableRng};

    /// Parameters and rows of a network move together; the loss is a weighted sum of its states.
    pub(crate) fn check(make: impl Fn() -> Box<dyn Network>, d: usize) {
        let offsets = [0, 4, 5, 11];
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut network = make();
        let n = network.parameters();
        let mut at: Vec<f32> = (0..n + 11 * d).map(|_| rng.random_range(-1.0..1.0)).collect();
        network.start(&mut at[..n], &mut rng);
        // Scales and shifts start at one and zero, where a wrong gradient could hide.
        at[..n].iter_mut().for_each(|w| *w += rng.random_range(-0.1..0.1));
        let weigh: Vec<f32> = (0..11 * d).map(|_| rng.random_range(-1.0..1.0)).collect();
        let noise = Noise { share: 0.2, seed: 9 };
        let mut gradient = vec![0.0; at.len()];
        let mut x = at[n..].to_vec();
        network.forward(&at[..n], &mut x, &offsets, noise);
        let mut dx = weigh.clone();
        network.backward(&at[..n], &mut dx, &offsets, noise, &mut gradient[..n]);
        gradient[n..].copy_from_slice(&dx);
        let loss = |at: &[f32]| {
            let mut x = at[n..].to_vec();
            make().forward(&at[..n], &mut x, &offsets, noise);
            x.iter().zip(&weigh).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum::<f64>()
        };
        gradient_check(&at, &gradient, 3e-3, 0.02, 60, 4, loss).unwrap();
        causal(make().as_mut(), &at[..n], d);
    }

    /// A state does not change with what comes after it, and a sequence not with its neighbours.
    fn causal(network: &mut dyn Network, w: &[f32], d: usize) {
        let rows: Vec<f32> = (0..8 * d).map(|i| ((i * 29 % 31) as f32 - 15.0) / 15.0).collect();
        let mut whole = rows.clone();
        network.forward(w, &mut whole, &[0, 3, 8], Noise::NONE);
        let mut part = rows[3 * d..6 * d].to_vec();
        network.forward(w, &mut part, &[0, 3], Noise::NONE);
        for (a, b) in whole[3 * d..6 * d].iter().zip(&part) {
            assert!((a - b).abs() < 1e-4, "a state knows of later rows or of another sequence: {a} and {b}");
        }
    }
}
