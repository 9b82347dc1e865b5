//! The item model over all pairs of items, for up to about 14,000 items.
//!
//! In: `X [users, n]` and the language similarity `S`. Out: what is needed to read any entry of
//! `B = P (G + l a S) - P diag(c)`, `P = (G + l)^-1`, `G = X^T X`, `c` such that `diag(B) = 0`. Because the right-hand side is
//! a sum, so is `B`, each part with a zero diagonal of its own; off the diagonal
//!
//! - behaviour: `-P_ij / P_jj`,
//! - language: `l a (P_ij (1 - q_j - c'_j) + u_i . f'_j q_j)`, `u = P f'`, `c'_j = ((1 - q_j) P_jj + q_j u_j . f'_j) / P_jj`.
//!
//! An item that nobody took has no data term (that it was not taken says nothing: it may be new): its column is `S`'s,
//! times `a` and the strength for such items, plus the columns that it inherits from the goods closest in language.
//!
//! So only `P [n, n]` is stored beside the low-rank rows. Cost: `n^3` multiplications for the inverse (12,101 items: about
//! 20 s on two cores), peak memory two `n x n` matrices of f32 (1.2 GB at 12,101).

use super::Prior;
use super::language::Language;
use crate::error::{BehaviourError, Result};
use crate::pairs::Pairs;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::{cholesky::llt, triangular_inverse::invert_lower_triangular};
use faer::traits::RealField;
use faer::{Accum, ColMut, Mat, Par};
use lingxi_data::ItemId;
use rayon::prelude::*;

/// Below this the inverse is computed in f64: it costs nothing there, and small sets are the dense ones whose condition
/// number is largest.
const F64_UP_TO: usize = 5_000;

/// `P` and the language rows; see the module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dense {
    pub n: usize,
    pub dim: usize,
    /// Row-major `[n, n]`, symmetric among the goods that were taken; the columns of the others hold what they inherited.
    pub p: Vec<f32>,
    /// Row-major `u [n, dim]`.
    pub u: Vec<f32>,
    /// Row-major `f'`, `[n, dim]`.
    pub rows: Vec<f32>,
    /// Row-major `l a q_j f'_j`, or for an item that nobody took its strength times `a q_j f'_j`, `[n, dim]`.
    pub v: Vec<f32>,
    /// 1 for an item that nobody took, `[n]`.
    pub untaken: Vec<u8>,
    /// Factor of `P_ij` in the behaviour part, or of what an item that nobody took inherited, `[n]`.
    pub behaviour: Vec<f32>,
    /// Factor of `P_ij` in the language part, or of the texts for an item that nobody took, `[n]`.
    pub language: Vec<f32>,
}

impl Dense {
    /// Solves the model.
    ///
    /// # Errors
    /// [`BehaviourError::Numeric`] if the Gram matrix with its ridge is not positive definite in f32.
    pub fn fit(pairs: &Pairs, language: Language, prior: Prior) -> Result<Dense> {
        let (n, dim) = (pairs.by_item.len(), language.dim);
        let p = if n <= F64_UP_TO { inverse::<f64>(pairs, prior)? } else { inverse::<f32>(pairs, prior)? };
        let mut u = vec![0.0f32; n * dim];
        if dim > 0 {
            lingxi_kernels::matmul_nn(&p, &language.rows, &mut u, n, dim, n);
        }
        let untaken: Vec<u8> = (0..n).map(|j| u8::from(pairs.by_item.count(j) == 0)).collect();
        let strength = |j: usize| if untaken[j] == 1 { prior.untaken * prior.pull } else { prior.l2 * prior.pull };
        let follows = |j: usize, x: f32| strength(j) * language.q[j] * x;
        let v: Vec<f32> = (0..n).flat_map(|j| language.row(j).iter().map(move |x| follows(j, *x))).collect();
        let only_taken = |j: usize, x: f32| if untaken[j] == 1 { 0.0 } else { x / p[j * n + j] };
        let behaviour = (0..n).map(|j| only_taken(j, -1.0)).collect();
        // 1 - q_j - c'_j = -q_j u_j . f'_j / P_jj
        let at = |j: usize| j * dim..(j + 1) * dim;
        let factors = (0..n).map(|j| only_taken(j, -lingxi_kernels::dot(&u[at(j)], &v[at(j)]))).collect();
        let mut dense = Dense { n, dim, behaviour, language: factors, p, u, rows: language.rows, v, untaken };
        dense.weigh_newcomers(1.0, prior.inherit);
        if prior.inherit > 0.0 && dim > 0 {
            dense.inherit(prior.heirs);
        }
        Ok(dense)
    }

