//! What can go wrong with data, and what to do about it.

use crate::vectors::Provenance;

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, DataError>;

/// Each message says the operation, what was expected, what came and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A dense id that addresses no row.
    #[error("{what} id at row {row}: expected below {limit}, got {id}; build the ids with one Interner")]
    IdOutOfRange {
        /// `user`, `item` or `category`.
        what: &'static str,
        /// Row, counted from 0.
        row: usize,
        /// The id that came.
        id: usize,
        /// Ids must be below this.
        limit: usize,
    },
    /// Columns or rows that do not fit each other.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// What was being built.
        what: &'static str,
        /// The shape that fits.
        expected: String,
        /// The shape that came.
        got: String,
    },
    /// Vectors of two models in one place.
    #[error("vectors of two spaces: expected {left:?}, got {right:?}; encode all items with one model")]
    MixedProvenance {
        /// What is there.
        left: Box<Provenance>,
        /// What came.
        right: Box<Provenance>,
    },
    /// A file of ours that cannot be read or written.
    #[error("artefact {}: {why}", path.display())]
    Artefact {
        /// Where.
        path: std::path::PathBuf,
        /// What was expected and what came.
        why: String,
    },
}
