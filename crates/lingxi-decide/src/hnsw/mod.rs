//! Which vectors are near this one, without looking at all of them?
//!
//! Hierarchical navigable small worlds (Malkov and Yashunin 2016, arXiv:1603.09320): every vector is a node linked to near
//! ones; a few nodes also live in sparser layers above, and a search walks down from the top and widens at the bottom.
//! Row-major f32 `[items, dim]` come in; per query the k best by cosine go out.
//!
//! Three things differ from the paper. Goods with one text have one vector, so equal vectors share one node (many copies
//! of a node would fill each other's links and cut the graph). Nodes are inserted in batches that search the graph as it
//! stood before the batch, as in ParlayANN (arXiv:2305.04359), so that a build uses all cores and still gives the same index
//! for the same seed on any number of them. And the graph lies in flat arrays, so that it is saved and loaded as columns.

mod build;
mod file;
mod graph;
mod nodes;

use crate::{DecideError, Result};
use graph::Graph;
use lingxi_data::{Fingerprint, ItemId};
use nodes::Nodes;
use serde::{Deserialize, Serialize};

/// How an index is built and searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HnswConfig {
    /// Links of a node in each upper layer; twice as many in the lowest. 2 to 128.
    pub links: usize,
    /// Width of the search that finds a new node's links: more is better and slower to build.
    pub build_width: usize,
    /// Width of a query at least; a query for more items widens by itself. More recalls better and takes longer.
    pub search_width: usize,
    /// Decides the layers and the order of insertion.
    pub seed: u64,
}

impl Default for HnswConfig {
    fn default() -> Self {
        HnswConfig { links: 16, build_width: 128, search_width: 256, seed: 1 }
    }
}

impl HnswConfig {
    fn check(&self) -> Result<()> {
        let range = |what, expected, got: usize, fits: bool| {
            if fits { Ok(()) } else { Err(DecideError::Config { what, expected, got: got.to_string() }) }
        };
        range("links", "2 to 128", self.links, (2..=128).contains(&self.links))?;
        range("build_width", "at least 1", self.build_width, self.build_width >= 1)?;
        range("search_width", "at least 1", self.search_width, self.search_width >= 1)
    }
}

/// An index over the vectors of a catalogue. Memory: 4 (dim + 2.2 links) bytes a distinct vector and 4 bytes an item.
#[derive(Clone, Debug, PartialEq)]
pub struct HnswIndex {
    config: HnswConfig,
    source: Fingerprint,
    nodes: Nodes,
    graph: Graph,
}

impl HnswIndex {
    /// Indexes `vectors`, row-major `[items, dim]`; rows are brought to length 1, and a row of zeros (an item without a
    /// vector) is left out. `source` names what the vectors were made of and is checked when the index is loaded.
    ///
    /// # Errors
    /// [`DecideError::Vectors`] if the shape does not fit or a number is not finite; [`DecideError::Config`].
    pub fn build(vectors: &[f32], dim: usize, config: &HnswConfig, source: Fingerprint) -> Result<HnswIndex> {
        config.check()?;
        let nodes = Nodes::of_rows(vectors, dim)?;
        let graph = build::graph(&nodes, config);
        Ok(HnswIndex { config: *config, source, nodes, graph })
    }

    /// Length of a vector.
    pub fn dim(&self) -> usize {
        self.nodes.dim()
    }

    /// Number of items that can be found.
    pub fn len(&self) -> usize {
        self.nodes.n_items()
    }

    /// Whether nothing can be found.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How it was built.
    pub fn config(&self) -> &HnswConfig {
        &self.config
    }

    /// About `k` items nearest to `query` (any length but 0) with their cosines, best first; equal ones by lower id. Empty
    /// for a query of another dimension, of zeros, or with a number that is not finite.
    pub fn search(&self, query: &[f32], k: usize) -> Vec<(ItemId, f32)> {
        let Some(query) = self.nodes.prepare(query) else { return Vec::new() };
        let width = self.config.search_width.max(k);
        let found = self.graph.search(&self.nodes, &query, width);
        self.nodes.items_of(found, k)
    }

    /// The same by looking at every vector: the reference.
    pub fn search_exact(&self, query: &[f32], k: usize) -> Vec<(ItemId, f32)> {
        let Some(query) = self.nodes.prepare(query) else { return Vec::new() };
        let mut all: Vec<graph::Near> =
            (0..self.nodes.len() as u32).map(|node| graph::Near::new(self.nodes.cosine(&query, node), node)).collect();
        if k < all.len() {
            all.select_nth_unstable_by(k, |a, b| b.cmp(a));
            all.truncate(k);
        }
        all.sort_unstable_by(|a, b| b.cmp(a));
        self.nodes.items_of(all, k)
    }

    /// Items nearest to an item, without itself: "more like this".
    pub fn neighbours(&self, item: ItemId, k: usize) -> Vec<(ItemId, f32)> {
        let Some(node) = self.nodes.node_of(item) else { return Vec::new() };
        let mut near = self.search(self.nodes.vector(node), k + 1);
        near.retain(|(other, _)| *other != item);
        near.truncate(k);
        near
    }
}
