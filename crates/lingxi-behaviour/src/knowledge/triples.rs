//! What is known, as `head, relation, tail` over nodes: the goods first, then whatever else is named (brands, categories).

use crate::error::{BehaviourError, Result, require};
use serde::{Deserialize, Serialize};

/// How much one relation counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationWeight {
    /// As the triples name it.
    pub name: String,
    /// At least 0; a relation that is not named counts once.
    pub weight: f32,
}

/// The weight of each of the `known` relations.
///
/// # Errors
/// [`BehaviourError::Config`] for a weight below 0 or a name that is not known.
pub(crate) fn weigh(field: &'static str, weights: &[RelationWeight], known: &[String]) -> Result<Vec<f32>> {
    for RelationWeight { name, weight } in weights {
        require(weight.is_finite() && *weight >= 0.0, field, "weights of at least 0", weight)?;
        if !known.contains(name) {
            let got = format!("{name:?}, known: {}", known.join(", "));
            return Err(BehaviourError::Config { field, expected: "relations of the triples", got });
        }
    }
    let of = |name: &String| weights.iter().find(|w| w.name == *name).map_or(1.0, |w| w.weight);
    Ok(known.iter().map(of).collect())
}

/// Triples over the nodes of one catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Triples {
    n_items: usize,
    nodes: usize,
    relations: Vec<String>,
    rows: Vec<[u32; 3]>,
}

impl Triples {
    /// Puts triples together: `rows` are head, relation, tail, where nodes below `n_items` are the goods.
    ///
    /// # Errors
    /// [`BehaviourError::Input`] if there are fewer nodes than goods, or a row names a node or relation that is not there.
    pub fn new(n_items: usize, nodes: usize, relations: Vec<String>, rows: Vec<[u32; 3]>) -> Result<Triples> {
        let inside = |row: &[u32; 3]| {
            (row[0].max(row[2]) as usize) < nodes && (row[1] as usize) < relations.len() && nodes >= n_items
        };
        match rows.iter().find(|row| !inside(row)) {
            None if nodes >= n_items => Ok(Triples { n_items, nodes, relations, rows }),
            wrong => Err(BehaviourError::Input {
                operation: "read knowledge",
                expected: format!("{n_items} goods among {nodes} nodes and {} relations", relations.len()),
                got: format!("{wrong:?}"),
                remedy: "number the goods first and every other name after them",
            }),
        }
    }

    /// Number of goods: the first nodes.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Names of the relations.
    pub fn relations(&self) -> &[String] {
        &self.relations
    }

    /// Head, relation, tail.
    pub fn rows(&self) -> &[[u32; 3]] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_triple_that_names_no_node_or_relation_is_refused() {
        let relations = || vec!["brand".to_owned()];
        assert!(Triples::new(2, 3, relations(), vec![[0, 0, 2]]).is_ok());
        for wrong in [[0, 0, 3], [3, 0, 1], [0, 1, 2]] {
            let why = Triples::new(2, 3, relations(), vec![wrong]).unwrap_err().to_string();
            assert!(why.contains("2 goods among 3 nodes"), "{why}");
        }
        assert!(Triples::new(4, 3, relations(), vec![]).is_err());
    }
}
