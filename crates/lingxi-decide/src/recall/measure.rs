//! How much of what an exact search finds does an index find?

use crate::hnsw::HnswIndex;
use lingxi_data::ItemId;
use rayon::prelude::*;

/// Recall@k of `index` for each of `queries` (row-major `[q, dim]`) against the exact search over the same vectors.
///
/// Goods with equal texts have equal vectors, so which of them an exact search returns is arbitrary: a found item counts
/// if its similarity reaches that of the k-th exact one (within 1e-6).
pub fn recalls_at(index: &HnswIndex, queries: &[f32], k: usize) -> Vec<f64> {
    let queries: Vec<&[f32]> = queries.chunks_exact(index.dim()).collect();
    let recall = |query: &&[f32]| {
        let exact: Vec<(ItemId, f32)> = index.search_exact(query, k);
        let Some((_, worst)) = exact.last() else { return 1.0 };
        let found = index.search(query, k).iter().filter(|(_, s)| *s >= worst - 1e-6).count();
        found as f64 / exact.len() as f64
    };
    queries.par_iter().map(recall).collect()
}
