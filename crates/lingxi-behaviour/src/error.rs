//! What can go wrong when a behaviour model is fitted or read, and what to do about it.

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, BehaviourError>;

/// Each message says the operation, what was expected, what came and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum BehaviourError {
    /// A configuration value that no model can use.
    #[error("configuration {field}: expected {expected}, got {got}; change it in the recipe")]
    Config {
        /// Model and field, e.g. `item_model.l2`.
        field: &'static str,
        /// What would be usable.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// Inputs that do not belong together.
    #[error("{operation}: expected {expected}, got {got}; {remedy}")]
    Input {
        /// What was being done.
        operation: &'static str,
        /// What fits.
        expected: String,
        /// What came.
        got: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Arithmetic that broke down.
    #[error("{operation}: {what}; {remedy}")]
    Numeric {
        /// What was being done.
        operation: &'static str,
        /// What broke.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An artefact or vectors that cannot be used.
    #[error(transparent)]
    Data(#[from] lingxi_data::DataError),
    /// A run that cannot be kept, or gone on with.
    #[error(transparent)]
    Train(#[from] lingxi_train::TrainError),
}

/// Checks one configuration value.
pub(crate) fn require(ok: bool, field: &'static str, expected: &'static str, got: impl ToString) -> Result<()> {
    if ok { Ok(()) } else { Err(BehaviourError::Config { field, expected, got: got.to_string() }) }
}

/// Checks the length of a column against another.
pub(crate) fn same_length(operation: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(BehaviourError::Input {
        operation,
        expected: format!("{expected} entries"),
        got: got.to_string(),
        remedy: "inputs must come from one catalogue; rebuild the artefact",
    })
}
