//! Vectors on disk by content: a log of records `key (16 bytes) | vector (4 dim) | check (8)`, one file per model revision.
//!
//! Appending is all that normally happens, so an interrupted run keeps what it encoded. Each record carries a checksum:
//! a torn tail or a damaged record is dropped, counted, and encoded again. The file is bounded: when records that the
//! present catalogue does not use outnumber the used ones by far, it is rewritten with the used ones alone.
//! One process at a time holds the lock file beside it; another waits and then finds the work done.

use crate::error::{ContentError, Result};
use lingxi_data::Fingerprint;
use lingxi_data::artefact::write_atomically;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 16] = b"lingxi vectors 1";
const CHECK: usize = 8;
/// The hash of a text.
pub type Key = [u8; KEY];
const KEY: usize = 16;
/// Unused records that are always kept: a smaller catalogue now and then should not empty the cache.
const SPARE: usize = 50_000;

/// An open cache; holds the lock until dropped.
pub struct Cache {
    path: PathBuf,
    dim: usize,
    rows: HashMap<Key, u32>,
    data: Vec<f32>,
    file: File,
    damaged: usize,
    _lock: File,
}

impl Cache {
    /// Opens or creates the cache of `revision` in `dir` and reads all of it.
    ///
    /// # Errors
    /// [`ContentError::Cache`] if the system refuses.
    pub fn open(dir: &Path, revision: Fingerprint, dim: usize) -> Result<Cache> {
        let path = dir.join(format!("text-{revision}-{dim}.vectors"));
        let fail = || ContentError::cache(&path);
        std::fs::create_dir_all(dir).map_err(fail())?;
        let lock = File::create(path.with_extension("lock")).map_err(fail())?;
        lock.lock().map_err(fail())?;
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(fail()(e)),
        };
        let (rows, data, damaged) = read(&bytes, dim);
        let whole = MAGIC.len() + rows.len() * record_len(dim);
        if bytes.len() != whole || damaged > 0 {
            let records: Vec<u8> = rows.iter().flat_map(|(key, row)| record(key, vector(&data, *row, dim))).collect();
            write_atomically(&path, &[MAGIC.as_slice(), &records].concat()).map_err(fail())?;
        }
        let file = OpenOptions::new().append(true).open(&path).map_err(fail())?;
        Ok(Cache { path, dim, rows, data, file, damaged, _lock: lock })
    }

    /// The key of a text.
    pub fn key(text: &str) -> Key {
        *Fingerprint::of([text.as_bytes()]).bytes()
    }

    /// The vector of a key.
    pub fn get(&self, key: &Key) -> Option<&[f32]> {
        self.rows.get(key).map(|&row| vector(&self.data, row, self.dim))
    }

    /// Records that were dropped on opening because their checksum or length did not fit.
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// Adds vectors `[keys.len(), dim]` in one write.
    ///
    /// # Errors
    /// [`ContentError::Cache`] if the disk refuses; what was there before stays whole.
    pub fn append(&mut self, keys: &[Key], vectors: &[f32]) -> Result<()> {
        let rows = vectors.chunks_exact(self.dim);
        let bytes: Vec<u8> = keys.iter().zip(rows.clone()).flat_map(|(key, row)| record(key, row)).collect();
        self.file.write_all(&bytes).map_err(ContentError::cache(&self.path))?;
        for (key, row) in keys.iter().zip(rows) {
            self.rows.insert(*key, (self.data.len() / self.dim) as u32);
            self.data.extend_from_slice(row);
        }
        Ok(())
    }

    /// Flushes to disk and, if unused records are too many, rewrites the file with the `used` ones.
    ///
    /// # Errors
    /// [`ContentError::Cache`] if the disk refuses.
    pub fn close(self, used: &[Key]) -> Result<()> {
        let fail = || ContentError::cache(&self.path);
        if self.rows.len() <= 2 * used.len() + SPARE {
            return self.file.sync_data().map_err(fail());
        }
        let records = used.iter().filter_map(|key| self.get(key).map(|row| record(key, row)));
        let bytes: Vec<u8> = MAGIC.iter().copied().chain(records.flatten()).collect();
        write_atomically(&self.path, &bytes).map_err(fail())
    }
}

fn record_len(dim: usize) -> usize {
    KEY + 4 * dim + CHECK
}

fn record(key: &Key, row: &[f32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(record_len(row.len()));
    out.extend_from_slice(key);
    row.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
    let check = blake3::hash(&out);
    out.extend_from_slice(&check.as_bytes()[..CHECK]);
    out
}

fn vector(data: &[f32], row: u32, dim: usize) -> &[f32] {
    &data[row as usize * dim..(row as usize + 1) * dim]
}

/// Rows by key, all vectors, and the number of records that did not pass their check.
fn read(bytes: &[u8], dim: usize) -> (HashMap<Key, u32>, Vec<f32>, usize) {
    let (mut rows, mut data) = (HashMap::new(), Vec::new());
    let Some(records) = bytes.strip_prefix(MAGIC) else {
        return (rows, data, usize::from(!bytes.is_empty()));
    };
    let mut damaged = 0;
    for bytes in records.chunks(record_len(dim)) {
        let body = bytes.len().saturating_sub(CHECK);
        if bytes.len() != record_len(dim) || blake3::hash(&bytes[..body]).as_bytes()[..CHECK] != bytes[body..] {
            damaged += 1;
            continue;
        }
        let key: Key = bytes[..KEY].try_into().expect("a record begins with its key");
        let row = (data.len() / dim) as u32;
        if let Entry::Vacant(place) = rows.entry(key) {
            place.insert(row);
            let (numbers, _) = bytes[KEY..body].as_chunks::<4>();
            data.extend(numbers.iter().map(|b| f32::from_le_bytes(*b)));
        }
    }
    (rows, data, damaged)
}
