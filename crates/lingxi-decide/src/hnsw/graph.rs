//! The layers of links, and the walk through them.

use super::nodes::{NONE, Nodes};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A node and its cosine to something, in one number that sorts by cosine, and among equals puts the lower node higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Near(u64);

impl Near {
    #[inline]
    pub(super) fn new(cosine: f32, node: u32) -> Near {
        let bits = cosine.to_bits();
        // The usual order-preserving map of floats to integers.
        let rising = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        Near(u64::from(rising) << 32 | u64::from(!node))
    }

    #[inline]
    pub(super) fn node(self) -> u32 {
        !(self.0 as u32)
    }

    #[inline]
    pub(super) fn cosine(self) -> f32 {
        let rising = (self.0 >> 32) as u32;
        f32::from_bits(if rising >> 31 == 1 { rising & !(1 << 31) } else { !rising })
    }
}

/// Links of every node in every layer that it lives in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Graph {
    /// Links a node may have in a layer above the lowest; twice as many in the lowest.
    links: usize,
    /// The highest layer of each node.
    pub(super) level: Vec<u8>,
    /// Where each node's lists begin in `lists`; a list holds its links, then [`NONE`] to the end.
    starts: Vec<u32>,
    pub(super) lists: Vec<u32>,
    /// Where searches begin: the node with the highest layer; [`NONE`] in an empty graph.
    pub(super) entry: u32,
}

impl Graph {
    /// Nodes that live in these layers, without any link yet.
    pub(super) fn without_links(level: Vec<u8>, links: usize) -> Graph {
        let mut starts = Vec::with_capacity(level.len());
        let mut end = 0u32;
        for l in &level {
            starts.push(end);
            end += (links * (2 + usize::from(*l))) as u32;
        }
        Graph { links, level, starts, lists: vec![NONE; end as usize], entry: NONE }
    }

    /// How many links a node may have in a layer.
    pub(super) fn most(&self, layer: u8) -> usize {
        if layer == 0 { 2 * self.links } else { self.links }
    }

    fn list_at(&self, node: u32, layer: u8) -> std::ops::Range<usize> {
        let start = self.starts[node as usize] as usize;
        if layer == 0 {
            return start..start + 2 * self.links;
        }
        let start = start + self.links * (1 + usize::from(layer));
        start..start + self.links
    }

    /// The nodes that `node` is linked to in `layer`.
    #[inline]
    pub(super) fn linked(&self, node: u32, layer: u8) -> impl Iterator<Item = u32> {
        self.lists[self.list_at(node, layer)].iter().copied().take_while(|n| *n != NONE)
    }

    /// Replaces the links of `node` in `layer`; at most [`Graph::most`] of them.
    pub(super) fn link(&mut self, node: u32, layer: u8, to: &[u32]) {
        let at = self.list_at(node, layer);
        let list = &mut self.lists[at];
        list[..to.len()].copy_from_slice(to);
        list[to.len()..].fill(NONE);
    }

    /// The highest layer with a node; searches begin there.
    pub(super) fn top(&self) -> u8 {
        self.level.get(self.entry as usize).copied().unwrap_or(0)
    }

    /// About `width` nodes nearest to `query`, best first.
    pub(super) fn search(&self, nodes: &Nodes, query: &[f32], width: usize) -> Vec<Near> {
        if self.entry == NONE {
            return Vec::new();
        }
        let mut at = Near::new(nodes.cosine(query, self.entry), self.entry);
        for layer in (1..=self.top()).rev() {
            at = self.climb(nodes, query, at, layer);
        }
        self.widen(nodes, query, &[at], 0, width)
    }

    /// From `at` to the node of `layer` that no linked node betters.
    pub(super) fn climb(&self, nodes: &Nodes, query: &[f32], mut at: Near, layer: u8) -> Near {
        loop {
            let linked = self.linked(at.node(), layer).map(|node| Near::new(nodes.cosine(query, node), node));
            match linked.max().filter(|best| *best > at) {
                Some(better) => at = better,
                None => return at,
            }
        }
    }

    /// About `width` nodes of `layer` nearest to `query`, best first: follows the links of the best node not yet followed
    /// until none is left that could better the worst of the `width` best so far.
    pub(super) fn widen(&self, nodes: &Nodes, query: &[f32], from: &[Near], layer: u8, width: usize) -> Vec<Near> {
        let mut seen = vec![0u64; nodes.len().div_ceil(64)];
        let mut first_sight = |node: u32| {
            let (word, bit) = (&mut seen[node as usize / 64], 1u64 << (node % 64));
            let new = *word & bit == 0;
            *word |= bit;
            new
        };
        let (mut unseen, mut cosines) = (Vec::with_capacity(self.most(layer)), vec![0.0; self.most(layer)]);
        let mut open: BinaryHeap<Near> = from.iter().copied().filter(|n| first_sight(n.node())).collect();
        let mut best: BinaryHeap<Reverse<Near>> = open.iter().copied().map(Reverse).collect();
        while let Some(at) = open.pop() {
            if best.len() >= width && best.peek().is_some_and(|worst| at < worst.0) {
                break;
            }
            unseen.clear();
            unseen.extend(self.linked(at.node(), layer).filter(|node| first_sight(*node)));
            let cosines = &mut cosines[..unseen.len()];
            nodes.cosines(query, &unseen, cosines);
            for (node, cosine) in unseen.iter().zip(cosines) {
                let near = Near::new(*cosine, *node);
                if best.len() < width {
                    best.push(Reverse(near));
                } else if let Some(mut worst) = best.peek_mut().filter(|worst| near > worst.0) {
                    *worst = Reverse(near);
                } else {
                    continue;
                }
                open.push(near);
                lingxi_kernels::prefetch(&self.lists[self.list_at(*node, layer)]);
            }
        }
        // `Reverse` turns rising into falling: best first.
        best.into_sorted_vec().into_iter().map(|r| r.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_sorts_by_cosine_then_lower_node_and_gives_both_back() {
        let mut all = [(0.5, 3), (-0.5, 1), (0.5, 2), (1.0, 9), (-1.0, 0), (0.0, 4)].map(|(c, n)| Near::new(c, n));
        all.sort_by(|a, b| b.cmp(a));
        let back: Vec<(f32, u32)> = all.iter().map(|n| (n.cosine(), n.node())).collect();
        assert_eq!(back, [(1.0, 9), (0.5, 2), (0.5, 3), (0.0, 4), (-0.5, 1), (-1.0, 0)]);
    }
}
