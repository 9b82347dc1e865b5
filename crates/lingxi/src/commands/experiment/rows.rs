//! Rows of a CSV or JSON-lines file, one at a time, with the place of each for messages.

use crate::failure::UserError;
use anyhow::Result;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Most rows that are read.
const MOST: usize = 20_000_000;

/// A row as names and values, whatever the file is.
pub struct Row<'a> {
    place: &'a str,
    fields: Map<String, Value>,
}

/// Calls `take` with each row.
///
/// # Errors
/// A file that cannot be read, a line that is no row, or what `take` refuses.
pub fn read(path: &Path, mut take: impl FnMut(Row<'_>) -> Result<()>) -> Result<()> {
    let unreadable = |why: std::io::Error| {
        UserError::new(format!("cannot read {}", path.display()), "give a CSV or JSON-lines file").because(why)
    };
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let place = |line: usize| format!("{}:{line}", path.display());
    let wrong = |line: usize, what: &str| UserError::new(format!("{}: {what}", place(line)), "put the line right");
    let too_many = |line: usize| {
        UserError::new(
            format!("{}: expected at most {MOST} rows", place(line)),
            "add up the rows of each shopper first",
        )
    };
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        let mut reader = csv::Reader::from_reader(file);
        let names: Vec<String> =
            reader.headers().map_err(|why| wrong(1, "no header").because(why))?.iter().map(str::to_owned).collect();
        for (i, record) in reader.records().enumerate() {
            if i >= MOST {
                return Err(too_many(i + 2).into());
            }
            let record = record.map_err(|why| wrong(i + 2, "no row").because(why))?;
            let cells = record.iter().map(|cell| Value::String(cell.trim().to_owned()));
            take(Row { place: &place(i + 2), fields: names.iter().cloned().zip(cells).collect() })?;
        }
        return Ok(());
    }
    for (i, line) in file.lines().enumerate() {
        if i >= MOST {
            return Err(too_many(i + 1).into());
        }
        let line = line.map_err(unreadable)?;
        let fields = serde_json::from_str(&line).map_err(|why| wrong(i + 1, "expected a JSON object").because(why))?;
        take(Row { place: &place(i + 1), fields })?;
    }
    Ok(())
}

impl Row<'_> {
    /// A name or number as text.
    ///
    /// # Errors
    /// It is not there, or empty.
    pub fn text(&self, name: &str) -> Result<String> {
        match self.fields.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(Value::Bool(yes)) => Ok(yes.to_string()),
            other => Err(self.wrong(name, "a word", other).into()),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// It is not there, or none.
    pub fn number(&self, name: &str) -> Result<f64> {
        let found = self.fields.get(name);
        let number = match found {
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(Value::Bool(yes)) => Some(f64::from(u8::from(*yes))),
            _ => None,
        };
        number.filter(|x: &f64| x.is_finite()).ok_or_else(|| self.wrong(name, "a number", found).into())
    }

    /// A number that need not be there.
    ///
    /// # Errors
    /// It is there, and none.
    pub fn maybe(&self, name: &str) -> Result<Option<f64>> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(_) => self.number(name).map(Some),
        }
    }

    /// Names of all fields, sorted.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.fields.keys()
    }

    fn wrong(&self, name: &str, expected: &str, got: Option<&Value>) -> UserError {
        let got = got.map_or_else(|| "nothing".to_owned(), Value::to_string);
        let fields: Vec<&str> = self.fields.keys().map(String::as_str).collect();
        UserError::new(
            format!("{}, {name}: expected {expected}, got {got}", self.place),
            format!("name the column {name:?}; there are {}", fields.join(", ")),
        )
    }
}