    /// Writes into the column of each item that nobody took what leads to the `heirs` taken goods closest in language, each with
    /// its share of the similarity. `P` says nothing in those columns, so they are free.
    fn inherit(&mut self, heirs: usize) {
        let (n, dim) = (self.n, self.dim);
        let new: Vec<usize> = (0..n).filter(|&j| self.untaken[j] == 1).collect();
        let known: Vec<u32> = (0..n as u32).filter(|&j| self.untaken[j as usize] == 0).collect();
        let unit = |row: &[f32]| {
            let length = lingxi_kernels::dot(row, row).sqrt().max(1e-12);
            row.iter().map(|x| x / length).collect::<Vec<f32>>()
        };
        let of_new: Vec<f32> = new.iter().flat_map(|&j| unit(self.part(&self.rows, j))).collect();
        let of_known: Vec<f32> = known.iter().flat_map(|&j| unit(self.part(&self.rows, j as usize))).collect();
        let near = lingxi_kernels::top_k_dot(&of_new, &of_known, dim, heirs, &[]);
        let columns: Vec<(usize, Vec<f32>)> = (new.par_iter().zip(&near))
            .map(|(&j, near)| {
                let total: f32 = near.iter().map(|(_, close)| close.max(0.0)).sum();
                let mut column = vec![0.0f32; n];
                for &(at, close) in near.iter().filter(|(_, close)| *close > 0.0) {
                    let heir = known[at as usize] as usize;
                    for (i, sum) in column.iter_mut().enumerate() {
                        let (behaviour, language) = self.parts(i, heir);
                        *sum += close / total * (behaviour + language);
                    }
                }
                (j, column)
            })
            .collect();
        for (j, column) in columns {
            // What nobody took speaks for nobody new either.
            (0..n).for_each(|i| self.p[i * n + j] = if self.untaken[i] == 1 { 0.0 } else { column[i] });
        }
    }

    /// Counts what texts say of goods that nobody took `texts` times, and what they inherited `inherit` times.
    pub fn weigh_newcomers(&mut self, texts: f32, inherit: f32) {
        for j in (0..self.n).filter(|&j| self.untaken[j] == 1) {
            (self.behaviour[j], self.language[j]) = (inherit, texts);
        }
    }

    /// The two parts of `B_ij`: behaviour and language.
    pub fn parts(&self, i: usize, j: usize) -> (f32, f32) {
        if i == j {
            return (0.0, 0.0);
        }
        let p = self.p[i * self.n + j];
        if self.untaken[j] == 1 {
            let close = lingxi_kernels::dot(self.part(&self.rows, i), self.part(&self.v, j));
            return (p * self.behaviour[j], close * self.language[j]);
        }
        let close = lingxi_kernels::dot(self.part(&self.u, i), self.part(&self.v, j));
        (p * self.behaviour[j], p * self.language[j] + close)
    }

    /// `X B` for some shoppers, all items: each `x` as pairs of item and weight, row-major `out [xs.len(), n]`.
    pub fn rows(&self, xs: &[Vec<(usize, f32)>], out: &mut [f32]) {
        let (n, dim) = (self.n.max(1), self.dim);
        let meanings: Vec<Vec<f32>> = xs.iter().map(|x| self.meaning(x)).collect();
        let by_u: Vec<f32> = meanings.iter().flat_map(|both| both[..dim].iter().copied()).collect();
        let mut close = vec![0.0f32; xs.len() * n];
        if dim > 0 {
            lingxi_kernels::matmul_nt(&by_u, &self.v, &mut close, xs.len(), n, dim);
        }
        for ((x, meaning), (out, close)) in xs.iter().zip(&meanings).zip(out.chunks_mut(n).zip(close.chunks(n))) {
            out.fill(0.0);
            for &(i, weight) in x {
                lingxi_kernels::axpy(weight, &self.p[i * n..(i + 1) * n], out);
            }
            for (j, (out, close)) in out.iter_mut().zip(close).enumerate() {
                *out = if self.untaken[j] == 1 {
                    self.finish(*out, meaning, j)
                } else {
                    *out * (self.behaviour[j] + self.language[j]) + close
                };
            }
            x.iter().for_each(|&(i, weight)| out[i] -= weight * self.diagonal(i));
        }
    }

    /// `x B` for one shopper and some items.
    pub fn some(&self, x: &[(usize, f32)], items: &[ItemId], out: &mut [f32]) {
        let meaning = self.meaning(x);
        for (j, out) in items.iter().map(|j| j.index()).zip(out) {
            let sum: f32 = x.iter().map(|&(i, weight)| weight * self.p[i * self.n + j]).sum();
            let own = x.iter().filter(|(i, _)| *i == j).map(|(_, weight)| weight * self.diagonal(j)).sum::<f32>();
            *out = self.finish(sum, &meaning, j) - own;
        }
    }

