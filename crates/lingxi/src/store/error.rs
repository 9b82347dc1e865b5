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
    /// There is no room on the disk.
    #[error("store: nothing of the batch was stored: the disk is full; make room, no restart is needed")]
    Full,
    /// The file is not the one that was opened.
    #[error("store: nothing of the batch was stored: {} was moved, deleted or replaced; put it back, or start again", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// A transaction failed; nothing of the job was stored.
    #[error("store: nothing of the batch was stored: {0}; check that the disk can be written")]
    Write(String),
    /// A query failed.
    #[error("store: reading failed: {0}")]
    Read(String),
}

impl StoreError {
    /// A failed write, told apart by what has to be done about it.
    pub(super) fn of_write(error: rusqlite::Error) -> StoreError {
        // Room for the shared index of the log is asked for when it grows, and its lack has a code of its own.
        let no_room_for_index =
            error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => StoreError::Full,
            _ if no_room_for_index => StoreError::Full,
            _ => StoreError::Write(error.to_string()),
        }
    }
}
