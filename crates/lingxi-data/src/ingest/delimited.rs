//! Text with a separator: CSV with quotes, and the formats without (TSV, RecBole atomic files, MovieLens `::`), which
//! are cut at the separator and nothing else.

use super::clean::Rule;
use super::lines::{Lines, MAX_LINE, Next, share};
use super::source::{FileOptions, Format};
use super::table::{Cell, Row, Unreadable, Visit, unreadable};
use crate::{InputError, Result};
use std::cell::Cell as Shared;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A quoted field may hold line ends; beyond so many lines a quote was left open and swallows rows.
const MAX_RECORD_LINES: u64 = 1000;

/// An opened text file, its header read.
pub(crate) struct Delimited {
    path: PathBuf,
    names: Vec<String>,
    body: Body,
}

enum Body {
    Quoted { reader: csv::Reader<Bounded>, size: u64, since_record: Rc<Shared<usize>> },
    Plain { lines: Lines, separator: &'static [u8], first: Option<Vec<u8>> },
}

impl Delimited {
    pub(crate) fn open(path: &Path, format: Format, options: &FileOptions, start: &[u8]) -> Result<Delimited> {
        match format {
            Format::Csv => Delimited::open_quoted(path, options, start),
            Format::Movielens => Delimited::open_plain(path, b"::", false),
            _ => Delimited::open_plain(path, b"\t", options.header.unwrap_or(true)),
        }
    }

    fn open_quoted(path: &Path, options: &FileOptions, start: &[u8]) -> Result<Delimited> {
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        let size = file.metadata().map_err(|e| unreadable(path, &e))?.len();
        let since_record = Rc::new(Shared::new(0));
        let bounded = Bounded { file, since_record: since_record.clone() };
        let has_header = options.header.unwrap_or(true);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator(path, options, start)?)
            .has_headers(has_header)
            .flexible(true)
            .buffer_capacity(1 << 18)
            .from_reader(bounded);
        let header = reader.byte_headers().map_err(|e| csv_error(path, &e))?;
        let fields: Vec<&[u8]> = header.iter().collect();
        let names = names_of(path, &fields, has_header, false)?;
        since_record.set(0);
        Ok(Delimited { path: path.into(), names, body: Body::Quoted { reader, size, since_record } })
    }

    fn open_plain(path: &Path, separator: &'static [u8], has_header: bool) -> Result<Delimited> {
        let mut lines = Lines::open(path).map_err(|e| unreadable(path, &e))?;
        let mut first = Vec::new();
        if lines.next(&mut first).map_err(|e| unreadable(path, &e))? == Next::TooLong {
            let got = format!("a first line longer than {MAX_LINE} bytes");
            return Err(InputError::new(path, "a table", got, "check its format").at(1).into());
        }
        let fields: Vec<&[u8]> = split(&first, separator).collect();
        let names = names_of(path, &fields, has_header, true)?;
        let first = (!has_header).then_some(first);
        Ok(Delimited { path: path.into(), names, body: Body::Plain { lines, separator, first } })
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn rows(self, wanted: &[usize], visit: &mut Visit<'_>) -> Result<()> {
        let (path, width) = (self.path, self.names.len());
        match self.body {
            Body::Quoted { reader, size, since_record } => {
                quoted_rows(&path, reader, size, &since_record, width, wanted, visit)
            }
            Body::Plain { lines, separator, first } => plain_rows(&path, lines, separator, first, width, wanted, visit),
        }
    }
}

fn quoted_rows(
    path: &Path,
    mut reader: csv::Reader<Bounded>,
    size: u64,
    since_record: &Shared<usize>,
    width: usize,
    wanted: &[usize],
    visit: &mut Visit<'_>,
) -> Result<()> {
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|e| csv_error(path, &e))? {
        since_record.set(0);
        let (line, byte) = record.position().map_or((0, 0), |p| (p.line(), p.byte()));
        let (lines, done) = (reader.position().line().saturating_sub(line), share(byte, size));
        if lines > MAX_RECORD_LINES {
            let expected = format!("a record within {MAX_RECORD_LINES} lines");
            let remedy = "look for a quote that never closes, or set format = \"tsv\" if fields are not quoted";
            return Err(InputError::new(path, expected, format!("one of {lines} lines"), remedy).at(line).into());
        }
        if record.len() != width {
            let mut wrong = wrong_width(width, record.len());
            if lines > 1 {
                wrong.why += &format!(" over {lines} lines (a quote that never closes?)");
            }
            visit(Row { line, cells: Err(wrong), done })?;
            continue;
        }
        let cells: Vec<Cell<'_>> = wanted.iter().map(|&i| Cell::of_bytes(&record[i])).collect();
        visit(Row { line, cells: Ok(&cells), done })?;
    }
    Ok(())
}

