//! Artefacts on disk: named columns and a JSON header in one file in the safetensors format, so that any tool of the
//! field can open them. Written whole or not at all, and checked when read.

use crate::error::{DataError, Result};
use bytemuck::{NoUninit, Pod};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

const META: &str = "lingxi.meta";
const CHECKSUM: &str = "lingxi.checksum";

/// A number type that a column can hold.
pub trait Number: Pod {
    /// Its name in the file.
    const DTYPE: Dtype;
}
impl Number for u8 {
    const DTYPE: Dtype = Dtype::U8;
}
impl Number for u32 {
    const DTYPE: Dtype = Dtype::U32;
}
impl Number for u64 {
    const DTYPE: Dtype = Dtype::U64;
}
impl Number for i64 {
    const DTYPE: Dtype = Dtype::I64;
}
impl Number for f32 {
    const DTYPE: Dtype = Dtype::F32;
}

/// Collects columns and writes them as one file.
#[derive(Default)]
pub struct Writer<'a> {
    columns: Vec<(&'static str, Dtype, Vec<usize>, &'a [u8])>,
}

impl<'a> Writer<'a> {
    /// Adds a column of the given shape; the product of the shape must be its length.
    pub fn column<T: Number + NoUninit>(mut self, name: &'static str, shape: &[usize], data: &'a [T]) -> Self {
        self.columns.push((name, T::DTYPE, shape.to_vec(), bytemuck::cast_slice(data)));
        self
    }

    /// Writes header and columns to `path`: to a neighbour first, synced, then renamed.
    ///
    /// # Errors
    /// [`DataError::Artefact`] if a shape does not fit its column or the file cannot be written.
    pub fn write<M: Serialize>(mut self, path: &Path, meta: &M) -> Result<()> {
        let fail = |why: String| DataError::Artefact { path: path.to_path_buf(), why };
        let mut views = Vec::with_capacity(self.columns.len());
        let mut hasher = blake3::Hasher::new();
        let json = serde_json::to_string(meta).map_err(|e| fail(e.to_string()))?;
        hasher.update(json.as_bytes());
        self.columns.sort_by_key(|(name, ..)| *name);
        for (name, dtype, shape, bytes) in self.columns {
            hasher.update(name.as_bytes());
            hasher.update(bytes);
            views.push((name, TensorView::new(dtype, shape, bytes).map_err(|e| fail(format!("column {name}: {e}")))?));
        }
        let header =
            HashMap::from([(META.to_string(), json), (CHECKSUM.to_string(), hasher.finalize().to_hex().to_string())]);
        let bytes = safetensors::serialize(views, Some(header)).map_err(|e| fail(e.to_string()))?;
        write_atomically(path, &bytes).map_err(|e| fail(e.to_string()))
    }
}

/// Writes `bytes` to a neighbour of `path`, syncs it, and renames it into place, so that a reader sees the old file or
/// the new one whole.
///
/// # Errors
/// Whatever the file system says.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file = BufWriter::new(File::create(&beside)?);
    file.write_all(bytes)?;
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&beside, path)
}

/// An artefact read into memory and checked.
pub struct Reader {
    path: std::path::PathBuf,
    bytes: Vec<u8>,
    meta: String,
}

impl Reader {
    /// Reads `path` and checks every byte against the checksum of the header.
    ///
    /// # Errors
    /// [`DataError::Artefact`] if the file is missing, cut short, changed, or of another format.
    pub fn open(path: &Path) -> Result<Reader> {
        let fail = |why: String| DataError::Artefact { path: path.to_path_buf(), why };
        Reader::of_bytes(path, std::fs::read(path).map_err(|e| fail(e.to_string()))?)
    }

    /// Checks the content of a file; errors name `path`.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Reader> {
        let fail = |why: String| DataError::Artefact { path: path.to_path_buf(), why };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| fail(e.to_string()))?;
        let entry = |key: &str| header.metadata().as_ref().and_then(|m| m.get(key)).cloned();
        let meta = entry(META).ok_or_else(|| fail(format!("expected a {META} header")))?;
        let checksum = entry(CHECKSUM).ok_or_else(|| fail(format!("expected a {CHECKSUM} header")))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| fail(e.to_string()))?;
        // The checksum covers the columns in the order of their names: the format chooses its own order in the file.
        let mut columns = tensors.tensors();
        columns.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut hasher = blake3::Hasher::new();
        hasher.update(meta.as_bytes());
        for (name, view) in &columns {
            hasher.update(name.as_bytes());
            hasher.update(view.data());
        }
        if hasher.finalize().to_hex().as_str() != checksum {
            return Err(fail(
                "checksum differs: the file was changed or cut short; delete it, it will be rebuilt".into(),
            ));
        }
        Ok(Reader { path: path.to_path_buf(), meta, bytes })
    }

    /// The header as a value.
    ///
    /// # Errors
    /// [`DataError::Artefact`] if it is of another type.
    pub fn meta<M: DeserializeOwned>(&self) -> Result<M> {
        serde_json::from_str(&self.meta).map_err(|e| self.fail(format!("header: {e}")))
    }

    /// A column by name.
    ///
    /// # Errors
    /// [`DataError::Artefact`] names a column that is missing or of another number type.
    pub fn column<T: Number>(&self, name: &str) -> Result<Vec<T>> {
        let tensors = SafeTensors::deserialize(&self.bytes).map_err(|e| self.fail(e.to_string()))?;
        let view = tensors.tensor(name).map_err(|_| self.fail(format!("expected a column {name:?}, found none")))?;
        if view.dtype() != T::DTYPE {
            return Err(self.fail(format!("column {name}: expected {:?}, got {:?}", T::DTYPE, view.dtype())));
        }
        Ok(bytemuck::allocation::pod_collect_to_vec(view.data()))
    }

    fn fail(&self, why: String) -> DataError {
        DataError::Artefact { path: self.path.clone(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_back_and_every_changed_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/a.safetensors");
        let (a, b) = (vec![1.5f32, 2.5, -3.0, 0.0], vec![7i64, -9]);
        Writer::default().column("b", &[2], &b).column("a", &[2, 2], &a).write(&path, &("meta", 1)).unwrap();
        let read = Reader::open(&path).unwrap();
        assert_eq!(read.meta::<(String, u32)>().unwrap(), ("meta".to_string(), 1));
        assert_eq!(read.column::<f32>("a").unwrap(), a);
        assert_eq!(read.column::<i64>("b").unwrap(), b);
        assert!(read.column::<u32>("a").is_err() && read.column::<f32>("c").is_err());

        let whole = std::fs::read(&path).unwrap();
        for at in (whole.len() - 32)..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 4;
            std::fs::write(&path, &broken).unwrap();
            assert!(Reader::open(&path).is_err(), "a flip at byte {at} went unnoticed");
        }
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        assert!(Reader::open(&path).is_err());
    }
}
