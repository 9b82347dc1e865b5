//! The distinct vectors of a catalogue, each with the items that share it.

use crate::hnsw::graph::Near;
use crate::{DecideError, Result};
use lingxi_data::ItemId;
use rayon::prelude::*;
use std::collections::HashMap;

/// No node: the item has no vector.
pub(super) const NONE: u32 = u32::MAX;

/// Vectors of length 1, no two equal, in the order of their first item.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Nodes {
    dim: usize,
    /// `[nodes, dim]`.
    vectors: Vec<f32>,
    /// The node of each item of the catalogue, or [`NONE`].
    of_item: Vec<u32>,
    /// `items[offsets[node]..offsets[node + 1]]` share the vector of `node`, rising.
    offsets: Vec<u32>,
    items: Vec<ItemId>,
}

impl Nodes {
    /// Normalises rows of `[items, dim]` and puts equal ones together.
    pub(super) fn of_rows(rows: &[f32], dim: usize) -> Result<Nodes> {
        let fail = |expected: String, got: String| DecideError::Vectors { expected, got };
        if dim == 0 || !rows.len().is_multiple_of(dim) {
            return Err(fail(format!("whole rows of {dim} numbers, at least 1"), rows.len().to_string()));
        }
        if rows.len() / dim >= NONE as usize {
            return Err(fail(format!("fewer than {NONE} rows"), (rows.len() / dim).to_string()));
        }
        let mut unit = rows.to_vec();
        let lengths: Vec<f32> = unit.par_chunks_mut(dim).map(normalise).collect();
        if let Some(row) = lengths.iter().position(|l| !l.is_finite()) {
            return Err(fail("finite numbers".into(), format!("length {} of row {row}", lengths[row])));
        }
        let mut seen: HashMap<&[u8], u32> = HashMap::with_capacity(lengths.len());
        let mut vectors = Vec::new();
        let of_item = unit.chunks_exact(dim).zip(&lengths).map(|(row, length)| {
            if *length == 0.0 {
                return NONE;
            }
            let next = seen.len() as u32;
            *seen.entry(bytemuck::cast_slice(row)).or_insert_with(|| {
                vectors.extend_from_slice(row);
                next
            })
        });
        let of_item: Vec<u32> = of_item.collect();
        Ok(Nodes::new(dim, vectors, of_item))
    }

    /// Nodes of vectors that are normalised and distinct already; every entry of `of_item` is a node or [`NONE`].
    pub(super) fn new(dim: usize, vectors: Vec<f32>, of_item: Vec<u32>) -> Nodes {
        let n = vectors.len() / dim;
        let mut offsets = vec![0u32; n + 1];
        for node in of_item.iter().filter(|node| **node != NONE) {
            offsets[*node as usize + 1] += 1;
        }
        for node in 0..n {
            offsets[node + 1] += offsets[node];
        }
        let mut next = offsets.clone();
        let mut items = vec![ItemId(0); offsets[n] as usize];
        for (item, node) in of_item.iter().enumerate().filter(|(_, node)| **node != NONE) {
            let at = &mut next[*node as usize];
            items[*at as usize] = ItemId(item as u32);
            *at += 1;
        }
        Nodes { dim, vectors, of_item, offsets, items }
    }

    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// Number of distinct vectors.
    pub(super) fn len(&self) -> usize {
        self.vectors.len() / self.dim
    }

    /// Number of items that have a vector.
    pub(super) fn n_items(&self) -> usize {
        self.items.len()
    }

    pub(super) fn vectors(&self) -> &[f32] {
        &self.vectors
    }

    pub(super) fn of_item(&self) -> &[u32] {
        &self.of_item
    }

    pub(super) fn node_of(&self, item: ItemId) -> Option<u32> {
        self.of_item.get(item.index()).copied().filter(|node| *node != NONE)
    }

    pub(super) fn vector(&self, node: u32) -> &[f32] {
        &self.vectors[node as usize * self.dim..(node as usize + 1) * self.dim]
    }

    #[inline]
    pub(super) fn cosine(&self, unit: &[f32], node: u32) -> f32 {
        lingxi_kernels::dot(unit, self.vector(node))
    }

    /// The cosines to several nodes at once.
    #[inline]
    pub(super) fn cosines(&self, unit: &[f32], nodes: &[u32], out: &mut [f32]) {
        lingxi_kernels::dot_rows(unit, &self.vectors, nodes, out);
    }

    /// `query` at length 1, if it can be searched with.
    pub(super) fn prepare(&self, query: &[f32]) -> Option<Vec<f32>> {
        let mut query = query.to_vec();
        let length = normalise(&mut query);
        (query.len() == self.dim && length > 0.0 && length.is_finite()).then_some(query)
    }

    /// The first `k` items of `found`, in its order.
    pub(super) fn items_of(&self, found: impl IntoIterator<Item = Near>, k: usize) -> Vec<(ItemId, f32)> {
        let of_node = |near: Near| {
            let node = near.node() as usize;
            let items = &self.items[self.offsets[node] as usize..self.offsets[node + 1] as usize];
            items.iter().map(move |item| (*item, near.cosine()))
        };
        found.into_iter().flat_map(of_node).take(k).collect()
    }
}

/// Brings `row` to length 1 and returns the length it had; a row of zeros stays, one without a finite length too.
fn normalise(row: &mut [f32]) -> f32 {
    let squares: f64 = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let length = squares.sqrt() as f32;
    if length > 0.0 && length.is_finite() {
        let scale = (1.0 / squares.sqrt()) as f32;
        row.iter_mut().for_each(|x| *x *= scale);
    }
    length
}
