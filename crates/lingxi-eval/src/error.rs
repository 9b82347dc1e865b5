//! What can go wrong when measuring, and what to do about it.

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, EvalError>;

/// Each message says the operation, what was expected, what came and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A configuration that measures nothing or cannot be named.
    #[error("evaluation settings, {field}: expected {expected}, got {got}")]
    Config {
        /// The field of [`crate::EvalConfig`].
        field: &'static str,
        /// What would do.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// A case that does not fit the catalogue, or lists that are out of order.
    #[error("case {case}, {field}: expected {expected}; build cases with lingxi_eval::cases")]
    Case {
        /// Index of the case.
        case: usize,
        /// The field of [`crate::Case`].
        field: &'static str,
        /// What would do.
        expected: String,
    },
    /// A logged round that cannot be weighed.
    #[error("logged round {round}, {field}: expected {expected}, got {got}; check how the log was written")]
    Round {
        /// Index of the round.
        round: usize,
        /// The column.
        field: &'static str,
        /// What would do.
        expected: String,
        /// What came.
        got: String,
    },
    /// An experiment that cannot be run as written.
    #[error("experiment {name}, {field}: expected {expected}, got {got}; change it where the experiments are written")]
    Experiment {
        /// The experiment.
        name: String,
        /// The field.
        field: &'static str,
        /// What would do.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// Too little was logged to fit or compare anything.
    #[error("{what}: expected {expected}, got {got}; {remedy}")]
    TooLittle {
        /// What was to be done.
        what: &'static str,
        /// What it needs.
        expected: String,
        /// What there is.
        got: String,
        /// What would help.
        remedy: &'static str,
    },
    /// Columns that do not fit each other.
    #[error("{what}: expected length {expected}, got {got}")]
    Length {
        /// What was passed.
        what: &'static str,
        /// The length that fits.
        expected: usize,
        /// The length that came.
        got: usize,
    },
    /// No case could be asked, so there is no figure.
    #[error("{what}: no case has a relevant item; check the split (its windows, its minimum of events)")]
    Nothing {
        /// What was measured.
        what: String,
    },
    /// Two reports that cannot be paired.
    #[error("paired test of {metric}: {why}; evaluate both models on the same cases with the same settings")]
    Unpaired {
        /// The metric asked for.
        metric: String,
        /// What differs.
        why: String,
    },
    /// Rows that no regression can be fitted to.
    #[error(transparent)]
    Unfit(#[from] lingxi_train::logistic::Unfit),
}
