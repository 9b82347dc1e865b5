//! A tile of logits to powers of two: added up row by row, and rounded to bf16 in the two orders that the products of the
//! gradient want.

#[cfg(target_arch = "x86_64")]
use crate::cpu;
use crate::cpu::{fma, per_level};
use crate::packed::{Line, PANEL};

/// Adding this rounds to a whole number, which its last bits then are: a float this large has no digits behind the point.
const POINT: f32 = 12_582_912.0;
/// The least exponent of a power that is no denormal number.
const LEAST: f32 = -126.0;
/// `2^r` for `|r| <= 1/2` to a relative error of 8e-5, a fiftieth of what bf16 rounds away.
const POWER: [f32; 4] = [5.517_167e-2, 2.426_111_3e-1, 6.932_61e-1, 9.999_28e-1];

/// Where the powers of a tile of `m` items go.
pub(super) struct Out<'a> {
    /// A step is two rows of `x`; the steps of an item begin `wide` apart.
    pub by_item: &'a mut [u32],
    pub wide: usize,
    /// A step is two items; the last item of an odd number has no partner, and zero stands for it.
    pub by_row: &'a mut [Line],
}

/// `2^(logit - shift)` of each item and lane is added to the lane's sum and goes to `out`.
pub(super) fn powers(tile: &[[f32; PANEL]], shifts: &[f32; PANEL], sums: &mut [f32; PANEL], out: Out<'_>) {
    let m = tile.len();
    assert!(m > 0 && out.by_row.len() == m.div_ceil(2), "powers: steps for other items than {m}");
    assert!(out.by_item.len() >= (m - 1) * out.wide + PANEL / 2, "powers: no room for {m} items");
    #[cfg(target_arch = "x86_64")]
    if cpu::multiplies_bf16() && is_x86_feature_detected!("avx512bw") {
        // SAFETY: the processor has the instructions, and the shapes were checked above.
        return unsafe { wide_powers(tile, shifts, sums, out) };
    }
    plain_powers(tile, shifts, sums, out.by_item, out.wide, out.by_row);
}

/// # Safety
/// The processor has the features, and `out` has room for the tile.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn wide_powers(tile: &[[f32; PANEL]], shifts: &[f32; PANEL], sums: &mut [f32; PANEL], out: Out<'_>) {
    use std::arch::x86_64::*;
    // SAFETY: rows, shifts and sums have two vectors each, and the caller promised room for what is written.
    unsafe {
        let load = |from: &[f32; PANEL]| [_mm512_loadu_ps(from.as_ptr()), _mm512_loadu_ps(from.as_ptr().add(16))];
        let (point, least) = (_mm512_set1_ps(POINT), _mm512_set1_ps(LEAST));
        let [c3, c2, c1, c0] = POWER.map(|c| _mm512_set1_ps(c));
        let power = |logit: __m512, shift: __m512| {
            let x = _mm512_max_ps(_mm512_sub_ps(logit, shift), least);
            let pointed = _mm512_add_ps(x, point);
            let r = _mm512_sub_ps(x, _mm512_sub_ps(pointed, point));
            let y = _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_fmadd_ps(c3, r, c2), r, c1), r, c0);
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(pointed));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(y), exponent))
        };
        // Words of two items in turns: those of the first come from below 32.
        let turns = |from: usize| {
            let words: [u16; 32] = std::array::from_fn(|i| (from + i / 2 + 32 * (i % 2)) as u16);
            _mm512_loadu_si512(words.as_ptr().cast())
        };
        let (low, high) = (turns(0), turns(16));
        let shifts = load(shifts);
        let mut all = load(sums);
        let mut one = |logits: &[f32; PANEL], to: *mut u32| {
            let [a, b] = load(logits);
            let (a, b) = (power(a, shifts[0]), power(b, shifts[1]));
            all = [_mm512_add_ps(all[0], a), _mm512_add_ps(all[1], b)];
            let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a));
            _mm512_storeu_si512(to.cast(), both);
            both
        };
        for (pair, (logits, line)) in tile.chunks(2).zip(out.by_row).enumerate() {
            let to = out.by_item.as_mut_ptr().add(2 * pair * out.wide);
            let first = one(&logits[0], to);
            let second = logits.get(1).map_or(_mm512_setzero_si512(), |logits| one(logits, to.add(out.wide)));
            let line = line.0.as_mut_ptr();
            _mm512_storeu_si512(line.cast(), _mm512_permutex2var_epi16(first, low, second));
            _mm512_storeu_si512(line.add(16).cast(), _mm512_permutex2var_epi16(first, high, second));
        }
        _mm512_storeu_ps(sums.as_mut_ptr(), all[0]);
        _mm512_storeu_ps(sums.as_mut_ptr().add(16), all[1]);
    }
}

per_level! {
    fn plain_powers(tile: &[[f32; PANEL]], shifts: &[f32; PANEL], sums: &mut [f32; PANEL], by_item: &mut [u32], wide: usize, by_row: &mut [Line])
        = plain_powers_body
}

/// In what every processor has.
#[inline(always)]
fn plain_powers_body<const FMA: bool>(
    tile: &[[f32; PANEL]],
    shifts: &[f32; PANEL],
    sums: &mut [f32; PANEL],
    by_item: &mut [u32],
    wide: usize,
    by_row: &mut [Line],
) {
    let mut all = *sums;
    for ((pair, logits), line) in tile.chunks(2).enumerate().zip(by_row) {
        let mut halves = [[0u32; PANEL]; 2];
        for ((half, logits), at) in halves.iter_mut().zip(logits).zip(2 * pair..) {
            for lane in 0..PANEL {
                let power = power::<FMA>(logits[lane] - shifts[lane]);
                all[lane] += power;
                half[lane] = power.to_bits() + 0x8000;
            }
            let steps = &mut by_item[at * wide..][..PANEL / 2];
            for (step, two) in steps.iter_mut().zip(half.as_chunks::<2>().0) {
                *step = two[0] >> 16 | two[1] & 0xffff_0000;
            }
        }
        for ((step, a), b) in line.0.iter_mut().zip(&halves[0]).zip(&halves[1]) {
            *step = a >> 16 | b & 0xffff_0000;
        }
    }
    *sums = all;
}

#[inline(always)]
fn power<const FMA: bool>(x: f32) -> f32 {
    let x = if x > LEAST { x } else { LEAST };
    let pointed = x + POINT;
    let r = x - (pointed - POINT);
    let y = POWER[1..].iter().fold(POWER[0], |sum, &c| fma::<FMA>(sum, r, c));
    f32::from_bits(y.to_bits().wrapping_add(pointed.to_bits() << 23))
}
