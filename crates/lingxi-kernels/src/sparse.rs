//! Sparse matrices by rows, and their product with a table of vectors: one step of propagation over a graph.

use crate::cpu::{fma, per_level};
use crate::products::prefetch;
use rayon::prelude::*;

/// A sparse matrix in compressed rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Csr {
    /// Where each row begins in `indices`; one more entry than rows.
    pub indptr: Vec<usize>,
    /// Column of each entry.
    pub indices: Vec<u32>,
    /// Value of each entry.
    pub values: Vec<f32>,
}

impl Csr {
    /// Builds a matrix of `rows` rows from `(row, column, value)` in any order; entries at the same place are kept
    /// apart (a product adds them) and keep their order.
    ///
    /// # Panics
    /// If a row index is not below `rows`.
    pub fn from_triplets(rows: usize, triplets: &[(u32, u32, f32)]) -> Csr {
        let mut indptr = vec![0usize; rows + 1];
        for &(row, ..) in triplets {
            assert!((row as usize) < rows, "Csr: row {row} of {rows} rows");
            indptr[row as usize + 1] += 1;
        }
        for row in 0..rows {
            indptr[row + 1] += indptr[row];
        }
        let mut next = indptr.clone();
        let (mut indices, mut values) = (vec![0; triplets.len()], vec![0.0; triplets.len()]);
        for &(row, column, value) in triplets {
            let at = &mut next[row as usize];
            (indices[*at], values[*at]) = (column, value);
            *at += 1;
        }
        Csr { indptr, indices, values }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.indptr.len().saturating_sub(1)
    }

    /// Columns and values of one row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.indptr[row]..self.indptr[row + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// The transpose, with `columns` rows; within each row columns ascend.
    ///
    /// # Panics
    /// If an entry's column is not below `columns`.
    pub fn transpose(&self, columns: usize) -> Csr {
        let mut turned = Vec::with_capacity(self.indices.len());
        for row in 0..self.rows() {
            let (indices, values) = self.row(row);
            turned.extend(indices.iter().zip(values).map(|(&column, &value)| (column, row as u32, value)));
        }
        Csr::from_triplets(columns, &turned)
    }
}

/// Columns that are summed in registers at once.
const LANES: usize = 64;
/// Rows of a task.
const GRAIN: usize = 32;
/// Entries fetched ahead of the one that is added: the rows of `dense` lie anywhere.
const AHEAD: usize = 6;

/// `out[rows,d] = matrix[rows,columns] dense[columns,d]`.
///
/// # Panics
/// If `out` is not `rows x d`, `dense` is no whole number of rows, or an entry's column lies outside `dense`.
pub fn spmm(matrix: &Csr, dense: &[f32], d: usize, out: &mut [f32]) {
    assert!(d > 0 && dense.len().is_multiple_of(d), "spmm: dense is no whole rows of length {d}");
    assert_eq!(out.len(), matrix.rows() * d, "spmm: out is not {} x {d}", matrix.rows());
    out.par_chunks_mut(GRAIN * d).enumerate().for_each(|(task, out)| some_rows(matrix, task * GRAIN, dense, d, out));
}

per_level! { fn some_rows(matrix: &Csr, first: usize, dense: &[f32], d: usize, out: &mut [f32]) = some_rows_body }

#[inline(always)]
fn some_rows_body<const FMA: bool>(matrix: &Csr, first: usize, dense: &[f32], d: usize, out: &mut [f32]) {
    for (row, out) in (first..).zip(out.chunks_exact_mut(d)) {
        let (columns, values) = matrix.row(row);
        let mut blocks = out.chunks_exact_mut(LANES);
        let mut at = 0;
        for out in &mut blocks {
            out.copy_from_slice(block::<FMA>(columns, values, &dense[at..], d).as_flattened());
            at += LANES;
        }
        let rest = blocks.into_remainder();
        rest.fill(0.0);
        for (&column, &value) in columns.iter().zip(values) {
            let from = column as usize * d + at;
            let dense = &dense[from..from + rest.len()];
            rest.iter_mut().zip(dense).for_each(|(sum, x)| *sum = fma::<FMA>(value, *x, *sum));
        }
    }
}

/// The sum over the entries of one row for [`LANES`] columns, `dense` beginning at the first of them.
#[inline(always)]
fn block<const FMA: bool>(columns: &[u32], values: &[f32], dense: &[f32], d: usize) -> [[f32; 16]; LANES / 16] {
    let mut sums = [[0f32; 16]; LANES / 16];
    for (i, (&column, &value)) in columns.iter().zip(values).enumerate() {
        if let Some(row) = columns.get(i + AHEAD).and_then(|&next| dense.get(next as usize * d..)) {
            prefetch(&row[..LANES.min(row.len())]);
        }
        let from = column as usize * d;
        let (lanes, _) = dense[from..from + LANES].as_chunks::<16>();
        for (sum, x) in sums.iter_mut().zip(lanes) {
            *sum = std::array::from_fn(|lane| fma::<FMA>(value, x[lane], sum[lane]));
        }
    }
    sums
}
