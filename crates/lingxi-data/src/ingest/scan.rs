//! One run over the rows of a file, whatever it holds: counts each row, drops what is refused under its rule, and refuses
//! the whole file where most of it is misread.

use super::clean::{Clean, Rule};
use super::guess::Chooser;
use super::report::{FileReport, Report, Role};
use super::source::{FileOptions, Format};
use super::table::{Cell, Row, Table};
use crate::{DataError, InputError, Result};
use std::path::{Path, PathBuf};

/// How far reading has come; given to the caller about every hundred thousand rows and at the end of each file.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The file, as described.
    pub path: &'a Path,
    /// Rows of it read so far.
    pub rows: u64,
    /// Share of it that is read, 0 to 1.
    pub done: f32,
}

/// What all files of one ingest share.
pub(crate) struct Run<'a> {
    pub base: &'a Path,
    pub clean: &'a Clean,
    pub report: Report,
    pub progress: &'a mut dyn FnMut(Progress<'_>),
}

/// An opened file.
pub(crate) struct Opened {
    /// As described.
    described: PathBuf,
    /// As opened.
    pub path: PathBuf,
    pub names: Vec<String>,
    pub format: Format,
    table: Table,
}

/// Why a row cannot be kept.
pub(crate) struct Refused {
    pub rule: Rule,
    pub field: &'static str,
    pub what: String,
}

impl Refused {
    pub(crate) fn new(rule: Rule, field: &'static str, what: impl Into<String>) -> Refused {
        Refused { rule, field, what: what.into() }
    }
}

/// A row's result: kept, or refused under a rule.
pub(crate) type Taken<T = ()> = std::result::Result<T, Refused>;

/// Where a row that is being taken notes what it filled in.
pub(crate) struct Note<'a> {
    report: &'a mut Report,
    file: usize,
    line: u64,
}

impl Note<'_> {
    /// Counts something filled in.
    pub(crate) fn fill(&mut self, rule: Rule, what: impl FnOnce() -> String) {
        self.report.fill(rule, self.file, self.line, what);
    }

    /// Line of the row.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }
}

impl Run<'_> {
    /// Opens a file below the base directory.
    ///
    /// # Errors
    /// Those of [`Table::open`].
    pub(crate) fn open(&self, described: &Path, format: Option<Format>, options: &FileOptions) -> Result<Opened> {
        let path = self.base.join(described);
        let (table, format) = Table::open(&path, format, options)?;
        let names = table.names().to_vec();
        Ok(Opened { described: described.into(), path, names, format, table })
    }

    /// Offers every row of an opened file to `take`, with the cells that `chooser` chose. Returns the index of the file
    /// in the report.
    ///
    /// # Errors
    /// [`InputError`] if the file cannot be read on, a row breaks a rule that is switched off, or most are misread.
    pub(crate) fn scan(
        &mut self,
        role: Role,
        opened: Opened,
        (wanted, columns): (Vec<usize>, Vec<super::report::Mapping>),
        take: &mut dyn FnMut(&[Cell<'_>], &mut Note<'_>) -> Taken,
    ) -> Result<usize> {
        let Opened { described, path, format, table, .. } = opened;
        let file = self.report.files.len();
        self.report.files.push(FileReport { path: described.clone(), role, format, columns, read: 0, kept: 0 });
        let (clean, report, progress) = (self.clean, &mut self.report, &mut *self.progress);
        let mut misread = 0;
        table.rows(&wanted, &mut |row: Row<'_>| {
            let Row { line, cells, done } = row;
            let rows = report.count(file);
            if rows % (1 << 17) == 0 {
                progress(Progress { path: &described, rows, done });
            }
            let cells = cells.map_err(|u| Refused::new(u.rule, "row", u.why));
            let taken = cells.and_then(|cells| take(cells, &mut Note { report, file, line }));
            let Err(refused) = taken else { return Ok(()) };
            if !clean.runs(refused.rule) {
                return Err(broken_rule(&path, line, &refused));
            }
            misread += u64::from(refused.rule.is_misread());
            report.drop(refused.rule, file, line, || refused.what);
            Ok(())
        })?;
        (self.progress)(Progress { path: &described, rows: self.report.files[file].read, done: 1.0 });
        self.report.refuse_misread(file, misread, clean)?;
        Ok(file)
    }
}

impl Chooser<'_> {
    /// What [`Run::scan`] needs to know of the choice.
    pub(crate) fn done(self) -> (Vec<usize>, Vec<super::report::Mapping>) {
        (self.wanted, self.chosen)
    }
}

/// The error for a row that a switched-off rule would have dropped, but that cannot be kept.
fn broken_rule(path: &Path, line: u64, refused: &Refused) -> DataError {
    let remedy = format!("correct the row, or take {:?} out of clean.off", refused.rule.name());
    let expected = format!("a usable {}", refused.field);
    InputError::new(path, expected, &refused.what, remedy).at(line).in_field(refused.field).into()
}
