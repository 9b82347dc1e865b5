//! The left side of a product: rows of numbers, rounded to the product's precision.

use super::Precision;
use crate::cpu::per_level;

/// Rows `x[m,k]` in one precision. A buffer: filled again and again, it allocates only when it has to grow.
pub struct Rows {
    precision: Precision,
    m: usize,
    k: usize,
    /// `[m, steps]`
    steps: Vec<u32>,
    /// Of int8: what one unit of each row is worth, and which byte means zero.
    scales: Vec<f32>,
    zeros: Vec<i32>,
    /// Where a product leaves f32 until a row is whole and its scale known.
    staged: Vec<f32>,
}

impl Default for Rows {
    fn default() -> Rows {
        Rows { precision: Precision::F32, m: 0, k: 0, steps: vec![], scales: vec![], zeros: vec![], staged: vec![] }
    }
}

impl Rows {
    /// Takes the rows of `x[_,k]`.
    ///
    /// # Panics
    /// If `x` is no whole number of rows.
    pub fn fill(&mut self, x: &[f32], k: usize, precision: Precision) {
        assert!(x.is_empty() || (k > 0 && x.len().is_multiple_of(k)), "rows: {} numbers are no rows of {k}", x.len());
        self.resize(x.len().checked_div(k).unwrap_or(0), k, precision);
        let wide = precision.steps(k);
        for (row, (x, steps)) in x.chunks_exact(k.max(1)).zip(self.steps.chunks_exact_mut(wide.max(1))).enumerate() {
            match precision {
                Precision::F32 => steps.iter_mut().zip(x).for_each(|(step, x)| *step = x.to_bits()),
                Precision::Bf16 => round(x, steps),
                Precision::Int8 => quantise(x, steps, &mut self.scales[row], &mut self.zeros[row]),
            }
        }
    }

    /// Takes rows of f32 or bf16 in another precision.
    ///
    /// # Panics
    /// If `other` is in int8.
    pub fn convert(&mut self, other: &Rows, precision: Precision) -> &Rows {
        assert!(other.precision != Precision::Int8, "rows: bytes are not taken apart");
        let mut staged = std::mem::take(&mut self.staged);
        staged.resize(other.m * other.k, 0.0);
        for (row, out) in staged.chunks_exact_mut(other.k.max(1)).enumerate() {
            let steps = other.steps_of(row);
            match other.precision {
                Precision::F32 => out.iter_mut().zip(steps).for_each(|(x, step)| *x = f32::from_bits(*step)),
                _ => widen(steps, out),
            }
        }
        self.fill(&staged, other.k, precision);
        self.staged = staged;
        self
    }

    /// Makes room for `m` rows; what lies beyond `k` in a row is zero.
    pub(crate) fn resize(&mut self, m: usize, k: usize, precision: Precision) {
        let wide = precision.steps(k);
        if (self.k, self.precision) != (k, precision) {
            // What lies beyond k must be zero; of bytes it may be anything, since the matrix is zero there.
            self.steps.clear();
        }
        (self.m, self.k, self.precision) = (m, k, precision);
        self.steps.resize(m * wide, 0);
        let of_bytes = if precision == Precision::Int8 { m } else { 0 };
        self.scales.resize(of_bytes, 0.0);
        self.zeros.resize(of_bytes, 0);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.m
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.m == 0
    }

    /// Numbers of a row.
    pub fn k(&self) -> usize {
        self.k
    }

    /// In which numbers it is kept.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    pub(crate) fn all_steps(&self) -> &[u32] {
        &self.steps
    }

    pub(crate) fn all_steps_mut(&mut self) -> &mut [u32] {
        &mut self.steps
    }

    pub(super) fn steps_of(&self, row: usize) -> &[u32] {
        let wide = self.precision.steps(self.k);
        &self.steps[row * wide..(row + 1) * wide]
    }

    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }

    pub(super) fn zeros(&self) -> &[i32] {
        &self.zeros
    }

    pub(super) fn staged(&mut self) -> &mut Vec<f32> {
        &mut self.staged
    }

    /// Takes what was staged.
    pub(super) fn fill_staged(&mut self, k: usize, precision: Precision) {
        let staged = std::mem::take(&mut self.staged);
        self.fill(&staged, k, precision);
        self.staged = staged;
    }
}

