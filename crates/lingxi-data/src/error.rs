//! What can go wrong with data, and what to do about it.

use crate::vectors::Provenance;
use std::fmt;
use std::path::PathBuf;

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
        path: PathBuf,
        /// What was expected and what came.
        why: String,
    },
    /// A file of the user's, or the description of one, that cannot be used.
    #[error(transparent)]
    Input(Box<InputError>),
}

/// Says which file, line and field cannot be used, what was expected there, what came, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// The file.
    pub path: PathBuf,
    /// Line (row for Parquet), counted from 1, where there is one.
    pub line: Option<u64>,
    /// Field or column, where there is one.
    pub field: Option<String>,
    /// What would have been right.
    pub expected: String,
    /// What came.
    pub got: String,
    /// What to do about it.
    pub remedy: String,
}

impl InputError {
    /// An error about `path` as a whole; [`InputError::at`] and [`InputError::in_field`] narrow it down.
    pub fn new(
        path: impl Into<PathBuf>,
        expected: impl Into<String>,
        got: impl Into<String>,
        remedy: impl Into<String>,
    ) -> InputError {
        InputError {
            path: path.into(),
            line: None,
            field: None,
            expected: expected.into(),
            got: got.into(),
            remedy: remedy.into(),
        }
    }

    /// Names the line.
    pub fn at(mut self, line: u64) -> InputError {
        self.line = Some(line);
        self
    }

    /// Names the field.
    pub fn in_field(mut self, field: impl Into<String>) -> InputError {
        self.field = Some(field.into());
        self
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": field {field}")?;
        }
        write!(f, ": expected {}, got {}; {}", self.expected, self.got, self.remedy)
    }
}

impl std::error::Error for InputError {}

impl From<InputError> for DataError {
    fn from(error: InputError) -> DataError {
        DataError::Input(Box::new(error))
    }
}
