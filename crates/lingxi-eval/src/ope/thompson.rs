//! How likely is each action in each place under Thompson sampling?
//!
//! Beta posteriors of click rates come in, the probability of every action in every place of a slate goes out, where a
//! slate shows the actions with the largest draws in order. obp counts a million simulated draws; here the probability
//! is integrated: action a takes place k if exactly k of the others draw above it, so P(a, k) = integral of P(k others
//! above x) dF_a(x), the inner probability being Poisson-binomial.

use statrs::distribution::{Beta, ContinuousCDF};
use statrs::statistics::Distribution;

/// Standard deviations around each mean that the grid covers, and steps per standard deviation.
const REACH: i32 = 9;
const FINE: i32 = 12;

/// Row-major `[places, actions]` chances of actions whose rates are Beta(alpha, beta). `None` if a parameter is not
/// positive.
pub fn chances(alpha: &[f64], beta: &[f64], places: usize) -> Option<Vec<f64>> {
    let posteriors: Vec<Beta> = alpha.iter().zip(beta).map(|(a, b)| Beta::new(*a, *b).ok()).collect::<Option<_>>()?;
    let n = posteriors.len();
    let mut out = vec![0.0; places * n];
    let below = |x: f64| -> Vec<f64> { posteriors.iter().map(|posterior| posterior.cdf(x)).collect() };
    let grid = grid(&posteriors);
    let mut left = below(grid[0]);
    for ends in grid.windows(2) {
        let right = below(ends[1]);
        let middle: Vec<f64> = left.iter().zip(&right).map(|(l, r)| 1.0 - (l + r) / 2.0).collect();
        for (k, chance) in places_of_all(&middle, places).chunks_exact(n).enumerate() {
            for a in 0..n {
                out[k * n + a] += (right[a] - left[a]) * chance[a];
            }
        }
        left = right;
    }
    // What rounding and the grid lost is given back in proportion.
    for place in out.chunks_exact_mut(n) {
        let total: f64 = place.iter().sum();
        place.iter_mut().for_each(|chance| *chance /= total);
    }
    Some(out)
}

/// Points of [0, 1], dense wherever a posterior has mass.
fn grid(posteriors: &[Beta]) -> Vec<f64> {
    let mut points = vec![0.0, 1.0];
    for posterior in posteriors {
        let (mean, sd) = (posterior.mean().unwrap_or(0.5), posterior.std_dev().unwrap_or(0.3));
        let steps = -REACH * FINE..=REACH * FINE;
        points.extend(steps.map(|i| mean + sd * f64::from(i) / f64::from(FINE)).filter(|x| (0.0..=1.0).contains(x)));
    }
    points.sort_unstable_by(f64::total_cmp);
    points.dedup();
    points
}

/// Row-major `[places, n]`: the chance that exactly k of the others are above, for each action, where `above[b]` is the
/// chance that b is. Counts from the left are joined with counts from the right, so nothing is divided.
fn places_of_all(above: &[f64], places: usize) -> Vec<f64> {
    let n = above.len();
    let step = |counts: &[f64], p: f64| -> Vec<f64> {
        (0..places).map(|k| counts[k] * (1.0 - p) + if k > 0 { counts[k - 1] * p } else { 0.0 }).collect()
    };
    let mut start = vec![0.0; places];
    start[0] = 1.0;
    let mut after = vec![start.clone(); n + 1];
    for a in (0..n).rev() {
        after[a] = step(&after[a + 1], above[a]);
    }
    let mut before = start;
    let mut out = vec![0.0; places * n];
    for a in 0..n {
        for k in 0..places {
            out[k * n + a] = (0..=k).map(|i| before[i] * after[a + 1][k - i]).sum();
        }
        before = step(&before, above[a]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn equal_posteriors_share_every_place() {
        let chances = chances(&[3.0; 4], &[7.0; 4], 3).unwrap();
        chances.iter().for_each(|chance| assert!((chance - 0.25).abs() < 1e-9, "{chance}"));
    }

    #[test]
    fn the_integral_is_what_simulation_counts() {
        let (alpha, beta) = ([4.0, 40.0, 9.0, 1.0], [60.0, 500.0, 100.0, 30.0]);
        let exact = chances(&alpha, &beta, 2).unwrap();
        let posteriors: Vec<Beta> = alpha.iter().zip(&beta).map(|(a, b)| Beta::new(*a, *b).unwrap()).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (draws, mut counts) = (20_000, [0.0; 8]);
        for _ in 0..draws {
            let values: Vec<f64> = posteriors.iter().map(|p| p.inverse_cdf(rng.random::<f64>())).collect();
            let mut order = [0, 1, 2, 3];
            order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
            (0..2).for_each(|k| counts[k * 4 + order[k]] += 1.0 / f64::from(draws));
        }
        exact.iter().zip(counts).for_each(|(e, c)| assert!((e - c).abs() < 0.015, "{exact:?} {counts:?}"));
    }

    #[test]
    fn parameters_that_make_no_posterior_are_refused() {
        assert_eq!(chances(&[1.0, 0.0], &[1.0, 1.0], 1), None);
    }
}
