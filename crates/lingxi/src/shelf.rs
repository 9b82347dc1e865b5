//! Where a build's artefacts lie: `<root>/<stage>/<fingerprint>/`, one folder each.
//!
//! A stage asks for its artefact by the fingerprint of all that it depends on. If the folder is there, its seal is whole and it reads
//! well, it is reused; otherwise the stage makes it, and it is put in place whole or not at all. Each stage keeps its newest few.

use crate::seal;
use anyhow::{Context as _, Result};
use lingxi_data::Fingerprint;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Version of all code that can change an artefact (see `build.rs`).
const CODE: &str = env!("LINGXI_CODE_VERSION");

/// Artefacts of one stage that are kept; older ones are deleted when a new one is placed.
const KEPT: usize = 6;

/// A folder of artefacts.
#[derive(Clone, Debug)]
pub struct Shelf {
    root: PathBuf,
    fresh: bool,
}

impl Shelf {
    /// A shelf under `root`. With `fresh`, nothing that lies there is reused.
    pub fn new(root: impl Into<PathBuf>, fresh: bool) -> Shelf {
        Shelf { root: root.into(), fresh }
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
        let folder = self.root.join(stage).join(key.to_string());
        if !self.fresh && folder.is_dir() {
            match seal::check(&folder).map_err(Into::into).and_then(|()| load(&folder)) {
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
        remove(&folder)?;
        std::fs::rename(&beside, &folder).with_context(|| format!("cannot place {}", folder.display()))?;
        self.prune(stage);
        Ok((artefact, false))
    }

    /// Whether the artefact of `stage` under `key` lies here, to be reused, as it was sealed.
    pub fn holds(&self, stage: &str, key: Fingerprint) -> bool {
        !self.fresh && seal::check(&self.root.join(stage).join(key.to_string())).is_ok()
    }

    /// Deletes all but the newest artefacts of a stage, and what killed builds left behind.
    fn prune(&self, stage: &str) {
        let mut kept: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(self.root.join(stage)).into_iter().flatten().flatten() {
            if let Ok(at) = entry.metadata().and_then(|m| m.modified()) {
                kept.push((at, entry.path()));
            }
        }
        kept.sort();
        let surplus = kept.len().saturating_sub(KEPT);
        for (_, path) in kept.into_iter().take(surplus) {
            // A folder that cannot be deleted now is tried again at the next build.
            let _ = std::fs::remove_dir_all(path);
        }
    }
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
    fn only_the_newest_artefacts_of_a_stage_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (shelf, made) = (Shelf::new(dir.path(), false), Cell::new(0));
        for i in 0..10 {
            get(&shelf, Shelf::key(&[], &i), &made);
        }
        assert_eq!(std::fs::read_dir(dir.path().join("stage")).unwrap().count(), KEPT);
    }
}
