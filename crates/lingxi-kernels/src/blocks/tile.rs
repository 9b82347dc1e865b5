//! A few rows times a panel of a matrix in Q8_0, and the rounding of rows.
//!
//! With 512 bits, six rows times two vectors of columns are twelve sums of bytes and twelve of floats in registers: the sums of
//! a block are made in whole numbers, then scaled and added.

use super::{BLOCK, BlockRows, PANEL, Piece, STEPS};
use crate::cpu::{self, fma, per_level};
use half::f16;
use std::ops::Range;

/// Most rows of a tile.
pub(super) const ROWS: usize = 6;

#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [[f32; PANEL]; ROWS]);

/// `sums[row, column]` of a few rows and a panel.
pub(super) fn multiply(x: &BlockRows, rows: Range<usize>, panel: &[Piece], sums: &mut Sums) {
    let blocks = panel.len();
    let (m, from, to) = (rows.len(), rows.start * blocks, rows.end * blocks);
    assert!(m <= ROWS && blocks * BLOCK == x.k, "blocks: {m} rows of a tile");
    let rows =
        Rows { steps: &x.steps[from * STEPS..to * STEPS], scales: &x.scales[from..to], starts: &x.starts[from..to] };
    #[cfg(target_arch = "x86_64")]
    if cpu::multiplies_bytes() {
        // SAFETY: the processor has the instructions, and the parts of `rows` were cut to `m` rows of as many blocks as the panel.
        return unsafe { wide(&rows, m, panel, sums) };
    }
    plain(&rows, m, panel, sums);
}

struct Rows<'a> {
    steps: &'a [u32],
    scales: &'a [f32],
    starts: &'a [i32],
}

/// # Safety
/// The processor has the features; `x` has `m` rows, at most [`ROWS`], of as many blocks as the panel.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni,avx2,fma")]
unsafe fn wide(x: &Rows<'_>, m: usize, panel: &[Piece], sums: &mut Sums) {
    // SAFETY: the caller's promise, with the number of rows known.
    unsafe {
        match m {
            1 => wide_rows::<1>(x, panel, sums),
            2 => wide_rows::<2>(x, panel, sums),
            3 => wide_rows::<3>(x, panel, sums),
            4 => wide_rows::<4>(x, panel, sums),
            5 => wide_rows::<5>(x, panel, sums),
            6 => wide_rows::<6>(x, panel, sums),
            _ => {}
        }
    }
}

/// # Safety
/// As [`wide`], of `M` rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni,avx2,fma")]
unsafe fn wide_rows<const M: usize>(x: &Rows<'_>, panel: &[Piece], sums: &mut Sums) {
    use std::arch::x86_64::*;
    let blocks = panel.len();
    let mut all = [[_mm512_setzero_ps(); 2]; M];
    for (block, piece) in panel.iter().enumerate() {
        // SAFETY: row `i < M` has `blocks` scales and starts and `blocks * STEPS` steps; a piece has 32 scales, and its steps
        // are 128 bytes each.
        unsafe {
            let mut whole = [[_mm512_setzero_si512(); 2]; M];
            for (i, whole) in whole.iter_mut().enumerate() {
                *whole = [_mm512_set1_epi32(*x.starts.get_unchecked(i * blocks + block)); 2];
            }
            for (step, bytes) in piece.steps.iter().enumerate() {
                let (w0, w1) =
                    (_mm512_load_si512(bytes.as_ptr().cast()), _mm512_load_si512(bytes.as_ptr().add(64).cast()));
                for (i, [s0, s1]) in whole.iter_mut().enumerate() {
                    let at = (i * blocks + block) * STEPS + step;
                    let four = _mm512_set1_epi32(*x.steps.get_unchecked(at) as i32);
                    *s0 = _mm512_dpbusd_epi32(*s0, w0, four);
                    *s1 = _mm512_dpbusd_epi32(*s1, w1, four);
                }
            }
            let scales = piece.scales.as_ptr();
            let d0 = _mm512_cvtph_ps(_mm256_load_si256(scales.cast()));
            let d1 = _mm512_cvtph_ps(_mm256_load_si256(scales.add(16).cast()));
            for (i, ([a0, a1], [s0, s1])) in all.iter_mut().zip(whole).enumerate() {
                let scale = _mm512_set1_ps(*x.scales.get_unchecked(i * blocks + block));
                *a0 = _mm512_fmadd_ps(_mm512_mul_ps(d0, scale), _mm512_cvtepi32_ps(s0), *a0);
                *a1 = _mm512_fmadd_ps(_mm512_mul_ps(d1, scale), _mm512_cvtepi32_ps(s1), *a1);
            }
        }
    }
    for (row, [a0, a1]) in sums.0.iter_mut().zip(all) {
        // SAFETY: a row of sums has 32 places.
        unsafe {
            _mm512_storeu_ps(row.as_mut_ptr(), a0);
            _mm512_storeu_ps(row.as_mut_ptr().add(16), a1);
        }
    }
}

