//! What a network does row by row: softmax, layer norm, GELU. All in place.

use crate::cpu::{fma, per_level};
use rayon::prelude::*;

/// Numbers per task; below this one thread does it all.
const GRAIN: usize = 1 << 14;

/// Turns each row of `x[rows,d]` into probabilities. A row of negative infinities becomes zeros.
///
/// # Panics
/// If `x` is no whole number of rows.
pub fn softmax_rows(x: &mut [f32], d: usize) {
    rows(x, d, softmax);
}

/// Brings each row of `x[rows,d]` to mean 0 and variance 1, then `weight * row + bias`.
///
/// # Panics
/// If `x` is no whole number of rows, or `weight` or `bias` is not of length `d`.
pub fn layer_norm_rows(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    assert_eq!(weight.len(), bias.len(), "layer norm: weight and bias differ in length");
    rows(x, weight.len(), |row| layer_norm(row, weight, bias, epsilon));
}

/// [`layer_norm_rows`] on this thread alone.
///
/// # Panics
/// As [`layer_norm_rows`] does.
pub fn layer_norm_here(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    assert_eq!(weight.len(), bias.len(), "layer norm: weight and bias differ in length");
    assert!(
        !weight.is_empty() && x.len().is_multiple_of(weight.len()),
        "layer norm: {} numbers are no whole rows",
        x.len()
    );
    x.chunks_exact_mut(weight.len()).for_each(|row| layer_norm(row, weight, bias, epsilon));
}

/// GELU, the exact one: `x/2 * (1 + erf(x / sqrt 2))`, to an absolute error below 1e-6.
pub fn gelu(x: &mut [f32]) {
    x.par_chunks_mut(GRAIN).for_each(gelu_slice);
}

/// Adds `bias[d]` to each row of `x[rows,d]`, then GELU: one pass over memory instead of two.
///
/// # Panics
/// If `x` is no whole number of rows.
pub fn bias_gelu(x: &mut [f32], bias: &[f32]) {
    rows(x, bias.len(), |row| bias_gelu_row(row, bias));
}

/// Adds `bias[d]` to each row of `x[rows,d]`.
///
/// # Panics
/// If `x` is no whole number of rows.
pub fn add_bias(x: &mut [f32], bias: &[f32]) {
    rows(x, bias.len(), |row| row.iter_mut().zip(bias).for_each(|(x, b)| *x += b));
}

fn rows(x: &mut [f32], d: usize, work: impl Fn(&mut [f32]) + Send + Sync) {
    assert!(d > 0 && x.len().is_multiple_of(d), "{} numbers are no whole rows of length {d}", x.len());
    x.par_chunks_mut(d).with_min_len(GRAIN.div_ceil(d)).for_each(work);
}

per_level! { fn softmax(row: &mut [f32]) = softmax_body }

#[inline(always)]
fn softmax_body<const FMA: bool>(row: &mut [f32]) {
    let scale = powers::<FMA>(row);
    row.iter_mut().for_each(|x| *x *= scale);
}

/// Turns a row into `e^(x - largest)` and returns what makes their sum 1. A row of negative infinities becomes zeros.
#[inline(always)]
pub(crate) fn powers<const FMA: bool>(row: &mut [f32]) -> f32 {
    let top = top(row);
    if top == f32::NEG_INFINITY {
        // No entry is reachable (or all are NaN, which stay visible).
        row.iter_mut().for_each(|x| *x = if x.is_nan() { *x } else { 0.0 });
        return 1.0;
    }
    let (chunks, rest) = row.as_chunks_mut::<16>();
    let mut sums = [0f32; 16];
    for chunk in chunks {
        for (x, sum) in chunk.iter_mut().zip(&mut sums) {
            *x = exp::<FMA>(*x - top);
            *sum += *x;
        }
    }
    rest.iter_mut().for_each(|x| *x = exp::<FMA>(*x - top));
    1.0 / (sums.iter().sum::<f32>() + rest.iter().sum::<f32>())
}

