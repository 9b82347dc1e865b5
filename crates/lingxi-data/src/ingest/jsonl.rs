//! One JSON object a line. Columns are the keys of the first thousand objects; arrays of words become text joined by
//! `, `.

use super::clean::Rule;
use super::lines::{Lines, MAX_LINE, Next};
use super::table::{Cell, Row, Unreadable, Visit, unreadable};
use crate::{InputError, Result};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

const SAMPLE: u64 = 1000;

/// An opened file, its columns known.
pub(crate) struct JsonLines {
    path: PathBuf,
    names: Vec<String>,
}

impl JsonLines {
    pub(crate) fn open(path: &Path) -> Result<JsonLines> {
        let mut lines = Lines::open(path).map_err(|e| unreadable(path, &e))?;
        let (mut names, mut buffer) = (Vec::new(), Vec::new());
        let mut problem = None;
        while lines.line() < SAMPLE {
            match lines.next(&mut buffer).map_err(|e| unreadable(path, &e))? {
                Next::End => break,
                Next::TooLong => continue,
                Next::Line => {}
            }
            match parse(&buffer) {
                Ok(object) => {
                    let new: Vec<String> = object.into_iter().map(|(k, _)| k).filter(|k| !names.contains(k)).collect();
                    names.extend(new);
                }
                Err(e) if problem.is_none() => problem = Some((lines.line(), e.why)),
                Err(_) => {}
            }
            if names.len() > 10_000 {
                let got = format!("{} keys", names.len());
                return Err(InputError::new(path, "at most 10000 different keys", got, "use fixed keys").into());
            }
        }
        if names.is_empty() {
            let (line, why) = problem.unwrap_or((1, "no object".into()));
            return Err(InputError::new(path, "one JSON object a line", why, "check its format").at(line).into());
        }
        Ok(JsonLines { path: path.into(), names })
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn rows(self, wanted: &[usize], visit: &mut Visit<'_>) -> Result<()> {
        let mut lines = Lines::open(&self.path).map_err(|e| unreadable(&self.path, &e))?;
        let mut buffer = Vec::new();
        loop {
            let next = lines.next(&mut buffer).map_err(|e| unreadable(&self.path, &e))?;
            let (line, done) = (lines.line(), lines.done());
            let object = match next {
                Next::End => return Ok(()),
                Next::TooLong => {
                    Err(Unreadable { rule: Rule::Unreadable, why: format!("line longer than {MAX_LINE} bytes") })
                }
                Next::Line if buffer.trim_ascii().is_empty() => continue,
                Next::Line => parse(&buffer),
            };
            match object {
                Ok(object) => {
                    let cells: Vec<Cell<'_>> = wanted.iter().map(|&i| cell(object.get(&self.names[i]))).collect();
                    visit(Row { line, cells: Ok(&cells), done })?;
                }
                Err(why) => visit(Row { line, cells: Err(why), done })?,
            }
        }
    }
}

/// An object; nesting deeper than 128 is refused by the parser.
fn parse(line: &[u8]) -> std::result::Result<Map<String, Value>, Unreadable> {
    let text = std::str::from_utf8(line).map_err(|e| Unreadable {
        rule: Rule::InvalidUtf8,
        why: format!("byte {} is no UTF-8", e.valid_up_to() + 1),
    })?;
    let unreadable = |why: String| Unreadable { rule: Rule::Unreadable, why };
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(unreadable("expected a JSON object, got another value".into())),
        Err(e) => Err(unreadable(format!("JSON: {e}"))),
    }
}

fn cell(value: Option<&Value>) -> Cell<'_> {
    match value {
        None | Some(Value::Null) => Cell::Missing,
        Some(Value::Bool(b)) => Cell::Text(Cow::Borrowed(if *b { b"true" } else { b"false" })),
        Some(Value::Number(n)) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => Cell::Int(i),
            (None, Some(x)) if x.is_finite() && n.is_f64() => Cell::Float(x),
            _ => Cell::Text(Cow::Owned(n.to_string().into_bytes())),
        },
        Some(Value::String(s)) => Cell::of_bytes(s.as_bytes()),
        Some(Value::Array(values)) => joined(values),
        Some(object) => Cell::Text(Cow::Owned(object.to_string().into_bytes())),
    }
}

fn joined(values: &[Value]) -> Cell<'static> {
    let words: Vec<String> =
        values.iter().filter_map(|v| cell(Some(v)).text().ok().flatten().map(Cow::into_owned)).collect();
    if words.is_empty() { Cell::Missing } else { Cell::Text(Cow::Owned(words.join(", ").into_bytes())) }
}
