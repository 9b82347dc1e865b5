//! Logs whose truth is known, as obp's `SyntheticBanditDataset` makes them.
//!
//! Contexts x are standard normal; with x' = (1, x) and a' = (1, one-hot of a) the expected reward is q(x, a) =
//! sigmoid(x' M a' + u x' + v a' - shift), all coefficients uniform on [-1, 1] (obp 0.5, `logistic_reward_function`,
//! degree 1). The logging policy is softmax(beta q(x, .)), rewards are drawn with probability q. obp takes `shift`
//! (mean / standard deviation of the logits) from each batch, so that its truth moves with the batch; here it belongs
//! to the world.

use super::rounds::{Grid, Rounds};
use lingxi_train::logistic::sigmoid;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Contexts by which the truth is known: its own error is then far below that of any estimate.
const REFERENCE: usize = 200_000;

/// A made-up shop.
#[derive(Clone, Debug)]
pub struct World {
    n_actions: usize,
    dim: usize,
    of_context: Vec<f64>,
    of_action: Vec<f64>,
    of_both: Vec<f64>,
    shift: f64,
    seed: u64,
}

/// Softmax over expected rewards: `sharpness` 0 is uniform, large is greedy, negative prefers the bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softmax {
    /// Factor of the expected reward.
    pub sharpness: f64,
}

impl World {
    /// A world of its own for each seed.
    pub fn new(n_actions: usize, dim: usize, seed: u64) -> World {
        let mut rng = stream(seed, 0);
        let mut uniform = |n: usize| -> Vec<f64> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let (of_context, of_action) = (uniform(dim + 1), uniform(n_actions + 1));
        let of_both = uniform((dim + 1) * (n_actions + 1));
        let mut world = World { n_actions, dim, of_context, of_action, of_both, shift: 0.0, seed };
        let contexts = contexts(&mut stream(seed, 1), 10_000, dim);
        let logits: Vec<f64> = contexts.chunks_exact(dim).flat_map(|x| world.logits(x)).collect();
        world.shift = super::terms::mean(&logits) / super::terms::variance(&logits).sqrt();
        world
    }

    fn logits(&self, context: &[f64]) -> Vec<f64> {
        let with_one = || std::iter::once(1.0).chain(context.iter().copied());
        let wide = self.n_actions + 1;
        let own: f64 = with_one().zip(&self.of_context).map(|(x, u)| x * u).sum();
        // x' M for the column of the one and of each action.
        let column = |a: usize| with_one().enumerate().map(|(i, x)| x * self.of_both[i * wide + a]).sum::<f64>();
        let start = own + self.of_action[0] + column(0) - self.shift;
        (1..wide).map(|a| start + self.of_action[a] + column(a)).collect()
    }

    /// The expected reward of every action.
    pub fn expected(&self, context: &[f64]) -> Vec<f64> {
        self.logits(context).into_iter().map(sigmoid).collect()
    }

    /// A log of `n` rounds by `policy`; the same for a seed.
    pub fn log(&self, n: usize, policy: Softmax, seed: u64) -> Rounds {
        let mut rng = stream(self.seed.wrapping_mul(1_000_003).wrapping_add(seed), 2);
        let mut rounds = Rounds {
            n_actions: self.n_actions,
            n_positions: 1,
            dim: self.dim,
            context: contexts(&mut rng, n, self.dim),
            ..Rounds::default()
        };
        for i in 0..n {
            let expected = self.expected(rounds.context(i));
            let chances = policy.chances(&expected);
            let action = draw(&chances, rng.random());
            rounds.action.push(action as u32);
            rounds.position.push(0);
            rounds.reward.push(f64::from(u8::from(rng.random::<f64>() < expected[action])));
            rounds.propensity.push(chances[action]);
        }
        rounds
    }

    /// What `policy` would do in each round.
    pub fn chances(&self, rounds: &Rounds, policy: Softmax) -> Grid {
        let row = |i: usize| policy.chances(&self.expected(rounds.context(i)));
        Grid { width: self.n_actions, values: (0..rounds.len()).flat_map(row).collect() }
    }

    /// What `policy` truly earns, over contexts that no log holds.
    pub fn value(&self, policy: Softmax) -> f64 {
        let contexts = contexts(&mut stream(self.seed, 3), REFERENCE, self.dim);
        let earned = |context: &[f64]| -> f64 {
            let expected = self.expected(context);
            policy.chances(&expected).iter().zip(&expected).map(|(p, q)| p * q).sum()
        };
        contexts.chunks_exact(self.dim).map(earned).sum::<f64>() / REFERENCE as f64
    }
}

impl Softmax {
    fn chances(&self, expected: &[f64]) -> Vec<f64> {
        let top = expected.iter().map(|q| self.sharpness * q).fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = expected.iter().map(|q| (self.sharpness * q - top).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|w| w / total).collect()
    }
}

pub(crate) fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

fn contexts(rng: &mut ChaCha8Rng, n: usize, dim: usize) -> Vec<f64> {
    (0..n * dim).map(|_| normal(rng)).collect()
}

/// A standard normal draw (Box and Muller).
pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// The index at which the running sum of `chances` passes `u`.
pub(crate) fn draw(chances: &[f64], u: f64) -> usize {
    let mut sum = 0.0;
    chances.iter().position(|p| (sum += p, u < sum).1).unwrap_or(chances.len() - 1)
}
