//! Is a folder still what was written into it?
//!
//! A seal is a small file beside the others that names each with its length and hash. It is checked before any of them is
//! believed, so that every kind of file is guarded alike, and goes wherever the folder's files go, also as hard links.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

/// The name of the seal.
const SEAL: &str = "seal";

/// Writes the seal of a folder of plain files.
///
/// # Errors
/// Whatever the file system says.
pub fn close(folder: &Path) -> io::Result<()> {
    let lines = files(folder)?.into_iter().map(|(name, mark)| format!("{mark} {name}\n"));
    std::fs::write(folder.join(SEAL), lines.collect::<String>())
}

/// Checks that a folder holds exactly the files that its seal names, unchanged.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] says what differs; otherwise whatever the file system says.
pub fn check(folder: &Path) -> io::Result<()> {
    let broken = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let seal = std::fs::read_to_string(folder.join(SEAL))?;
    let found = files(folder)?;
    let lines: Vec<&str> = seal.lines().collect();
    if lines.len() != found.len() || !seal.ends_with('\n') {
        return broken(format!("its seal names {} files, there are {}", lines.len(), found.len()));
    }
    match lines.iter().zip(&found).find(|(line, (name, mark))| **line != format!("{mark} {name}")) {
        Some((_, (name, _))) => broken(format!("{name} is not what was sealed")),
        None => Ok(()),
    }
}

/// Hash and length of a file.
///
/// # Errors
/// Whatever the file system says.
pub fn mark(path: &Path) -> io::Result<String> {
    let length = File::open(path)?.metadata()?.len();
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap(path)?;
    Ok(format!("{} {length}", hasher.finalize().to_hex()))
}

/// The files of a folder by name, each with its mark.
fn files(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != SEAL {
            files.insert(name, mark(&entry.path())?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_missing_file_and_stranger_is_noticed_also_in_the_seal_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("a.json"), "{}").unwrap();
        std::fs::write(path("b"), [0, 1, 2]).unwrap();
        assert!(check(dir.path()).is_err(), "no seal yet");
        close(dir.path()).unwrap();
        check(dir.path()).unwrap();
        for name in ["a.json", "b", SEAL] {
            let whole = std::fs::read(path(name)).unwrap();
            for at in 0..whole.len() {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << (at % 8);
                std::fs::write(path(name), flipped).unwrap();
                assert!(check(dir.path()).is_err(), "{name}: a flip in byte {at}");
                std::fs::write(path(name), &whole[..at]).unwrap();
                assert!(check(dir.path()).is_err(), "{name}: cut at byte {at}");
            }
            std::fs::write(path(name), whole).unwrap();
        }
        check(dir.path()).unwrap();
        std::fs::write(path("stranger"), "").unwrap();
        assert!(check(dir.path()).is_err());
        std::fs::remove_file(path("stranger")).unwrap();
        std::fs::remove_file(path("b")).unwrap();
        assert!(check(dir.path()).is_err());
    }

    #[test]
    fn a_seal_goes_with_hard_links() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(from.path().join("a"), "text").unwrap();
        close(from.path()).unwrap();
        for name in ["a", SEAL] {
            std::fs::hard_link(from.path().join(name), to.path().join(name)).unwrap();
        }
        drop(from);
        check(to.path()).unwrap();
    }
}
