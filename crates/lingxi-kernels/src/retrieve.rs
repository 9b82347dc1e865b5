//! Which `k` items have the largest dot product with each query? Product and selection at once: a tile of scores is
//! compared with the queries' thresholds while it is still in registers, and only the few scores that pass are ever
//! written to memory.
//!
//! Items are packed into panels of 32, number by number, `[d,32]`; queries into groups of 12, `[d,12]`. A tile is one
//! panel times one group: 24 vector accumulators of AVX-512. Every dot product is summed in the order of its `d`
//! numbers, so that it does not depend on the place of query or item. Where the processor has bf16, [`screened`] does the
//! same with half the arithmetic.

mod bytes;
#[cfg(target_arch = "x86_64")]
mod screened;

pub use bytes::ByteItems;

use crate::cpu::{fma, per_level};
use crate::products::dot_body;
use crate::select::Best;
use rayon::prelude::*;

/// Items of a panel: two vectors of AVX-512.
const ITEMS: usize = 32;
/// Queries of a group.
const QUERIES: usize = 12;
/// Groups of one task: enough to use a panel often while it is in the cache.
const GROUPS: usize = 10;
/// Numbers of the panels that one task walks through for all its groups: 256 KiB of a second-level cache.
const CHUNK: usize = 1 << 16;
/// Numbers that are packed at a time: 64 MiB, whatever the size of the catalogue.
const SLAB: usize = 1 << 24;
/// For fewer queries than this, packing the items costs more than it saves.
const FEW: usize = 6;

/// For each row of `queries[q,d]`, index and dot product of the best `k` rows of `items[n,d]`, best first (ties: lower
/// index first; `NaN` and negative infinity never).
///
/// `exclude` is empty, or has one ascending list of item indices per query that are passed over.
///
/// # Panics
/// If a slice is not a whole number of rows of length `d`, if there are 2^32 items or more, or if `exclude` is neither
/// empty nor as long as the queries.
pub fn top_k_dot(queries: &[f32], items: &[f32], d: usize, k: usize, exclude: &[&[u32]]) -> Vec<Vec<(u32, f32)>> {
    assert!(d > 0 && queries.len().is_multiple_of(d), "top_k_dot: queries are no whole rows of length {d}");
    assert!(items.len().is_multiple_of(d), "top_k_dot: items are no whole rows of length {d}");
    let (q, n) = (queries.len() / d, items.len() / d);
    assert!(u32::try_from(n).is_ok(), "top_k_dot: expected fewer than 2^32 items, got {n}");
    assert!(exclude.is_empty() || exclude.len() == q, "top_k_dot: {} exclusion lists for {q} queries", exclude.len());
    debug_assert!(exclude.iter().all(|list| list.is_sorted()), "top_k_dot: an exclusion list is not ascending");
    let excluded = |query: usize| exclude.get(query).copied().unwrap_or_default();
    if q < FEW {
        return (0..q).map(|i| one_query(&queries[i * d..(i + 1) * d], items, k.min(n), excluded(i))).collect();
    }
    let mut best: Vec<Best> = (0..q).map(|_| Best::new(k.min(n))).collect();
    #[cfg(target_arch = "x86_64")]
    if k > 0 && screened::fits(queries, items) {
        in_slabs(queries, items, d, &mut best, screened::Panels::pack, |panels, queries, best, first| {
            panels.scan(queries, best, |i| excluded(first + i));
        });
        return best.par_iter_mut().map(Best::take).collect();
    }
    in_slabs(queries, items, d, &mut best, Panels::pack, |panels, queries, best, first| {
        panels.scan(queries, best, |i| excluded(first + i));
    });
    best.par_iter_mut().map(Best::take).collect()
}

/// Packs a slab of items at a time and offers it to all queries, one task per some groups of them. `pack` gets the items, `d`
/// and the index of the first; `scan` the packed items, a task's queries, their collectors and the first query's number.
fn in_slabs<P: Sync>(
    queries: &[f32],
    items: &[f32],
    d: usize,
    best: &mut [Best],
    pack: impl Fn(&[f32], usize, u32) -> P,
    scan: impl Fn(&P, &[f32], &mut [Best], usize) + Sync,
) {
    let slab = (SLAB / d / ITEMS).max(1) * ITEMS;
    for (s, slab_items) in items.chunks(slab * d).enumerate() {
        let panels = pack(slab_items, d, (s * slab) as u32);
        let tasks = queries.par_chunks(GROUPS * QUERIES * d).zip(best.par_chunks_mut(GROUPS * QUERIES)).enumerate();
        tasks.for_each(|(t, (queries, best))| scan(&panels, queries, best, t * GROUPS * QUERIES));
    }
}

