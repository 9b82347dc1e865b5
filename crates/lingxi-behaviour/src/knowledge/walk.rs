//! Goods near what a shopper took, along what is known of them: a relation-aware graph, walked a few steps (as R-GCN
//! sums over relations, arXiv 1703.06103, and SGC leaves out what is between the layers, arXiv 1902.07153).
//!
//! Shapes: `m` nodes, the goods first; for each relation `r` the links `A_r [m, m]`, a triple counting once in each
//! direction; relation weights `w_r`, power weights `p_l`.
//!
//! `A = D^-1/2 (sum_r w_r A_r) D^-1/2`, `score(x) = x sum_l p_l A^l`
//!
//! The normalisation takes from a node what it says to everybody: a category of a thousand goods says little of each.
//! There is nothing to train, so a new item speaks and is spoken for as soon as its triples are there. Cost a request: the
//! links of the nodes reached, for each power.

use crate::error::{Result, require, same_length};
use crate::graph::fold_in::{FoldIn, Links, Tables, Voice};
use crate::history::HistoryWeights;
use crate::knowledge::triples::{RelationWeight, Triples, weigh};
use lingxi_data::Events;
use lingxi_kernels::Csr;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How knowledge is weighed and walked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnowledgeConfig {
    /// Weight by relation; one that is not named counts once.
    pub relations: Vec<RelationWeight>,
    /// Weight of what is reached in one step, two steps and so on; default 1 and 0.5.
    pub powers: Vec<f32>,
    /// How the history is weighed.
    pub history: HistoryWeights,
}

impl Default for KnowledgeConfig {
    fn default() -> Self {
        KnowledgeConfig { relations: Vec::new(), powers: vec![1.0, 0.5], history: HistoryWeights::default() }
    }
}

impl KnowledgeConfig {
    /// Checks the ranges of all fields; the weight of each relation of `known`.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] names the field.
    pub fn validate(&self, known: &[String]) -> Result<Vec<f32>> {
        let usable = |x: &f32| x.is_finite() && *x >= 0.0;
        let some = (1..=8).contains(&self.powers.len()) && self.powers.iter().all(usable);
        require(some, "knowledge.powers", "one to eight weights of at least 0", format!("{:?}", self.powers))?;
        self.history.validate()?;
        weigh("knowledge.relations", &self.relations, known)
    }
}

/// Puts the relations together as one graph; `events` only say what the mean best score is.
///
/// # Errors
/// [`crate::BehaviourError::Config`] for a value out of range or a relation that nobody knows; [`crate::BehaviourError::Input`] if the triples are of
/// another catalogue.
pub fn fit(config: &KnowledgeConfig, triples: &Triples, events: &Events<'_>) -> Result<FoldIn> {
    let weights = config.validate(triples.relations())?;
    same_length("fit knowledge: goods of the triples", events.n_items(), triples.n_items())?;
    let matrix = relation_graph(&weights, triples);
    let links = Links { matrix, powers: config.powers.clone() };
    Ok(FoldIn::new(Voice::Knowledge, &config.history, links, Tables::default(), events))
}

/// `D^-1/2 (sum_r w_r A_r) D^-1/2`, with each pair of nodes once.
fn relation_graph(weights: &[f32], triples: &Triples) -> Csr {
    let mut links: Vec<(u32, u32, f32)> = Vec::with_capacity(2 * triples.rows().len());
    for &[head, relation, tail] in triples.rows().iter().filter(|[head, _, tail]| head != tail) {
        let weight = weights[relation as usize];
        if weight > 0.0 {
            links.extend([(head, tail, weight), (tail, head, weight)]);
        }
    }
    links.par_sort_by_key(|(from, to, _)| (*from, *to));
    links.dedup_by(|next, kept| {
        let same = (next.0, next.1) == (kept.0, kept.1);
        if same {
            kept.2 += next.2;
        }
        same
    });
    let mut degree = vec![0.0f32; triples.nodes()];
    links.iter().for_each(|(from, _, weight)| degree[*from as usize] += weight);
    for (from, to, weight) in &mut links {
        *weight /= (degree[*from as usize] * degree[*to as usize]).sqrt();
    }
    Csr::from_triplets(triples.nodes(), &links)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triples() -> Triples {
        // Goods 0 to 3, brand 4. 0 and 1 go together both ways; 1 replaces 2; 2 and 3 are of brand 4.
        let relations = ["complement", "substitute", "brand"].map(str::to_owned).to_vec();
        let rows = vec![[0, 0, 1], [1, 0, 0], [1, 1, 2], [2, 2, 4], [3, 2, 4], [3, 2, 3]];
        Triples::new(4, 5, relations, rows).unwrap()
    }

    #[test]
    fn the_graph_is_symmetric_weighs_relations_and_takes_from_nodes_of_many_links() {
        let graph = relation_graph(&[1.0, 0.5, 1.0], &triples());
        let entry = |i: usize, j: u32| {
            let (to, weights) = graph.row(i);
            to.iter().position(|t| *t == j).map_or(0.0, |at| weights[at])
        };
        // Degrees: 2 and 2.5 for the goods 0 and 1.
        assert!((entry(0, 1) - 2.0 / (2.0f32 * 2.5).sqrt()).abs() < 1e-6);
        assert!((entry(1, 2) - 0.5 / (2.5f32 * 1.5).sqrt()).abs() < 1e-6);
        assert_eq!(entry(3, 3), 0.0, "an item that is linked to itself says nothing");
        for i in 0..5 {
            (0..5u32).for_each(|j| assert_eq!(entry(i, j), entry(j as usize, i as u32)));
        }
    }

    #[test]
    fn a_relation_that_nobody_knows_is_named_with_the_known_ones() {
        let relations = vec![RelationWeight { name: "complements".into(), weight: 1.0 }];
        let config = KnowledgeConfig { relations, ..Default::default() };
        let why = config.validate(triples().relations()).unwrap_err().to_string();
        assert!(why.contains("complements") && why.contains("substitute"), "{why}");
    }
}
