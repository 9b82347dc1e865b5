//! What the texts alone say about which item follows from which: the closed-form similarity of L3AE.
//!
//! In: item vectors `F [n, d]`, one row an item (zero where there is no text). Out: a low-rank form of
//!
//! `S = argmin |F^T - F^T S|^2 + t |S|^2, diag(S) = 0`  =>  `S_ij = q_j f'_i . f'_j` for `i != j`,
//!
//! with `f' = F E (L + t)^-1/2` for `F^T F = E L E^T`, and `q_j = 1 / (1 - |f'_j|^2)` (Woodbury on the `n x n` ridge, so
//! that only a `d x d` matrix is decomposed). Columns of `f'` come in falling order of `L`. Cost: `2 n d^2` for the two
//! products, `n d` numbers.

use crate::error::{BehaviourError, Result};
use faer::{Mat, Side};
use lingxi_data::ItemVectors;
use lingxi_kernels::{matmul_nn, matmul_tn};

/// The low-rank similarity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Language {
    /// `d`: length of a row.
    pub dim: usize,
    /// `f'`, row-major `[n, d]`.
    pub rows: Vec<f32>,
    /// `q [n]`; 1 where there is no text.
    pub q: Vec<f32>,
}

impl Language {
    /// No language: every similarity is zero.
    pub fn none(n: usize) -> Language {
        Language { dim: 0, rows: Vec::new(), q: vec![1.0; n] }
    }

    /// Solves the closed form with ridge `t > 0`.
    ///
    /// # Errors
    /// [`BehaviourError::Numeric`] if the decomposition does not converge.
    pub fn of(vectors: &ItemVectors, t: f32) -> Result<Language> {
        let (n, d) = (vectors.len(), vectors.dim());
        let mut gram = vec![0.0f32; d * d];
        matmul_tn(vectors.data(), vectors.data(), &mut gram, d, d, n);
        let eigen =
            Mat::from_fn(d, d, |i, j| f64::from(gram[i * d + j])).self_adjoint_eigen(Side::Lower).map_err(|_| {
                BehaviourError::Numeric {
                    operation: "language similarity",
                    what: format!("the {d} x {d} eigenvalue iteration did not converge"),
                    remedy: "check the item vectors for extreme values",
                }
            })?;
        // Rising eigenvalues come out; falling ones are wanted, so columns are taken from the back.
        let (values, basis) = (eigen.S(), eigen.U());
        let mut turn = vec![0.0f32; d * d];
        for c in 0..d {
            let scale = 1.0 / (values[d - 1 - c].max(0.0) + f64::from(t)).sqrt();
            (0..d).for_each(|r| turn[r * d + c] = (basis[(r, d - 1 - c)] * scale) as f32);
        }
        let mut rows = vec![0.0f32; n * d];
        matmul_nn(vectors.data(), &turn, &mut rows, n, d, d);
        // |f'|^2 is a leverage, below one for t > 0 but for rounding.
        let q = rows.chunks(d).map(|r| 1.0 / (1.0 - lingxi_kernels::dot(r, r)).max(1e-3)).collect();
        Ok(Language { dim: d, rows, q })
    }

    /// `f'_i`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.rows[i * self.dim..(i + 1) * self.dim]
    }

    /// `S_ij`, how much item `j` follows from item `i`; 0 on the diagonal.
    pub fn similarity(&self, i: usize, j: usize) -> f32 {
        if i == j || self.dim == 0 { 0.0 } else { self.q[j] * lingxi_kernels::dot(self.row(i), self.row(j)) }
    }

    /// For each item the up to `k` others with the largest positive similarity, looked for in the first `dims` columns of
    /// `f'` (those that carry most; all of them if `dims >= d`). Cost `2 n^2 dims`.
    pub fn neighbours(&self, k: usize, dims: usize) -> Vec<Vec<u32>> {
        let n = self.q.len();
        if self.dim == 0 || k == 0 {
            return vec![Vec::new(); n];
        }
        let dims = dims.min(self.dim);
        let cut: Vec<f32> = self.rows.chunks(self.dim).flat_map(|row| row[..dims].iter().copied()).collect();
        let best = lingxi_kernels::top_k_dot(&cut, &cut, dims, k + 1, &[]);
        let others = |(i, best): (usize, Vec<(u32, f32)>)| {
            let positive = best.into_iter().filter(|&(j, score)| j as usize != i && score > 0.0);
            positive.map(|(j, _)| j).take(k).collect()
        };
        best.into_iter().enumerate().map(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::Provenance;

    #[test]
    fn the_low_rank_form_is_the_ridge_over_all_items_with_a_zero_diagonal() {
        let (n, d, t) = (7usize, 3usize, 0.5f64);
        let data: Vec<f32> = (0..n * d).map(|i| ((i * 37 % 17) as f32 - 8.0) / 8.0).collect();
        let provenance =
            Provenance { model: "test".into(), revision: String::new(), pooling: "mean".into(), normalised: false };
        let vectors = ItemVectors::new(d, data.clone(), vec![true; n], provenance).unwrap();
        let language = Language::of(&vectors, t as f32).unwrap();
        // The definition: Q = (F F^T + t)^-1, S = I - Q / diag(Q).
        let f = Mat::from_fn(n, d, |i, j| f64::from(data[i * d + j]));
        let ridge = &f * f.transpose() + Mat::from_fn(n, n, |i, j| if i == j { t } else { 0.0 });
        let q = faer::linalg::solvers::DenseSolveCore::inverse(&ridge.llt(Side::Lower).unwrap());
        for i in 0..n {
            for j in 0..n {
                let expected = if i == j { 0.0 } else { -q[(i, j)] / q[(j, j)] };
                let got = f64::from(language.similarity(i, j));
                assert!((got - expected).abs() < 1e-4, "S[{i},{j}]: expected {expected}, got {got}");
            }
        }
    }
}
