//! What was read, guessed, dropped and filled: nothing disappears without a line here.

use super::clean::{Clean, Rule};
use crate::{InputError, Result};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::path::PathBuf;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What shoppers did.
    Events,
    /// What is sold.
    Items,
    /// What is known of shoppers.
    Users,
    /// Triples.
    Knowledge,
}

/// A column and what it was taken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Field of ours (`user`, `item`, `at` ...).
    pub field: String,
    /// Column of the file; empty where there is none.
    pub column: String,
    /// Whether nobody named it.
    pub guessed: bool,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileReport {
    /// Path as described.
    pub path: PathBuf,
    /// What it holds.
    pub role: Role,
    /// How it is written.
    pub format: super::Format,
    /// Which column was taken for what.
    pub columns: Vec<Mapping>,
    /// Rows read.
    pub read: u64,
    /// Rows kept; `read - kept` is the sum of what the rules dropped.
    pub kept: u64,
}

/// A row that a rule touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Index into [`Report::files`].
    pub file: usize,
    /// Its path, as described.
    pub path: PathBuf,
    /// Line (row for Parquet), from 1.
    pub line: u64,
    /// What was there.
    pub what: String,
}

/// What one rule did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleReport {
    /// The rule.
    pub rule: Rule,
    /// Whether it ran.
    pub on: bool,
    /// What it looks for and does.
    pub does: String,
    /// Rows dropped, by what the file held (events, items, users, knowledge).
    pub dropped: [u64; 4],
    /// Rows kept with something filled in, likewise.
    pub filled: [u64; 4],
    /// The first three, in the order of the files.
    pub examples: Vec<Example>,
}

/// The whole of ingest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Every file, in the order in which it was read.
    pub files: Vec<FileReport>,
    /// Every rule.
    pub rules: Vec<RuleReport>,
}

const EXAMPLES: usize = 3;
const WIDTH: usize = 100;

impl Report {
    pub(crate) fn new(clean: &Clean) -> Report {
        let rule = |rule: Rule| RuleReport {
            rule,
            on: clean.runs(rule),
            does: clean.describe(rule),
            dropped: [0; 4],
            filled: [0; 4],
            examples: Vec::new(),
        };
        Report { files: Vec::new(), rules: Rule::ALL.map(rule).to_vec() }
    }

    /// Counts a row as read and, until a rule drops it, kept; returns the rows read so far.
    pub(crate) fn count(&mut self, file: usize) -> u64 {
        let entry = &mut self.files[file];
        entry.read += 1;
        entry.kept += 1;
        entry.read
    }

    /// Counts a dropped row of file `file` (index into `files`).
    pub(crate) fn drop(&mut self, rule: Rule, file: usize, line: u64, what: impl FnOnce() -> String) {
        let role = self.files[file].role as usize;
        self.rules[rule as usize].dropped[role] += 1;
        self.files[file].kept -= 1;
        self.example(rule, file, line, what);
    }

    /// Counts a row that is kept with something filled in.
    pub(crate) fn fill(&mut self, rule: Rule, file: usize, line: u64, what: impl FnOnce() -> String) {
        let role = self.files[file].role as usize;
        self.rules[rule as usize].filled[role] += 1;
        self.example(rule, file, line, what);
    }

    fn example(&mut self, rule: Rule, file: usize, line: u64, what: impl FnOnce() -> String) {
        let examples = &mut self.rules[rule as usize].examples;
        // Duplicates are found shopper by shopper, so a later find may lie earlier in its file.
        let at = examples.partition_point(|e| (e.file, e.line) <= (file, line));
        if at < EXAMPLES {
            let path = self.files[file].path.clone();
            examples.insert(at, Example { file, path, line, what: shorten(&what(), 60) });
            examples.truncate(EXAMPLES);
        }
    }

    /// What one rule did.
    pub fn rule(&self, rule: Rule) -> &RuleReport {
        &self.rules[rule as usize]
    }

    /// Rows read and kept of all files of one role.
    pub fn totals(&self, role: Role) -> (u64, u64) {
        let files = self.files.iter().filter(|f| f.role == role);
        files.fold((0, 0), |(read, kept), f| (read + f.read, kept + f.kept))
    }

