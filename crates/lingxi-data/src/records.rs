//! Files of records, one JSON object a row, as JSON lines or Parquet: what a shop exchanges with other programs.
//!
//! [`read`] visits one row after another, as JSON whatever the file is, so that one set of checks serves both forms; a
//! [`ParquetWriter`] takes rows as JSON and writes one group of rows after another, to anything that can be written to. Neither
//! holds more than a group of rows.

use crate::ingest::columnar::{believable, guarded};
use crate::ingest::lines::{Lines, MAX_LINE, Next, share};
use crate::{InputError, Result};
use arrow_json::reader::{Decoder, ReaderBuilder};
use arrow_json::writer::LineDelimitedWriter;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Rows of Parquet that are decoded at once.
const BATCH: usize = 1024;

/// Rows of one group in a Parquet file that is written: all that is held while it is.
const GROUP: usize = 64 * 1024;

/// How a file of records is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// One JSON object a line.
    Jsonl,
    /// Columns in groups of rows.
    Parquet,
}

impl Form {
    /// The name, as in a file's ending.
    pub fn name(self) -> &'static str {
        match self {
            Form::Jsonl => "jsonl",
            Form::Parquet => "parquet",
        }
    }

    /// Back from its name.
    pub fn parse(name: &str) -> Option<Form> {
        [Form::Jsonl, Form::Parquet].into_iter().find(|form| form.name() == name)
    }

    /// What a file's ending says: Parquet if it does, JSON lines otherwise.
    pub fn of_path(path: &Path) -> Form {
        match path.extension().is_some_and(|end| end.eq_ignore_ascii_case("parquet")) {
            true => Form::Parquet,
            false => Form::Jsonl,
        }
    }
}

/// One row of a file.
pub struct Record {
    /// Its number from 1: the line of JSON lines, the row of Parquet.
    pub row: u64,
    /// Share of the file that is read, 0 to 1.
    pub done: f32,
    /// The row, or why it is none.
    pub value: std::result::Result<Value, String>,
}

