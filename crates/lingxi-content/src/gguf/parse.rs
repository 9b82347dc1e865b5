//! The header of a GGUF file: counts, settings, tensors. Every length is held against what is left of the file before
//! anything is set aside for it, so that a damaged file costs no more memory than it has bytes.

use super::{ALIGNMENT, Kind, Tensor, Value};
use std::collections::BTreeMap;

/// What a file begins with.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";
/// Version 2 has the same layout; version 1 was out in the world for a few weeks.
pub(super) const VERSION: u32 = 3;
/// Types of a text and of a list; the others are numbers.
pub(super) const TEXT: u32 = 8;
pub(super) const MANY: u32 = 9;

/// What does not fit.
pub(super) struct Wrong {
    pub(super) expected: String,
    pub(super) got: String,
}

type Found<T> = std::result::Result<T, Wrong>;

fn wrong<T>(expected: impl Into<String>, got: impl ToString) -> Found<T> {
    Err(Wrong { expected: expected.into(), got: got.to_string() })
}

/// Bytes of a number of this type.
pub(super) fn width(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
}

type Header = (BTreeMap<String, Value>, BTreeMap<String, Tensor>);

pub(super) fn parse(data: &[u8]) -> Found<Header> {
    let mut cursor = Cursor { data, at: 0 };
    let magic = cursor.take(4, "the letters GGUF")?;
    if magic != MAGIC {
        return wrong(
            "a GGUF file, which begins with the letters GGUF",
            format!("{:?}", String::from_utf8_lossy(magic)),
        );
    }
    let version = cursor.u32("a version")?;
    if !(2..=VERSION).contains(&version) {
        return wrong("version 2 or 3 of GGUF", version);
    }
    // A tensor takes at least 24 bytes here, a setting 13.
    let tensors = cursor.count("tensors", 24)?;
    let settings = cursor.count("settings", 13)?;
    let settings = (0..settings).map(|_| cursor.setting()).collect::<Found<BTreeMap<_, _>>>()?;
    let alignment = match settings.get("general.alignment") {
        None => ALIGNMENT,
        Some(value) => match value.whole() {
            Some(n @ 8..=65536) if n % 8 == 0 => n as usize,
            _ => return wrong("general.alignment: a multiple of 8 up to 65536", value.short()),
        },
    };
    let headers = (0..tensors).map(|_| cursor.tensor()).collect::<Found<Vec<_>>>()?;
    let start = cursor.at.next_multiple_of(alignment);
    let mut tensors = BTreeMap::new();
    for (name, kind, shape, offset, size) in headers {
        let from = usize::try_from(offset).ok().and_then(|offset| start.checked_add(offset));
        let bytes = from.and_then(|from| Some(from..from.checked_add(size)?)).filter(|bytes| bytes.end <= data.len());
        let Some(bytes) = bytes.filter(|bytes| bytes.start % alignment == 0) else {
            let got = format!("{size} bytes at {offset} of a file of {}", data.len());
            return wrong(format!("tensor {name} inside the file, at a multiple of {alignment}"), got);
        };
        if tensors.insert(name.clone(), Tensor { kind, shape, bytes }).is_some() {
            return wrong(format!("tensor {name} once"), "twice");
        }
    }
    Ok((settings, tensors))
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.data.len() - self.at
    }

    fn take(&mut self, n: usize, what: &str) -> Found<&'a [u8]> {
        if n > self.left() {
            return wrong(
                format!("{what}: {n} bytes at {}", self.at),
                format!("{} until the end of the file", self.left()),
            );
        }
        self.at += n;
        Ok(&self.data[self.at - n..self.at])
    }

    fn number(&mut self, width: usize, what: &str) -> Found<[u8; 8]> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width, what)?);
        Ok(bytes)
    }

    fn u32(&mut self, what: &str) -> Found<u32> {
        Ok(u64::from_le_bytes(self.number(4, what)?) as u32)
    }

    fn u64(&mut self, what: &str) -> Found<u64> {
        Ok(u64::from_le_bytes(self.number(8, what)?))
    }

    /// A number of things that take at least so many bytes each.
    fn count(&mut self, what: &str, least: usize) -> Found<usize> {
        let count = self.u64(what)?;
        let most = self.left() / least;
        match usize::try_from(count) {
            Ok(count) if count <= most => Ok(count),
            _ => wrong(format!("at most {most} {what} in a file of {} bytes", self.data.len()), count),
        }
    }

    fn text(&mut self, what: &str) -> Found<String> {
        let length = self.count(what, 1)?;
        let bytes = self.take(length, what)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(why) => wrong(format!("{what}: UTF-8 at {}", self.at - length), why),
        }
    }

    fn setting(&mut self) -> Found<(String, Value)> {
        let key = self.text("the name of a setting")?;
        let kind = self.u32(&key)?;
        let value = self.value(kind, &key)?;
        Ok((key, value))
    }

    fn value(&mut self, kind: u32, key: &str) -> Found<Value> {
        if kind == MANY {
            let of = self.u32(key)?;
            if of == MANY {
                return wrong(format!("{key}: a list of numbers or texts"), "a list of lists");
            }
            let count = self.count(key, width(of).unwrap_or(8))?;
            return Ok(Value::Many(of, (0..count).map(|_| self.value(of, key)).collect::<Found<_>>()?));
        }
        match width(kind) {
            Some(width) => Ok(Value::Number(kind, self.number(width, key)?)),
            None if kind == TEXT => Ok(Value::Text(self.text(key)?)),
            None => wrong(format!("{key}: a type from 0 to 12"), kind),
        }
    }

    /// Name, kind, shape, offset and bytes.
    fn tensor(&mut self) -> Found<(String, Kind, Vec<usize>, u64, usize)> {
        let name = self.text("the name of a tensor")?;
        let dimensions = self.u32(&name)?;
        if !(1..=4).contains(&dimensions) {
            return wrong(format!("tensor {name}: 1 to 4 dimensions"), dimensions);
        }
        // In the file the numbers of a row come first.
        let sizes = (0..dimensions).map(|_| self.u64(&name)).collect::<Found<Vec<_>>>()?;
        let code = self.u32(&name)?;
        let Some(kind) = Kind::of(code) else {
            return wrong(format!("tensor {name}: numbers in one of {}", Kind::names()), format!("type {code}"));
        };
        let shape = sizes.iter().rev().map(|&n| usize::try_from(n).ok().filter(|n| *n > 0)).collect::<Option<Vec<_>>>();
        let all = shape.as_ref().and_then(|shape| shape.iter().try_fold(1usize, |all, n| all.checked_mul(*n)));
        let size = all
            .filter(|_| sizes[0] % kind.block() as u64 == 0)
            .and_then(|all| (all / kind.block()).checked_mul(kind.bytes()));
        let (Some(shape), Some(size)) = (shape, size) else {
            return wrong(format!("tensor {name}: rows of whole blocks of {}", kind.block()), format!("{sizes:?}"));
        };
        Ok((name, kind, shape, self.u64("where a tensor lies")?, size))
    }
}