    /// Refuses a file of which most rows were misread: its description is wrong, not its rows.
    pub(crate) fn refuse_misread(&self, file: usize, misread: u64, clean: &Clean) -> Result<()> {
        let f = &self.files[file];
        if misread == 0 || misread as f64 <= clean.max_misread * f.read as f64 {
            return Ok(());
        }
        // The rule that dropped most is told first: it names what is wrong with the description.
        let mut bad: Vec<(&RuleReport, &Example)> = (self.rules.iter().filter(|r| r.rule.is_misread()))
            .filter_map(|r| Some((r, r.examples.iter().find(|e| e.file == file)?)))
            .collect();
        bad.sort_by_key(|(r, _)| std::cmp::Reverse(r.dropped[f.role as usize]));
        let tell = |(r, e): &(&RuleReport, &Example)| {
            format!("{} {} times, first in line {}: {}", r.rule.name(), r.dropped[f.role as usize], e.line, e.what)
        };
        let examples: String = bad.iter().map(|found| format!("; {}", tell(found))).collect();
        Err(InputError::new(
            &f.path,
            format!("at most {:.0} % of rows misread", clean.max_misread * 100.0),
            format!("{misread} of {} rows{examples}", f.read),
            "check format and columns of this file, or raise clean.max_misread",
        )
        .into())
    }
}

/// Cuts a text for a table, at a character.
fn shorten(text: &str, width: usize) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if one_line.chars().count() <= width {
        return one_line;
    }
    one_line.chars().take(width - 1).chain(['…']).collect()
}

impl fmt::Display for Report {
    /// A table of at most 100 columns: files with their columns (guesses marked `?`), then each rule that did something
    /// with its first three examples, then the rules that found nothing and those that are off.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            let path = shorten(&file.path.display().to_string(), 44);
            writeln!(f, "{path:<44} {:<9} {:>12} read {:>12} kept", role_name(file.role), file.read, file.kept)?;
            let mut line = String::from("   ");
            for m in &file.columns {
                let mark = if m.guessed { "?" } else { "" };
                let column = if m.column.is_empty() { "none" } else { &m.column };
                let cell = format!(" {}={}{mark}", m.field, shorten(column, 40));
                if line.chars().count() + cell.chars().count() > WIDTH {
                    writeln!(f, "{line}")?;
                    line = String::from("   ");
                }
                line += &cell;
            }
            writeln!(f, "{line}")?;
        }
        if self.files.iter().any(|file| file.columns.iter().any(|m| m.guessed)) {
            writeln!(f, "    (? guessed from the header; name the column in the description to be sure)")?;
        }
        self.write_rules(f)
    }
}

impl Report {
    fn write_rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16} {:>9} {:>9}  what it does", "rule", "dropped", "filled")?;
        let (mut quiet, mut off) = (String::new(), String::new());
        for rule in &self.rules {
            let (dropped, filled) = (rule.dropped.iter().sum::<u64>(), rule.filled.iter().sum::<u64>());
            if dropped + filled == 0 {
                write!(if rule.on { &mut quiet } else { &mut off }, " {}", rule.rule.name())?;
                continue;
            }
            writeln!(f, "{:<16} {dropped:>9} {filled:>9}  {}", rule.rule.name(), shorten(&rule.does, 62))?;
            for e in &rule.examples {
                let place = format!("{}:{}", e.path.display(), e.line);
                writeln!(f, "    {}", shorten(&format!("{place}: {}", e.what), WIDTH - 4))?;
            }
        }
        for (what, names) in [("found nothing:", quiet), ("switched off:", off)] {
            let mut line = what.to_string();
            for name in names.split_whitespace() {
                if line.len() + name.len() + 1 > WIDTH {
                    writeln!(f, "{line}")?;
                    line = String::from("   ");
                }
                line = line + " " + name;
            }
            if !names.is_empty() {
                writeln!(f, "{line}")?;
            }
        }
        Ok(())
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Events => "events",
        Role::Items => "items",
        Role::Users => "users",
        Role::Knowledge => "knowledge",
    }
}