per_level! { fn plain(x: &Rows<'_>, m: usize, panel: &[Piece], sums: &mut Sums) = plain_body }

/// Row by row, in what every processor has; the same numbers.
#[inline(always)]
fn plain_body<const FMA: bool>(x: &Rows<'_>, m: usize, panel: &[Piece], sums: &mut Sums) {
    for (row, sums) in sums.0.iter_mut().take(m).enumerate() {
        let mut all = [0f32; PANEL];
        for (block, piece) in panel.iter().enumerate() {
            let at = row * panel.len() + block;
            let mut whole = [x.starts[at]; PANEL];
            for (bytes, four) in piece.steps.iter().zip(&x.steps[at * STEPS..(at + 1) * STEPS]) {
                let four = four.to_le_bytes().map(|byte| i32::from(byte as i8));
                for (sum, bytes) in whole.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *sum += (0..4).map(|i| i32::from(bytes[i]) * four[i]).sum::<i32>();
                }
            }
            for ((all, sum), scale) in all.iter_mut().zip(whole).zip(piece.scales) {
                *all = fma::<FMA>(f16::from_bits(scale).to_f32() * x.scales[at], sum as f32, *all);
            }
        }
        *sums = all;
    }
}

per_level! {
    fn round_rows(x: &[f32], steps: &mut [u32], scales: &mut [f32], starts: &mut [i32]) = round_body
}

/// All blocks of `x` to bytes from -127 to 127.
pub(super) fn round(x: &[f32], steps: &mut [u32], scales: &mut [f32], starts: &mut [i32]) {
    round_rows(x, steps, scales, starts);
}

#[inline(always)]
fn round_body<const FMA: bool>(x: &[f32], steps: &mut [u32], scales: &mut [f32], starts: &mut [i32]) {
    let blocks = x.as_chunks::<BLOCK>().0.iter().zip(steps.as_chunks_mut::<STEPS>().0);
    for ((block, steps), (scale, start)) in blocks.zip(scales.iter_mut().zip(starts)) {
        let mut tops = [0f32; 16];
        for (i, x) in block.iter().enumerate() {
            tops[i % 16] = if x.abs() > tops[i % 16] { x.abs() } else { tops[i % 16] };
        }
        let top = tops.iter().fold(0f32, |top, &x| if x > top { x } else { top });
        let unit = 127.0 / top;
        // A block of zeros, or one too small or too large for a scale, is worth nothing.
        let fits = unit > 0.0 && unit < f32::INFINITY;
        let unit = if fits { unit } else { 0.0 };
        *scale = if fits { top / 127.0 } else { 0.0 };
        let mut bytes = [0i32; BLOCK];
        for (byte, x) in bytes.iter_mut().zip(block) {
            // A float this large has no digits behind the point: adding it rounds, and its last bits are the whole number.
            const POINT: f32 = 12_582_912.0;
            *byte = (x * unit + POINT).to_bits() as i32 - POINT.to_bits() as i32;
        }
        *start = -128 * bytes.iter().sum::<i32>();
        for (step, four) in steps.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *step = four[0] as u32 & 255
                | (four[1] as u32 & 255) << 8
                | (four[2] as u32 & 255) << 16
                | (four[3] as u32) << 24;
        }
    }
}
