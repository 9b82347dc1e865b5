//! From files to columns and back from disk.

mod bad_input;
mod cleaning;
mod corpus;
mod formats;
mod published;
mod scale;

use lingxi_data::Result;
use lingxi_data::ingest::{self, Ingested, Source};
use std::path::Path;

/// A directory with these files.
fn shop<B: AsRef<[u8]>>(files: &[(&str, B)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// Reads the files of `dir` as described.
fn read(dir: &Path, description: &str) -> Result<Ingested> {
    ingest::read(&Source::from_toml(description, Path::new("source.toml"))?, dir, &mut |_| {})
}
