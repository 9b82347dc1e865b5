//! `lingxi demo`.

use crate::cli::DemoArgs;
use crate::failure::UserError;

/// Answers `lingxi demo`.
///
/// # Errors
/// Not built yet.
pub fn run(_args: &DemoArgs) -> anyhow::Result<()> {
    Err(UserError::new("`lingxi demo` is not built yet", "lingxi assets list").into())
}
