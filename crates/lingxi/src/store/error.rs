//! What can go wrong with the store, and what to do about it.

use std::path::PathBuf;

/// The result of the store's operations.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Each message says the operation, what was expected, what came and the remedy.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be used.
    #[error("open store {}: {why}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What was expected and what came.
        why: String,
    },
    /// The queue is full.
    #[error("store: events arrive faster than the disk takes them; send again in a second")]
    Busy,
    /// The store was closed.
    #[error("store: closed, the server is stopping; send again after it has started")]
    Closed,
    /// A transaction failed; nothing of the job was stored.
    #[error("store: nothing of the batch was stored: {0}; check that the disk has room and can be written")]
    Write(String),
    /// A query failed.
    #[error("store: reading failed: {0}")]
    Read(String),
}
