//! Logistic regression with a ridge, fitted by Newton's method.
//!
//! Rows of features and responses in [0, 1] come in, a [`Logistic`] goes out: the minimum of |w|^2 / 2 + strength *
//! (sum of log losses), the intercept free, as scikit-learn's `LogisticRegression(C = strength)` has it. With a few
//! dozen features a handful of Newton steps reach it to machine precision; a general optimiser (argmin, linfa-logistic)
//! would bring an array library of its own for less.

use faer::prelude::Solve;
use faer::{Col, Mat, Side};
use serde::{Deserialize, Serialize};

/// Newton steps at most; twelve are usual.
const STEPS: usize = 100;

/// A step is the last one when it would lower the loss by less than this part of it.
const ENOUGH: f64 = 1e-12;

/// Rows that no regression can be fitted to.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("logistic regression: expected {expected}, got {got}; check the features and the responses")]
pub struct Unfit {
    /// What it needs.
    pub expected: &'static str,
    /// What came.
    pub got: String,
}

/// A fitted model: P(1) = 1 / (1 + exp(-(w x + intercept))).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    /// One per feature.
    pub weights: Vec<f64>,
    /// What stands alone.
    pub intercept: f64,
}

impl Logistic {
    /// Fits row-major `features[n, dim]` to `responses`; `strength` is the inverse of the ridge.
    ///
    /// # Errors
    /// [`Unfit`] without a row, or for numbers that are not finite.
    pub fn fit(features: &[f64], dim: usize, responses: &[f64], strength: f64) -> Result<Logistic, Unfit> {
        let n = responses.len();
        let fail = |expected: &'static str, got: String| Unfit { expected, got };
        if n == 0 || features.len() != n * dim {
            return Err(fail("a row of features per response", format!("{} features, {n} responses", features.len())));
        }
        let problem = Problem { features, dim, responses, strength };
        // The rate of the responses is a good place to start from, also when all are 0.
        let rate = (responses.iter().sum::<f64>() + 0.5) / (n as f64 + 1.0);
        let mut at = vec![0.0; dim + 1];
        at[dim] = (rate / (1.0 - rate)).ln();
        let mut loss = problem.loss(&at);
        for _ in 0..STEPS {
            let (gradient, hessian) = problem.derivatives(&at);
            let solver = hessian.llt(Side::Lower).map_err(|_| fail("finite features", "a singular problem".into()))?;
            let step: Col<f64> = solver.solve(&gradient);
            let gain: f64 = (0..=dim).map(|j| step[j] * gradient[j]).sum();
            if gain <= ENOUGH * (1.0 + loss.abs()) {
                break;
            }
            match problem.walk(&at, &step, loss, gain) {
                Some((next, lower)) => (at, loss) = (next, lower),
                None => break,
            }
        }
        if !loss.is_finite() {
            return Err(fail("finite features", format!("a loss of {loss}")));
        }
        let intercept = at[dim];
        at.truncate(dim);
        Ok(Logistic { weights: at, intercept })
    }

    /// The probability that it gives a row of features.
    pub fn predict(&self, row: &[f64]) -> f64 {
        sigmoid(dot(&self.weights, row) + self.intercept)
    }
}

struct Problem<'a> {
    features: &'a [f64],
    dim: usize,
    responses: &'a [f64],
    strength: f64,
}

impl Problem<'_> {
    fn rows(&self) -> impl Iterator<Item = (&[f64], f64)> {
        // Without features every row is empty.
        (0..self.responses.len()).map(|i| (&self.features[i * self.dim..(i + 1) * self.dim], self.responses[i]))
    }

    fn loss(&self, at: &[f64]) -> f64 {
        let (weights, intercept) = (&at[..self.dim], at[self.dim]);
        let fit: f64 = self.rows().map(|(x, y)| log_loss(dot(weights, x) + intercept, y)).sum();
        dot(weights, weights) / 2.0 + self.strength * fit
    }

    fn derivatives(&self, at: &[f64]) -> (Col<f64>, Mat<f64>) {
        let p = self.dim + 1;
        let (weights, intercept) = (&at[..self.dim], at[self.dim]);
        let mut gradient = vec![0.0; p];
        let mut lower = vec![0.0; p * p];
        let mut row = vec![1.0; p];
        for (x, y) in self.rows() {
            row[..self.dim].copy_from_slice(x);
            let chance = sigmoid(dot(weights, x) + intercept);
            let (error, curve) = (self.strength * (chance - y), self.strength * chance * (1.0 - chance));
            for (j, &xj) in row.iter().enumerate().filter(|(_, xj)| **xj != 0.0) {
                gradient[j] += error * xj;
                let scaled = curve * xj;
                lower[j * p..=j * p + j].iter_mut().zip(&row).for_each(|(h, xk)| *h += scaled * xk);
            }
        }
        (0..self.dim).for_each(|j| gradient[j] += at[j]);
        // The intercept has no ridge; a trace of one keeps the problem regular where all responses are equal.
        let ridge = |j: usize| if j == self.dim { 1e-9 } else { 1.0 };
        let hessian = Mat::from_fn(p, p, |i, j| {
            let (i, j) = (i.max(j), i.min(j));
            lower[i * p + j] + if i == j { ridge(j) } else { 0.0 }
        });
        (Col::from_fn(p, |j| gradient[j]), hessian)
    }

    /// Goes along `step`, half as far each time that the loss does not fall as it should.
    fn walk(&self, at: &[f64], step: &Col<f64>, loss: f64, gain: f64) -> Option<(Vec<f64>, f64)> {
        let mut far = 1.0;
        for _ in 0..40 {
            let next: Vec<f64> = at.iter().enumerate().map(|(j, x)| x - far * step[j]).collect();
            let lower = self.loss(&next);
            if lower <= loss - 1e-4 * far * gain {
                return Some((next, lower));
            }
            far /= 2.0;
        }
        None
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// 1 / (1 + exp(-z)), for any z.
pub fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

/// -y ln(s) - (1 - y) ln(1 - s) with s = sigmoid(z).
pub fn log_loss(z: f64, y: f64) -> f64 {
    z.max(0.0) - y * z + (-z.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_is_that_of_scikit_learn() {
        // LogisticRegression(C=2.0, tol=1e-12).fit(X, y) of scikit-learn 1.9
        let features = [0.5, 1.0, -1.0, 2.0, 1.5, -0.5, 0.0, 0.0, 2.0, 1.0, -0.5, -1.5];
        let model = Logistic::fit(&features, 2, &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0], 2.0).unwrap();
        let expected = [1.598_891_307, 0.360_732_030, -0.696_712_647];
        let got = [model.weights[0], model.weights[1], model.intercept];
        got.iter().zip(expected).for_each(|(got, expected)| assert!((got - expected).abs() < 1e-6, "{got:?}"));
    }

    #[test]
    fn responses_that_never_vary_give_a_rate_and_no_infinity() {
        let model = Logistic::fit(&[1.0, 2.0, 3.0], 1, &[0.0; 3], 100.0).unwrap();
        assert!(model.predict(&[2.0]) < 1e-3 && model.intercept.is_finite());
    }

    #[test]
    fn without_features_the_rate_is_learnt() {
        let model = Logistic::fit(&[], 0, &[1.0, 0.0, 0.0, 0.0], 1.0).unwrap();
        assert!((model.predict(&[]) - 0.25).abs() < 1e-6);
    }
}
