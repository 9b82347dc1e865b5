//! One file as a table: names of columns, then rows of cells, whatever the format. Rows stream past; no reader holds
//! more than a batch.

use super::clean::Rule;
use super::source::{FileOptions, Format};
use super::{columnar::Columnar, delimited::Delimited, jsonl::JsonLines};
use crate::{InputError, Result};
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// One field of one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    /// Empty, null or one of the words for it.
    Missing,
    /// Bytes as they are in the file, trimmed.
    Text(Cow<'a, [u8]>),
    /// A whole number of a typed format.
    Int(i64),
    /// A number of a typed format, finite.
    Float(f64),
    /// A time of a typed format, unix seconds.
    Seconds(i64),
}

impl<'a> Cell<'a> {
    /// A cell of a text format.
    pub(crate) fn of_bytes(bytes: &'a [u8]) -> Cell<'a> {
        match bytes.trim_ascii() {
            b"" | b"\\N" | b"NaN" | b"nan" | b"NULL" | b"null" | b"None" | b"NA" | b"<NA>" => Cell::Missing,
            text => Cell::Text(Cow::Borrowed(text)),
        }
    }

    /// The cell as a person would write it, for messages.
    pub(crate) fn show(&self) -> String {
        match self {
            Cell::Missing => "nothing".into(),
            Cell::Text(bytes) => format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)])),
            Cell::Int(i) | Cell::Seconds(i) => i.to_string(),
            Cell::Float(x) => x.to_string(),
        }
    }

    /// The cell as text; `Err` with the offending text for bytes that are no UTF-8.
    pub(crate) fn text(&self) -> std::result::Result<Option<Cow<'_, str>>, String> {
        match self {
            Cell::Missing => Ok(None),
            Cell::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(Cow::Borrowed(text))),
                Err(_) => Err(String::from_utf8_lossy(bytes).into_owned()),
            },
            Cell::Int(i) | Cell::Seconds(i) => Ok(Some(i.to_string().into())),
            Cell::Float(x) => Ok(Some(x.to_string().into())),
        }
    }

    /// The cell as a finite number.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Cell::Missing => None,
            Cell::Text(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok().filter(|x: &f64| x.is_finite()),
            Cell::Int(i) | Cell::Seconds(i) => Some(*i as f64),
            Cell::Float(x) => Some(*x),
        }
    }
}

/// A row of which the format made nothing.
pub(crate) struct Unreadable {
    /// [`Rule::Unreadable`] or [`Rule::InvalidUtf8`].
    pub rule: Rule,
    /// What is wrong with it.
    pub why: String,
}

/// One row.
pub(crate) struct Row<'a> {
    /// Line, or row for Parquet, from 1.
    pub line: u64,
    /// The wanted cells, in the order in which they were asked for.
    pub cells: std::result::Result<&'a [Cell<'a>], Unreadable>,
    /// Share of the file that lies behind, 0 to 1.
    pub done: f32,
}

/// Receives rows.
pub(crate) type Visit<'v> = dyn FnMut(Row<'_>) -> Result<()> + 'v;

/// An opened file.
pub(crate) enum Table {
    Delimited(Delimited),
    Lines(JsonLines),
    Columnar(Columnar),
}

impl Table {
    /// Opens a file, finds its format where none is named, and reads its header.
    ///
    /// # Errors
    /// [`InputError`] if the file is missing, empty or of another format than named.
    pub(crate) fn open(path: &Path, format: Option<Format>, options: &FileOptions) -> Result<(Table, Format)> {
        let start = first_bytes(path)?;
        if start.is_empty() {
            return Err(InputError::new(path, "a header and rows", "an empty file", "export it again").into());
        }
        let format = format.unwrap_or_else(|| guess_format(path, &start));
        refuse_foreign(path, format, &start)?;
        let table = match format {
            Format::Parquet => Table::Columnar(Columnar::open(path)?),
            Format::Jsonl => Table::Lines(JsonLines::open(path)?),
            _ => Table::Delimited(Delimited::open(path, format, options, &start)?),
        };
        Ok((table, format))
    }

    /// Names of the columns.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Table::Delimited(t) => t.names(),
            Table::Lines(t) => t.names(),
            Table::Columnar(t) => t.names(),
        }
    }

    /// Reads the rest of the file: each row with the cells of the `wanted` columns.
    ///
    /// # Errors
    /// What `visit` returns, and [`InputError`] where the file cannot be read on.
    pub(crate) fn rows(self, wanted: &[usize], visit: &mut Visit<'_>) -> Result<()> {
        match self {
            Table::Delimited(t) => t.rows(wanted, visit),
            Table::Lines(t) => t.rows(wanted, visit),
            Table::Columnar(t) => t.rows(wanted, visit),
        }
    }
}

/// An input error for a file that the system does not let us read.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> crate::DataError {
    InputError::new(path, "a readable file", error.to_string(), "check the path and its rights").into()
}

fn first_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    file.take(64 << 10).read_to_end(&mut start).map_err(|e| unreadable(path, &e))?;
    Ok(start)
}

/// Says early what a file is, when it is clearly not what it is taken for.
fn refuse_foreign(path: &Path, format: Format, start: &[u8]) -> Result<()> {
    let refuse = |expected: &str, got: &str, remedy: &str| Err(InputError::new(path, expected, got, remedy).into());
    if format == Format::Parquet {
        return Ok(());
    }
    if start.starts_with(b"PAR1") {
        return refuse("text", "a Parquet file", "set format = \"parquet\"");
    }
    if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
        return refuse("UTF-8 text", "UTF-16", "save the file as UTF-8");
    }
    if start.starts_with(&[0x1f, 0x8b])
        || start.starts_with(b"PK\x03\x04")
        || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
    {
        return refuse("plain text", "a compressed file", "unpack it first");
    }
    if format == Format::Jsonl && start.trim_ascii_start().starts_with(b"[") {
        return refuse("one JSON object a line", "a JSON array", "rewrite it, e.g. with: jq -c '.[]'");
    }
    Ok(())
}

/// By content where that is certain, then by name, then by the first line.
fn guess_format(path: &Path, start: &[u8]) -> Format {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    if start.starts_with(b"PAR1") {
        return Format::Parquet;
    }
    let line = start.split(|b| *b == b'\n').next().unwrap_or(start);
    let has = |needle: &[u8]| line.windows(needle.len()).any(|w| w == needle);
    match extension.as_str() {
        "parquet" | "pq" => Format::Parquet,
        "jsonl" | "ndjson" | "json" => Format::Jsonl,
        "inter" | "item" | "user" | "kg" | "link" => Format::Atomic,
        "csv" => Format::Csv,
        "tsv" => Format::Tsv,
        _ if start.trim_ascii_start().starts_with(b"{") => Format::Jsonl,
        _ if has(b"::") => Format::Movielens,
        _ if has(b":token") || has(b":float") => Format::Atomic,
        _ if has(b"\t") => Format::Tsv,
        _ => Format::Csv,
    }
}
