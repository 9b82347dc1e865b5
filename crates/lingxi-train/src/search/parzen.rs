//! Where did the good trials lie? The tree-structured Parzen estimator: two densities per setting, one of the best trials and one of the
//! others, each a sum of bumps; of some points drawn from the first, the one is tried where the first is largest against the second.
//!
//! The bumps are logistic ones and not normal: they look alike, and cut at 0 and 1 they are drawn from and integrated in closed form.

use super::Told;
use crate::space::Dimension;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Points drawn from the good density.
const CANDIDATES: usize = 24;
/// Share of trials that are good.
const GOOD: f64 = 0.15;
/// At most so many trials at the start are random, and at most this share of all.
const BLIND: (usize, f64) = (10, 0.3);

/// The next point after `told`, of `trials` in all.
pub(super) fn next(space: &[Dimension], told: &[Told], trials: usize, mut rng: ChaCha8Rng) -> Vec<f64> {
    let blind = BLIND.0.min((trials as f64 * BLIND.1).ceil() as usize);
    if told.len() < blind {
        return space.iter().map(|_| rng.random()).collect();
    }
    let mut order: Vec<&Told> = told.iter().collect();
    order.sort_by(|a, b| b.worth().total_cmp(&a.worth()));
    let (good, bad) = order.split_at((told.len() as f64 * GOOD).ceil() as usize);
    let of = |trials: &[&Told], i: usize| trials.iter().map(|told| told.trial.point[i]).collect::<Vec<f64>>();
    let one = |(i, dimension): (usize, &Dimension)| {
        let of = |trials| Density::of(dimension, of(trials, i));
        best(&of(good), &of(bad), &mut rng)
    };
    space.iter().enumerate().map(one).collect()
}

/// Of some points from `good` the one that is most telling.
fn best(good: &Density, bad: &Density, rng: &mut ChaCha8Rng) -> f64 {
    let mut best = (f64::NEG_INFINITY, 0.5);
    for _ in 0..CANDIDATES {
        let at = good.draw(rng);
        let telling = (good.at(at) / bad.at(at)).ln();
        if telling > best.0 {
            best = (telling, at);
        }
    }
    best.1
}

/// How dense trials lie from 0 to 1 in one setting.
enum Density {
    /// Middles and widths of the bumps, all of the same weight.
    Bumps(Vec<(f64, f64)>),
    /// Weight of each choice; together 1.
    Choices(Vec<f64>),
}

impl Density {
    fn of(dimension: &Dimension, mut seen: Vec<f64>) -> Density {
        if let Some(n) = dimension.choices() {
            // One of each beforehand: what was not seen yet is not impossible.
            let mut weights = vec![1.0 / (n + seen.len()) as f64; n];
            seen.iter().for_each(|at| weights[choice(*at, n)] += 1.0 / (n + seen.len()) as f64);
            return Density::Choices(weights);
        }
        seen.sort_by(f64::total_cmp);
        let narrowest = 1.0 / (seen.len() as f64 + 2.0).min(100.0);
        let width = |i: usize| {
            let left = if i == 0 { 0.0 } else { seen[i - 1] };
            let right = seen.get(i + 1).copied().unwrap_or(1.0);
            (seen[i] - left).max(right - seen[i]).max(narrowest)
        };
        // A logistic bump of scale s is as wide as a normal one of 1.8 s.
        let bumps = (0..seen.len()).map(|i| (seen[i], width(i) / 1.8));
        // A wide one over everything beforehand.
        Density::Bumps(bumps.chain([(0.5, 1.0)]).collect())
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Density::Bumps(bumps) => {
                let (middle, scale) = bumps[rng.random_range(0..bumps.len())];
                let (low, high) = (below(0.0, middle, scale), below(1.0, middle, scale));
                let p = low + (high - low) * rng.random::<f64>();
                (middle + scale * (p / (1.0 - p)).ln()).clamp(0.0, 1.0)
            }
            Density::Choices(weights) => {
                let mut left: f64 = rng.random();
                let n = weights.len();
                let found = weights.iter().position(|weight| {
                    left -= weight;
                    left < 0.0
                });
                (found.unwrap_or(n - 1) as f64 + 0.5) / n as f64
            }
        }
    }

    fn at(&self, at: f64) -> f64 {
        match self {
            Density::Bumps(bumps) => {
                let bump = |(middle, scale): &(f64, f64)| {
                    let p = below(at, *middle, *scale);
                    p * (1.0 - p) / scale / (below(1.0, *middle, *scale) - below(0.0, *middle, *scale))
                };
                bumps.iter().map(bump).sum::<f64>() / bumps.len() as f64
            }
            Density::Choices(weights) => weights[choice(at, weights.len())] * weights.len() as f64,
        }
    }
}

/// Share of an uncut bump that lies below `at`.
fn below(at: f64, middle: f64, scale: f64) -> f64 {
    1.0 / (1.0 + (-(at - middle) / scale).exp())
}

/// Which of `n` choices a number from 0 to 1 stands for.
fn choice(at: f64, n: usize) -> usize {
    ((at * n as f64) as usize).min(n - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn dimension(json: &str) -> Dimension {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn densities_integrate_to_one_and_draws_follow_them() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for json in [r#"{"from": 0, "to": 1}"#, r#"{"choice": [1, 2, 3]}"#] {
            let density = Density::of(&dimension(json), vec![0.05, 0.1, 0.9]);
            let steps = (0..3000).map(|i| (f64::from(i) + 0.5) / 3000.0);
            let mean: f64 = steps.clone().map(|at| density.at(at)).sum::<f64>() / 3000.0;
            assert!((mean - 1.0).abs() < 1e-3, "{json}: {mean}");
            let low = steps.filter(|at| *at < 1.0 / 3.0).map(|at| density.at(at)).sum::<f64>() / 3000.0;
            let drawn = (0..20_000).filter(|_| density.draw(&mut rng) < 1.0 / 3.0).count() as f64 / 20_000.0;
            assert!((drawn - low).abs() < 0.02, "{json}: {drawn} drawn, {low} expected");
        }
    }
}
