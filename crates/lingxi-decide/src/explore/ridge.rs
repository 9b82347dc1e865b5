//! What is a row of features worth, and how sure are we? Bayesian linear regression, one lesson at a time.
//!
//! A = ridge I + sum w x x', b = sum w x r, theta = A^-1 b. A lesson changes A^-1 by the formula of Sherman and Morrison
//! (1950), so neither a lesson nor a question inverts a matrix: both cost d^2, less where most features are zero. Forgetting
//! halves what the lessons say, never the prior, every `half_life` lessons; it goes in small steps, each of which inverts A
//! once from its Cholesky factor.

use crate::{DecideError, Result};
use serde::{Deserialize, Serialize};

/// Steps of forgetting per half-life.
const STEPS: f64 = 32.0;

/// How a linear model learns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RidgeConfig {
    /// Strength of the prior that features say nothing, in lessons.
    pub ridge: f64,
    /// So many lessons later a lesson counts half; absent: nothing is forgotten.
    pub half_life: Option<f64>,
}

impl Default for RidgeConfig {
    fn default() -> Self {
        RidgeConfig { ridge: 1.0, half_life: None }
    }
}

/// What a linear model knows: plain data, `d` squared numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ridge {
    config: RidgeConfig,
    /// Number of features; 0 until the first lesson.
    dim: usize,
    /// Row-major A without the prior.
    seen: Vec<f64>,
    b: Vec<f64>,
    /// Row-major A^-1.
    inverse: Vec<f64>,
    theta: Vec<f64>,
    /// Lessons so far, and since the last step of forgetting.
    lessons: u64,
    unforgotten: u64,
}

impl Ridge {
    /// A model that knows nothing.
    ///
    /// # Errors
    /// [`DecideError::Config`] names what is outside its range.
    pub fn new(config: RidgeConfig) -> Result<Ridge> {
        if !(config.ridge > 0.0 && config.ridge.is_finite()) {
            let got = config.ridge.to_string();
            return Err(DecideError::Config { what: "ridge", expected: "a positive number", got });
        }
        if let Some(half_life) = config.half_life.filter(|h| !(*h >= 1.0 && h.is_finite())) {
            let got = half_life.to_string();
            return Err(DecideError::Config { what: "half_life", expected: "at least 1 lesson", got });
        }
        let none = Vec::new;
        let (seen, b, inverse, theta) = (none(), none(), none(), none());
        Ok(Ridge { config, dim: 0, seen, b, inverse, theta, lessons: 0, unforgotten: 0 })
    }

    /// Whether all parts are of one size and every number is finite, as they are unless a file was tampered with.
    pub fn is_whole(&self) -> bool {
        let (d, squares, rows) = (self.dim, [&self.seen, &self.inverse], [&self.b, &self.theta]);
        let fits = squares.iter().all(|m| Some(m.len()) == d.checked_mul(d)) && rows.iter().all(|v| v.len() == d);
        fits && Ridge::new(self.config).is_ok() && squares.into_iter().chain(rows).flatten().all(|x| x.is_finite())
    }

    /// Number of features that it learnt on; 0 before the first lesson.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Lessons so far, also those forgotten.
    pub fn lessons(&self) -> u64 {
        self.lessons
    }

    /// The coefficients, one per feature.
    pub fn theta(&self) -> &[f64] {
        &self.theta
    }

    /// Learns that `x` was worth `reward`, as `weight` lessons. What is not finite, or of another width than the first
    /// lesson, is left out: one broken row must not spoil all that was learnt.
    pub fn learn(&mut self, x: &[f32], reward: f32, weight: f32) {
        if x.is_empty() || !reward.is_finite() || weight.is_nan() || weight <= 0.0 || x.iter().any(|v| !v.is_finite()) {
            return;
        }
        if self.dim == 0 {
            self.start(x.len());
        }
        if x.len() != self.dim {
            return;
        }
        let (x, w): (Vec<f64>, f64) = (x.iter().map(|&v| f64::from(v)).collect(), f64::from(weight));
        self.see(&x, f64::from(reward), w);
        self.lessons += 1;
        self.unforgotten += 1;
        if let Some(half_life) = self.config.half_life
            && self.unforgotten as f64 >= (half_life / STEPS).max(1.0)
        {
            self.forget(0.5f64.powf(self.unforgotten as f64 / half_life));
            self.unforgotten = 0;
        }
    }

    fn start(&mut self, dim: usize) {
        self.dim = dim;
        (self.seen, self.b, self.theta) = (vec![0.0; dim * dim], vec![0.0; dim], vec![0.0; dim]);
        self.inverse = vec![0.0; dim * dim];
        for i in 0..dim {
            self.inverse[i * dim + i] = 1.0 / self.config.ridge;
        }
    }

