//! The same search with half the arithmetic, where the processor multiplies pairs of bf16: scores in bf16 say which items
//! can be among the best, and only those are scored in f32. Nothing is missed, because the screen is lowered by more than
//! bf16 can be wrong:
//!
//! With `X` and `Y` the rounded rows, Cauchy and Schwarz say `|x.y - X.Y| <= |x - X| |y| + |X| |y - Y|`, and the lengths of
//! what was rounded away are known from packing. Sums in f32 add at most `d 2^-23 |x| |y|` each.
//!
//! Panels and groups are those of the plain form, but of pairs of numbers: `[d/2,32]` and `[d/2,12]`, each pair 32 bits.
//! The longest items come first: they have most of the large products, so that few others pass the screen, and once even
//! a product of parallel rows would be too small, the rest need not be looked at.

use super::{CHUNK, ITEMS, QUERIES};
use crate::select::Best;
use rayon::prelude::*;
use std::arch::x86_64::*;

/// Numbers beyond this are left to the plain form: squares and sums stay far from the ends of f32.
const LARGEST: f32 = 1e6;
/// What flushing the tiniest numbers to zero can cost.
const TINY: f32 = 1e-30;

/// Whether this processor and these numbers can be screened.
pub fn fits(queries: &[f32], items: &[f32]) -> bool {
    let small = |part: &[f32]| part.iter().fold(true, |all, x| all & (x.abs() <= LARGEST));
    let all_small = |x: &[f32]| x.par_chunks(1 << 16).all(small);
    crate::cpu::multiplies_bf16() && all_small(queries) && all_small(items)
}

/// A run of items, the longest first, packed in pairs of bf16.
pub struct Panels {
    d: usize,
    /// Index of each item.
    ids: Vec<u32>,
    /// The items as they came, for their exact scores.
    rows: Vec<f32>,
    /// `[panels, d/2, 32]`; places beyond the last item are zero.
    data: Vec<u32>,
    /// The greatest lengths of each panel.
    most: Vec<Lengths>,
}

/// Up to 12 queries, packed, with their lengths.
struct Group {
    data: Vec<u32>,
    lengths: [Lengths; QUERIES],
}

/// How long a row is, and how long what rounding takes from it; never less than the truth.
#[derive(Clone, Copy, Default)]
struct Lengths {
    row: f32,
    lost: f32,
}

impl Lengths {
    fn of(row: &[f32]) -> Lengths {
        let length = |squares: f32| squares.sqrt() * 1.001;
        let lost = row.iter().map(|&x| x - f32::from_bits(bf16(x) << 16));
        Lengths { row: length(row.iter().map(|x| x * x).sum()), lost: length(lost.map(|x| x * x).sum()) + TINY }
    }

    fn max(self, other: Lengths) -> Lengths {
        Lengths { row: self.row.max(other.row), lost: self.lost.max(other.lost) }
    }

    /// How far the score of two rows in bf16 can be from the true one.
    #[inline]
    fn slack(self, other: Lengths, d: usize) -> f32 {
        // The rounded row is at most as much longer as it lost.
        let rounding = self.lost * other.row + (self.row + self.lost) * other.lost;
        rounding + d as f32 * 2.4e-7 * self.row * other.row + TINY
    }
}

impl Panels {
    /// Packs items of which the first has the index `from`.
    pub fn pack(items: &[f32], d: usize, from: u32) -> Panels {
        let (n, pairs) = (items.len() / d, d.div_ceil(2));
        let lengths: Vec<Lengths> = items.par_chunks(d).with_min_len(256).map(Lengths::of).collect();
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.sort_unstable_by(|&a, &b| lengths[b as usize].row.total_cmp(&lengths[a as usize].row).then(a.cmp(&b)));
        let mut rows = vec![0f32; n * d];
        let mut data = vec![0u32; n.div_ceil(ITEMS) * ITEMS * pairs];
        let panels = data.par_chunks_mut(ITEMS * pairs).zip(rows.par_chunks_mut(ITEMS * d)).with_min_len(16);
        let most = panels.zip(order.par_chunks(ITEMS)).map(|((panel, rows), order)| {
            for (row, &item) in rows.chunks_exact_mut(d).zip(order) {
                row.copy_from_slice(&items[item as usize * d..(item as usize + 1) * d]);
            }
            pair::<ITEMS>(rows, d, panel);
            order.iter().map(|&item| lengths[item as usize]).fold(Lengths::default(), Lengths::max)
        });
        let most = most.collect();
        order.iter_mut().for_each(|item| *item += from);
        Panels { d, ids: order, rows, data, most }
    }

