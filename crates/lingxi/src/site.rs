//! Where does a build happen? The folders, the seed and the progress bars that every stage is given.

use crate::assets::Cache;
use crate::progress::Progress;
use crate::shelf::Shelf;
use std::path::PathBuf;

/// Everything around a build that is not the shop itself.
#[derive(Clone, Debug)]
pub struct Site {
    /// The folder that the recipe's paths start from.
    pub data: PathBuf,
    /// Where assets and everything that can be made again lie.
    pub cache: PathBuf,
    /// Artefacts by fingerprint.
    pub shelf: Shelf,
    /// Models and demo data.
    pub assets: Cache,
    /// How far it is.
    pub progress: Progress,
    /// Seed of every random choice.
    pub seed: u64,
}

/// The folder of a recipe's files: the one of its name below `named`, or `named` itself. Both `--data DIR/beauty` and the folder
/// above it are what people type.
pub fn data_of(named: PathBuf, name: &str) -> PathBuf {
    Some(named.join(name)).filter(|below| below.is_dir()).unwrap_or(named)
}

impl Site {
    /// A site in the cache directory of this user. With `fresh` no artefact is reused, and every text is read anew.
    ///
    /// # Errors
    /// If there is no cache directory to be had.
    pub fn new(data: PathBuf, seed: u64, progress: Progress, fresh: bool) -> anyhow::Result<Site> {
        let cache = crate::assets::cache::directory()?;
        let shelf = Shelf::new(cache.join("artefacts"), fresh);
        if fresh {
            crate::shelf::remove(&cache.join("texts"))?;
        }
        Ok(Site { data, shelf, assets: Cache::from_env()?, cache, progress, seed })
    }
}
