//! What is known of goods besides who took them: which complement or replace each other, of what brand and category.
//!
//! [`triples`] holds what a shop knows as `head, relation, tail`, [`walk`] goes along them from what a shopper took, [`embedding`]
//! learns vectors in which a relation is a way from one item to another.

pub mod embedding;
pub mod triples;
pub mod walk;

pub use embedding::EmbeddingConfig;
pub use triples::{RelationWeight, Triples};
pub use walk::KnowledgeConfig;
