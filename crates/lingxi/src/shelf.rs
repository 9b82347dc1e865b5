//! Where a build's artefacts lie: `<root>/<stage>/<fingerprint>/`, one folder each.
//!
//! A stage asks for its artefact by the fingerprint of all that it depends on. If the folder is there, its seal is whole and it reads
//! well, it is reused; otherwise the stage makes it, and it is put in place whole or not at all. Each stage keeps its newest few.

use crate::seal;
use anyhow::{Context as _, Result};
use lingxi_data::Fingerprint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Version of all code that can change an artefact (see `build.rs`).
const CODE: &str = env!("LINGXI_CODE_VERSION");

/// Artefacts of one stage that are kept; older ones are deleted when a new one is placed.
const KEPT: usize = 6;

/// No build takes so long to save one artefact: what lies half saved for longer was left behind by a killed one.
const SAVING: Duration = Duration::from_secs(600);

/// A folder of artefacts.
#[derive(Clone, Debug)]
pub struct Shelf {
    root: PathBuf,
    mode: Mode,
    used: Arc<Mutex<BTreeSet<Place>>>,
}

/// Where an artefact lies below the root: its stage and its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The stage that made it.
    pub stage: String,
    /// Its fingerprint.
    pub key: Fingerprint,
}

/// What is done about an artefact that lies here, and about one that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Reused; made if it is missing.
    Reuse,
    /// Made again in any case.
    Fresh,
    /// Reused; a missing or spoilt one is an error, and nothing is written.
    Sealed,
}

impl Shelf {
    /// A shelf under `root`. With `fresh`, nothing that lies there is reused.
    pub fn new(root: impl Into<PathBuf>, fresh: bool) -> Shelf {
        let mode = if fresh { Mode::Fresh } else { Mode::Reuse };
        Shelf { root: root.into(), mode, used: Arc::default() }
    }

    /// A shelf that is only read: what a kept snapshot needs lies under `root` or the snapshot is of no use.
    pub fn sealed(root: impl Into<PathBuf>) -> Shelf {
        Shelf { root: root.into(), mode: Mode::Sealed, used: Arc::default() }
    }

    /// Whether what lies here is reused.
    pub fn reuses(&self) -> bool {
        self.mode != Mode::Fresh
    }

    /// Where it lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The artefacts that were loaded or made so far.
    pub fn used(&self) -> Vec<Place> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The folder of an artefact.
    pub fn folder(&self, place: &Place) -> PathBuf {
        self.root.join(&place.stage).join(place.key.to_string())
    }

    /// The fingerprint of a stage's artefact: code version, what it was made from, and how.
    pub fn key<C: Serialize>(inputs: &[Fingerprint], config: &C) -> Fingerprint {
        let config = Fingerprint::of_json(config);
        let parts = std::iter::once(CODE.as_bytes())
            .chain(inputs.iter().map(|f| f.bytes().as_slice()))
            .chain(std::iter::once(config.bytes().as_slice()));
        Fingerprint::of(parts)
    }

    /// The artefact of `stage` under `key`: loaded if it lies here and reads well, otherwise made and saved.
    /// The second value says whether it was reused.
    ///
    /// # Errors
    /// Whatever `make` or `save` say, or the file system.
    pub fn get<T>(
        &self,
        stage: &str,
        key: Fingerprint,
        load: impl FnOnce(&Path) -> Result<T>,
        make: impl FnOnce() -> Result<T>,
        save: impl FnOnce(&T, &Path) -> Result<()>,
    ) -> Result<(T, bool)> {
        let place = Place { stage: stage.to_owned(), key };
        let folder = self.folder(&place);
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
        let checked = || seal::check(&folder).map_err(Into::into).and_then(|()| load(&folder));
        if self.mode == Mode::Sealed {
            let artefact = checked().with_context(|| format!("{stage}: expected the artefact {key}"))?;
            return Ok((artefact, true));
        }
        if self.mode == Mode::Reuse && folder.is_dir() {
            match checked() {
                Ok(artefact) => return Ok((artefact, true)),
                Err(why) => tracing::warn!("{stage}: the kept artefact does not read ({why:#}); making it again"),
            }
        }
        let artefact = make()?;
        let beside = folder.with_extension(format!("{}.tmp", std::process::id()));
        remove(&beside)?;
        std::fs::create_dir_all(&beside).with_context(|| format!("cannot create {}", beside.display()))?;
        save(&artefact, &beside).with_context(|| format!("cannot save the artefact of {stage}"))?;
        seal::close(&beside).with_context(|| format!("cannot seal the artefact of {stage}"))?;
        let place = || {
            // On disk before it has its name, and the name before anybody builds on it.
            sync(&beside)?;
            std::fs::rename(&beside, &folder)?;
            std::fs::File::open(self.root.join(stage))?.sync_all()
        };
        remove(&folder)?;
        place().with_context(|| format!("cannot place {}", folder.display()))?;
        self.prune(stage);
        Ok((artefact, false))
    }

