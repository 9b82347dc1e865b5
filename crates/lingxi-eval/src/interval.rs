//! How far would chance move a figure?
//!
//! Per-case values come in, percentile bootstrap intervals of their means go out: cases are drawn again with
//! replacement, all metrics of a resample from the same draw. Each resample has its own random stream, so the result
//! depends on the seed and not on the number of threads.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// The mean of each column of row-major `values[n, width]`.
pub fn means(values: &[f64], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0; width];
    let n = values.len().checked_div(width).unwrap_or(0);
    for row in values.chunks_exact(width.max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    sums.iter().map(|sum| sum / n.max(1) as f64).collect()
}

/// The mean of a few repeated measurements (folds, seeds) and its interval of `confidence` by Student's t; of one or none
/// the value twice.
pub fn of_mean(values: &[f64], confidence: f64) -> (f64, [f64; 2]) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let Ok(t) = StudentsT::new(0.0, 1.0, n - 1.0) else { return (mean, [mean, mean]) };
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = t.inverse_cdf(0.5 + confidence / 2.0) * (variance / n).sqrt();
    (mean, [mean - half, mean + half])
}

/// Wilson's interval of `confidence` for a share: `hits` of `n`. Of nothing it is everything.
pub fn wilson(hits: usize, n: usize, confidence: f64) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let z = Normal::standard().inverse_cdf(0.5 + confidence / 2.0);
    let (p, n) = (hits as f64 / n as f64, n as f64);
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    // At the ends rounding alone would leave the range.
    [(middle - half) / (1.0 + z * z / n), (middle + half) / (1.0 + z * z / n)].map(|bound| bound.clamp(0.0, 1.0))
}

/// The central interval of `confidence` (0.95: from the 2.5th to the 97.5th percentile) of each column's bootstrap mean.
/// Without resamples or rows it is the mean itself twice.
pub fn bootstrap(values: &[f64], width: usize, resamples: usize, confidence: f64, seed: u64) -> Vec<[f64; 2]> {
    let drawn = bootstrap_means(values, width, resamples, seed);
    let plain = means(values, width);
    let interval = |column: usize| {
        let of_column = drawn.iter().map(|means| means[column]).collect();
        central(of_column, confidence).unwrap_or([plain[column]; 2])
    };
    (0..width).map(interval).collect()
}

/// The means of the columns in each of `resamples` draws with replacement; none without rows.
pub fn bootstrap_means(values: &[f64], width: usize, resamples: usize, seed: u64) -> Vec<Vec<f64>> {
    let n = values.len().checked_div(width).unwrap_or(0);
    let draws = if n == 0 { 0 } else { resamples as u64 };
    (0..draws).into_par_iter().map(|stream| resample(values, width, n, seed, stream)).collect()
}

/// The central interval of `confidence` of a sample; none of nothing.
pub fn central(mut sample: Vec<f64>, confidence: f64) -> Option<[f64; 2]> {
    sample.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    (!sample.is_empty()).then(|| [quantile(&sample, tail), quantile(&sample, 1.0 - tail)])
}

/// The rows that draw number `stream` takes of `n`, with replacement.
pub fn draw_rows(n: usize, seed: u64, stream: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream + 1);
    (0..n).map(|_| rng.random_range(0..n)).collect()
}

/// The means of one draw. How often each row was drawn is counted first, so that the rows are then read in order.
fn resample(values: &[f64], width: usize, n: usize, seed: u64, stream: u64) -> Vec<f64> {
    let mut times = vec![0u32; n];
    draw_rows(n, seed, stream).into_iter().for_each(|row| times[row] += 1);
    let mut sums = vec![0.0; width];
    for (row, &times) in values.chunks_exact(width).zip(&times) {
        if times > 0 {
            let times = f64::from(times);
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += times * x);
        }
    }
    sums.iter().map(|sum| sum / n as f64).collect()
}

/// Linear interpolation between the order statistics of ascending `sorted`.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_of_a_mean_has_the_width_that_theory_says() {
        // 400 values of 0 and 1 alternating: standard error 0.5 / sqrt(400) = 0.025.
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let [low, high] = bootstrap(&values, 1, 4000, 0.95, 7)[0];
        assert!((low - (0.5 - 1.96 * 0.025)).abs() < 0.005, "{low}");
        assert!((high - (0.5 + 1.96 * 0.025)).abs() < 0.005, "{high}");
    }

    #[test]
    fn the_interval_of_a_share_is_that_of_the_textbook() {
        let [low, high] = wilson(8, 10, 0.95);
        assert!((low - 0.4902).abs() < 1e-3 && (high - 0.9433).abs() < 1e-3, "{low} {high}");
        assert!(wilson(0, 5, 0.95)[0] < 1e-12 && wilson(5, 5, 0.95)[1] > 1.0 - 1e-12);
        assert_eq!(wilson(0, 0, 0.95), [0.0, 1.0]);
    }

    #[test]
    fn the_interval_of_five_folds_is_that_of_the_tables() {
        // Student's t with 4 degrees of freedom at 97.5%: 2.776; standard error of 1..5: sqrt(2.5 / 5).
        let (mean, [low, high]) = of_mean(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95);
        assert_eq!(mean, 3.0);
        assert!((high - 3.0 - 2.776_445 * 0.5f64.sqrt()).abs() < 1e-5 && (high + low - 6.0).abs() < 1e-12, "{high}");
        assert_eq!(of_mean(&[0.5], 0.95), (0.5, [0.5, 0.5]));
    }

    #[test]
    fn the_seed_decides_and_the_number_of_threads_does_not() {
        let values: Vec<f64> = (0..300).map(|i| (f64::from(i) * 0.7).sin()).collect();
        let with = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bootstrap(&values, 3, 50, 0.9, seed))
        };
        assert_eq!(with(1, 3), with(4, 3));
        assert_ne!(with(1, 3), with(1, 4));
    }
}
