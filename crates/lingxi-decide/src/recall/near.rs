//! Goods whose vectors are near the shopper's, without looking at all of them.

use crate::hnsw::HnswIndex;
use lingxi_data::{Context, ItemId, Recall};
use std::sync::Arc;

/// The vector to search with, or nothing for a shopper of whom nothing is known.
pub type Query = Box<dyn Fn(&Context<'_>) -> Option<Vec<f32>> + Send + Sync>;

/// The goods nearest to a vector made of the context.
pub struct HnswRecall {
    name: &'static str,
    index: Arc<HnswIndex>,
    query: Query,
}

impl HnswRecall {
    /// `query` must give vectors of the index's space; one of another length recalls nothing.
    pub fn new(name: &'static str, index: Arc<HnswIndex>, query: Query) -> HnswRecall {
        HnswRecall { name, index, query }
    }
}

impl Recall for HnswRecall {
    fn name(&self) -> &'static str {
        self.name
    }

    fn recall(&self, context: &Context<'_>, k: usize) -> Vec<ItemId> {
        let Some(query) = (self.query)(context) else { return Vec::new() };
        self.index.search(&query, k).into_iter().map(|(item, _)| item).collect()
    }
}
