//! `lingxi evaluate`.

use crate::cli::EvaluateArgs;
use crate::failure::UserError;

/// Answers `lingxi evaluate`.
///
/// # Errors
/// Not built yet.
pub fn run(_args: &EvaluateArgs) -> anyhow::Result<()> {
    Err(UserError::new("`lingxi evaluate` is not built yet", "lingxi assets list").into())
}
