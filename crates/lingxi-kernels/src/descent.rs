//! One step downhill for parameters so many that memory is what takes time: each is read and written once, on all threads, and
//! results do not depend on how many there are.

use crate::cpu::{fma, per_level};
use crate::products::dot;
use rayon::prelude::*;

/// Numbers of a task.
const PART: usize = 1 << 16;
/// Numbers whose squares are added in f32; the sums of these are added in f64.
const RUN: usize = 1 << 12;

/// The Euclidean length of `x`.
pub fn length(x: &[f32]) -> f32 {
    let square = |part: &[f32]| part.chunks(RUN).map(|run| f64::from(dot(run, run))).sum::<f64>();
    let parts: Vec<f64> = x.par_chunks(PART).map(square).collect();
    parts.iter().sum::<f64>().sqrt() as f32
}

/// What a step needs besides its columns: that of AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), or of [`sgd`], which has no
/// use for `beta`, `bias` and `epsilon`.
#[derive(Clone, Copy, Debug)]
pub struct Descent {
    /// What gradients are multiplied by: below 1 where they are clipped.
    pub scale: f32,
    /// Decay of the mean of gradients, and of the mean of their squares.
    pub beta: [f32; 2],
    /// What both means are divided by, since they began at zero.
    pub bias: [f32; 2],
    /// Step size.
    pub rate: f32,
    /// Keeps the division finite.
    pub epsilon: f32,
    /// Weight decay.
    pub decay: f32,
}

/// `m` and `v` become the means of gradients and of their squares, and `w -= rate (m / sqrt(v) + decay w)`.
///
/// # Panics
/// If the lengths differ.
pub fn adamw(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], step: Descent) {
    let n = w.len();
    assert!(g.len() == n && m.len() == n && v.len() == n, "adamw: columns differ in length");
    let columns = w.par_chunks_mut(PART).zip(g.par_chunks(PART));
    columns.zip(m.par_chunks_mut(PART).zip(v.par_chunks_mut(PART))).for_each(|((w, g), (m, v))| part(w, g, m, v, step));
}

per_level! { fn part(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], step: Descent) = part_body }

#[inline(always)]
fn part_body<const FMA: bool>(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], step: Descent) {
    let Descent { scale, beta: [b1, b2], bias: [bias1, bias2], rate, epsilon, decay } = step;
    for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
        let g = g * scale;
        *m = fma::<FMA>(b1, *m, (1.0 - b1) * g);
        *v = fma::<FMA>(b2, *v, (1.0 - b2) * g * g);
        *w -= rate * (*m / bias1 / ((*v / bias2).sqrt() + epsilon) + decay * *w);
    }
}

/// `v` becomes `momentum v + scale g + decay w`, and `w -= rate v` (Sutskever et al. 2013, in the form of PyTorch).
///
/// # Panics
/// If the lengths differ.
pub fn sgd(w: &mut [f32], g: &[f32], v: &mut [f32], momentum: f32, step: Descent) {
    assert!(g.len() == w.len() && v.len() == w.len(), "sgd: columns differ in length");
    let columns = w.par_chunks_mut(PART).zip(g.par_chunks(PART)).zip(v.par_chunks_mut(PART));
    columns.for_each(|((w, g), v)| roll(w, g, v, momentum, step));
}

per_level! { fn roll(w: &mut [f32], g: &[f32], v: &mut [f32], momentum: f32, step: Descent) = roll_body }

#[inline(always)]
fn roll_body<const FMA: bool>(w: &mut [f32], g: &[f32], v: &mut [f32], momentum: f32, step: Descent) {
    for ((w, g), v) in w.iter_mut().zip(g).zip(v) {
        *v = fma::<FMA>(momentum, *v, fma::<FMA>(step.decay, *w, step.scale * g));
        *w -= step.rate * *v;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_that_of_sixty_four_bits_and_alike_on_any_number_of_threads() {
        let x: Vec<f32> = (0..200_001).map(|i| ((i * 37 % 101) as f32 - 50.0) / 7.0).collect();
        let want = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let on = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(|| length(&x));
        assert!((f64::from(on(1)) / want - 1.0).abs() < 1e-6);
        assert_eq!(on(1).to_bits(), on(3).to_bits());
        assert_eq!(length(&[]), 0.0);
    }
}
