//! Dot products and matrix products, dense, row-major.
//!
//! Three layouts, named by which operand is transposed: `nn`, `nt` (the usual one: two tables of vectors of the same
//! length) and `tn` (gradients and Gram matrices). Each has an accumulating form. The work is done by the `gemm` crate.

use crate::cpu::{fma, per_level};
use gemm::Parallelism;

/// Below this many multiplications one thread is faster than waking others.
const PARALLEL_FROM: usize = 1 << 20;

per_level! {
    /// The sum of `a[i] * b[i]`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn dot(a: &[f32], b: &[f32]) -> f32 = dot_body
}

#[inline(always)]
pub(crate) fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "dot: lengths differ");
    let (a16, a_rest) = a.as_chunks::<16>();
    let (b16, b_rest) = b.as_chunks::<16>();
    let mut sums = [0f32; 16];
    for (x, y) in a16.iter().zip(b16) {
        sums = std::array::from_fn(|lane| fma::<FMA>(x[lane], y[lane], sums[lane]));
    }
    let halves: [f32; 8] = std::array::from_fn(|lane| sums[lane] + sums[lane + 8]);
    let quarters: [f32; 4] = std::array::from_fn(|lane| halves[lane] + halves[lane + 4]);
    let sum = (quarters[0] + quarters[2]) + (quarters[1] + quarters[3]);
    a_rest.iter().zip(b_rest).fold(sum, |sum, (x, y)| sum + x * y)
}

per_level! {
    /// `out[i]` becomes [`dot`] of `a` and row `rows[i]` of a table whose rows are as long as `a`. Rows that lie far apart
    /// are fetched ahead, so that their memory is waited for once and not once each.
    ///
    /// # Panics
    /// If there are not as many rows as places in `out`, or a row lies outside the table.
    pub fn dot_rows(a: &[f32], table: &[f32], rows: &[u32], out: &mut [f32]) = dot_rows_body
}

/// How far ahead rows are fetched, in numbers: enough to cover the wait, little enough to stay in the nearest cache.
const AHEAD: usize = 768;

#[inline(always)]
fn dot_rows_body<const FMA: bool>(a: &[f32], table: &[f32], rows: &[u32], out: &mut [f32]) {
    assert_eq!(rows.len(), out.len(), "dot_rows: {} rows for {} places", rows.len(), out.len());
    let row = |at: u32| &table[at as usize * a.len()..(at as usize + 1) * a.len()];
    let ahead = (AHEAD / a.len().max(1)).max(1);
    rows.iter().take(ahead).for_each(|&at| prefetch(row(at)));
    for (i, out) in out.iter_mut().enumerate() {
        if let Some(&next) = rows.get(i + ahead) {
            prefetch(row(next));
        }
        *out = dot_body::<FMA>(a, row(rows[i]));
    }
}

/// Asks for memory that will be read soon.
#[inline(always)]
pub fn prefetch<T>(row: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(64 / size_of::<T>().clamp(1, 64)) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that a program can see, and the address lies in `row`.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

per_level! {
    /// Adds `alpha * x[i]` to `y[i]`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) = axpy_body
}

#[inline(always)]
fn axpy_body<const FMA: bool>(alpha: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "axpy: lengths differ");
    for (y, x) in y.iter_mut().zip(x) {
        *y = fma::<FMA>(alpha, *x, *y);
    }
}

/// `out[m,n] = a[m,k] b[n,k]^T`.
///
/// # Panics
/// If a slice does not have the length of its shape.
pub fn matmul_nt(a: &[f32], b: &[f32], out: &mut [f32], m: usize, n: usize, k: usize) {
    product(Layout::Nt, a, b, out, [m, n, k], false);
}

/// `out[m,n] += a[m,k] b[n,k]^T`.
///
/// # Panics
/// If a slice does not have the length of its shape.
pub fn matmul_nt_add(a: &[f32], b: &[f32], out: &mut [f32], m: usize, n: usize, k: usize) {
    product(Layout::Nt, a, b, out, [m, n, k], true);
}

/// `out[m,n] = a[m,k] b[k,n]`.
///
/// # Panics
/// If a slice does not have the length of its shape.
pub fn matmul_nn(a: &[f32], b: &[f32], out: &mut [f32], m: usize, n: usize, k: usize) {
    product(Layout::Nn, a, b, out, [m, n, k], false);
}

/// `out[m,n] += a[m,k] b[k,n]`.
///
/// # Panics
/// If a slice does not have the length of its shape.
pub fn matmul_nn_add(a: &[f32], b: &[f32], out: &mut [f32], m: usize, n: usize, k: usize) {
    product(Layout::Nn, a, b, out, [m, n, k], true);
}

