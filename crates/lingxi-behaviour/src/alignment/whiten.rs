//! Text vectors made small and round: item vectors `[n, d]` come in, `[n, k]` with centred, decorrelated columns go out.
//!
//! Language models put all texts into a narrow cone; taking out the mean and dividing each principal direction by its
//! spread opens it (WhitenRec, arXiv 2402.10602), and the first `k` directions make training cheaper by `d / k`.
//! `y = (x - mean) E_k (L_k + r)^-1/2` with `L` the eigenvalues of the covariance and `r` a thousandth of the largest. An
//! item without text is the zero vector.

use crate::error::{BehaviourError, Result};
use faer::{Mat, Side};
use lingxi_data::ItemVectors;
use lingxi_kernels::{matmul_nn, matmul_tn};

/// The fitted turn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Whitening {
    /// `[d]`.
    pub mean: Vec<f32>,
    /// Row-major `[d, k]`.
    pub turn: Vec<f32>,
}

impl Whitening {
    /// Fits on the items that have text. `k` is cut to `d`.
    ///
    /// # Errors
    /// [`BehaviourError::Input`] if no item has text, [`BehaviourError::Numeric`] if the decomposition does not converge.
    pub fn fit(vectors: &ItemVectors, k: usize) -> Result<Whitening> {
        let d = vectors.dim();
        let k = k.min(d);
        let present = vectors.present().iter().filter(|p| **p).count();
        if present == 0 {
            return Err(BehaviourError::Input {
                operation: "fit alignment",
                expected: "at least one item with a text vector".into(),
                got: "none".into(),
                remedy: "give the catalogue a text column, or leave the alignment out of the recipe",
            });
        }
        let mean = mean(vectors, present);
        let centred = centre(vectors, &mean);
        let mut gram = vec![0.0f32; d * d];
        matmul_tn(&centred, &centred, &mut gram, d, d, vectors.len());
        let covariance = Mat::from_fn(d, d, |i, j| f64::from(gram[i * d + j]) / present as f64);
        let eigen = covariance.self_adjoint_eigen(Side::Lower).map_err(|_| BehaviourError::Numeric {
            operation: "fit alignment",
            what: format!("the {d} x {d} eigenvalue iteration did not converge"),
            remedy: "check the item vectors for extreme values",
        })?;
        let (values, basis) = (eigen.S(), eigen.U());
        let floor = (values[d - 1] / 1_000.0).max(f64::MIN_POSITIVE);
        let mut turn = vec![0.0f32; d * k];
        for c in 0..k {
            let scale = 1.0 / (values[d - 1 - c].max(0.0) + floor).sqrt();
            (0..d).for_each(|r| turn[r * k + c] = (basis[(r, d - 1 - c)] * scale) as f32);
        }
        Ok(Whitening { mean, turn })
    }

    /// `k`: the length of what goes out.
    pub fn dim(&self) -> usize {
        self.turn.len() / self.mean.len().max(1)
    }

    /// All items, row-major `[n, k]`.
    pub fn items(&self, vectors: &ItemVectors) -> Vec<f32> {
        let (n, k) = (vectors.len(), self.dim());
        let mut out = vec![0.0f32; n * k];
        matmul_nn(&centre(vectors, &self.mean), &self.turn, &mut out, n, k, vectors.dim());
        out
    }

    /// One vector `[d]`.
    pub fn one(&self, vector: &[f32]) -> Vec<f32> {
        let centred: Vec<f32> = vector.iter().zip(&self.mean).map(|(x, m)| x - m).collect();
        let mut out = vec![0.0f32; self.dim()];
        matmul_nn(&centred, &self.turn, &mut out, 1, self.dim(), self.mean.len());
        out
    }
}

fn mean(vectors: &ItemVectors, present: usize) -> Vec<f32> {
    let mut sum = vec![0.0f64; vectors.dim()];
    for row in vectors.data().chunks(vectors.dim()) {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    sum.into_iter().map(|sum| (sum / present as f64) as f32).collect()
}

/// Rows less the mean; zero where there is no text.
fn centre(vectors: &ItemVectors, mean: &[f32]) -> Vec<f32> {
    let d = vectors.dim();
    let mut out = vec![0.0f32; vectors.len() * d];
    for ((row, x), present) in out.chunks_mut(d).zip(vectors.data().chunks(d)).zip(vectors.present()) {
        if *present {
            row.iter_mut().zip(x).zip(mean).for_each(|((out, x), mean)| *out = x - mean);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{ItemId, Provenance};

    #[test]
    fn whitened_columns_have_spread_one_and_no_correlation_and_one_equals_many() {
        let (n, d) = (40usize, 3usize);
        let wave = |i: usize| ((i * i * 7 + i * 3) % 23) as f32 / 5.0;
        let data: Vec<f32> = (0..n).flat_map(|i| [wave(i), wave(i) * 0.5 + wave(i + 9), 4.0 + wave(2 * i)]).collect();
        let provenance =
            Provenance { model: "test".into(), revision: String::new(), pooling: "mean".into(), normalised: false };
        let vectors = ItemVectors::new(d, data, vec![true; n], provenance).unwrap();
        let whitening = Whitening::fit(&vectors, 2).unwrap();
        let out = whitening.items(&vectors);
        for (a, b, expected) in [(0, 0, 1.0), (1, 1, 1.0), (0, 1, 0.0)] {
            let got = out.chunks(2).map(|r| r[a] * r[b]).sum::<f32>() / n as f32;
            assert!((got - expected).abs() < 0.02, "column {a} x {b}: {got}");
        }
        let one = whitening.one(vectors.get(ItemId(7)).unwrap());
        one.iter().zip(&out[14..16]).for_each(|(a, b)| assert!((a - b).abs() < 1e-5));
    }
}
