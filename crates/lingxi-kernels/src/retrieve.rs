//! Which `k` items have the largest dot product with each query? Product and selection at once: scores live in a small
//! buffer that stays in the cache and are never stored for the whole catalogue.

use crate::products::matmul_nt;
use crate::select::Best;
use rayon::prelude::*;

/// Queries of one task: enough to amortise reading the items, few enough to spread over threads.
const QUERIES: usize = 64;
/// Items of one block: 64 x 1024 scores are 256 KiB, inside a second-level cache.
const ITEMS: usize = 1024;

/// For each row of `queries[q,d]`, index and dot product of the best `k` rows of `items[n,d]`, best first (ties: lower
/// index first; `NaN` never).
///
/// `exclude` is empty, or has one ascending list of item indices per query that are passed over.
///
/// # Panics
/// If a slice is not a whole number of rows of length `d`, if there are 2^32 items or more, or if `exclude` is neither
/// empty nor as long as the queries.
pub fn top_k_dot(queries: &[f32], items: &[f32], d: usize, k: usize, exclude: &[&[u32]]) -> Vec<Vec<(u32, f32)>> {
    assert!(d > 0 && queries.len() % d == 0, "top_k_dot: queries are no whole rows of length {d}");
    assert!(items.len() % d == 0, "top_k_dot: items are no whole rows of length {d}");
    let (q, n) = (queries.len() / d, items.len() / d);
    assert!(u32::try_from(n).is_ok(), "top_k_dot: expected fewer than 2^32 items, got {n}");
    assert!(exclude.is_empty() || exclude.len() == q, "top_k_dot: {} exclusion lists for {q} queries", exclude.len());
    debug_assert!(exclude.iter().all(|list| list.is_sorted()), "top_k_dot: an exclusion list is not ascending");
    let blocks = queries.par_chunks(QUERIES * d).enumerate();
    blocks.flat_map_iter(|(b, block)| retrieve(block, items, d, k.min(n), exclude, b * QUERIES)).collect()
}

fn retrieve(
    queries: &[f32],
    items: &[f32],
    d: usize,
    k: usize,
    exclude: &[&[u32]],
    first_query: usize,
) -> Vec<Vec<(u32, f32)>> {
    let q = queries.len() / d;
    let mut best: Vec<Best> = (0..q).map(|_| Best::new(k)).collect();
    let mut scores = vec![0f32; q * ITEMS];
    for (block, rows) in items.chunks(ITEMS * d).enumerate() {
        let n = rows.len() / d;
        let first = (block * ITEMS) as u32;
        matmul_nt(queries, rows, &mut scores[..q * n], q, n, d);
        for (i, (best, row)) in best.iter_mut().zip(scores.chunks(n)).enumerate() {
            let passed_over = exclude.get(first_query + i).copied().unwrap_or_default();
            best.scan(row, first, |item| passed_over.binary_search(&item).is_err());
        }
    }
    best.iter_mut().map(Best::take).collect()
}
