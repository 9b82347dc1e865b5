//! Shoppers and goods as one graph, and LightGCN's propagation over it (arXiv 2002.02126).
//!
//! Nodes are `users` shoppers, then `items` goods; `A` has `x_ui / sqrt(deg u deg i)` at both places of every pair.
//! `E = (E0 + A E0 + ... + A^L E0) / (L + 1)`, shapes `[users + items, d]`. `A = A^T`, so the gradient of `E0` is the same
//! propagation of the gradient of `E`. Cost: `2 * 2 * pairs * d * L` operations.

use crate::pairs::Lists;
use lingxi_kernels::{Csr, axpy, spmm};
use rayon::prelude::*;

/// The normalised adjacency and the buffers of a propagation.
#[derive(Clone)]
pub(crate) struct Graph {
    pub users: usize,
    adjacency: Csr,
    degree: Vec<f32>,
    layers: usize,
    current: Vec<f32>,
    next: Vec<f32>,
}

impl Graph {
    /// Builds the graph from each shopper's `(item, value)`; every item is below `items`, every value positive.
    pub fn of(by_user: &Lists, items: usize, layers: usize) -> Graph {
        let users = by_user.len();
        let mut degree = vec![0.0f32; users + items];
        for user in 0..users {
            let (ids, values) = by_user.row(user);
            for (&item, &value) in ids.iter().zip(values) {
                degree[user] += value;
                degree[users + item as usize] += value;
            }
        }
        let mut triplets = Vec::with_capacity(2 * by_user.entries());
        for user in 0..users {
            let (ids, values) = by_user.row(user);
            for (&item, &value) in ids.iter().zip(values) {
                let node = users as u32 + item;
                let weight = value / (degree[user] * degree[node as usize]).sqrt();
                triplets.push((user as u32, node, weight));
                triplets.push((node, user as u32, weight));
            }
        }
        let adjacency = Csr::from_triplets(users + items, &triplets);
        Graph { users, adjacency, degree, layers, current: Vec::new(), next: Vec::new() }
    }

    /// Replaces `e [users + items, d]` by its propagation.
    pub fn propagate(&mut self, e: &mut [f32], d: usize) {
        self.current.resize(e.len(), 0.0);
        self.next.resize(e.len(), 0.0);
        self.current.copy_from_slice(e);
        for _ in 0..self.layers {
            spmm(&self.adjacency, &self.current, d, &mut self.next);
            add(&self.next, e);
            std::mem::swap(&mut self.current, &mut self.next);
        }
        let share = 1.0 / (self.layers + 1) as f32;
        e.par_chunks_mut(CHUNK).for_each(|e| e.iter_mut().for_each(|x| *x *= share));
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.adjacency.rows()
    }

    /// The sum of the values of each item.
    pub fn item_degrees(&self) -> &[f32] {
        &self.degree[self.users..]
    }

    /// The same graph, propagated in one step less.
    pub fn one_layer_less(&self) -> Graph {
        Graph { layers: self.layers.saturating_sub(1), ..self.clone() }
    }
}

/// The adjacency with a loop at each node, `x_ij / sqrt((deg i + 1) (deg j + 1))`; columns ascend within each row.
pub(crate) fn looped(by_user: &Lists, items: usize) -> Csr {
    let users = by_user.len();
    let mut degree = vec![1.0f32; users + items];
    for user in 0..users {
        let (ids, values) = by_user.row(user);
        for (&item, &value) in ids.iter().zip(values) {
            degree[user] += value;
            degree[users + item as usize] += value;
        }
    }
    let mut triplets = Vec::with_capacity(2 * by_user.entries() + users + items);
    for user in 0..users {
        triplets.push((user as u32, user as u32, 1.0 / degree[user]));
        let (ids, values) = by_user.row(user);
        for (&item, &value) in ids.iter().zip(values) {
            let node = users as u32 + item;
            let weight = value / (degree[user] * degree[node as usize]).sqrt();
            triplets.extend([(user as u32, node, weight), (node, user as u32, weight)]);
        }
    }
    triplets.extend((users..users + items).map(|node| (node as u32, node as u32, 1.0 / degree[node])));
    Csr::from_triplets(users + items, &triplets)
}

/// Numbers of a task that only adds or scales.
const CHUNK: usize = 16_384;

/// Adds `x` to `sum`.
fn add(x: &[f32], sum: &mut [f32]) {
    sum.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(sum, x)| axpy(1.0, x, sum));
}
