//! How much of what an exact search finds does an index find?

use crate::hnsw::HnswIndex;
use lingxi_data::ItemId;
use rayon::prelude::*;

/// Mean recall@k of `index` over `queries` (row-major `[q, dim]`) against the exact search over the same vectors.
///
/// Goods with equal texts have equal vectors, so which of them an exact search returns is arbitrary: a found item counts
/// if its similarity reaches that of the k-th exact one (within 1e-6).
pub fn recall_at(index: &HnswIndex, queries: &[f32], k: usize) -> f64 {
    let queries: Vec<&[f32]> = queries.chunks_exact(index.dim()).collect();
    let recalls = queries.par_iter().map(|query| {
        let exact: Vec<(ItemId, f32)> = index.search_exact(query, k);
        let Some((_, worst)) = exact.last() else { return 1.0 };
        let found = index.search(query, k).iter().filter(|(_, s)| *s >= worst - 1e-6).count();
        found as f64 / exact.len() as f64
    });
    recalls.sum::<f64>() / queries.len().max(1) as f64
}
