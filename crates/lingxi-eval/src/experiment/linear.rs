//! Least squares with a trace of a ridge: rows of features and responses in, a line out.

use crate::{EvalError, Result};
use faer::prelude::Solve;
use faer::{Col, Mat, Side};

/// A fitted line.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// One per feature, then the intercept.
    weights: Vec<f64>,
}

impl Linear {
    /// Fits row-major `features[n, dim]` to `responses`.
    ///
    /// # Errors
    /// [`EvalError::TooLittle`] if the normal equations have no solution.
    pub fn fit(features: &[f64], dim: usize, responses: &[f64]) -> Result<Linear> {
        let (p, n) = (dim + 1, responses.len());
        let entry = |i: usize, j: usize| if j < dim { features[i * dim + j] } else { 1.0 };
        let x = Mat::from_fn(n, p, entry);
        let mut gram = x.transpose() * &x;
        (0..p).for_each(|j| gram[(j, j)] += 1e-6 * n.max(1) as f64);
        let moments: Col<f64> = x.transpose() * Col::from_fn(n, |i| responses[i]);
        let solver = gram.llt(Side::Lower).map_err(|_| EvalError::TooLittle {
            what: "least squares",
            expected: "finite features".into(),
            got: "a singular problem".into(),
            remedy: "check the features",
        })?;
        let weights: Col<f64> = solver.solve(&moments);
        Ok(Linear { weights: (0..p).map(|j| weights[j]).collect() })
    }

    /// What it gives a row of features.
    pub fn predict(&self, row: &[f64]) -> f64 {
        let (slopes, intercept) = self.weights.split_at(row.len());
        slopes.iter().zip(row).map(|(w, x)| w * x).sum::<f64>() + intercept[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_again() {
        let features: Vec<f64> = (0..40).map(|i| f64::from(i % 9) - 4.0).collect();
        let responses: Vec<f64> = features.chunks(2).map(|x| 3.0 * x[0] - 2.0 * x[1] + 7.0).collect();
        let line = Linear::fit(&features, 2, &responses).unwrap();
        assert!((line.predict(&[2.0, 1.0]) - 11.0).abs() < 1e-4, "{line:?}");
    }
}