    /// Offers every item to every query of a task. Only where [`fits`] says so.
    pub fn scan<'e>(&self, queries: &[f32], best: &mut [Best], excluded: impl Fn(usize) -> &'e [u32]) {
        let (d, pairs) = (self.d, self.d.div_ceil(2));
        let groups: Vec<Group> = queries.chunks(QUERIES * d).map(|rows| Group::pack(rows, d)).collect();
        let per_chunk = (CHUNK / (ITEMS * pairs)).max(1);
        for (c, chunk) in self.data.chunks(per_chunk * ITEMS * pairs).enumerate() {
            let of_queries = queries.chunks(QUERIES * d).zip(best.chunks_mut(QUERIES));
            for (g, (group, (queries, best))) in groups.iter().zip(of_queries).enumerate() {
                let part = Part { group, queries, chunk, first: c * per_chunk };
                // SAFETY: `fits` found the features of `scan_part` before anything was packed.
                unsafe { self.scan_part(&part, best, &|i| excluded(g * QUERIES + i)) };
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
    fn scan_part<'e>(&self, part: &Part<'_>, best: &mut [Best], excluded: &dyn Fn(usize) -> &'e [u32]) {
        let (d, pairs) = (self.d, self.d.div_ceil(2));
        let n = self.ids.len();
        // A group that is not full has queries of zeros, which nothing passes.
        let mut thresholds = [f32::INFINITY; QUERIES];
        thresholds.iter_mut().zip(best.iter()).for_each(|(t, best)| *t = best.threshold());
        let mut hits = [0u32; QUERIES];
        for (p, panel) in (part.first..).zip(part.chunk.chunks_exact(ITEMS * pairs)) {
            let out_of_reach = |i: usize| part.group.lengths[i].row * self.most[p].row < thresholds[i];
            if (0..best.len()).all(out_of_reach) {
                return;
            }
            let screens = std::array::from_fn(|i| thresholds[i] - part.group.lengths[i].slack(self.most[p], d));
            tile(panel, &part.group.data, &screens, &mut hits);
            // Places beyond the last item hold zeros and must not be offered.
            let real = u32::MAX >> ITEMS.saturating_sub(n - p * ITEMS);
            for (i, best) in best.iter_mut().enumerate() {
                let mut left = hits[i] & real;
                while left != 0 {
                    let item = p * ITEMS + left.trailing_zeros() as usize;
                    left &= left - 1;
                    let exact = dot(&part.queries[i * d..(i + 1) * d], &self.rows[item * d..(item + 1) * d]);
                    // An equal one may have a lower index: items do not come in the order of theirs.
                    if exact >= thresholds[i] {
                        best.offer_any(self.ids[item], exact, excluded(i));
                        thresholds[i] = best.threshold();
                    }
                }
            }
        }
    }
}

/// What one group looks through in one go.
struct Part<'a> {
    group: &'a Group,
    /// The queries of the group as they came.
    queries: &'a [f32],
    chunk: &'a [u32],
    /// Number of the chunk's first panel.
    first: usize,
}

impl Group {
    fn pack(rows: &[f32], d: usize) -> Group {
        let mut data = vec![0u32; QUERIES * d.div_ceil(2)];
        pair::<QUERIES>(rows, d, &mut data);
        let mut lengths = [Lengths::default(); QUERIES];
        lengths.iter_mut().zip(rows.chunks_exact(d)).for_each(|(lengths, row)| *lengths = Lengths::of(row));
        Group { data, lengths }
    }
}