/// Visits the rows of a file in their order until `each` says that it has seen enough. Blank lines are no rows.
///
/// # Errors
/// [`crate::DataError::Input`] if the file cannot be read as what `form` says; the rows before that place were visited.
pub fn read(path: &Path, form: Form, each: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<()> {
    match form {
        Form::Jsonl => read_lines(path, each),
        Form::Parquet => read_parquet(path, each),
    }
}

fn read_lines(path: &Path, each: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<()> {
    let unreadable = |e: io::Error| InputError::new(path, "a file that can be read", e.to_string(), "check its disk");
    let mut lines = Lines::open(path).map_err(unreadable)?;
    let mut buffer = Vec::new();
    loop {
        let value = match lines.next(&mut buffer).map_err(unreadable)? {
            Next::End => return Ok(()),
            Next::TooLong => Err(format!("a line longer than {MAX_LINE} bytes")),
            Next::Line if buffer.trim_ascii().is_empty() => continue,
            Next::Line => serde_json::from_slice(&buffer).map_err(|e| format!("no JSON: {e}")),
        };
        if each(Record { row: lines.line(), done: lines.done(), value }).is_break() {
            return Ok(());
        }
    }
}

fn read_parquet(path: &Path, each: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<()> {
    let unreadable = |e: io::Error| InputError::new(path, "a file that can be read", e.to_string(), "check its disk");
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut rows = 0;
    let mut reader = guarded(path, || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| e.to_string())?;
        believable(&builder, size)?;
        rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        builder.with_batch_size(BATCH).build().map_err(|e| e.to_string())
    })?;
    let mut row = 0;
    while let Some(lines) = guarded(path, || {
        let Some(batch) = reader.next() else { return Ok(None) };
        let batch = batch.map_err(|e| e.to_string())?;
        let mut lines = LineDelimitedWriter::new(Vec::new());
        lines.write(&batch).and_then(|()| lines.finish()).map_err(|e| e.to_string())?;
        Ok(Some(lines.into_inner()))
    })? {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            row += 1;
            let value = serde_json::from_slice(line).map_err(|e| format!("not to be had as JSON: {e}"));
            if each(Record { row, done: share(row, rows), value }).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What a column of a Parquet file holds. Every value may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Text.
    Text,
    /// A list of texts.
    Texts,
    /// Any JSON, as text.
    Json,
    /// A whole number.
    Whole,
    /// A number of 32 bits.
    Number,
    /// True or false.
    Flag,
    /// A moment, written in RFC 3339.
    Time,
}

/// Writes rows as Parquet.
pub struct ParquetWriter<W: Write + Send> {
    to: ArrowWriter<W>,
    rows: Decoder,
    as_text: Vec<&'static str>,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// A file of these columns; what a row has besides is left out.
    ///
    /// # Errors
    /// Whatever `to` says.
    pub fn new(to: W, columns: &[(&'static str, Holds)]) -> io::Result<ParquetWriter<W>> {
        let fields = columns.iter().map(|(name, holds)| Field::new(*name, holds.stored(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let squeeze = Compression::ZSTD(ZstdLevel::default());
        let how = WriterProperties::builder().set_compression(squeeze).set_max_row_group_row_count(Some(GROUP)).build();
        let rows =
            ReaderBuilder::new(schema.clone()).with_batch_size(GROUP).build_decoder().map_err(io::Error::other)?;
        let to = ArrowWriter::try_new(to, schema, Some(how)).map_err(io_error)?;
        let as_text = columns.iter().filter(|(_, holds)| *holds == Holds::Json).map(|(name, _)| *name).collect();
        Ok(ParquetWriter { to, rows, as_text })
    }

    /// Adds rows, each a JSON object.
    ///
    /// # Errors
    /// A value that its column cannot hold; whatever the other end says.
    pub fn push(&mut self, mut rows: Vec<Value>) -> io::Result<()> {
        for name in &self.as_text {
            for value in rows.iter_mut().filter_map(|row| row.get_mut(name)).filter(|value| !value.is_null()) {
                *value = Value::String(value.to_string());
            }
        }
        self.rows.serialize(&rows).map_err(io::Error::other)?;
        match self.rows.flush().map_err(io::Error::other)? {
            Some(batch) => self.to.write(&batch).map_err(io_error),
            None => Ok(()),
        }
    }

    /// Writes the end of the file.
    ///
    /// # Errors
    /// Whatever the other end says.
    pub fn finish(self) -> io::Result<()> {
        self.to.close().map(drop).map_err(io_error)
    }
}

impl Holds {
    fn stored(self) -> DataType {
        match self {
            Holds::Text | Holds::Json => DataType::Utf8,
            Holds::Texts => DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))),
            Holds::Whole => DataType::Int64,
            Holds::Number => DataType::Float32,
            Holds::Flag => DataType::Boolean,
            Holds::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        }
    }
}

/// The error of the other end, if that is what it was.
fn io_error(error: parquet::errors::ParquetError) -> io::Error {
    match error {
        parquet::errors::ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(io) => *io,
            Err(source) => io::Error::other(source),
        },
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: &[(&str, Holds)] = &[
        ("Id", Holds::Text),
        ("Paths", Holds::Texts),
        ("Labels", Holds::Json),
        ("N", Holds::Whole),
        ("Price", Holds::Number),
        ("Hidden", Holds::Flag),
        ("At", Holds::Time),
    ];

    fn visited(path: &Path, form: Form) -> Vec<(u64, std::result::Result<Value, String>)> {
        let mut rows = Vec::new();
        let seen = read(path, form, &mut |record| {
            rows.push((record.row, record.value));
            ControlFlow::Continue(())
        });
        seen.unwrap();
        rows
    }

    #[test]
    fn rows_come_back_from_parquet_as_they_went_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        let rows = vec![
            json!({"Id": "茶", "Paths": ["a", "b > c"], "Labels": {"size": 7}, "N": 5_000_000_000_i64, "Price": 0.1f32,
                   "Hidden": true, "At": "2024-02-29T12:00:00Z", "Surplus": 1}),
            json!({"Id": "x", "Paths": []}),
        ];
        let mut writer = ParquetWriter::new(File::create(&path).unwrap(), COLUMNS).unwrap();
        writer.push(rows[..1].to_vec()).unwrap();
        writer.push(rows[1..].to_vec()).unwrap();
        writer.finish().unwrap();
        let back = visited(&path, Form::of_path(&path));
        let first = json!({"Id": "茶", "Paths": ["a", "b > c"], "Labels": "{\"size\":7}", "N": 5_000_000_000_i64,
                           "Price": 0.1, "Hidden": true, "At": "2024-02-29T12:00:00Z"});
        assert_eq!(back, [(1, Ok(first)), (2, Ok(rows[1].clone()))]);
    }

    #[test]
    fn a_line_that_is_no_json_is_visited_with_the_reason_and_reading_can_end_early() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        std::fs::write(&path, "{\"a\":1}\n\n{oops\n{\"a\":2}").unwrap();
        let back = visited(&path, Form::Jsonl);
        assert_eq!(back.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 3, 4], "numbered as lines are");
        assert!(back[1].1.as_ref().is_err_and(|why| why.contains("no JSON")));
        let mut seen = 0;
        let stop = &mut |_| {
            seen += 1;
            ControlFlow::Break(())
        };
        read(&path, Form::Jsonl, stop).unwrap();
        assert_eq!(seen, 1);
        assert!(read(&path, Form::Parquet, &mut |_| ControlFlow::Continue(())).is_err(), "this is no Parquet file");
    }
}