    /// A += w x x', b += w r x, and A^-1 and theta to match: A^-1 -= u u' / (1/w + x'u) with u = A^-1 x, and theta moves
    /// along u by what it got wrong.
    fn see(&mut self, x: &[f64], reward: f64, w: f64) {
        let at: Vec<usize> = (0..self.dim).filter(|&i| x[i] != 0.0).collect();
        let along =
            |row: &[f64]| if 2 * at.len() > x.len() { dot(row, x) } else { at.iter().map(|&j| row[j] * x[j]).sum() };
        let u: Vec<f64> = self.inverse.chunks_exact(self.dim).map(along).collect();
        let scale = 1.0 / (1.0 / w + dot(x, &u));
        let wrong = reward - dot(&self.theta, x);
        for i in (0..self.dim).filter(|&i| u[i] != 0.0) {
            let ui = scale * u[i];
            let row = &mut self.inverse[i * self.dim..(i + 1) * self.dim];
            row.iter_mut().zip(&u).for_each(|(a, uj)| *a -= ui * uj);
            self.theta[i] += ui * wrong;
        }
        for &i in &at {
            let xi = w * x[i];
            self.seen[i * self.dim..(i + 1) * self.dim].iter_mut().zip(x).for_each(|(a, xj)| *a += xi * xj);
            self.b[i] += xi * reward;
        }
    }

    /// Lets `share` of what the lessons said stand, and the whole prior.
    pub fn forget(&mut self, share: f64) {
        self.seen.iter_mut().chain(&mut self.b).for_each(|v| *v *= share);
        let mut a = self.seen.clone();
        (0..self.dim).for_each(|i| a[i * self.dim + i] += self.config.ridge);
        self.inverse = inverse(&a, self.dim);
        self.theta = self.inverse.chunks_exact(self.dim.max(1)).map(|row| dot(row, &self.b)).collect();
    }

    /// What each row of `x` is expected to be worth; 0 for all if it never saw rows of this width.
    pub fn worth(&self, x: &[f32], width: usize) -> Vec<f32> {
        let rows = x.len() / width.max(1);
        if width != self.dim || width == 0 {
            return vec![0.0; rows];
        }
        let theta: Vec<f32> = self.theta.iter().map(|&t| t as f32).collect();
        x.chunks_exact(width).map(|row| row.iter().zip(&theta).map(|(a, b)| a * b).sum()).collect()
    }

    /// Standard deviation of what each row is worth, in units of the noise: sqrt(x' A^-1 x).
    pub fn doubt(&self, x: &[f32], width: usize) -> Vec<f32> {
        let rows = x.chunks_exact(width.max(1));
        if width != self.dim || width == 0 {
            let prior = |row: &[f32]| (row.iter().map(|v| v * v).sum::<f32>() / self.config.ridge as f32).sqrt();
            return rows.map(prior).collect();
        }
        let inverse: Vec<f32> = self.inverse.iter().map(|&v| v as f32).collect();
        let variance = |row: &[f32]| {
            let at: Vec<usize> = (0..width).filter(|&i| row[i] != 0.0).collect();
            if 2 * at.len() <= width {
                let of_line = |i: usize| at.iter().map(|&j| inverse[i * width + j] * row[j]).sum::<f32>();
                return at.iter().map(|&i| of_line(i) * row[i]).sum::<f32>();
            }
            let of_line = |line: &[f32]| line.iter().zip(row).map(|(a, b)| a * b).sum::<f32>();
            inverse.chunks_exact(width).zip(row).map(|(line, x)| of_line(line) * x).sum::<f32>()
        };
        rows.map(|row| variance(row).max(0.0).sqrt()).collect()
    }

    /// Row-major `[n, dim]`: what standard normal numbers `z` of this shape become in the posterior around theta: C z with
    /// C C' = A^-1.
    pub fn deviations(&self, z: &[f32]) -> Vec<f32> {
        let (d, c) = (self.dim, cholesky(&self.inverse, self.dim));
        let c: Vec<f32> = c.iter().map(|&v| v as f32).collect();
        let line = |z: &[f32], i: usize| c[i * d..i * d + i + 1].iter().zip(z).map(|(a, b)| a * b).sum();
        z.chunks_exact(d.max(1)).flat_map(|z| (0..d).map(move |i| line(z, i))).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Lower triangle L with L L' = a for symmetric positive definite `a`; a pivot that rounding took below zero counts as a
/// tiny one.
pub(crate) fn cholesky(a: &[f64], d: usize) -> Vec<f64> {
    let mut l = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let rest = a[i * d + j] - dot(&l[i * d..i * d + j], &l[j * d..j * d + j]);
            l[i * d + j] = if i == j { rest.max(1e-12).sqrt() } else { rest / l[j * d + j] };
        }
    }
    l
}

