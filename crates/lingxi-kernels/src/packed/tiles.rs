//! A block of rows times a panel: the innermost loops, one per kind of numbers and per level of the processor.
//!
//! With 512 bits, twelve rows times two vectors of columns are 24 sums in registers; each step loads two vectors of the
//! panel and one broadcast per row, so that the multipliers never wait for memory that is in a cache. With 256 bits it is
//! six rows times two vectors, half a panel at a time. A processor without instructions for bf16 or bytes takes the steps
//! apart: slower, with the same numbers.

use super::{Line, PANEL, Precision, ROWS, Sums, amx};
use crate::cpu::{self, Level, fma, per_level};

/// Which loop runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tiles {
    #[cfg(target_arch = "x86_64")]
    Amx(Precision),
    #[cfg(target_arch = "x86_64")]
    Wide(Precision),
    #[cfg(target_arch = "x86_64")]
    Half,
    Plain(Precision),
}

impl Tiles {
    /// The fastest for a packed matrix.
    pub(super) fn choose(precision: Precision) -> Tiles {
        #[cfg(target_arch = "x86_64")]
        if cpu::level() == Level::Amx && precision != Precision::F32 {
            return Tiles::Amx(precision);
        }
        Tiles::vectors(precision)
    }

    /// The fastest that takes any number of steps.
    pub(crate) fn vectors(precision: Precision) -> Tiles {
        #[cfg(target_arch = "x86_64")]
        {
            let multiplies = match precision {
                Precision::F32 => cpu::level() >= Level::Avx512,
                Precision::Bf16 => cpu::multiplies_bf16(),
                Precision::Int8 => cpu::multiplies_bytes(),
            };
            if multiplies {
                return Tiles::Wide(precision);
            }
            if cpu::level() == Level::Avx2 && precision == Precision::F32 {
                return Tiles::Half;
            }
        }
        Tiles::Plain(precision)
    }