fn plain_rows(
    path: &Path,
    mut lines: Lines,
    separator: &[u8],
    mut first: Option<Vec<u8>>,
    width: usize,
    wanted: &[usize],
    visit: &mut Visit<'_>,
) -> Result<()> {
    let mut buffer = Vec::new();
    let mut ends: Vec<(usize, usize)> = Vec::new();
    loop {
        let next = match first.take() {
            Some(line) => {
                buffer = line;
                Next::Line
            }
            None => lines.next(&mut buffer).map_err(|e| unreadable(path, &e))?,
        };
        let (line, done) = (lines.line(), lines.done());
        match next {
            Next::End => return Ok(()),
            Next::TooLong => {
                let why = format!("line longer than {MAX_LINE} bytes");
                visit(Row { line, cells: Err(Unreadable { rule: Rule::Unreadable, why }), done })?;
                continue;
            }
            // An empty line is the end of the file written with one line end too many, not a row.
            Next::Line if buffer.is_empty() => continue,
            Next::Line => {}
        }
        find_fields(&buffer, separator, &mut ends);
        if ends.len() != width {
            visit(Row { line, cells: Err(wrong_width(width, ends.len())), done })?;
            continue;
        }
        let cells: Vec<Cell<'_>> = wanted.iter().map(|&i| Cell::of_bytes(&buffer[ends[i].0..ends[i].1])).collect();
        visit(Row { line, cells: Ok(&cells), done })?;
    }
}

fn wrong_width(width: usize, got: usize) -> Unreadable {
    Unreadable { rule: Rule::Unreadable, why: format!("expected {width} fields, got {got}") }
}

/// Start and end of each field.
fn find_fields(line: &[u8], separator: &[u8], out: &mut Vec<(usize, usize)>) {
    out.clear();
    let mut at = 0;
    for field in split(line, separator) {
        out.push((at, at + field.len()));
        at += field.len() + separator.len();
    }
}

/// The fields of a line.
fn split<'a>(line: &'a [u8], separator: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let at = match separator {
            [one] => line.iter().position(|b| b == one),
            _ => line.windows(separator.len()).position(|w| w == separator),
        };
        let (field, after) = match at {
            Some(at) => (&line[..at], Some(&line[at + separator.len()..])),
            None => (line, None),
        };
        rest = after;
        Some(field)
    })
}

/// The separator of a CSV: as named, or whichever of `,` `;` tab and `|` the first line has most of.
fn separator(path: &Path, options: &FileOptions, start: &[u8]) -> Result<u8> {
    if let Some(c) = options.separator {
        return u8::try_from(c).ok().filter(|b| b.is_ascii() && !matches!(b, b'"' | b'\n' | b'\r')).ok_or_else(|| {
            InputError::new(path, "a separator of one ASCII character", format!("{c:?}"), "correct options.separator")
                .into()
        });
    }
    let line = start.split(|b| *b == b'\n').next().unwrap_or(start);
    let count = |c: u8| line.iter().filter(|b| **b == c).count();
    Ok(*[b'|', b'\t', b';', b','].iter().max_by_key(|c| count(**c)).expect("four separators"))
}

/// Names of the columns; a RecBole type (`name:float`) is cut off. Names must be there, UTF-8 and different.
fn names_of(path: &Path, fields: &[&[u8]], has_header: bool, typed: bool) -> Result<Vec<String>> {
    if !has_header {
        return Ok((1..=fields.len()).map(|i| format!("c{i}")).collect());
    }
    let mut names: Vec<String> = Vec::with_capacity(fields.len());
    for (i, field) in fields.iter().enumerate() {
        let refuse = |expected: &str, got: String| {
            InputError::new(path, expected, got, "correct the header, or set options.header = false").at(1)
        };
        let text = std::str::from_utf8(field)
            .map_err(|_| refuse("a header in UTF-8", format!("{:?}", String::from_utf8_lossy(field))))?;
        let mut name = text.trim().trim_start_matches('\u{feff}');
        if let Some((before, kind)) = name.rsplit_once(':').filter(|_| typed) {
            if !["token", "token_seq", "float", "float_seq"].contains(&kind) {
                return Err(refuse("a type of token, token_seq, float or float_seq", format!("{name:?}")).into());
            }
            name = before;
        }
        let name = if name.is_empty() { format!("c{}", i + 1) } else { name.to_string() };
        if name.len() > 4096 {
            return Err(refuse("column names", format!("a name of {} bytes", name.len())).into());
        }
        if names.contains(&name) {
            return Err(refuse("column names that differ", format!("{name:?} twice")).into());
        }
        names.push(name);
    }
    Ok(names)
}

/// Counts the bytes read since the last record, so that a quote that never closes ends in an error and not in memory.
struct Bounded {
    file: File,
    since_record: Rc<Shared<usize>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.since_record.get() > MAX_LINE {
            let why = format!("a record longer than {MAX_LINE} bytes (a quote that never closes?)");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
        }
        let n = self.file.read(buffer)?;
        self.since_record.set(self.since_record.get() + n);
        Ok(n)
    }
}

fn csv_error(path: &Path, error: &csv::Error) -> crate::DataError {
    let remedy = "check quotes and separator (options.separator)";
    let mut input = InputError::new(path, "comma-separated values", error.to_string(), remedy);
    input.line = error.position().map(csv::Position::line);
    input.into()
}