/// Inverse of a symmetric positive definite matrix through its Cholesky factor.
pub(crate) fn inverse(a: &[f64], d: usize) -> Vec<f64> {
    let l = cholesky(a, d);
    let mut out = vec![0.0; d * d];
    for column in 0..d {
        let mut y = vec![0.0; d];
        for i in column..d {
            let unit = if i == column { 1.0 } else { 0.0 };
            y[i] = (unit - dot(&l[i * d..i * d + i], &y[..i])) / l[i * d + i];
        }
        for i in (0..d).rev() {
            let below: f64 = (i + 1..d).map(|k| l[k * d + i] * out[k * d + column]).sum();
            out[i * d + column] = (y[i] - below) / l[i * d + i];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taught(half_life: Option<f64>, lessons: u32) -> Ridge {
        let mut ridge = Ridge::new(RidgeConfig { ridge: 0.5, half_life }).unwrap();
        for i in 0..lessons {
            let x = [1.0, (i % 7) as f32 / 7.0, (i % 3) as f32 - 1.0];
            ridge.learn(&x, 0.2 + 0.5 * x[1] - 0.3 * x[2], 1.0 + (i % 2) as f32);
        }
        ridge
    }

    #[test]
    fn lessons_one_by_one_give_what_solving_at_once_gives() {
        let ridge = taught(None, 400);
        let mut a = ridge.seen.clone();
        (0..3).for_each(|i| a[i * 4] += 0.5);
        for (got, want) in ridge.inverse.iter().zip(inverse(&a, 3)) {
            assert!((got - want).abs() < 1e-10, "{got} {want}");
        }
        for (got, want) in ridge.theta().iter().zip([0.2, 0.5, -0.3]) {
            assert!((got - want).abs() < 0.01, "{got} {want}");
        }
    }

    #[test]
    fn forgetting_keeps_the_prior_and_bounds_what_is_known() {
        let (all, lately) = (taught(None, 5000), taught(Some(100.0), 5000));
        let row = [1.0, 0.5, 0.0];
        assert!(lately.doubt(&row, 3)[0] > 2.0 * all.doubt(&row, 3)[0]);
        let mut empty = lately.clone();
        empty.forget(0.0);
        assert!((empty.doubt(&row, 3)[0] - (1.25f32 / 0.5).sqrt()).abs() < 1e-6);
        assert_eq!(empty.worth(&row, 3), [0.0]);
    }

    #[test]
    fn what_was_learnt_reads_back_to_the_same_bits_and_goes_on_alike() {
        let mut ridge = taught(Some(50.0), 333);
        let mut read: Ridge = serde_json::from_str(&serde_json::to_string(&ridge).unwrap()).unwrap();
        assert_eq!(ridge, read);
        for model in [&mut ridge, &mut read] {
            (0..100).for_each(|i| model.learn(&[1.0, i as f32, 0.0], 1.0, 1.0));
        }
        assert_eq!(serde_json::to_string(&ridge).unwrap(), serde_json::to_string(&read).unwrap());
    }

    #[test]
    fn a_broken_lesson_changes_nothing() {
        let mut ridge = taught(None, 10);
        let before = ridge.clone();
        ridge.learn(&[1.0, f32::NAN, 0.0], 1.0, 1.0);
        ridge.learn(&[1.0, 0.0], 1.0, 1.0);
        ridge.learn(&[1.0, 0.0, 0.0], f32::INFINITY, 1.0);
        ridge.learn(&[1.0, 0.0, 0.0], 1.0, 0.0);
        assert_eq!(ridge, before);
    }

    #[test]
    fn deviations_have_the_posterior_variance() {
        let ridge = taught(None, 3);
        let mut z = vec![0.0; 9];
        (0..3).for_each(|i| z[i * 4] = 1.0);
        // The rows are the columns of C; the sum of their squares along x is x' C C' x.
        let c = ridge.deviations(&z);
        let x = [1.0, 0.3, -1.0];
        let along = |row: &[f32]| row.iter().zip(&x).map(|(a, b)| a * b).sum::<f32>();
        let variance: f32 = c.chunks(3).map(|row| along(row).powi(2)).sum();
        assert!((variance.sqrt() - ridge.doubt(&x, 3)[0]).abs() < 1e-4);
    }
}