    /// Whether the artefact of `stage` under `key` would have to be made.
    pub fn lacks(&self, stage: &str, key: Fingerprint) -> bool {
        let place = Place { stage: stage.to_owned(), key };
        self.mode == Mode::Reuse && seal::check(&self.folder(&place)).is_err()
    }

    /// Deletes all but the newest artefacts of a stage, and what killed builds left behind. That takes no artefact's place.
    fn prune(&self, stage: &str) {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(self.root.join(stage)).into_iter().flatten().flatten() {
            let Ok(at) = entry.metadata().and_then(|m| m.modified()) else { continue };
            let path = entry.path();
            if path.extension().is_none_or(|end| end != "tmp") {
                kept.push((at, path));
            } else if at.elapsed().is_ok_and(|age| age > SAVING) {
                gone.push(path);
            }
        }
        kept.sort();
        let surplus = kept.len().saturating_sub(KEPT);
        for path in kept.into_iter().take(surplus).map(|(_, path)| path).chain(gone) {
            // A folder that cannot be deleted now is tried again at the next build.
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// Brings a folder and the files in it to disk.
pub(crate) fn sync(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?
        } else {
            std::fs::File::open(entry.path())?.sync_all()?
        }
    }
    std::fs::File::open(folder)?.sync_all()
}

/// Deletes a folder, if it is there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot replace {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn get(shelf: &Shelf, key: Fingerprint, made: &Cell<u32>) -> (String, bool) {
        let make = || {
            made.set(made.get() + 1);
            Ok("text".to_string())
        };
        let load = |p: &Path| Ok(std::fs::read_to_string(p.join("a"))?);
        shelf.get("stage", key, load, make, |t, p| Ok(std::fs::write(p.join("a"), t)?)).unwrap()
    }

    #[test]
    fn an_artefact_is_made_once_unless_it_is_damaged_or_fresh_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (shelf, made) = (Shelf::new(dir.path(), false), Cell::new(0));
        let key = Shelf::key(&[], &"config");
        assert_eq!(get(&shelf, key, &made), ("text".into(), false));
        assert_eq!(get(&shelf, key, &made), ("text".into(), true));
        std::fs::remove_file(dir.path().join("stage").join(key.to_string()).join("a")).unwrap();
        assert_eq!(get(&shelf, key, &made), ("text".into(), false));
        assert_eq!(get(&Shelf::new(dir.path(), true), key, &made), ("text".into(), false));
        assert_eq!(made.get(), 3);
    }

    #[test]
    fn what_killed_builds_left_takes_no_place_and_is_deleted_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let (shelf, made) = (Shelf::new(dir.path(), false), Cell::new(0));
        let keys = [1, 2, 3].map(|i| Shelf::key(&[], &i));
        keys.iter().for_each(|key| drop(get(&shelf, *key, &made)));
        for killed in 0..20 {
            let left = dir.path().join(format!("stage/{}.{killed}.tmp", keys[0]));
            std::fs::create_dir(&left).unwrap();
            let age = std::time::SystemTime::now() - if killed < 10 { Duration::ZERO } else { 2 * SAVING };
            std::fs::File::open(&left).unwrap().set_modified(age).unwrap();
        }
        get(&shelf, Shelf::key(&[], &4), &made);
        assert!(keys.iter().all(|key| get(&shelf, *key, &made).1), "artefacts are still there");
        let left = std::fs::read_dir(dir.path().join("stage")).unwrap().flatten();
        assert_eq!(left.filter(|e| e.path().extension().is_some()).count(), 10, "those that may still be saved to");
    }

    #[test]
    fn only_the_newest_artefacts_of_a_stage_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (shelf, made) = (Shelf::new(dir.path(), false), Cell::new(0));
        for i in 0..10 {
            get(&shelf, Shelf::key(&[], &i), &made);
        }
        assert_eq!(std::fs::read_dir(dir.path().join("stage")).unwrap().count(), KEPT);
    }
}