/// Row by row, in parallel over the items.
fn one_query(query: &[f32], items: &[f32], k: usize, excluded: &[u32]) -> Vec<(u32, f32)> {
    let (d, rows) = (query.len(), (CHUNK / query.len()).max(1));
    let part = |(c, items): (usize, &[f32])| {
        let mut scores = vec![0f32; items.len() / d];
        dots(query, items, &mut scores);
        let mut best = Best::new(k);
        best.scan(&scores, (c * rows) as u32, excluded);
        best.take()
    };
    // Parts come in the order of their items and a stable sort keeps equal scores so.
    let mut all: Vec<(u32, f32)> = items.par_chunks(rows * d).enumerate().map(part).flatten_iter().collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.truncate(k);
    all
}

per_level! { fn dots(query: &[f32], items: &[f32], out: &mut [f32]) = dots_body }

#[inline(always)]
fn dots_body<const FMA: bool>(query: &[f32], items: &[f32], out: &mut [f32]) {
    for (out, item) in out.iter_mut().zip(items.chunks_exact(query.len())) {
        *out = dot_body::<FMA>(query, item);
    }
}

/// A run of items, packed.
struct Panels {
    d: usize,
    /// Index of the first item, and one past the last.
    from: u32,
    to: u32,
    /// `[panels, d, 32]`; places beyond the last item are zero.
    data: Vec<f32>,
}

impl Panels {
    fn pack(items: &[f32], d: usize, from: u32) -> Panels {
        let n = items.len() / d;
        let mut data = vec![0f32; n.div_ceil(ITEMS) * ITEMS * d];
        let panels = data.par_chunks_mut(ITEMS * d).with_min_len(16).zip(items.par_chunks(ITEMS * d));
        panels.for_each(|(panel, rows)| interleave::<ITEMS>(rows, d, panel));
        Panels { d, from, to: from + n as u32, data }
    }

    /// Offers every item to every query of a task.
    fn scan<'e>(&self, queries: &[f32], best: &mut [Best], excluded: impl Fn(usize) -> &'e [u32]) {
        let d = self.d;
        let mut groups = vec![0f32; queries.len().div_ceil(QUERIES * d) * QUERIES * d];
        for (group, rows) in groups.chunks_mut(QUERIES * d).zip(queries.chunks(QUERIES * d)) {
            interleave::<QUERIES>(rows, d, group);
        }
        let per_chunk = (CHUNK / (ITEMS * d)).max(1);
        for (c, chunk) in self.data.chunks(per_chunk * ITEMS * d).enumerate() {
            let first = self.from + (c * per_chunk * ITEMS) as u32;
            for (g, (group, best)) in groups.chunks(QUERIES * d).zip(best.chunks_mut(QUERIES)).enumerate() {
                self.scan_group(group, chunk, first, best, |i| excluded(g * QUERIES + i));
            }
        }
    }

    fn scan_group<'e>(
        &self,
        group: &[f32],
        chunk: &[f32],
        first: u32,
        best: &mut [Best],
        excluded: impl Fn(usize) -> &'e [u32],
    ) {
        // A group that is not full has queries of zeros, which nothing passes.
        let mut thresholds = [f32::INFINITY; QUERIES];
        thresholds.iter_mut().zip(best.iter()).for_each(|(t, best)| *t = best.threshold());
        let (mut hits, mut scores) = ([0u32; QUERIES], [[0f32; ITEMS]; QUERIES]);
        for (panel, item) in chunk.chunks_exact(ITEMS * self.d).zip((first..).step_by(ITEMS)) {
            tile(panel, group, &thresholds, &mut hits, &mut scores);
            // Places beyond the last item hold zeros and must not be offered.
            let real = u32::MAX >> (ITEMS as u32).saturating_sub(self.to - item);
            for i in 0..best.len() {
                let mut left = hits[i] & real;
                while left != 0 {
                    let place = left.trailing_zeros();
                    left &= left - 1;
                    best[i].offer(item + place, scores[i][place as usize], excluded(i));
                }
                thresholds[i] = best[i].threshold();
            }
        }
    }
}

/// `rows[up to W, d]` to `out[d, W]`.
fn interleave<const W: usize>(rows: &[f32], d: usize, out: &mut [f32]) {
    let (out, _) = out.as_chunks_mut::<W>();
    for (place, row) in rows.chunks_exact(d).enumerate() {
        for (out, &x) in out.iter_mut().zip(row) {
            out[place] = x;
        }
    }
}

