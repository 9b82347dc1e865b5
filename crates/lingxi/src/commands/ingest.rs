//! `lingxi ingest`.

use crate::cli::IngestArgs;
use crate::failure::UserError;

/// Answers `lingxi ingest`.
///
/// # Errors
/// Not built yet.
pub fn run(_args: &IngestArgs) -> anyhow::Result<()> {
    Err(UserError::new("`lingxi ingest` is not built yet", "lingxi assets list").into())
}
