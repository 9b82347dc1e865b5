//! `lingxi reproduce`.

use crate::cli::ReproduceArgs;
use crate::failure::UserError;

/// Answers `lingxi reproduce`.
///
/// # Errors
/// Not built yet.
pub fn run(_args: &ReproduceArgs) -> anyhow::Result<()> {
    Err(UserError::new("`lingxi reproduce` is not built yet", "lingxi assets list").into())
}
