//! What a network that writes does row by row: RMS norm, rotation by position, SiLU as a gate, and softmax over a past and a
//! present that lie apart.

use crate::cpu::per_level;
use crate::rows::{exp, sum, top};

/// Each row of `x[rows,d]` over the root of its mean square, times `weight`, into `out`.
///
/// # Panics
/// If `x` is no whole number of rows of the length of `weight`, or `out` is of another length.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let d = weight.len();
    assert!(d > 0 && x.len().is_multiple_of(d) && x.len() == out.len(), "rms norm: {} numbers, rows of {d}", x.len());
    x.chunks_exact(d).zip(out.chunks_exact_mut(d)).for_each(|(x, out)| norm(x, weight, epsilon, out));
}

per_level! { fn norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) = norm_body }

#[inline(always)]
fn norm_body<const FMA: bool>(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let scale = 1.0 / (sum(x, |x| x * x) / x.len() as f32 + epsilon).sqrt();
    out.iter_mut().zip(x).zip(weight).for_each(|((out, x), w)| *out = x * scale * w);
}

per_level! {
    /// Turns each pair `(x[2i], x[2i+1])` of each head by the angle whose cosine and sine are `turns[i]`; the head is as wide as
    /// `turns` has pairs.
    ///
    /// # Panics
    /// If `x` is no whole number of heads.
    pub fn rotate(x: &mut [f32], turns: &[[f32; 2]]) = rotate_body
}

#[inline(always)]
fn rotate_body<const FMA: bool>(x: &mut [f32], turns: &[[f32; 2]]) {
    let d = 2 * turns.len();
    assert!(d > 0 && x.len().is_multiple_of(d), "rotate: {} numbers are no heads of {d}", x.len());
    for head in x.chunks_exact_mut(d) {
        for (pair, [cos, sin]) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
            *pair = [pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos];
        }
    }
}

per_level! {
    /// `out = silu(gate) * up`, where `x` is `gate` and then `up`; `silu(x) = x / (1 + e^-x)`.
    ///
    /// # Panics
    /// If `x` is not twice as long as `out`.
    pub fn swiglu(x: &[f32], out: &mut [f32]) = swiglu_body
}

#[inline(always)]
fn swiglu_body<const FMA: bool>(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), 2 * out.len(), "swiglu: gate and up differ in length");
    let (gate, up) = x.split_at(out.len());
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        // Of a very negative number e^-x would overflow; there silu is 0 to the last digit anyway.
        *out = if *gate < -87.0 { 0.0 } else { gate / (1.0 + exp::<FMA>(-gate)) * up };
    }
}

per_level! {
    /// Softmax of one row of scores of which the first part lies in `past`, the rest in `now`. A row of negative infinities
    /// becomes zeros.
    pub fn softmax_both(past: &mut [f32], now: &mut [f32]) = softmax_both_body
}

#[inline(always)]
fn softmax_both_body<const FMA: bool>(past: &mut [f32], now: &mut [f32]) {
    let (a, b) = (top(past), top(now));
    let top = if a > b { a } else { b };
    if top == f32::NEG_INFINITY {
        past.iter_mut().chain(now).for_each(|x| *x = if x.is_nan() { *x } else { 0.0 });
        return;
    }
    let scale = 1.0 / (powers::<FMA>(past, top) + powers::<FMA>(now, top));
    past.iter_mut().for_each(|x| *x *= scale);
    now.iter_mut().for_each(|x| *x *= scale);
}

/// `e^(x - top)` in place, and their sum.
#[inline(always)]
fn powers<const FMA: bool>(row: &mut [f32], top: f32) -> f32 {
    let (chunks, rest) = row.as_chunks_mut::<16>();
    let mut sums = [0f32; 16];
    for chunk in chunks {
        for (x, sum) in chunk.iter_mut().zip(&mut sums) {
            *x = exp::<FMA>(*x - top);
            *sum += *x;
        }
    }
    rest.iter_mut().for_each(|x| *x = exp::<FMA>(*x - top));
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

per_level! {
    /// The logarithm of the sum of `e^x`, about the largest.
    pub fn log_sum_exp(row: &[f32]) -> f32 = log_sum_exp_body
}

#[inline(always)]
fn log_sum_exp_body<const FMA: bool>(row: &[f32]) -> f32 {
    let top = top(row);
    if top == f32::NEG_INFINITY { top } else { top + sum(row, |x| exp::<FMA>(x - top)).ln() }
}