/// Scores `[12,32]` of a group `[d,12]` and a panel `[d,32]`; in `hits` one bit for each score above its query's
/// threshold. Rows of `scores` without a hit may be left as they are.
fn tile(
    panel: &[f32],
    group: &[f32],
    thresholds: &[f32; QUERIES],
    hits: &mut [u32; QUERIES],
    scores: &mut [[f32; ITEMS]; QUERIES],
) {
    #[cfg(target_arch = "x86_64")]
    if crate::cpu::level() == crate::cpu::Level::Avx512 {
        // SAFETY: `level` found AVX-512 on the running processor.
        return unsafe { tile_avx512(panel, group, thresholds, hits, scores) };
    }
    tile_any(panel, group, thresholds, hits, scores);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn tile_avx512(
    panel: &[f32],
    group: &[f32],
    thresholds: &[f32; QUERIES],
    hits: &mut [u32; QUERIES],
    scores: &mut [[f32; ITEMS]; QUERIES],
) {
    use std::arch::x86_64::*;
    let mut sums = [[_mm512_setzero_ps(); 2]; QUERIES];
    let (panel, _) = panel.as_chunks::<ITEMS>();
    let (group, _) = group.as_chunks::<QUERIES>();
    for (items, queries) in panel.iter().zip(group) {
        // SAFETY: `items` holds 32 numbers: two vectors of 16.
        let (low, high) = unsafe { (_mm512_loadu_ps(items.as_ptr()), _mm512_loadu_ps(items.as_ptr().add(16))) };
        for (sums, &x) in sums.iter_mut().zip(queries) {
            let x = _mm512_set1_ps(x);
            sums[0] = _mm512_fmadd_ps(x, low, sums[0]);
            sums[1] = _mm512_fmadd_ps(x, high, sums[1]);
        }
    }
    for i in 0..QUERIES {
        let threshold = _mm512_set1_ps(thresholds[i]);
        let above = |v| u32::from(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(v, threshold));
        hits[i] = above(sums[i][0]) | above(sums[i][1]) << 16;
        if hits[i] != 0 {
            // SAFETY: a row of `scores` holds 32 numbers: two vectors of 16.
            unsafe {
                _mm512_storeu_ps(scores[i].as_mut_ptr(), sums[i][0]);
                _mm512_storeu_ps(scores[i].as_mut_ptr().add(16), sums[i][1]);
            }
        }
    }
}

per_level! {
    fn tile_any(
        panel: &[f32],
        group: &[f32],
        thresholds: &[f32; QUERIES],
        hits: &mut [u32; QUERIES],
        scores: &mut [[f32; ITEMS]; QUERIES],
    ) = tile_body
}

#[inline(always)]
fn tile_body<const FMA: bool>(
    panel: &[f32],
    group: &[f32],
    thresholds: &[f32; QUERIES],
    hits: &mut [u32; QUERIES],
    scores: &mut [[f32; ITEMS]; QUERIES],
) {
    let (panel, _) = panel.as_chunks::<ITEMS>();
    let (group, _) = group.as_chunks::<QUERIES>();
    for i in 0..QUERIES {
        let mut sums = [0f32; ITEMS];
        for (items, queries) in panel.iter().zip(group) {
            for lane in 0..ITEMS {
                sums[lane] = fma::<FMA>(queries[i], items[lane], sums[lane]);
            }
        }
        hits[i] = (0..ITEMS).fold(0, |bits, lane| bits | u32::from(sums[lane] > thresholds[i]) << lane);
        scores[i] = sums;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_finds_the_same_hits_and_scores() {
        for d in [1, 2, 63, 64] {
            let numbers =
                |n: usize, step: usize| (0..n * d).map(|i| ((i * step) % 11) as f32 - 5.0).collect::<Vec<_>>();
            let (panel, group) = (numbers(ITEMS, 7), numbers(QUERIES, 5));
            let thresholds: [f32; QUERIES] = std::array::from_fn(|i| (i as f32 - 4.0) * 40.0);
            let empty = || ([0u32; QUERIES], [[0f32; ITEMS]; QUERIES]);
            let ((mut h1, mut s1), (mut h2, mut s2), (mut h3, mut s3)) = (empty(), empty(), empty());
            tile(&panel, &group, &thresholds, &mut h1, &mut s1);
            tile_any(&panel, &group, &thresholds, &mut h2, &mut s2);
            tile_body::<false>(&panel, &group, &thresholds, &mut h3, &mut s3);
            assert!(h1 == h2 && h2 == h3 && s2 == s3);
            for i in (0..QUERIES).filter(|&i| h1[i] != 0) {
                assert_eq!(s1[i], s3[i]);
            }
        }
    }
}