/// The upper half of the nearest bf16 (ties to even; what is no number stays none).
#[inline(always)]
pub(crate) fn bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    let near = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    if x.is_nan() { 0x7fc0 } else { near }
}

per_level! { fn widen(steps: &[u32], x: &mut [f32]) = widen_body }

#[inline(always)]
fn widen_body<const FMA: bool>(steps: &[u32], x: &mut [f32]) {
    let (pairs, last) = x.as_chunks_mut::<2>();
    let both = |step: u32| [f32::from_bits(step << 16), f32::from_bits(step & 0xffff_0000)];
    pairs.iter_mut().zip(steps).for_each(|(pair, step)| *pair = both(*step));
    if let ([last], Some(step)) = (last, steps.get(pairs.len())) {
        *last = both(*step)[0];
    }
}

per_level! { fn round(x: &[f32], steps: &mut [u32]) = round_body }

#[inline(always)]
pub(super) fn round_body<const FMA: bool>(x: &[f32], steps: &mut [u32]) {
    let (pairs, last) = x.as_chunks::<2>();
    steps.iter_mut().zip(pairs).for_each(|(step, [a, b])| *step = bf16(*a) | bf16(*b) << 16);
    if let [last] = last {
        steps[pairs.len()] = bf16(*last);
    }
}

per_level! { fn quantise(x: &[f32], steps: &mut [u32], scale: &mut f32, zero: &mut i32) = quantise_body }

#[inline(always)]
fn quantise_body<const FMA: bool>(x: &[f32], steps: &mut [u32], scale: &mut f32, zero: &mut i32) {
    // Zero is always within, and always a byte of its own.
    let (chunks, rest) = x.as_chunks::<16>();
    let (mut tops, mut lows) = ([0f32; 16], [0f32; 16]);
    for chunk in chunks {
        for lane in 0..16 {
            tops[lane] = larger(tops[lane], chunk[lane]);
            lows[lane] = larger(lows[lane], -chunk[lane]);
        }
    }
    let top = tops.iter().chain(rest).fold(0.0, |top, &x| larger(top, x));
    let low = rest.iter().fold(lows.iter().fold(0.0, |low, &x| larger(low, x)), |low, x| larger(low, -x));
    let unit = 255.0 / (top + low);
    // A row of zeros (or one that is too large or too small for a scale) has bytes that are worth nothing.
    let fits = unit > 0.0 && unit < f32::INFINITY && top + low < f32::INFINITY;
    let unit = if fits { unit } else { 0.0 };
    *scale = if fits { (top + low) / 255.0 } else { 0.0 };
    let nought = (low * unit).round_ties_even();
    *zero = nought as i32;
    // A float this large has no digits behind the point: adding it rounds (ties to even), and its last byte is the number.
    const POINT: f32 = 12_582_912.0;
    let byte = |x: f32| ((x * unit).clamp(-nought, 255.0 - nought) + POINT).to_bits().wrapping_add(nought as u32) as u8;
    let (wide, rest) = x.as_chunks::<64>();
    let (wide_steps, rest_steps) = steps.as_chunks_mut::<16>();
    for (steps, x) in wide_steps.iter_mut().zip(wide) {
        let mut bytes = [0u8; 64];
        for lane in 0..64 {
            bytes[lane] = byte(x[lane]);
        }
        for (step, four) in steps.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *step = u32::from_le_bytes(*four);
        }
    }
    let left = wide_steps.iter_mut().skip(wide.len()).flatten().chain(rest_steps);
    for (step, some) in left.zip(rest.chunks(4)) {
        *step = (0..4).fold(0, |all, at| all | u32::from(byte(some.get(at).copied().unwrap_or(0.0))) << (8 * at));
    }
}

#[inline(always)]
fn larger(top: f32, x: f32) -> f32 {
    if x > top { x } else { top }
}
