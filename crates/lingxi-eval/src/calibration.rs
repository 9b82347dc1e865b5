//! Do foretold probabilities come true?
//!
//! What was foretold, what came, and whose it was come in; out goes how far both are apart in bins of equal count, the expected
//! calibration error, with an interval (whole shoppers are drawn again, since events of one shopper are alike). Bins are never
//! empty of chance: even perfect probabilities miss a little, and that much is measured too, from outcomes drawn of them.

use crate::interval::{central, draw_rows};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Bins, each with as many probabilities.
const BINS: usize = 10;
/// Draws of shoppers, and of outcomes.
const DRAWS: [u64; 2] = [1000, 100];

/// One probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Foretold {
    /// Whose, counted from 0.
    pub shopper: usize,
    /// What was foretold, 0 to 1.
    pub probability: f64,
    /// Whether it came.
    pub came: bool,
}

/// A bin of probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// Mean probability.
    pub foretold: f64,
    /// How often it came.
    pub came: f64,
    /// Number of probabilities.
    pub count: usize,
}

/// How probabilities came true.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calibration {
    /// Expected calibration error: mean distance of foretold and came over the bins.
    pub error: f64,
    /// Its middle 95% over draws of shoppers.
    pub interval: [f64; 2],
    /// The error that perfect probabilities of these sizes would show by chance: mean and 95th percentile.
    pub of_chance: [f64; 2],
    /// Mean squared error (Brier).
    pub brier: f64,
    /// The bins from small to great.
    pub bins: Vec<Bin>,
}

/// Measures; the seed is that of the draws.
pub fn calibration(foretold: &[Foretold], seed: u64) -> Calibration {
    let n = foretold.len();
    if n < BINS {
        return Calibration::default();
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| foretold[*a].probability.total_cmp(&foretold[*b].probability));
    let bin: Vec<usize> = {
        let mut bin = vec![0; n];
        order.iter().enumerate().for_each(|(place, &i)| bin[i] = place * BINS / n);
        bin
    };
    let shoppers = foretold.iter().map(|f| f.shopper + 1).max().unwrap_or(0);
    let mut sums = vec![[Sums::default(); BINS]; shoppers];
    for (f, &bin) in foretold.iter().zip(&bin) {
        sums[f.shopper][bin].add(f.probability, f.came);
    }
    let all = total(sums.iter());
    let drawn = |draw: u64| error(&total(draw_rows(shoppers, seed, draw).iter().map(|i| &sums[*i])));
    let error_now = error(&all);
    let interval = central((0..DRAWS[0]).map(drawn).collect(), 0.95).unwrap_or([error_now; 2]);
    let mut by_chance: Vec<f64> = (0..DRAWS[1]).map(|draw| by_chance(foretold, &bin, seed ^ (draw << 32))).collect();
    by_chance.sort_by(f64::total_cmp);
    let square = |f: &Foretold| (f.probability - f64::from(u8::from(f.came))).powi(2);
    Calibration {
        error: error_now,
        interval,
        of_chance: [by_chance.iter().sum::<f64>() / DRAWS[1] as f64, by_chance[DRAWS[1] as usize * 95 / 100]],
        brier: foretold.iter().map(square).sum::<f64>() / n as f64,
        bins: all.iter().map(Sums::bin).collect(),
    }
}

#[derive(Clone, Copy, Default)]
struct Sums {
    foretold: f64,
    came: f64,
    count: usize,
}

impl Sums {
    fn add(&mut self, probability: f64, came: bool) {
        self.foretold += probability;
        self.came += f64::from(u8::from(came));
        self.count += 1;
    }

    fn bin(&self) -> Bin {
        let n = self.count.max(1) as f64;
        Bin { foretold: self.foretold / n, came: self.came / n, count: self.count }
    }
}

fn total<'a>(sums: impl Iterator<Item = &'a [Sums; BINS]>) -> [Sums; BINS] {
    let mut all = [Sums::default(); BINS];
    for of_shopper in sums {
        for (all, of) in all.iter_mut().zip(of_shopper) {
            all.foretold += of.foretold;
            all.came += of.came;
            all.count += of.count;
        }
    }
    all
}

fn error(bins: &[Sums; BINS]) -> f64 {
    let n: usize = bins.iter().map(|bin| bin.count).sum();
    bins.iter().map(|bin| (bin.foretold - bin.came).abs()).sum::<f64>() / n.max(1) as f64
}

/// The error where outcomes are drawn from the probabilities.
fn by_chance(foretold: &[Foretold], bin: &[usize], seed: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bins = [Sums::default(); BINS];
    for (f, &bin) in foretold.iter().zip(bin) {
        bins[bin].add(f.probability, rng.random::<f64>() < f.probability);
    }
    error(&bins)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty probabilities for each of 200 shoppers; they come true as `truth` says.
    fn made_up(truth: impl Fn(f64) -> f64) -> Vec<Foretold> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut one = |i: usize| {
            let probability = rng.random::<f64>() * 0.3;
            Foretold { shopper: i / 20, probability, came: rng.random::<f64>() < truth(probability) }
        };
        (0..4000).map(&mut one).collect()
    }

    #[test]
    fn true_probabilities_err_as_chance_does_and_others_more() {
        let honest = calibration(&made_up(|p| p), 1);
        assert!(honest.error < honest.of_chance[1] && honest.error > 0.0, "{honest:?}");
        let boastful = calibration(&made_up(|p| p / 2.0), 1);
        assert!((boastful.error - 0.075).abs() < 0.01 && boastful.interval[0] > boastful.of_chance[1], "{boastful:?}");
        assert!(boastful.interval[0] < boastful.error && boastful.error < boastful.interval[1]);
    }

    #[test]
    fn bins_hold_equally_many_from_small_to_great() {
        let bins = calibration(&made_up(|p| p), 1).bins;
        assert!(bins.len() == BINS && bins.iter().all(|bin| bin.count == 400), "{bins:?}");
        assert!(bins.windows(2).all(|pair| pair[0].foretold < pair[1].foretold));
    }

    #[test]
    fn a_handful_of_probabilities_measures_nothing() {
        assert_eq!(calibration(&made_up(|p| p)[..BINS - 1], 1), Calibration::default());
    }
}
