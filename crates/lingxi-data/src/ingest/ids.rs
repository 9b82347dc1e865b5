//! External ids as cells -> dense ids.

use super::clean::{Clean, Rule};
use super::scan::{Refused, Taken};
use super::table::Cell;
use crate::Interner;
use std::collections::HashMap;

/// Dense ids of names, with a short way for names that are whole numbers.
#[derive(Default)]
pub(crate) struct Ids {
    pub names: Interner,
    numbers: HashMap<i64, u32>,
}

impl Ids {
    /// The id of a cell, a new one if it was never seen.
    pub(crate) fn take(&mut self, cell: &Cell<'_>, field: &'static str, clean: &Clean) -> Taken<u32> {
        check(cell, field, clean)?;
        self.take_checked(cell)
    }

    /// The same for a cell that [`check`] passed.
    pub(crate) fn take_checked(&mut self, cell: &Cell<'_>) -> Taken<u32> {
        self.find(cell, true).ok_or_else(too_many)
    }

    /// The id of a cell that [`check`] passed; `None` if it was never seen and may not be new.
    pub(crate) fn find(&mut self, cell: &Cell<'_>, may_grow: bool) -> Option<u32> {
        match cell {
            Cell::Int(n) | Cell::Seconds(n) => self.of_number(*n, may_grow),
            // pandas writes whole numbers beside missing ones as floats.
            Cell::Float(x) if x.fract() == 0.0 && x.abs() < 9e15 => self.of_number(*x as i64, may_grow),
            Cell::Float(x) => self.of_name(&x.to_string(), may_grow),
            Cell::Text(bytes) => self.of_name(&String::from_utf8_lossy(bytes), may_grow),
            Cell::Missing => None,
        }
    }

    fn of_number(&mut self, n: i64, may_grow: bool) -> Option<u32> {
        if let Some(&id) = self.numbers.get(&n) {
            return Some(id);
        }
        let id = self.of_name(&n.to_string(), may_grow)?;
        self.numbers.insert(n, id);
        Some(id)
    }

    fn of_name(&mut self, name: &str, may_grow: bool) -> Option<u32> {
        if may_grow { self.names.intern(name) } else { self.names.get(name) }
    }
}

/// Names of many rows, which get their ids together: a search in a large table mostly waits for memory, and many searches
/// wait together.
#[derive(Default)]
pub(crate) struct Pending {
    text: String,
    ends: Vec<usize>,
}

impl Pending {
    /// Names that wait at most.
    const MOST: usize = 8192;

    /// Appends the id of a cell that [`check`] passed to `to`, now or with a later call; [`Pending::settle`] is the last.
    pub(crate) fn take(&mut self, cell: &Cell<'_>, ids: &mut Ids, to: &mut Vec<u32>) -> Taken {
        let Cell::Text(bytes) = cell else {
            self.settle(ids, to)?;
            to.push(ids.find(cell, true).ok_or_else(too_many)?);
            return Ok(());
        };
        self.text.push_str(&String::from_utf8_lossy(bytes));
        self.ends.push(self.text.len());
        if self.ends.len() < Pending::MOST { Ok(()) } else { self.settle(ids, to) }
    }

    /// Gives all that wait their ids.
    pub(crate) fn settle(&mut self, ids: &mut Ids, to: &mut Vec<u32>) -> Taken {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let names = starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end]);
        let settled = ids.names.intern_all(names, to).ok_or_else(too_many);
        self.text.clear();
        self.ends.clear();
        settled
    }
}

fn too_many() -> Refused {
    Refused::new(Rule::HugeId, "id", "more than 2^32 - 1 different ids")
}

/// Checks that a cell can be an id.
pub(crate) fn check(cell: &Cell<'_>, field: &'static str, clean: &Clean) -> Taken {
    match cell {
        Cell::Missing => Err(Refused::new(Rule::MissingId, field, format!("no {field}"))),
        Cell::Text(bytes) if bytes.len() > clean.max_id_bytes && clean.runs(Rule::HugeId) => {
            let start = String::from_utf8_lossy(&bytes[..24.min(bytes.len())]).into_owned();
            let what = format!("{field} of {} bytes: {start}...", bytes.len());
            Err(Refused::new(Rule::HugeId, field, what))
        }
        Cell::Text(bytes) if clean.runs(Rule::InvalidUtf8) && std::str::from_utf8(bytes).is_err() => {
            Err(Refused::new(Rule::InvalidUtf8, field, format!("{field} {}", cell.show())))
        }
        _ => Ok(()),
    }
}
