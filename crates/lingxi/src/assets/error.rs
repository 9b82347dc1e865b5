//! What can go wrong with assets, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Errors of this module. Each says the operation, what was expected and what came; [`AssetError::remedy`] the next step.
#[derive(Debug, thiserror::Error)]
pub enum AssetError {
    /// A name that `assets.toml` does not know.
    #[error("unknown asset {name:?}: expected one of {}", known.join(", "))]
    Unknown {
        /// What came.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// `assets.toml` itself is wrong.
    #[error("asset manifest: {0}")]
    Manifest(String),
    /// Neither the environment nor the system names a cache directory.
    #[error("no cache directory: expected LINGXI_CACHE, XDG_CACHE_HOME or HOME to be set")]
    NoCacheDirectory,
    /// The cache cannot be read or written.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// `create`, `lock`, `write` ...
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// No source had the right bytes.
    #[error("cannot fetch {name}: {}{}", if attempts.is_empty() { "it has no source" } else { "no source had it" }, Lines(attempts))]
    AllSourcesFailed {
        /// The asset.
        name: String,
        /// Its directory in the cache.
        place: PathBuf,
        /// Each source with its reason, in the order tried.
        attempts: Vec<Attempt>,
    },
}

/// A source that did not deliver.
#[derive(Debug)]
pub struct Attempt {
    /// The source, as `assets list` names it.
    pub source: String,
    /// Why not.
    pub why: SourceError,
}

/// Why one source did not deliver one or more files.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nothing there, or no way to get there.
    #[error("{0}")]
    Unavailable(String),
    /// The bytes are not the ones that were promised.
    #[error("{file} refused: expected {expected}, got {got}")]
    Refused {
        /// The file within the asset.
        file: String,
        /// Size or SHA-256 of the manifest.
        expected: String,
        /// Size or SHA-256 of what came.
        got: String,
    },
    /// Reading from the source or writing to the staging directory failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
}

impl AssetError {
    /// The next step for the person; `None` when the program is at fault.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => Some("lingxi assets list".into()),
            Self::Manifest(_) => None,
            Self::NoCacheDirectory => Some("LINGXI_CACHE=DIR lingxi ...".into()),
            Self::Io { path, .. } => {
                Some(format!("make {} writable, or set LINGXI_CACHE to a directory that is", path.display()))
            }
            Self::AllSourcesFailed { name, .. } => Some(format!(
                "check the network, or copy the files from another machine (its cache holds assets/{name}) and run: \
                 lingxi assets fetch {name} --from DIR, where DIR holds {name}/"
            )),
        }
    }
}

/// An I/O error of the cache, with operation and path: `.map_err(io("create", &path))`.
pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> AssetError {
    let path = path.to_path_buf();
    move |source| AssetError::Io { operation, path, source }
}

/// An I/O error of a source, with the path: `.map_err(source_io(&path))`.
pub(super) fn source_io(path: &Path) -> impl FnOnce(std::io::Error) -> SourceError {
    let path = path.to_path_buf();
    move |source| SourceError::Io { path, source }
}

/// Attempts as indented lines below the message.
struct Lines<'a>(&'a [Attempt]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|attempt| write!(f, "\n  {}: {}", attempt.source, attempt.why))
    }
}
