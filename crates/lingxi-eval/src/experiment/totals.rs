//! All that is kept of an arm while it runs.
//!
//! Shoppers come in one by one, with what they did and what they did before the test; six numbers stay, from which
//! means, variances and the covariance follow (Welford's updates, so that large totals lose nothing). What a shopper did
//! may change later, and a shopper may leave. They merge, serialise, and never grow.

use serde::{Deserialize, Serialize};

/// One arm so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmTotals {
    /// Shoppers.
    pub n: u64,
    /// Mean of the metric.
    pub mean: f64,
    /// Mean of the same before the test; 0 where it is not known.
    pub before: f64,
    /// Sum of squared distances of the metric from its mean.
    pub squares: f64,
    /// The same of what was before.
    pub squares_before: f64,
    /// Sum of products of both distances.
    pub products: f64,
}

impl ArmTotals {
    /// Adds a shopper.
    pub fn add(&mut self, value: f64, before: f64) {
        self.n += 1;
        let n = self.n as f64;
        let (apart, apart_before) = (value - self.mean, before - self.before);
        self.mean += apart / n;
        self.before += apart_before / n;
        self.squares += apart * (value - self.mean);
        self.squares_before += apart_before * (before - self.before);
        self.products += apart * (before - self.before);
    }

    /// A shopper who was added with the value `from` has the value `to` by now; `before` as it was added.
    pub fn change(&mut self, from: f64, to: f64, before: f64) {
        let (step, old) = (to - from, self.mean);
        self.mean += step / (self.n as f64).max(1.0);
        self.squares = (self.squares + step * (to + from - self.mean - old)).max(0.0);
        self.products += step * (before - self.before);
    }

    /// Takes a shopper away who was added with these values.
    pub fn remove(&mut self, value: f64, before: f64) {
        if self.n <= 1 {
            *self = ArmTotals::default();
            return;
        }
        let n = self.n as f64;
        self.n -= 1;
        let (apart, apart_before) = (value - self.mean, before - self.before);
        self.mean -= apart / (n - 1.0);
        self.before -= apart_before / (n - 1.0);
        self.squares = (self.squares - apart * (value - self.mean)).max(0.0);
        self.squares_before = (self.squares_before - apart_before * (before - self.before)).max(0.0);
        self.products -= apart * (before - self.before);
    }

    /// Adds all shoppers of another part of the same arm.
    pub fn merge(&mut self, other: &ArmTotals) {
        if other.n == 0 {
            return;
        }
        let (n, m) = (self.n as f64, other.n as f64);
        let (apart, apart_before) = (other.mean - self.mean, other.before - self.before);
        let between = n * m / (n + m);
        self.n += other.n;
        self.mean += apart * m / (n + m);
        self.before += apart_before * m / (n + m);
        self.squares += other.squares + apart * apart * between;
        self.squares_before += other.squares_before + apart_before * apart_before * between;
        self.products += other.products + apart * apart_before * between;
    }

    /// Variance of the metric, with n - 1.
    pub fn variance(&self) -> f64 {
        self.squares / (self.n as f64 - 1.0).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shoppers_who_do_more_or_leave_are_counted_as_if_it_had_been_so_from_the_start() {
        let row = |i: u32| (f64::from(i * i % 11), f64::from(i % 5));
        let mut totals = ArmTotals::default();
        (0..60).for_each(|i| totals.add(0.0, row(i).1));
        // Each does something in two steps, and every third leaves in between.
        (0..60).for_each(|i| totals.change(0.0, 100.0, row(i).1));
        (0..60).filter(|i| i % 3 == 0).for_each(|i| totals.remove(100.0, row(i).1));
        let stay = || (0..60).filter(|i| i % 3 != 0).map(row);
        stay().for_each(|(value, before)| totals.change(100.0, value, before));
        let whole = stay().fold(ArmTotals::default(), |mut t, (y, x)| (t.add(y, x), t).1);
        assert_eq!(totals.n, whole.n);
        for (a, b) in [
            (totals.mean, whole.mean),
            (totals.before, whole.before),
            (totals.squares, whole.squares),
            (totals.squares_before, whole.squares_before),
            (totals.products, whole.products),
        ] {
            assert!((a - b).abs() < 1e-8, "{totals:?} {whole:?}");
        }
        (0..60).filter(|i| i % 3 != 0).for_each(|i| totals.remove(row(i).0, row(i).1));
        assert_eq!(totals, ArmTotals::default());
    }

    #[test]
    fn parts_merge_to_the_whole_even_far_from_zero() {
        let rows: Vec<(f64, f64)> = (0..50).map(|i| (1e6 + f64::from(i % 7), f64::from(i % 5))).collect();
        let of = |rows: &[(f64, f64)]| rows.iter().fold(ArmTotals::default(), |mut t, (y, x)| (t.add(*y, *x), t).1);
        let whole = of(&rows);
        let mut merged = of(&rows[..20]);
        merged.merge(&of(&rows[20..]));
        merged.merge(&ArmTotals::default());
        let mean = rows.iter().map(|(y, _)| y).sum::<f64>() / 50.0;
        let variance = rows.iter().map(|(y, _)| (y - mean).powi(2)).sum::<f64>() / 49.0;
        assert!((whole.variance() - variance).abs() < 1e-6);
        for (a, b) in [(whole.mean, merged.mean), (whole.squares, merged.squares), (whole.products, merged.products)] {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }
}
