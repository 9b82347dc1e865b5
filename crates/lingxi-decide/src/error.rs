//! What can go wrong on the way to a slate, and what to do about it.

use lingxi_data::{DataError, Fingerprint};

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, DecideError>;

/// Each message says the operation, what was expected, what came and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// A setting outside its range.
    #[error("configuration of {what}: expected {expected}, got {got}; correct it in the recipe")]
    Config {
        /// The setting, as written in the recipe.
        what: &'static str,
        /// The range that is allowed.
        expected: &'static str,
        /// The value that came.
        got: String,
    },
    /// Vectors that cannot be indexed.
    #[error("building the index: expected {expected}, got {got}; encode the catalogue again")]
    Vectors {
        /// The shape that fits.
        expected: String,
        /// The shape that came.
        got: String,
    },
    /// An index that was built from other vectors or with other settings.
    #[error("loading the index: expected it to be of {expected}, got {got}; build it again")]
    OtherIndex {
        /// Fingerprint of the vectors that the caller has.
        expected: Fingerprint,
        /// Fingerprint that the file was built from.
        got: Fingerprint,
    },
    /// An index file whose parts contradict each other.
    #[error("loading the index: {0}; delete the file, it will be built again")]
    BrokenIndex(String),
    /// What a policy learnt, read back with parts that contradict each other.
    #[error("reading what a policy learnt: {0}; delete it and replay the lessons")]
    BrokenPolicy(String),
    /// A file that cannot be read or written.
    #[error(transparent)]
    Data(#[from] DataError),
}
