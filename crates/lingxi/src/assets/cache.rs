//! What do we have, and is it still what it was?
//!
//! The cache directory is `$LINGXI_CACHE`, else `lingxi` in the user's cache directory; assets lie in
//! `assets/NAME/`. A stamp file beside the verified files holds their hash, size and modification time, so that a start
//! costs a few `stat` calls and not a hash of 90 MB; whatever does not fit its stamp is hashed again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{AssetError, io};
use super::fetch::{self, Fetched};
use super::manifest::{Asset, AssetFile, Manifest};
use crate::progress::{Progress, Stage, Unit};

const STAMP: &str = ".verified.json";

/// The assets of one cache directory.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    from: Option<PathBuf>,
    manifest: Manifest,
}

/// How an asset stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// All files are there and verified.
    Here,
    /// Nothing is placed; `staged` bytes of an interrupted fetch are kept.
    Missing {
        /// Bytes that the next fetch need not get again.
        staged: u64,
    },
    /// Files are there but not the right ones: one reason per file.
    Damaged(Vec<String>),
}

/// What the stamp keeps of one verified file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    sha256: String,
    size: u64,
    modified_ns: u128,
}

/// The cache directory of the program: `$LINGXI_CACHE`, else `lingxi` in the user's cache directory.
///
/// # Errors
/// No environment variable names one.
pub fn directory() -> Result<PathBuf, AssetError> {
    match std::env::var_os("LINGXI_CACHE").filter(|dir| !dir.is_empty()) {
        Some(dir) => Ok(dir.into()),
        None => dirs::cache_dir().map(|dir| dir.join("lingxi")).ok_or(AssetError::NoCacheDirectory),
    }
}

impl Cache {
    /// The cache that the environment names (`LINGXI_CACHE`), with the local source that it names (`LINGXI_ASSETS`).
    ///
    /// # Errors
    /// No cache directory is known.
    pub fn from_env() -> Result<Self, AssetError> {
        let from = std::env::var_os("LINGXI_ASSETS").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        Ok(Self::new(directory()?, from, Manifest::built_in()?))
    }

    /// A cache below `root`; `from` is the local directory to try before the sources of the manifest.
    pub fn new(root: PathBuf, from: Option<PathBuf>, manifest: Manifest) -> Self {
        Self { root, from, manifest }
    }

    /// Replaces the local directory to try first.
    pub fn with_local_source(mut self, from: Option<PathBuf>) -> Self {
        self.from = from.or(self.from);
        self
    }

    /// What may be in this cache.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The local directory to try first.
    pub fn local_source(&self) -> Option<&Path> {
        self.from.as_deref()
    }

    /// Where the files of `asset` are, or will be.
    pub fn place(&self, asset: &Asset) -> PathBuf {
        self.root.join("assets").join(&asset.name)
    }

    /// The hidden neighbour of [`Cache::place`] where files are gathered.
    pub(super) fn staging_place(&self, asset: &Asset) -> PathBuf {
        self.root.join("assets").join(format!(".{}.staging", asset.name))
    }

    /// Where sources keep half-finished downloads.
    pub(super) fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    /// The directory of `name`, fetched first if it is not here.
    ///
    /// # Errors
    /// As [`super::ensure`].
    pub fn ensure(&self, name: &str, progress: &Progress) -> Result<PathBuf, AssetError> {
        let asset = self.manifest.get(name)?;
        if !self.stamp_fits(asset) {
            self.fetch(asset, progress)?;
        }
        Ok(self.place(asset))
    }

    /// Makes sure that `asset` is here and says how it came.
    ///
    /// # Errors
    /// As [`super::ensure`].
    pub fn fetch(&self, asset: &Asset, progress: &Progress) -> Result<Fetched, AssetError> {
        fetch::fetch(self, asset, progress)
    }

    /// How `asset` stands; hashes only what has no fitting stamp.
    pub fn state(&self, asset: &Asset, progress: &Progress) -> State {
        if self.stamp_fits(asset) { State::Here } else { self.verify(asset, progress) }
    }

