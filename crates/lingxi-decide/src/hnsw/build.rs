//! How the graph comes to be: batch by batch, in parallel, the same for a seed.

use super::HnswConfig;
use super::graph::{Graph, Near};
use super::nodes::Nodes;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// A batch is this part of the nodes that are in already: members of a batch do not see each other, so it must be small.
const BATCH_PART: usize = 50;
/// No node lives higher; reached by one in links^12.
const HIGHEST: u8 = 12;

/// New links of one node in one layer, best first.
struct Links {
    node: u32,
    layer: u8,
    to: Vec<Near>,
}

/// A link to write back: `from` has chosen `to`, so `to` should know `from`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Back {
    layer: u8,
    to: u32,
    from: Near,
}

/// Links all nodes.
pub(super) fn graph(nodes: &Nodes, config: &HnswConfig) -> Graph {
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let level = (0..nodes.len()).map(|_| draw_level(config.links, &mut rng)).collect();
    let mut order: Vec<u32> = (0..nodes.len() as u32).collect();
    order.shuffle(&mut rng);
    let mut graph = Graph::without_links(level, config.links);
    let mut done = 0;
    while done < order.len() {
        let batch = &order[done..order.len().min(done + (done / BATCH_PART).max(1))];
        let found: Vec<Vec<Links>> =
            batch.par_iter().map(|node| find_links(&graph, nodes, *node, config.build_width)).collect();
        insert(&mut graph, nodes, found.into_iter().flatten().collect());
        for node in batch {
            if done == 0 || graph.level[*node as usize] > graph.top() {
                graph.entry = *node;
            }
        }
        done += batch.len();
    }
    graph
}

/// Layer l or higher with probability links^-l.
fn draw_level(links: usize, rng: &mut ChaCha8Rng) -> u8 {
    let u: f64 = 1.0 - rng.random::<f64>();
    let level = -u.ln() / (links as f64).ln();
    (level as u8).min(HIGHEST)
}

/// What a new node should be linked to in each of its layers, in the graph as it stands.
fn find_links(graph: &Graph, nodes: &Nodes, node: u32, width: usize) -> Vec<Links> {
    if graph.entry == super::nodes::NONE {
        return Vec::new();
    }
    let vector = nodes.vector(node);
    let level = graph.level[node as usize];
    let mut at = Near::new(nodes.cosine(vector, graph.entry), graph.entry);
    for layer in (level + 1..=graph.top()).rev() {
        at = graph.climb(nodes, vector, at, layer);
    }
    let mut from = vec![at];
    let mut links = Vec::new();
    for layer in (0..=level.min(graph.top())).rev() {
        from = graph.widen(nodes, vector, &from, layer, width);
        links.push(Links { node, layer, to: choose(nodes, &from, graph.most(layer)) });
    }
    links
}

/// The paper's heuristic (algorithm 4): a candidate is linked unless a better one already chosen is nearer to it than the
/// node is, so that links lead in all directions instead of all into one cluster. `near`: best first.
fn choose(nodes: &Nodes, near: &[Near], most: usize) -> Vec<Near> {
    let mut chosen: Vec<Near> = Vec::with_capacity(most);
    for candidate in near {
        if chosen.len() == most {
            break;
        }
        let vector = nodes.vector(candidate.node());
        if chosen.iter().all(|c| nodes.cosine(vector, c.node()) <= candidate.cosine()) {
            chosen.push(*candidate);
        }
    }
    chosen
}

/// Writes the links of a batch and the links back. The order of work never decides the outcome: every list is made from
/// what was there before and from all that the batch adds to it.
fn insert(graph: &mut Graph, nodes: &Nodes, links: Vec<Links>) {
    let mut backs: Vec<Back> = links
        .iter()
        .flat_map(|l| {
            l.to.iter().map(|to| Back { layer: l.layer, to: to.node(), from: Near::new(to.cosine(), l.node) })
        })
        .collect();
    backs.par_sort_unstable();
    for l in &links {
        let to: Vec<u32> = l.to.iter().map(|near| near.node()).collect();
        graph.link(l.node, l.layer, &to);
    }
    let groups: Vec<&[Back]> = backs.chunk_by(|a, b| (a.layer, a.to) == (b.layer, b.to)).collect();
    let lists: Vec<Vec<u32>> = groups.par_iter().map(|group| with_backs(graph, nodes, group)).collect();
    for (group, list) in groups.iter().zip(&lists) {
        graph.link(group[0].to, group[0].layer, list);
    }
}

/// The links of one node after a batch: all of them if there is room, else the best in all directions.
fn with_backs(graph: &Graph, nodes: &Nodes, group: &[Back]) -> Vec<u32> {
    let (node, layer) = (group[0].to, group[0].layer);
    let vector = nodes.vector(node);
    let mut near: Vec<Near> = graph.linked(node, layer).map(|to| Near::new(nodes.cosine(vector, to), to)).collect();
    near.extend(group.iter().map(|back| back.from));
    if near.len() > graph.most(layer) {
        near.sort_unstable_by(|a, b| b.cmp(a));
        near = choose(nodes, &near, graph.most(layer));
    }
    near.iter().map(|n| n.node()).collect()
}
