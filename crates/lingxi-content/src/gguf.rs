//! Reads a GGUF file (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>) and checks it before anything is computed:
//! the settings of a network and its tokenizer by name, and its tensors in whatever numbers they are kept.
//!
//! Bytes come in, a [`Gguf`] goes out; [`Gguf::to_q8`] is the same network with every matrix in Q8_0, the kind that
//! `lingxi-kernels` multiplies with. Our own reader and not candle's: the header is two pages, candle is minutes of building.

mod kinds;
mod parse;
mod write;

pub use kinds::Kind;

use crate::error::{ContentError, Result};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where tensors begin, unless the file says otherwise.
const ALIGNMENT: usize = 32;

/// A checked file: every tensor lies inside it and has as many bytes as its shape needs.
pub struct Gguf {
    path: PathBuf,
    settings: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Tensor>,
    data: Vec<u8>,
}

/// A setting, in the type that the file gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number or truth value: its type in the file, and its bytes, the lowest first.
    Number(u32, [u8; 8]),
    /// A text.
    Text(String),
    /// A list: the type of its members in the file, and the members.
    Many(u32, Vec<Value>),
}

/// Where a tensor lies.
#[derive(Clone, Debug, PartialEq)]
struct Tensor {
    kind: Kind,
    /// Rows first: `[n, k]`, or `[k]`.
    shape: Vec<usize>,
    bytes: Range<usize>,
}

impl Gguf {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ContentError::File`] names it, what was expected and what came.
    pub fn read(path: &Path) -> Result<Gguf> {
        let data = std::fs::read(path).map_err(|why| ContentError::file(path, "a readable file", why))?;
        Gguf::of_bytes(path, data)
    }

    /// The same of a file's bytes; errors name `path`.
    ///
    /// # Errors
    /// As [`Gguf::read`].
    pub fn of_bytes(path: &Path, data: Vec<u8>) -> Result<Gguf> {
        let (settings, tensors) = parse::parse(&data).map_err(|why| ContentError::file(path, why.expected, why.got))?;
        Ok(Gguf { path: path.to_path_buf(), settings, tensors, data })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    fn wrong(&self, key: &str, expected: &str, got: impl ToString) -> ContentError {
        ContentError::file(&self.path, format!("{key}: {expected}"), got)
    }

    fn setting(&self, key: &str, expected: &str) -> Result<&Value> {
        self.settings.get(key).ok_or_else(|| self.wrong(key, expected, "no such setting"))
    }

    /// Whether the file has a setting of this name.
    pub fn has(&self, key: &str) -> bool {
        self.settings.contains_key(key)
    }

    /// A whole number from `least` to `most`.
    ///
    /// # Errors
    /// A setting that is missing, no whole number or outside.
    pub fn whole(&self, key: &str, least: usize, most: usize) -> Result<usize> {
        let expected = format!("a whole number from {least} to {most}");
        let value = self.setting(key, &expected)?;
        let found = value.whole().and_then(|n| usize::try_from(n).ok()).filter(|n| (least..=most).contains(n));
        found.ok_or_else(|| self.wrong(key, &expected, value.short()))
    }

    /// A number above zero.
    ///
    /// # Errors
    /// A setting that is missing, no number, or zero or below.
    pub fn above_zero(&self, key: &str) -> Result<f32> {
        let expected = "a number above 0";
        let value = self.setting(key, expected)?;
        let found = value.float().filter(|x| *x > 0.0 && x.is_finite());
        found.ok_or_else(|| self.wrong(key, expected, value.short()))
    }

    /// A text.
    ///
    /// # Errors
    /// A setting that is missing or no text.
    pub fn text(&self, key: &str) -> Result<&str> {
        match self.setting(key, "a text")? {
            Value::Text(text) => Ok(text),
            other => Err(self.wrong(key, "a text", other.short())),
        }
    }

    /// A list of texts.
    ///
    /// # Errors
    /// A setting that is missing, no list, or a list of something else.
    pub fn texts(&self, key: &str) -> Result<Vec<&str>> {
        let expected = "a list of texts";
        let value = self.setting(key, expected)?;
        let text = |value: &'_ Value| matches!(value, Value::Text(_));
        match value {
            Value::Many(_, all) if all.iter().all(text) => Ok(all.iter().filter_map(Value::text).collect()),
            other => Err(self.wrong(key, expected, other.short())),
        }
    }

    /// A list of whole numbers.
    ///
    /// # Errors
    /// A setting that is missing, no list, or a list of something else.
    pub fn wholes(&self, key: &str) -> Result<Vec<i64>> {
        let expected = "a list of whole numbers";
        let value = self.setting(key, expected)?;
        let all = match value {
            Value::Many(_, all) => all.iter().map(Value::whole).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        all.ok_or_else(|| self.wrong(key, expected, value.short()))
    }

    /// How many rows a matrix has; 0 if there is no such tensor.
    pub fn rows(&self, name: &str) -> usize {
        self.tensors.get(name).map_or(0, |tensor| tensor.shape[0])
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<&Tensor> {
        let expected = format!("of shape {shape:?}");
        let tensor = self.tensors.get(name).ok_or_else(|| self.wrong(name, &expected, "no such tensor"))?;
        let fits = tensor.shape == shape;
        if fits { Ok(tensor) } else { Err(self.wrong(name, &expected, format!("{:?}", tensor.shape))) }
    }

    /// Tensor `name` in f32, row-major.
    ///
    /// # Errors
    /// One that is missing, of another shape, or holds what is no number.
    pub fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.tensor(name, shape)?;
        let numbers = tensor.kind.to_f32(&self.data[tensor.bytes.clone()]);
        match numbers.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(self.wrong(name, "finite numbers", format!("{} at {at}", numbers[at]))),
            None => Ok(numbers),
        }
    }

    /// Matrix `name` in Q8_0, as it lies in the file.
    ///
    /// # Errors
    /// One that is missing, of another shape, or of other numbers: [`Gguf::to_q8`] first.
    pub fn q8(&self, name: &str, shape: &[usize; 2]) -> Result<&[u8]> {
        let tensor = self.tensor(name, shape)?;
        match tensor.kind {
            Kind::Q8_0 => Ok(&self.data[tensor.bytes.clone()]),
            other => Err(self.wrong(name, "numbers in Q8_0", other.name())),
        }
    }
}

impl Value {
    fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn whole(&self) -> Option<i64> {
        let Value::Number(kind, b) = self else { return None };
        let low = u64::from_le_bytes(*b);
        Some(match kind {
            0 | 2 | 4 | 7 => low as i64,
            1 => i64::from(b[0] as i8),
            3 => i64::from(low as u16 as i16),
            5 => i64::from(low as u32 as i32),
            10 => i64::try_from(low).ok()?,
            11 => low as i64,
            _ => return None,
        })
    }

    fn float(&self) -> Option<f32> {
        match self {
            Value::Number(6, b) => Some(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Value::Number(12, b) => Some(f64::from_le_bytes(*b) as f32),
            other => other.whole().map(|x| x as f32),
        }
    }

    /// For a message: what it is, cut to a few words.
    fn short(&self) -> String {
        match (self, self.whole(), self.float()) {
            (Value::Text(text), ..) => format!("{:?}", text.chars().take(40).collect::<String>()),
            (Value::Many(_, all), ..) => format!("a list of {}", all.len()),
            (_, Some(whole), _) => whole.to_string(),
            (_, None, float) => float.map_or("no number".to_owned(), |x| x.to_string()),
        }
    }
}
