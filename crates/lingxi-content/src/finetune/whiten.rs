//! What a layer behind pooling begins as: pooled vectors `[n, h]` come in, its parameters `W [h, h]` and `b [h]` go out.
//!
//! Language models put all texts into a narrow cone. Taking out the mean and dividing each principal direction by its spread opens it
//! (Su et al. 2021, arXiv 2103.15316):
//!
//! ```text
//! y = W (z - mean)    W = c (C + r I)^-1/2    C: the covariance, r: a share of its mean eigenvalue
//! ```
//!
//! The square root is the symmetric one, so `W` lies near a multiple of the identity and the encoder as it was lies on a straight way from
//! it; `c` keeps the mean length of vectors, which leaves their cosines alone and gives the layer's numbers their usual size.

use crate::error::{ContentError, Result};
use faer::{Mat, Side};
use lingxi_kernels::{dot, matmul_nt, matmul_tn};
use serde::{Deserialize, Serialize};

/// How the layer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Vectors pass as they are.
    Identity,
    /// With the mean of the texts that are learned from taken out, and all directions equally wide.
    Whitened,
}

/// `r`, as a share of the mean eigenvalue: directions in which texts hardly differ are not blown up.
const RIDGE: f64 = 0.1;

impl Start {
    /// The parameters for texts with the pooled vectors `z [texts, h]`.
    pub(crate) fn parameters(self, z: &[f32], h: usize) -> Result<Vec<f32>> {
        match self {
            Start::Identity => Ok(identity(h)),
            Start::Whitened => whitening(z, h),
        }
    }
}

/// A layer that changes nothing.
pub(crate) fn identity(h: usize) -> Vec<f32> {
    let mut w = vec![0.0; h * (h + 1)];
    w.iter_mut().take(h * h).step_by(h + 1).for_each(|w| *w = 1.0);
    w
}

fn whitening(z: &[f32], h: usize) -> Result<Vec<f32>> {
    let n = z.len() / h;
    let wrong = |got: String| ContentError::Tuning {
        field: "dense".into(),
        expected: "texts that differ, to be whitened".into(),
        got,
    };
    if n < 2 {
        return Err(wrong(format!("{n} texts")));
    }
    let mut mean = vec![0.0f64; h];
    z.chunks_exact(h).for_each(|row| mean.iter_mut().zip(row).for_each(|(m, x)| *m += f64::from(*x) / n as f64));
    let mean: Vec<f32> = mean.into_iter().map(|m| m as f32).collect();
    let centred: Vec<f32> = z.chunks_exact(h).flat_map(|row| row.iter().zip(&mean).map(|(x, m)| x - m)).collect();
    let mut gram = vec![0.0f32; h * h];
    matmul_tn(&centred, &centred, &mut gram, h, h, n);
    let covariance = Mat::from_fn(h, h, |i, j| f64::from(gram[i * h + j]) / n as f64);
    let eigen = covariance
        .self_adjoint_eigen(Side::Lower)
        .map_err(|_| wrong("a covariance whose eigenvalues cannot be found".into()))?;
    let (values, basis) = (eigen.S(), eigen.U());
    let ridge = RIDGE * (0..h).map(|i| values[i]).sum::<f64>() / h as f64;
    if !(ridge.is_finite() && ridge > 0.0) {
        return Err(wrong("texts with one vector".into()));
    }
    let roots: Vec<f64> = (0..h).map(|i| (values[i].max(0.0) + ridge).powf(-0.5)).collect();
    let half: Vec<f32> = (0..h)
        .flat_map(|i| (0..h).map(move |c| (i, c)))
        .map(|(i, c)| (basis[(i, c)] * roots[c].sqrt()) as f32)
        .collect();
    let mut w = vec![0.0; h * h];
    matmul_nt(&half, &half, &mut w, h, h, h);
    let mut white = vec![0.0; z.len()];
    matmul_nt(&centred, &w, &mut white, n, h, h);
    let length = |rows: &[f32]| rows.chunks_exact(h).map(|row| f64::from(dot(row, row).sqrt())).sum::<f64>();
    let keep = (length(z) / length(&white)) as f32;
    w.iter_mut().for_each(|w| *w *= keep);
    let bias: Vec<f32> = w.chunks_exact(h).map(|row| -dot(row, &mean)).collect();
    w.extend(bias);
    Ok(w)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::{Bend, Projection};

    #[test]
    fn whitened_vectors_have_no_mean_and_equally_wide_directions_and_keep_their_length() {
        let (n, h) = (400, 3);
        let wave = |i: usize| ((i * i * 7 + i * 3) % 23) as f32 / 5.0;
        let z: Vec<f32> = (0..n).flat_map(|i| [wave(i), wave(i) + wave(i + 9), 4.0 + wave(2 * i)]).collect();
        let w = Start::Whitened.parameters(&z, h).unwrap();
        let y = Projection { from: h, to: h, bend: Bend::Identity }.forward(&w, &z);
        let mean = |of: &dyn Fn(&[f32]) -> f32| y.chunks_exact(h).map(of).sum::<f32>() / n as f32;
        let spreads: Vec<f32> = (0..h).map(|a| mean(&|row| row[a] * row[a])).collect();
        for a in 0..h {
            assert!(mean(&|row| row[a]).abs() < 1e-3, "mean of {a}");
            (0..a).for_each(|b| assert!(mean(&|row| row[a] * row[b]).abs() < 0.2 * spreads[a], "{a} with {b}"));
            assert!((spreads[a] / spreads[0] - 1.0).abs() < 0.3, "{spreads:?}");
        }
        let length = |rows: &[f32]| rows.chunks_exact(h).map(|row| dot(row, row).sqrt()).sum::<f32>();
        assert!((length(&y) / length(&z) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn texts_that_do_not_differ_are_refused_and_the_identity_changes_nothing() {
        let why = Start::Whitened.parameters(&[1.0, 2.0, 1.0, 2.0], 2).unwrap_err().to_string();
        assert!(why.contains("dense") && why.contains("one vector"), "{why}");
        let w = Start::Identity.parameters(&[], 2).unwrap();
        assert_eq!(Projection { from: 2, to: 2, bend: Bend::Identity }.forward(&w, &[3.0, 4.0]), [3.0, 4.0]);
    }
}