    fn part<'a>(&self, of: &'a [f32], i: usize) -> &'a [f32] {
        &of[i * self.dim..(i + 1) * self.dim]
    }

    /// `x U` and `x f'`, one after the other, `[2 dim]`.
    fn meaning(&self, x: &[(usize, f32)]) -> Vec<f32> {
        let mut sum = vec![0.0; 2 * self.dim];
        let (by_u, by_rows) = sum.split_at_mut(self.dim);
        for &(i, weight) in x {
            lingxi_kernels::axpy(weight, self.part(&self.u, i), by_u);
            lingxi_kernels::axpy(weight, self.part(&self.rows, i), by_rows);
        }
        sum
    }

    /// The score of `j` from `(x P)_j` and the meanings, before the diagonal is taken out.
    fn finish(&self, xp: f32, meaning: &[f32], j: usize) -> f32 {
        let (by_u, by_rows) = meaning.split_at(self.dim);
        let v = self.part(&self.v, j);
        if self.untaken[j] == 1 {
            return xp * self.behaviour[j] + lingxi_kernels::dot(by_rows, v) * self.language[j];
        }
        xp * (self.behaviour[j] + self.language[j]) + lingxi_kernels::dot(by_u, v)
    }

    /// What the products give on the diagonal, where the model has 0.
    fn diagonal(&self, j: usize) -> f32 {
        if self.untaken[j] == 0 {
            return -1.0;
        }
        let close = lingxi_kernels::dot(self.part(&self.rows, j), self.part(&self.v, j)) * self.language[j];
        self.p[j * self.n + j] * self.behaviour[j] + close
    }
}

/// The number type of the inverse.
trait Precision: RealField + Copy {
    fn of(x: f32) -> Self;
    fn rounded(self) -> f32;
}

impl Precision for f32 {
    fn of(x: f32) -> f32 {
        x
    }
    fn rounded(self) -> f32 {
        self
    }
}

impl Precision for f64 {
    fn of(x: f32) -> f64 {
        f64::from(x)
    }
    fn rounded(self) -> f32 {
        self as f32
    }
}

/// `(X^T X + ridge)^-1` as row-major f32, computed in `T`. Peak memory: two matrices of `T`.
fn inverse<T: Precision>(pairs: &Pairs, prior: Prior) -> Result<Vec<f32>> {
    let n = pairs.by_item.len();
    if n == 0 {
        return Ok(Vec::new());
    }
    let mut gram = gram::<T>(pairs, prior);
    let par = Par::rayon(0);
    let scratch = llt::factor::cholesky_in_place_scratch::<T>(n, par, Default::default());
    let mut scratch = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut scratch);
    llt::factor::cholesky_in_place(gram.as_mut(), Default::default(), par, stack, Default::default()).map_err(|e| {
        BehaviourError::Numeric {
            operation: "item model",
            what: format!("the {n} x {n} Gram matrix with ridge {} is not positive definite ({e:?})", prior.l2),
            remedy: "raise item_model.l2",
        }
    })?;
    invert_from_factor(&mut gram, par);
    Ok(symmetric(&gram))
}

/// `P = L^-T L^-1`, lower triangle, written over the factor `L`.
fn invert_from_factor<T: Precision>(factor: &mut Mat<T>, par: Par) {
    let n = factor.nrows();
    let mut lower = Mat::<T>::zeros(n, n);
    invert_lower_triangular(lower.as_mut(), factor.as_ref(), par);
    matmul(
        factor.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Replace,
        lower.transpose(),
        BlockStructure::TriangularUpper,
        lower.as_ref(),
        BlockStructure::TriangularLower,
        T::of(1.0),
        par,
    );
}

/// `G` with its ridge: each column from the lists of its item's shoppers; columns in parallel.
fn gram<T: Precision>(pairs: &Pairs, prior: Prior) -> Mat<T> {
    let n = pairs.by_item.len();
    let mut gram = Mat::<T>::zeros(n, n);
    let fill = |sums: &mut Vec<f32>, (j, column): (usize, ColMut<'_, T>)| {
        sums.fill(0.0);
        let (users, values) = pairs.by_item.row(j);
        for (&user, &value) in users.iter().zip(values) {
            let (items, others) = pairs.by_user.row(user as usize);
            items.iter().zip(others).for_each(|(&i, &other)| sums[i as usize] += value * other);
        }
        sums[j] += prior.ridge(sums[j]);
        column.iter_mut().zip(sums).for_each(|(entry, sum)| *entry = T::of(*sum));
    };
    gram.par_col_iter_mut().enumerate().for_each_init(|| vec![0.0f32; n], fill);
    gram
}

/// The lower triangle mirrored, as row-major f32.
fn symmetric<T: Precision>(lower: &Mat<T>) -> Vec<f32> {
    let n = lower.nrows();
    let mut out = vec![0.0f32; n * n];
    // Column j of the lower triangle is row j from the diagonal on.
    out.par_chunks_mut(n).enumerate().for_each(|(j, row)| (j..n).for_each(|i| row[i] = lower[(i, j)].rounded()));
    for i in 1..n {
        let (above, row) = out.split_at_mut(i * n);
        (0..i).for_each(|j| row[j] = above[j * n + i]);
    }
    out
}
