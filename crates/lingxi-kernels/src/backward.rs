//! What training needs of the kernels besides their values: forwards that keep what the way back reads, and the ways back.
//! All on the thread that calls, in place: gradients of what went out come in, gradients of what came in go out.

use crate::cpu::{fma, per_level};
use crate::rows::{exp, gelu_one, sum};

/// What [`layer_norm_backward`] reads.
#[derive(Clone, Debug, Default)]
pub struct Normal {
    /// The rows with mean 0 and variance 1.
    rows: Vec<f32>,
    /// What each row was multiplied by.
    scales: Vec<f32>,
}

/// Brings each row of `x[rows,d]` to mean 0 and variance 1, then `weight * row + bias`, and keeps what the way back reads.
///
/// # Panics
/// If `x` is no whole number of rows, or `weight` and `bias` differ in length.
pub fn layer_norm_keep(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32, kept: &mut Normal) {
    let d = weight.len();
    assert!(d > 0 && bias.len() == d && x.len().is_multiple_of(d), "layer norm: {} numbers in rows of {d}", x.len());
    kept.rows.resize(x.len(), 0.0);
    kept.scales.resize(x.len() / d, 0.0);
    for ((x, row), scale) in x.chunks_exact_mut(d).zip(kept.rows.chunks_exact_mut(d)).zip(&mut kept.scales) {
        *scale = normalise(x, weight, bias, epsilon, row);
    }
}

/// The gradient of [`layer_norm_keep`]: `dy` becomes `dx`, and the gradients of weight and bias grow.
///
/// # Panics
/// If `dy` is not of the rows that were kept.
pub fn layer_norm_backward(dy: &mut [f32], weight: &[f32], kept: &Normal, dw: &mut [f32], db: &mut [f32]) {
    let d = weight.len();
    assert_eq!(
        (dy.len(), dw.len(), db.len()),
        (kept.rows.len(), d, d),
        "layer norm: gradients are not of what was kept"
    );
    for ((dy, row), scale) in dy.chunks_exact_mut(d).zip(kept.rows.chunks_exact(d)).zip(&kept.scales) {
        normalise_back(dy, weight, row, *scale, dw, db);
    }
}

per_level! {
    fn normalise(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32, row: &mut [f32]) -> f32 = normalise_body
}

#[inline(always)]
fn normalise_body<const FMA: bool>(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32, row: &mut [f32]) -> f32 {
    let n = x.len() as f32;
    let mean = sum(x, |x| x) / n;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / n;
    let scale = 1.0 / (variance + epsilon).sqrt();
    for (((x, row), w), b) in x.iter_mut().zip(row).zip(weight).zip(bias) {
        *row = (*x - mean) * scale;
        *x = fma::<FMA>(*row, *w, *b);
    }
    scale
}

per_level! {
    fn normalise_back(dy: &mut [f32], weight: &[f32], row: &[f32], scale: f32, dw: &mut [f32], db: &mut [f32])
        = normalise_back_body
}

#[inline(always)]
fn normalise_back_body<const FMA: bool>(
    dy: &mut [f32],
    weight: &[f32],
    row: &[f32],
    scale: f32,
    dw: &mut [f32],
    db: &mut [f32],
) {
    let n = dy.len() as f32;
    for ((((dy, w), row), dw), db) in dy.iter_mut().zip(weight).zip(row).zip(dw).zip(db) {
        *dw += *dy * row;
        *db += *dy;
        *dy *= w;
    }
    let (mean, along) = (sum(dy, |x| x) / n, crate::products::dot_body::<FMA>(dy, row) / n);
    dy.iter_mut().zip(row).for_each(|(dy, row)| *dy = scale * (*dy - mean - row * along));
}

per_level! {
    /// GELU of `x` into `out`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn gelu_into(x: &[f32], out: &mut [f32]) = gelu_into_body
}

#[inline(always)]
fn gelu_into_body<const FMA: bool>(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "gelu: lengths differ");
    out.iter_mut().zip(x).for_each(|(out, x)| *out = gelu_one::<FMA>(*x));
}

per_level! {
    /// The gradient of GELU at `x`: `dy` becomes `dx`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn gelu_backward(x: &[f32], dy: &mut [f32]) = gelu_backward_body
}

#[inline(always)]
fn gelu_backward_body<const FMA: bool>(x: &[f32], dy: &mut [f32]) {
    assert_eq!(x.len(), dy.len(), "gelu: lengths differ");
    const PEAK: f32 = 0.398_942_3;
    for (dy, &x) in dy.iter_mut().zip(x) {
        // Below this size the quotient of value and place would lose its digits; there the area is a half, to 1e-5.
        let area = if x.abs() > 1e-5 { gelu_one::<FMA>(x) / x } else { 0.5 };
        *dy *= fma::<FMA>(x * PEAK, exp::<FMA>(-0.5 * x * x), area);
    }
}

per_level! {
    /// `1 / (1 + e^-x)` in place.
    pub fn sigmoid(x: &mut [f32]) = sigmoid_body
}

#[inline(always)]
fn sigmoid_body<const FMA: bool>(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = 1.0 / (1.0 + exp::<FMA>(-*x)));
}

per_level! {
    /// The hyperbolic tangent in place.
    pub fn tanh(x: &mut [f32]) = tanh_body
}

#[inline(always)]
fn tanh_body<const FMA: bool>(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = 2.0 / (1.0 + exp::<FMA>(-2.0 * *x)) - 1.0);
}

per_level! {
    /// Sets a share of `x` to zero and scales the others up, so that the mean stays. The same seed and length give the same
    /// places, so the gradient goes through the same call and no mask is stored.
    pub fn dropout(x: &mut [f32], share: f32, seed: u32) = dropout_body
}

#[inline(always)]
fn dropout_body<const FMA: bool>(x: &mut [f32], share: f32, seed: u32) {
    if share <= 0.0 {
        return;
    }
    let (least, scale) = ((share * 4_294_967_296.0) as u32, 1.0 / (1.0 - share));
    for (at, x) in x.iter_mut().enumerate() {
        // A mixing of whole numbers (the finaliser of MurmurHash3) that vector units have instructions for.
        let mut h = (at as u32).wrapping_mul(0x9e37_79b1).wrapping_add(seed);
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        h ^= h >> 16;
        *x = if h >= least { *x * scale } else { 0.0 };
    }
}
