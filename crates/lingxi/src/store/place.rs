//! Is the store ours alone, and still where we opened it?
//!
//! Two servers on one file would each miss what the other takes in, so the writer holds a lock file beside the store for as
//! long as it writes; the system lets go of it when the process ends, however it ends. And a file that was moved or deleted
//! under an open connection goes on taking writes that nobody will find again, so the writer looks before and after each
//! commit whether the files are still those that it opened.

use super::error::{Result, StoreError};
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// The store's place on disk, held by the one writer.
pub struct Place {
    path: PathBuf,
    /// Device and number of the database and of its log, once they are open.
    files: Vec<(PathBuf, Identity)>,
    /// Locked until it is dropped.
    _lock: File,
}

/// What tells a file from another one of the same name; nothing where the system does not say.
type Identity = Option<(u64, u64)>;

impl Place {
    /// Takes the place for this process, making its folder if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Open`] if another process has it, or the folder cannot be written.
    pub fn claim(path: &Path) -> Result<Place> {
        let fail = |why: String| StoreError::Open { path: path.to_path_buf(), why };
        let unwritable =
            |e: std::io::Error| fail(format!("{e}; check the path, its permissions and the room on the disk"));
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(unwritable)?;
        }
        // Two names of one store lead to one lock.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(beside(&path, ".lock"))
            .map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Place { path, files: Vec::new(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(fail("another lingxi writes to it; stop that one, or name another file with --store".into()))
            }
            Err(TryLockError::Error(e)) => Err(fail(format!("it cannot be locked: {e}; put it on a local disk"))),
        }
    }

    /// Remembers the files as they are now, after they were opened.
    pub fn remember(&mut self) {
        let files = [self.path.clone(), self.log()];
        self.files = files.into_iter().map(|file| (file.clone(), identity(&file))).collect();
    }

    /// Whether the files are still those that were opened.
    ///
    /// # Errors
    /// [`StoreError::Gone`] names the one that is not.
    pub fn check(&self) -> Result<()> {
        match self.files.iter().find(|(file, id)| identity(file) != *id) {
            None => Ok(()),
            Some((file, _)) => Err(StoreError::Gone { path: file.clone() }),
        }
    }

    /// The log of what is not in the database yet.
    pub fn log(&self) -> PathBuf {
        beside(&self.path, "-wal")
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

#[cfg(unix)]
fn identity(path: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Identity {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once_under_all_its_names_until_it_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/store");
        let held = Place::claim(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        let refused = Place::claim(&dir.path().join("deep/../deep/store")).err().expect("held").to_string();
        assert!(refused.contains("another lingxi") && refused.contains("--store"), "{refused}");
        drop(held);
        Place::claim(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_was_moved_or_replaced_is_missed_until_it_is_back() {
        let dir = tempfile::tempdir().unwrap();
        let (path, away) = (dir.path().join("store"), dir.path().join("away"));
        std::fs::write(&path, "ours").unwrap();
        let mut place = Place::claim(&path).unwrap();
        place.remember();
        assert!(place.check().is_ok());
        std::fs::rename(&path, &away).unwrap();
        assert!(matches!(place.check(), Err(StoreError::Gone { .. })));
        std::fs::write(&path, "another").unwrap();
        assert!(matches!(place.check(), Err(StoreError::Gone { .. })));
        std::fs::rename(&away, &path).unwrap();
        assert!(place.check().is_ok());
    }
}