per_level! { fn layer_norm(row: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) = layer_norm_body }

#[inline(always)]
fn layer_norm_body<const FMA: bool>(row: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let n = row.len() as f32;
    let mean = sum(row, |x| x) / n;
    let variance = sum(row, |x| (x - mean) * (x - mean)) / n;
    let scale = 1.0 / (variance + epsilon).sqrt();
    for ((x, w), b) in row.iter_mut().zip(weight).zip(bias) {
        *x = fma::<FMA>((*x - mean) * scale, *w, *b);
    }
}

per_level! { fn gelu_slice(x: &mut [f32]) = gelu_body }

#[inline(always)]
fn gelu_body<const FMA: bool>(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = gelu_one::<FMA>(*x));
}

per_level! { fn bias_gelu_row(row: &mut [f32], bias: &[f32]) = bias_gelu_body }

#[inline(always)]
fn bias_gelu_body<const FMA: bool>(row: &mut [f32], bias: &[f32]) {
    row.iter_mut().zip(bias).for_each(|(x, b)| *x = gelu_one::<FMA>(*x + b));
}

/// The largest number, sixteen at a time.
#[inline(always)]
pub(crate) fn top(row: &[f32]) -> f32 {
    let larger = |top: f32, x: f32| if x > top { x } else { top };
    let (chunks, rest) = row.as_chunks::<16>();
    let mut tops = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        for lane in 0..16 {
            tops[lane] = larger(tops[lane], chunk[lane]);
        }
    }
    let top = tops.into_iter().fold(f32::NEG_INFINITY, larger);
    rest.iter().copied().fold(top, larger)
}

/// Sixteen partial sums, so that the additions do not wait for each other.
#[inline(always)]
pub(crate) fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = row.as_chunks::<16>();
    let mut sums = [0f32; 16];
    for chunk in chunks {
        for lane in 0..16 {
            sums[lane] += f(chunk[lane]);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&x| f(x)).sum::<f32>()
}

/// Beyond this GELU is `x` or 0, to 2e-7.
const FAR: f32 = 5.4;

/// `x/2 + x * r(x)` with `r` a quotient of two polynomials in `x^2`, fitted to `erf(x / sqrt 2) / 2` over `+-FAR` so that the
/// largest error of the product is smallest: 2e-8 in exact arithmetic, below 1e-6 (relative beyond 1) in f32.
#[inline(always)]
pub(crate) fn gelu_one<const FMA: bool>(x: f32) -> f32 {
    let near = x.clamp(-FAR, FAR);
    let s = near * near;
    let over = [2.277_699e-8, 6.490_333_3e-6, 1.762_625e-4, 4.722_378e-3, 3.449_174_6e-2, 3.989_420_5e-1];
    let under = [1.208_659_6e-6, 7.650_891e-5, 1.925_471_4e-3, 2.902_770_7e-2, 2.531_222_7e-1, 1.0];
    let along = |p: [f32; 6]| p[1..].iter().fold(p[0], |sum, &c| fma::<FMA>(sum, s, c));
    let half = near * (along(over) / along(under));
    if x < -FAR { 0.0 } else { x * (0.5 + half) }
}

/// `e^x` to about two units in the last place for `x <= 0`... up to 88; below -87 it is 0.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    // x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts keeps r exact.
    let clamped = x.clamp(-87.0, 88.0);
    // A float this large has no digits behind the point: adding it rounds, and its last bits are the whole number.
    const POINT: f32 = 12_582_912.0;
    let pointed = fma::<FMA>(clamped, std::f32::consts::LOG2_E, POINT);
    let n = pointed - POINT;
    let r = fma::<FMA>(n, 2.121_944_4e-4, fma::<FMA>(n, -0.693_359_4, clamped));
    let p = [1.987_569_2e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let poly = p.iter().fold(0.0, |sum, &c| fma::<FMA>(sum, r, c));
    let y = fma::<FMA>(poly, r * r, r) + 1.0;
    let power = f32::from_bits((pointed.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.0 { 0.0 } else { y * power }
}