/// `out[m,n] = a[k,m]^T b[k,n]`.
///
/// # Panics
/// If a slice does not have the length of its shape.
pub fn matmul_tn(a: &[f32], b: &[f32], out: &mut [f32], m: usize, n: usize, k: usize) {
    product(Layout::Tn, a, b, out, [m, n, k], false);
}

/// `out[m,n] += a[k,m]^T b[k,n]`.
///
/// # Panics
/// If a slice does not have the length of its shape.
pub fn matmul_tn_add(a: &[f32], b: &[f32], out: &mut [f32], m: usize, n: usize, k: usize) {
    product(Layout::Tn, a, b, out, [m, n, k], true);
}

/// Which operand of a product is transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `a[m,k] b[k,n]`.
    Nn,
    /// `a[m,k] b[n,k]^T`.
    Nt,
    /// `a[k,m]^T b[k,n]`.
    Tn,
}

/// A matrix whose rows begin `stride` numbers apart: a whole one, or some columns of a wider one.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// From its first number on.
    pub data: &'a [f32],
    /// From row to row.
    pub stride: usize,
}

/// A product on this thread alone, for those who give each thread its own rows: `out[m,n]`, whose rows begin `stride` apart,
/// becomes the product, or with `add` grows by it.
///
/// # Panics
/// If a slice is too short for its shape, or rows overlap.
pub fn product_here(
    layout: Layout,
    a: Part<'_>,
    b: Part<'_>,
    out: &mut [f32],
    stride: usize,
    [m, n, k]: [usize; 3],
    add: bool,
) {
    let fits = |len: usize, stride: usize, rows: usize, columns: usize| {
        rows == 0 || columns == 0 || (stride >= columns && (rows - 1) * stride + columns <= len)
    };
    let ((a_rows, a_columns), (b_rows, b_columns)) = match layout {
        Layout::Nn => ((m, k), (k, n)),
        Layout::Nt => ((m, k), (n, k)),
        Layout::Tn => ((k, m), (k, n)),
    };
    assert!(fits(a.data.len(), a.stride, a_rows, a_columns), "product: a has not {a_rows} x {a_columns}");
    assert!(fits(b.data.len(), b.stride, b_rows, b_columns), "product: b has not {b_rows} x {b_columns}");
    assert!(fits(out.len(), stride, m, n), "product: out has not {m} x {n}");
    let ((a_cs, a_rs), (b_cs, b_rs)) = match layout {
        Layout::Nn => ((1, a.stride), (1, b.stride)),
        Layout::Nt => ((1, a.stride), (b.stride, 1)),
        Layout::Tn => ((a.stride, 1), (1, b.stride)),
    };
    // SAFETY: the assertions say that every index below m, n and k with these strides falls inside its slice; `out` is
    // borrowed exclusively and overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            add,
            a.data.as_ptr(),
            a_cs as isize,
            a_rs as isize,
            b.data.as_ptr(),
            b_cs as isize,
            b_rs as isize,
            if add { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

fn product(layout: Layout, a: &[f32], b: &[f32], out: &mut [f32], [m, n, k]: [usize; 3], add: bool) {
    let size = |rows: usize, columns: usize| rows.checked_mul(columns).expect("matmul: shape overflows");
    assert_eq!(a.len(), size(m, k), "matmul: a is not {m} x {k}");
    assert_eq!(b.len(), size(k, n), "matmul: b is not {k} x {n}");
    assert_eq!(out.len(), size(m, n), "matmul: out is not {m} x {n}");
    // (column stride, row stride) of the operands as an [m,k] and a [k,n] matrix.
    let ((a_cs, a_rs), (b_cs, b_rs)) = match layout {
        Layout::Nn => ((1, k), (1, n)),
        Layout::Nt => ((1, k), (k, 1)),
        Layout::Tn => ((m, 1), (1, n)),
    };
    let threads = match m.saturating_mul(n).saturating_mul(k) {
        work if work < PARALLEL_FROM => Parallelism::None,
        _ => Parallelism::Rayon(0),
    };
    let alpha = if add { 1.0 } else { 0.0 };
    // SAFETY: the lengths were checked against the shapes above, so that every index below m, n and k with these strides
    // falls inside its slice; `out` is borrowed exclusively and overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.as_ptr(),
            a_cs as isize,
            a_rs as isize,
            b.as_ptr(),
            b_cs as isize,
            b_rs as isize,
            alpha,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}
