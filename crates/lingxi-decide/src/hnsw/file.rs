//! An index on disk: one checked file of columns.

use super::graph::Graph;
use super::nodes::{NONE, Nodes};
use super::{HnswConfig, HnswIndex};
use crate::{DecideError, Result};
use lingxi_data::Fingerprint;
use lingxi_data::artefact::{Reader, Writer};
use serde::{Deserialize, Serialize};
use std::path::Path;

const FILE: &str = "hnsw.safetensors";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    config: HnswConfig,
    dim: usize,
    entry: u32,
    source: Fingerprint,
}

impl HnswIndex {
    /// Writes the index into the directory `dir`, whole or not at all.
    ///
    /// # Errors
    /// [`DecideError::Data`] if the file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let header = Header { config: self.config, dim: self.dim(), entry: self.graph.entry, source: self.source };
        Writer::default()
            .column("vectors", &[self.nodes.len(), self.dim()], self.nodes.vectors())
            .column("node_of_item", &[self.nodes.of_item().len()], self.nodes.of_item())
            .column("level", &[self.graph.level.len()], &self.graph.level)
            .column("links", &[self.graph.lists.len()], &self.graph.lists)
            .write(&dir.join(FILE), &header)?;
        Ok(())
    }

    /// Reads an index from the directory `dir` and checks that it was built from `source` with `config` (the width of
    /// queries may differ: it is taken from `config`).
    ///
    /// # Errors
    /// [`DecideError::Data`] if the file is missing, cut short or changed; [`DecideError::OtherIndex`] if it was built from
    /// something else; [`DecideError::BrokenIndex`] if its parts contradict each other.
    pub fn load(dir: &Path, source: Fingerprint, config: &HnswConfig) -> Result<HnswIndex> {
        let file = Reader::open(&dir.join(FILE))?;
        let header: Header = file.meta()?;
        let built = HnswConfig { search_width: config.search_width, ..header.config };
        if header.source != source || built != *config {
            let of = |source: Fingerprint, c: &HnswConfig| {
                Fingerprint::of_json(&(source.to_string(), c.links, c.build_width, c.seed))
            };
            return Err(DecideError::OtherIndex { expected: of(source, config), got: of(header.source, &built) });
        }
        config.check()?;
        let nodes = read_nodes(header.dim, file.column("vectors")?, file.column("node_of_item")?)?;
        let graph = read_graph(&nodes, &built, header.entry, file.column("level")?, file.column("links")?)?;
        Ok(HnswIndex { config: built, source, nodes, graph })
    }
}

fn read_nodes(dim: usize, vectors: Vec<f32>, of_item: Vec<u32>) -> Result<Nodes> {
    if dim == 0 || !vectors.len().is_multiple_of(dim) || vectors.iter().any(|x| !x.is_finite()) {
        return Err(DecideError::BrokenIndex(format!("expected whole finite rows of {dim}, got {}", vectors.len())));
    }
    let n = vectors.len() / dim;
    if let Some(node) = of_item.iter().find(|node| **node as usize >= n && **node != NONE) {
        return Err(DecideError::BrokenIndex(format!("expected nodes below {n}, got {node}")));
    }
    Ok(Nodes::new(dim, vectors, of_item))
}

/// Every link must lead to a node that lives in its layer: then no walk can leave the arrays.
fn read_graph(nodes: &Nodes, config: &HnswConfig, entry: u32, level: Vec<u8>, lists: Vec<u32>) -> Result<Graph> {
    let n = nodes.len();
    let fail = |why: String| Err(DecideError::BrokenIndex(why));
    if level.len() != n || (entry as usize >= n && !(entry == NONE && n == 0)) {
        return fail(format!("expected {n} levels and an entry below that, got {} and {entry}", level.len()));
    }
    let mut graph = Graph::without_links(level, config.links);
    if graph.lists.len() != lists.len() {
        return fail(format!("expected {} links, got {}", graph.lists.len(), lists.len()));
    }
    graph.lists = lists;
    graph.entry = entry;
    for node in 0..n as u32 {
        for layer in 0..=graph.level[node as usize] {
            let astray = graph.linked(node, layer).find(|to| graph.level.get(*to as usize).is_none_or(|l| *l < layer));
            if let Some(to) = astray {
                return fail(format!("node {node} of layer {layer} is linked to {to}, which is not in that layer"));
            }
        }
    }
    Ok(graph)
}
