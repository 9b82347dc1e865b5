//! How do files arrive without ever being half there?
//!
//! A source hands over bytes; each file is written as `FILE.partial`, hashed on the way, flushed to disk and renamed
//! to `FILE` only if size and SHA-256 are the promised ones. When all files are there, the whole directory takes the
//! asset's place in one rename. What an interrupted fetch leaves here is checked and used by the next one.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::cache::{hash_file, hex};
use super::error::{AssetError, SourceError, io, source_io};
use super::manifest::{Asset, AssetFile};
use crate::progress::{Progress, Stage, Unit};

/// The hidden directory where the files of one asset are gathered.
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
}

impl Staging {
    /// Opens `dir`, which may hold files of an interrupted fetch.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn open(dir: PathBuf) -> Result<Self, AssetError> {
        fs::create_dir_all(&dir).map_err(io("create", &dir))?;
        Ok(Self { dir })
    }

    /// The files of `asset` that are not here yet. Files of an earlier run count only if their hash is right.
    pub fn missing<'a>(&self, asset: &'a Asset, progress: &Progress) -> Vec<&'a AssetFile> {
        let stage = progress.stage(&format!("check {}", asset.name), Some(asset.size()), Unit::Bytes);
        asset.files.iter().filter(|file| !is_right(&self.dir.join(&file.path), file, &stage)).collect()
    }

    /// Takes over a right file from a directory on the same disk, such as the asset's damaged place.
    pub fn adopt(&self, file: &AssetFile, dir: &Path, stage: &Stage) {
        let from = dir.join(&file.path);
        let to = self.dir.join(&file.path);
        if is_right(&from, file, stage) && self.make_room(&to).is_ok() {
            // If linking fails the file is fetched again, which is slower and just as right.
            fs::hard_link(&from, &to).ok();
        }
    }

    /// Copies a file of the promised size, going on from where an earlier copy stopped.
    ///
    /// # Errors
    /// Other bytes than promised, or reading or writing fails.
    pub fn take_file(&self, file: &AssetFile, from: &Path, stage: &Stage) -> Result<(), SourceError> {
        let mut source = File::open(from).map_err(source_io(from))?;
        let size = source.metadata().map_err(source_io(from))?.len();
        if size != file.size {
            return Err(refused(file, format!("{} bytes", file.size), format!("{size} bytes")));
        }
        let mut partial = self.partial(file)?;
        let (hasher, done) = partial.resume(file.size)?;
        if done > 0 {
            source.seek(SeekFrom::Start(done)).map_err(source_io(from))?;
            stage.add(done);
            if self.fill(file, partial, hasher, done, &mut source, stage).is_ok() {
                return Ok(());
            }
            // The beginning may have come from another version of the source: once more from the start.
            source.rewind().map_err(source_io(from))?;
            partial = self.partial(file)?;
        }
        self.fill(file, partial, Sha256::new(), 0, &mut source, stage)
    }

    /// Writes a file from a stream that can only be read from its start, such as a zip member.
    ///
    /// # Errors
    /// Other bytes than promised, or reading or writing fails.
    pub fn take_stream(&self, file: &AssetFile, source: &mut dyn Read, stage: &Stage) -> Result<(), SourceError> {
        let partial = self.partial(file)?;
        partial.file.set_len(0).map_err(source_io(&partial.path))?;
        self.fill(file, partial, Sha256::new(), 0, source, stage)
    }

    /// Moves the whole directory to `place`; what was there is gone afterwards. Call only when nothing is missing.
    ///
    /// # Errors
    /// A rename fails.
    pub fn place(self, place: &Path) -> Result<(), AssetError> {
        let old = self.dir.with_extension("old");
        if place.exists() {
            fs::remove_dir_all(&old).ok();
            fs::rename(place, &old).map_err(io("move away", place))?;
        }
        fs::rename(&self.dir, place).map_err(io("place", place))?;
        if let Some(parent) = place.parent() {
            File::open(parent).and_then(|dir| dir.sync_all()).map_err(io("flush", parent))?;
        }
        fs::remove_dir_all(&old).ok();
        Ok(())
    }

    /// Where the files are gathered.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends `source` to the partial file, checks size and hash, and gives the file its name.
    fn fill(
        &self,
        file: &AssetFile,
        mut partial: Partial,
        mut hasher: Sha256,
        mut done: u64,
        source: &mut dyn Read,
        stage: &Stage,
    ) -> Result<(), SourceError> {
        partial.file.set_len(done).map_err(source_io(&partial.path))?;
        partial.file.seek(SeekFrom::Start(done)).map_err(source_io(&partial.path))?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let n = source.read(&mut buffer).map_err(source_io(&partial.path))?;
            if n == 0 {
                break;
            }
            done += n as u64;
            if done > file.size {
                // Stop at once: a stream without end must not fill the disk.
                partial.discard();
                return Err(refused(file, format!("{} bytes", file.size), "more".into()));
            }
            hasher.update(&buffer[..n]);
            partial.file.write_all(&buffer[..n]).map_err(source_io(&partial.path))?;
            stage.add(n as u64);
        }
        let hash = hex(&hasher.finalize());
        if done != file.size || hash != file.sha256 {
            partial.discard();
            return Err(match done == file.size {
                true => refused(file, format!("sha256 {}", file.sha256), hash),
                false => refused(file, format!("{} bytes", file.size), format!("{done} bytes")),
            });
        }
        partial.file.sync_all().map_err(source_io(&partial.path))?;
        fs::rename(&partial.path, self.dir.join(&file.path)).map_err(source_io(&partial.path))
    }

    fn partial(&self, file: &AssetFile) -> Result<Partial, SourceError> {
        let path = self.dir.join(format!("{}.partial", file.path));
        self.make_room(&path)?;
        let options = File::options().create(true).read(true).write(true).truncate(false).open(&path);
        Ok(Partial { file: options.map_err(source_io(&path))?, path })
    }

    fn make_room(&self, path: &Path) -> Result<(), SourceError> {
        let parent = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(parent).map_err(source_io(parent))
    }
}

/// A file under way.
struct Partial {
    file: File,
    path: PathBuf,
}

impl Partial {
    /// Hashes what is there already; more than `size` bytes cannot be a beginning.
    fn resume(&mut self, size: u64) -> Result<(Sha256, u64), SourceError> {
        let mut hasher = Sha256::new();
        let there = self.file.metadata().map_err(source_io(&self.path))?.len();
        if there == 0 || there > size {
            return Ok((hasher, 0));
        }
        let mut buffer = vec![0; 1 << 18];
        let mut done = 0;
        loop {
            match self.file.read(&mut buffer).map_err(source_io(&self.path))? {
                0 => return Ok((hasher, done)),
                n => {
                    hasher.update(&buffer[..n]);
                    done += n as u64;
                }
            }
        }
    }

    /// Wrong bytes are not kept: resuming from them could only fail again.
    fn discard(self) {
        fs::remove_file(&self.path).ok();
    }
}

fn is_right(path: &Path, file: &AssetFile, stage: &Stage) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == file.size)
        && hash_file(path, stage).is_ok_and(|hash| hash == file.sha256)
}

fn refused(file: &AssetFile, expected: String, got: String) -> SourceError {
    SourceError::Refused { file: file.path.clone(), expected, got }
}
