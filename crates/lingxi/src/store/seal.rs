//! Is the store still what was closed?
//!
//! A store that is closed in good order leaves its length and hash beside it, and the next opening compares them: every bit
//! that changed meanwhile is noticed. After a crash there is none; then SQLite's own check has to do, which finds broken pages
//! but no changed digit in a row. While the store is open there is no seal.

use super::error::{Result, StoreError};
use crate::seal::mark;
use lingxi_data::artefact::write_atomically;
use rusqlite::Connection;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

/// SQLite's own check reads everything; a larger store is not made to wait for it.
const CHECKED: u64 = 256 << 20;

/// Checks the seal of the store at `path` and breaks it, so that it may be written; false if there was none.
pub fn open(path: &Path) -> Result<bool> {
    let seal = beside(path, ".seal");
    let fail = |why: String| StoreError::Open { path: path.to_path_buf(), why };
    let Ok(expected) = std::fs::read(&seal) else { return Ok(false) };
    if mark(path).map_err(|e| fail(e.to_string()))?.as_bytes() != expected {
        return Err(fail(format!(
            "it is not what was closed, so the disk may have spoilt it; put a copy in its place, or if you changed it yourself, \
             delete {}",
            seal.display()
        )));
    }
    let broken = std::fs::remove_file(&seal).and_then(|()| sync_folder(path));
    broken.map_err(|e| fail(format!("{}: {e}", seal.display())))?;
    Ok(true)
}

/// SQLite's own check of a store that was not sealed.
pub fn quick_check(connection: &Connection, path: &Path) -> Result<()> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() > CHECKED) {
        return Ok(());
    }
    let fail = |why: String| StoreError::Open { path: path.to_path_buf(), why };
    let found: rusqlite::Result<String> = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match found {
        Ok(found) if found == "ok" => Ok(()),
        Ok(found) => Err(fail(format!("it is damaged ({found}); put a copy in its place"))),
        Err(why) => Err(fail(format!("it is damaged ({why}); put a copy in its place"))),
    }
}

/// Seals a store that no connection holds any more. One whose log still lies beside it is left unsealed.
pub fn close(path: &Path) {
    if std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0) {
        return;
    }
    let sealed = mark(path).and_then(|mark| write_atomically(&beside(path, ".seal"), mark.as_bytes()));
    if let Err(why) = sealed {
        tracing::warn!("the store is closed without a seal: {why}");
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}