    /// Hashes every file of `asset`, whatever the stamp says, and renews the stamp when all is well.
    pub fn verify(&self, asset: &Asset, progress: &Progress) -> State {
        let place = self.place(asset);
        if !place.is_dir() {
            return State::Missing { staged: tree_size(&self.staging_place(asset)) };
        }
        let stage = progress.stage(&format!("verify {}", asset.name), Some(asset.size()), Unit::Bytes);
        let wrong: Vec<String> = asset.files.iter().filter_map(|file| fault(&place, file, &stage)).collect();
        if !wrong.is_empty() {
            // The stamp no longer speaks for these files, or the next fetch would believe it.
            fs::remove_file(place.join(STAMP)).ok();
            return State::Damaged(wrong);
        }
        // A cache that cannot be written works all the same, only slower.
        self.write_stamp(asset, &place).ok();
        State::Here
    }

    /// Whether every file has the size and time that it had when it was last hashed.
    fn stamp_fits(&self, asset: &Asset) -> bool {
        let place = self.place(asset);
        let stamp = fs::read(place.join(STAMP)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let stamp: BTreeMap<String, Seen> = stamp.unwrap_or_default();
        asset.files.iter().all(|file| {
            let now = look(&place.join(&file.path), &file.sha256).ok();
            now.is_some() && now.as_ref() == stamp.get(&file.path)
        })
    }

    /// Writes the stamp of files that were just hashed in `place`.
    pub(super) fn write_stamp(&self, asset: &Asset, place: &Path) -> std::io::Result<()> {
        let mut stamp = BTreeMap::new();
        for file in &asset.files {
            stamp.insert(file.path.clone(), look(&place.join(&file.path), &file.sha256)?);
        }
        let fresh = place.join(format!("{STAMP}.{}", std::process::id()));
        fs::write(&fresh, serde_json::to_vec_pretty(&stamp)?)?;
        fs::rename(fresh, place.join(STAMP))
    }

    /// Waits until no other process fetches `asset`; the lock goes with the file, also when the process is killed.
    pub(super) fn lock(&self, asset: &Asset, progress: &Progress) -> Result<File, AssetError> {
        let dir = self.root.join("assets");
        fs::create_dir_all(&dir).map_err(io("create", &dir))?;
        let path = dir.join(format!(".{}.lock", asset.name));
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => {
                progress.note(&format!("another process fetches {}, waiting for it", asset.name));
                file.lock().map_err(io("lock", &path))?;
                Ok(file)
            }
            Err(fs::TryLockError::Error(error)) => Err(io("lock", &path)(error)),
        }
    }
}

/// SHA-256 of a file in hex; every byte read is told to `stage`.
pub(super) fn hash_file(path: &Path, stage: &Stage) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => {
                hasher.update(&buffer[..n]);
                stage.add(n as u64);
            }
        }
    }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of all files below `dir`; 0 if there is none.
pub(super) fn tree_size(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => tree_size(&entry.path()),
        Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |meta| meta.len()),
        _ => 0,
    });
    sizes.sum()
}

fn look(path: &Path, sha256: &str) -> std::io::Result<Seen> {
    let meta = fs::metadata(path)?;
    let modified = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Seen { sha256: sha256.to_owned(), size: meta.len(), modified_ns: modified.as_nanos() })
}

/// What is wrong with `file` in `place`, if anything is.
fn fault(place: &Path, file: &AssetFile, stage: &Stage) -> Option<String> {
    let path = place.join(&file.path);
    match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(format!("{}: missing", file.path)),
        Err(error) => return Some(format!("{}: {error}", file.path)),
        Ok(meta) if meta.len() != file.size => {
            return Some(format!("{}: expected {} bytes, got {}", file.path, file.size, meta.len()));
        }
        Ok(_) => {}
    }
    match hash_file(&path, stage) {
        Ok(hash) if hash == file.sha256 => None,
        Ok(hash) => Some(format!("{}: expected sha256 {}, got {hash}", file.path, file.sha256)),
        Err(error) => Some(format!("{}: {error}", file.path)),
    }
}
