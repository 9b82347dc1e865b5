//! The same network with every matrix in Q8_0, as a GGUF file that other programs read too.

use super::parse::{MAGIC, MANY, TEXT, VERSION, width};
use super::{ALIGNMENT, Gguf, Kind, Value};
use crate::error::{ContentError, Result};
use lingxi_data::Fingerprint;
use lingxi_kernels::blocks::{BLOCK, to_q8};
use rayon::prelude::*;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The setting that says what a file was made from, and of which bytes its tensors are.
const SOURCE: &str = "lingxi.source";
const CHECK: &str = "lingxi.check";
/// What GGUF calls a file that is mostly Q8_0.
const MOSTLY_Q8: u8 = 7;

impl Gguf {
    /// Reads a file with every matrix in Q8_0, from `folder` if it was kept there; otherwise it is made and kept.
    ///
    /// # Errors
    /// Those of [`Gguf::read`]; a folder that cannot be written.
    pub fn read_q8(path: &Path, folder: &Path) -> Result<Gguf> {
        let given = Gguf::read(path)?;
        let source = Fingerprint::of([given.data.as_slice()]).to_string();
        let kept = folder.join(format!("{source}.gguf"));
        if let Some(kept) = Gguf::read(&kept).ok().filter(|kept| kept.is_whole(&source)) {
            return Ok(kept);
        }
        let bytes = given.to_q8(&source);
        keep(&kept, &bytes).map_err(|why| ContentError::file(folder, "a folder that can be written", why))?;
        Gguf::of_bytes(&kept, bytes)
    }

    /// Whether it was made from `source` and no bit has changed since.
    fn is_whole(&self, source: &str) -> bool {
        let check = self.tensors.values().map(|tensor| &self.data[tensor.bytes.clone()]);
        self.text(SOURCE).is_ok_and(|found| found == source)
            && self.text(CHECK).is_ok_and(|found| found == Fingerprint::of(check).to_string())
    }

    /// The bytes of a file with the same settings and every matrix in Q8_0; tensors of one dimension become f32.
    pub fn to_q8(&self, source: &str) -> Vec<u8> {
        let convert = |tensor: &super::Tensor| {
            let bytes = &self.data[tensor.bytes.clone()];
            let matrix = tensor.shape.len() > 1 && tensor.shape.last().is_some_and(|k| k.is_multiple_of(BLOCK));
            match (tensor.kind, matrix) {
                (Kind::Q8_0, true) => (Kind::Q8_0, bytes.to_vec()),
                (kind, true) => (Kind::Q8_0, to_q8(&kind.to_f32(bytes))),
                (kind, false) => (Kind::F32, kind.to_f32(bytes).into_iter().flat_map(f32::to_le_bytes).collect()),
            }
        };
        let all: Vec<_> = self.tensors.iter().collect();
        let made: Vec<(Kind, Vec<u8>)> = all.par_iter().map(|(_, tensor)| convert(tensor)).collect();
        let check = Fingerprint::of(made.iter().map(|(_, bytes)| bytes.as_slice())).to_string();
        let mut settings = self.settings.clone();
        settings.remove("general.alignment");
        settings.insert(SOURCE.into(), Value::Text(source.into()));
        settings.insert(CHECK.into(), Value::Text(check));
        settings.insert("general.file_type".into(), Value::Number(4, [MOSTLY_Q8, 0, 0, 0, 0, 0, 0, 0]));
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        out.extend((all.len() as u64).to_le_bytes());
        out.extend((settings.len() as u64).to_le_bytes());
        for (key, value) in &settings {
            text(&mut out, key);
            out.extend(value.kind().to_le_bytes());
            value.write(&mut out);
        }
        let mut offset = 0;
        for ((name, tensor), (kind, bytes)) in all.iter().zip(&made) {
            text(&mut out, name);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().rev().for_each(|n| out.extend((*n as u64).to_le_bytes()));
            out.extend(kind.code().to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset += bytes.len().next_multiple_of(ALIGNMENT);
        }
        out.reserve(offset + ALIGNMENT);
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        for (_, bytes) in made {
            out.extend(bytes);
            out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        }
        out
    }
}

impl Value {
    fn kind(&self) -> u32 {
        match self {
            Value::Number(kind, _) => *kind,
            Value::Text(_) => TEXT,
            Value::Many(..) => MANY,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Number(kind, bytes) => out.extend(&bytes[..width(*kind).expect("a number that was read")]),
            Value::Text(said) => text(out, said),
            Value::Many(of, all) => {
                out.extend(of.to_le_bytes());
                out.extend((all.len() as u64).to_le_bytes());
                all.iter().for_each(|value| value.write(out));
            }
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Written beside its place and moved there, so that a reader finds it whole or not at all.
fn keep(path: &PathBuf, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let written =
        std::fs::File::create(&beside).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    let placed = written.and_then(|()| std::fs::rename(&beside, path));
    if placed.is_err() {
        std::fs::remove_file(&beside).ok();
    }
    placed
}
