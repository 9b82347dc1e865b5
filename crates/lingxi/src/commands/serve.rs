//! `lingxi serve`.

use crate::cli::ServeArgs;
use crate::failure::UserError;

/// Answers `lingxi serve`.
///
/// # Errors
/// Not built yet.
pub fn run(_args: &ServeArgs) -> anyhow::Result<()> {
    Err(UserError::new("`lingxi serve` is not built yet", "lingxi assets list").into())
}