    /// Rows of a block.
    pub(crate) fn rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Tiles::Amx(_) => ROWS,
            #[cfg(target_arch = "x86_64")]
            Tiles::Wide(_) => 12,
            #[cfg(target_arch = "x86_64")]
            Tiles::Half => 6,
            Tiles::Plain(_) => 4,
        }
    }

    /// `sums[row, column]` of `m` rows (at most [`Tiles::rows`]) that begin `stride` apart in `x`, and a panel.
    pub(crate) fn multiply(self, x: &[u32], stride: usize, m: usize, panel: &[Line], sums: &mut Sums) {
        assert!(m > 0 && m <= self.rows() && (m - 1) * stride + panel.len() <= x.len(), "tiles: x has not {m} rows");
        match self {
            #[cfg(target_arch = "x86_64")]
            Tiles::Amx(precision) => amx::multiply(precision, x, stride, m, panel, sums),
            // SAFETY: `choose` found the instructions, and the shapes were checked above.
            #[cfg(target_arch = "x86_64")]
            Tiles::Wide(Precision::F32) => unsafe { wide_f32(x, stride, m, panel, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Tiles::Wide(Precision::Bf16) => unsafe { wide_bf16(x, stride, m, panel, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Tiles::Wide(Precision::Int8) => unsafe { wide_int8(x, stride, m, panel, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Tiles::Half => unsafe { half_f32(x, stride, m, panel, sums) },
            Tiles::Plain(precision) => plain(precision, x, stride, m, panel, sums),
        }
    }
}

/// Writes the loop of one kind of numbers: `$rows` rows at most, `$lanes` sums in a vector, two vectors at a time.
#[cfg(target_arch = "x86_64")]
macro_rules! block {
    ($name:ident, $inner:ident, $features:literal, [$($rows:literal)*], $lanes:literal,
     $zero:expr, $load:expr, $broadcast:expr, $multiply:expr, $store:expr) => {
        /// # Safety
        /// The processor has the features; `m` is in the list; as many rows as the panel has lines begin `stride` apart in `x`.
        #[target_feature(enable = $features)]
        unsafe fn $name(x: &[u32], stride: usize, m: usize, panel: &[Line], sums: &mut Sums) {
            match m {
                // SAFETY: the caller's promise, with the number of rows known.
                $($rows => unsafe { $inner::<$rows>(x, stride, panel, sums) },)*
                _ => {}
            }
        }

        #[target_feature(enable = $features)]
        unsafe fn $inner<const M: usize>(x: &[u32], stride: usize, panel: &[Line], sums: &mut Sums) {
            use std::arch::x86_64::*;
            for column in (0..PANEL).step_by(2 * $lanes) {
                let mut block = [[$zero; 2]; M];
                for (step, line) in panel.iter().enumerate() {
                    // SAFETY: a line has PANEL places, and row `i < M` has as many in `x` as there are lines.
                    unsafe {
                        let (b0, b1) = ($load(line.0.as_ptr().add(column)), $load(line.0.as_ptr().add(column + $lanes)));
                        for (i, [s0, s1]) in block.iter_mut().enumerate() {
                            let a = $broadcast(x.as_ptr().add(i * stride + step));
                            *s0 = $multiply(*s0, a, b0);
                            *s1 = $multiply(*s1, a, b1);
                        }
                    }
                }
                for (row, [s0, s1]) in sums.0.iter_mut().zip(block) {
                    // SAFETY: a row of sums has PANEL places.
                    unsafe {
                        $store(row.as_mut_ptr().add(column), s0);
                        $store(row.as_mut_ptr().add(column + $lanes), s1);
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
block!(
    wide_f32, wide_f32_rows, "avx512f,avx2,fma", [1 2 3 4 5 6 7 8 9 10 11 12], 16,
    _mm512_setzero_ps(), |p: *const u32| _mm512_loadu_ps(p.cast()), |p: *const u32| _mm512_set1_ps(*p.cast()),
    |sum, a, b| _mm512_fmadd_ps(a, b, sum), |p, sum| _mm512_storeu_ps(p, sum)
);
#[cfg(target_arch = "x86_64")]
block!(
    wide_bf16, wide_bf16_rows, "avx512f,avx512bf16,avx2,fma", [1 2 3 4 5 6 7 8 9 10 11 12], 16,
    _mm512_setzero_ps(), |p: *const u32| _mm512_loadu_si512(p.cast()), |p: *const u32| _mm512_set1_epi32(*p as i32),
    |sum, a: __m512i, b: __m512i| _mm512_dpbf16_ps(sum, std::mem::transmute::<__m512i, __m512bh>(a), std::mem::transmute::<__m512i, __m512bh>(b)),
    |p, sum| _mm512_storeu_ps(p, sum)
);
#[cfg(target_arch = "x86_64")]
block!(
    wide_int8, wide_int8_rows, "avx512f,avx512vnni,avx2,fma", [1 2 3 4 5 6 7 8 9 10 11 12], 16,
    _mm512_setzero_si512(), |p: *const u32| _mm512_loadu_si512(p.cast()), |p: *const u32| _mm512_set1_epi32(*p as i32),
    |sum, a, b| _mm512_dpbusd_epi32(sum, a, b), |p: *mut f32, sum| _mm512_storeu_si512(p.cast(), sum)
);
#[cfg(target_arch = "x86_64")]
block!(
    half_f32, half_f32_rows, "avx2,fma", [1 2 3 4 5 6], 8,
    _mm256_setzero_ps(), |p: *const u32| _mm256_loadu_ps(p.cast()), |p: *const u32| _mm256_set1_ps(*p.cast()),
    |sum, a, b| _mm256_fmadd_ps(a, b, sum), |p, sum| _mm256_storeu_ps(p, sum)
);

per_level! { fn plain(precision: Precision, x: &[u32], stride: usize, m: usize, panel: &[Line], sums: &mut Sums) = plain_body }

/// Row by row, in what every processor has.
#[inline(always)]
pub(super) fn plain_body<const FMA: bool>(
    precision: Precision,
    x: &[u32],
    stride: usize,
    m: usize,
    panel: &[Line],
    sums: &mut Sums,
) {
    for (i, sums) in sums.0.iter_mut().take(m).enumerate() {
        let x = &x[i * stride..][..panel.len()];
        match precision {
            Precision::F32 => {
                plain_row(x, panel, sums, |sum, a, b| fma::<FMA>(f32::from_bits(a), f32::from_bits(b), sum))
            }
            Precision::Bf16 => plain_row(x, panel, sums, |sum, a, b| {
                let (low, high) = (|x: u32| f32::from_bits(x << 16), |x: u32| f32::from_bits(x & 0xffff_0000));
                fma::<FMA>(high(a), high(b), fma::<FMA>(low(a), low(b), sum))
            }),
            Precision::Int8 => plain_row(x, panel, sums, |sum: f32, a, b| {
                let dot = (0..4).map(|i| (a >> (8 * i) & 255) as i32 * i32::from((b >> (8 * i)) as i8)).sum::<i32>();
                f32::from_bits((sum.to_bits() as i32).wrapping_add(dot) as u32)
            }),
        }
    }
}

#[inline(always)]
fn plain_row(x: &[u32], panel: &[Line], sums: &mut [f32; PANEL], add: impl Fn(f32, u32, u32) -> f32) {
    let mut row = [0f32; PANEL];
    for (&a, line) in x.iter().zip(panel) {
        row.iter_mut().zip(line.0).for_each(|(sum, b)| *sum = add(*sum, a, b));
    }
    *sums = row;
}
