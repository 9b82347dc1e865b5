//! Named columns of a file that holds no events (labelled texts, judgements), row by row as text. Nothing is cleaned here:
//! whoever asks needs every row, so one that cannot be read is an error and not a line of a report.

use super::guess::Chooser;
use super::source::{FileOptions, Format};
use super::table::{Row, Table};
use crate::{InputError, Result};
use std::borrow::Cow;
use std::path::Path;

/// What is called with the line and the cells of a row.
pub type Visit<'v> = dyn FnMut(u64, &[Option<Cow<'_, str>>]) -> Result<()> + 'v;

/// Calls `visit` with the line and the cells of `columns` (`c1`, `c2` ... where the file has no header) of every row; a cell
/// that is empty, or a word for that (`NULL`, `NA`), is `None`.
///
/// # Errors
/// [`InputError`] for a file that cannot be read or lacks a column, a row of another width, bytes that are no UTF-8; and what
/// `visit` returns.
pub fn read_columns(
    path: &Path,
    format: Option<Format>,
    options: &FileOptions,
    columns: &[&str],
    visit: &mut Visit<'_>,
) -> Result<()> {
    let (table, _) = Table::open(path, format, options)?;
    let names = table.names().to_vec();
    let mut chooser = Chooser::new(path, &names);
    let slots = columns.iter().map(|column| chooser.require(column, Some(column), "")).collect::<Result<Vec<_>>>()?;
    let remedy = "correct the row";
    table.rows(&chooser.wanted, &mut |row: Row<'_>| {
        let bad = |expected: &str, got: String| InputError::new(path, expected, got, remedy).at(row.line);
        let cells = row.cells.map_err(|wrong| bad("a row as the header says", wrong.why))?;
        let text = |(slot, column): (&usize, &&str)| {
            cells[*slot].text().map_err(|bytes| bad("text in UTF-8", format!("{bytes:?}")).in_field(*column).into())
        };
        let texts = slots.iter().zip(columns).map(text).collect::<Result<Vec<_>>>()?;
        visit(row.line, &texts)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, bytes: &[u8], options: &FileOptions, columns: &[&str]) -> Result<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut rows = Vec::new();
        read_columns(&path, None, options, columns, &mut |line, cells| {
            let cells: Vec<&str> = cells.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect();
            rows.push(format!("{line} {}", cells.join("|")));
            Ok(())
        })?;
        Ok(rows)
    }

    #[test]
    fn columns_come_by_name_or_number_in_the_order_asked_and_even_twice() {
        let with = FileOptions::default();
        let without = FileOptions { header: Some(false), ..FileOptions::default() };
        let named = read("a.csv", b"text,label\n\"a, b\",x\n,y\n", &with, &["label", "text", "label"]).unwrap();
        assert_eq!(named, ["2 x|a, b|x", "3 y|-|y"]);
        assert_eq!(read("a.tsv", b"how much\tfee\n", &without, &["c2", "c1"]).unwrap(), ["1 fee|how much"]);
        assert_eq!(read("a.jsonl", b"{\"t\": \"a\", \"n\": 3}\n", &with, &["n", "t"]).unwrap(), ["1 3|a"]);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named_with_its_line() {
        let of = |bytes: &[u8]| read("a.tsv", bytes, &FileOptions::default(), &["a"]).unwrap_err().to_string();
        assert!(of(b"a\tb\n1\n").contains("a.tsv:2: expected a row as the header says, got expected 2 fields"));
        assert!(of(b"a\tb\n\xff\xfe\t1\n").contains("a.tsv:2: field a: expected text in UTF-8"));
        assert!(of(b"x\tb\n1\t2\n").contains("\"a\"") && of(b"x\tb\n1\t2\n").contains("x, b"));
    }
}
