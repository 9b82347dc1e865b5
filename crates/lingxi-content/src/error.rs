//! What can go wrong between text and vector, and what to do about it.

use std::path::{Path, PathBuf};

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, ContentError>;

/// Each message says the operation, what was expected, what came and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// A file of a model directory that is missing or cannot be parsed.
    #[error("model directory: {}: expected {expected}, got {got}; fetch the model again", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: String,
        /// What came.
        got: String,
    },
    /// A setting that this crate does not implement or that contradicts another.
    #[error("model directory: {}: {field}: expected {expected}, got {got}; take a BERT sentence encoder", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// The setting.
        field: &'static str,
        /// What is implemented.
        expected: String,
        /// What came.
        got: String,
    },
    /// A tensor that is missing or of another shape or number type.
    #[error("model directory: {}: tensor {name}: expected F32 {expected:?}, got {got}; fetch the model again", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
        /// What came.
        got: String,
    },
    /// The cache of vectors cannot be read or written.
    #[error("cache of text vectors: {}: {source}; check free space and rights, or delete the file", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A setting of fine-tuning that is out of its range.
    #[error("fine-tuning: {field}: expected {expected}, got {got}; change it in the recipe")]
    Tuning {
        /// The setting.
        field: String,
        /// What is possible.
        expected: String,
        /// What came.
        got: String,
    },
    /// A text that is too long for the model.
    #[error("text: expected at most {most} tokens of question and answer together, got {got}; shorten it")]
    Long {
        /// What the model takes.
        most: usize,
        /// What came.
        got: usize,
    },
    /// An error of the data crate.
    #[error(transparent)]
    Data(#[from] lingxi_data::DataError),
}

impl ContentError {
    pub(crate) fn file(path: &Path, expected: impl Into<String>, got: impl ToString) -> ContentError {
        ContentError::File { path: path.to_path_buf(), expected: expected.into(), got: got.to_string() }
    }

    pub(crate) fn cache(path: &Path) -> impl FnOnce(std::io::Error) -> ContentError {
        |source| ContentError::Cache { path: path.to_path_buf(), source }
    }
}