/// `rows[up to W, d]` to `out[d/2, W]` of pairs, the first of a pair in the lower half.
fn pair<const W: usize>(rows: &[f32], d: usize, out: &mut [u32]) {
    let (out, _) = out.as_chunks_mut::<W>();
    for (place, row) in rows.chunks_exact(d).enumerate() {
        for (out, pair) in out.iter_mut().zip(row.chunks(2)) {
            out[place] = bf16(pair[0]) | pair.get(1).map_or(0, |x| bf16(*x) << 16);
        }
    }
}

/// The upper half of a number, rounded to nearest, ties to even.
fn bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    (bits + 0x7fff + (bits >> 16 & 1)) >> 16
}

/// In `hits` one bit for each score of a group `[d/2,12]` and a panel `[d/2,32]` that is above its query's screen.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn tile(panel: &[u32], group: &[u32], screens: &[f32; QUERIES], hits: &mut [u32; QUERIES]) {
    let mut sums = [[_mm512_setzero_ps(); 2]; QUERIES];
    let (panel, _) = panel.as_chunks::<ITEMS>();
    let (group, _) = group.as_chunks::<QUERIES>();
    for (items, queries) in panel.iter().zip(group) {
        // SAFETY: `items` holds 32 pairs: two vectors of 16. A vector of pairs has the bits of one of whole numbers.
        let [low, high] =
            unsafe { [items.as_ptr(), items.as_ptr().add(16)].map(|p| pairs(_mm512_loadu_si512(p.cast()))) };
        for (sums, &x) in sums.iter_mut().zip(queries) {
            let x = pairs(_mm512_set1_epi32(x.cast_signed()));
            sums[0] = _mm512_dpbf16_ps(sums[0], x, low);
            sums[1] = _mm512_dpbf16_ps(sums[1], x, high);
        }
    }
    for i in 0..QUERIES {
        let screen = _mm512_set1_ps(screens[i]);
        let above = |v| u32::from(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(v, screen));
        hits[i] = above(sums[i][0]) | above(sums[i][1]) << 16;
    }
}

/// The dot product in f32 of two rows of one length.
#[target_feature(enable = "avx512f")]
#[inline]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a32, a_rest) = a.as_chunks::<32>();
    let (b32, b_rest) = b.as_chunks::<32>();
    let (mut even, mut odd) = (_mm512_setzero_ps(), _mm512_setzero_ps());
    for (a, b) in a32.iter().zip(b32) {
        // SAFETY: both hold 32 numbers: two vectors of 16.
        unsafe {
            even = _mm512_fmadd_ps(_mm512_loadu_ps(a.as_ptr()), _mm512_loadu_ps(b.as_ptr()), even);
            odd = _mm512_fmadd_ps(_mm512_loadu_ps(a.as_ptr().add(16)), _mm512_loadu_ps(b.as_ptr().add(16)), odd);
        }
    }
    let sum = _mm512_reduce_add_ps(_mm512_add_ps(even, odd));
    a_rest.iter().zip(b_rest).fold(sum, |sum, (a, b)| sum + a * b)
}

/// A vector of whole numbers read as one of pairs of bf16.
#[inline]
fn pairs(x: __m512i) -> __m512bh {
    // SAFETY: both are 64 plain bytes.
    unsafe { std::mem::transmute(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_nearest_and_ties_go_to_even() {
        let check = |x: f32, expected: f32| assert_eq!(f32::from_bits(bf16(x) << 16), expected, "{x}");
        check(1.0, 1.0);
        check(-2.5, -2.5);
        check(1.0 + 1.0 / 256.0, 1.0);
        check(1.0 + 3.0 / 256.0, 1.0 + 1.0 / 64.0);
        check(1.0 + 1.1 / 256.0, 1.0 + 1.0 / 128.0);
        check(0.0, 0.0);
    }

    #[test]
    fn numbers_that_are_not_small_are_left_to_the_plain_form() {
        assert!(!fits(&[1.0], &[f32::NAN]) && !fits(&[f32::INFINITY], &[1.0]) && !fits(&[1e7], &[1.0]));
    }
}
