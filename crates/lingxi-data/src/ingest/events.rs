//! Logs -> raw columns with dense ids, in the order of the files. Each row is checked as it passes; what needs the rows
//! of a whole shopper (duplicates, robots) comes after, in [`super::sequence`].

use super::clean::{Clean, Rule, UnknownItems};
use super::guess::{self, Chooser};
use super::report::{FileReport, Report, Role};
use super::source::EventFile;
use super::table::{Cell, Row, Table};
use super::{Progress, progress_every, time};
use crate::{DataError, EventKind, InputError, Interner, ItemId, Result};
use std::collections::HashMap;
use std::path::Path;

/// What orders the rows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Unix seconds.
    Time,
    /// A position in the shopper's sequence.
    Position,
    /// Nothing but the order of the file.
    Order,
}

/// Rows as they came, in columns of equal length.
#[derive(Default)]
pub(crate) struct Raw {
    pub users: Vec<u32>,
    pub items: Vec<ItemId>,
    pub at: Vec<i64>,
    pub kinds: Vec<EventKind>,
    pub values: Vec<f32>,
    /// Line of each row in its file.
    pub lines: Vec<u32>,
    /// First row, clock and report index of each file.
    pub files: Vec<(usize, Clock, usize)>,
}

impl Raw {
    /// Which of `files` a row came from.
    pub(crate) fn file_of(&self, row: usize) -> usize {
        self.files.partition_point(|(first, ..)| *first <= row) - 1
    }
}

/// Dense ids of names, with a short way for names that are whole numbers.
#[derive(Default)]
pub(crate) struct Ids {
    pub names: Interner,
    numbers: HashMap<i64, u32>,
}

impl Ids {
    pub(crate) fn new(names: Interner) -> Ids {
        Ids { names, numbers: HashMap::new() }
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

    /// The id of a cell that [`check_id`] passed.
    pub(crate) fn of(&mut self, cell: &Cell<'_>, may_grow: bool) -> Option<u32> {
        match cell {
            Cell::Int(n) | Cell::Seconds(n) => self.of_number(*n, may_grow),
            // pandas writes whole numbers beside missing ones as floats.
            Cell::Float(x) if x.fract() == 0.0 && x.abs() < 9e15 => self.of_number(*x as i64, may_grow),
            Cell::Float(x) => self.of_name(&x.to_string(), may_grow),
            Cell::Text(bytes) => self.of_name(&String::from_utf8_lossy(bytes), may_grow),
            Cell::Missing => None,
        }
    }
}

/// Why a row cannot be kept.
pub(crate) struct Refused {
    pub rule: Rule,
    pub field: &'static str,
    pub what: String,
}

/// Checks an id before it is interned.
pub(crate) fn check_id(cell: &Cell<'_>, field: &'static str, clean: &Clean) -> std::result::Result<(), Refused> {
    let refused = |rule, what| Err(Refused { rule, field, what });
    match cell {
        Cell::Missing => refused(Rule::MissingId, format!("no {field}")),
        Cell::Text(bytes) if bytes.len() > clean.max_id_bytes && clean.runs(Rule::HugeId) => {
            let start = String::from_utf8_lossy(&bytes[..24.min(bytes.len())]).into_owned();
            refused(Rule::HugeId, format!("{field} of {} bytes: {start}...", bytes.len()))
        }
        Cell::Text(bytes) if clean.runs(Rule::InvalidUtf8) && std::str::from_utf8(bytes).is_err() => {
            refused(Rule::InvalidUtf8, format!("{field} {}", cell.show()))
        }
        _ => Ok(()),
    }
}

/// Where each field lies among the cells of a row.
struct Layout {
    user: usize,
    item: usize,
    at: Option<usize>,
    clock: Clock,
    kind_column: Option<usize>,
    kind: EventKind,
    value: Option<usize>,
    quantity: Option<usize>,
    amount: Option<usize>,
}

/// Reads one log after the other into the same columns and ids.
pub(crate) struct EventReader<'a> {
    pub clean: &'a Clean,
    pub report: &'a mut Report,
    pub users: &'a mut Ids,
    pub items: &'a mut Ids,
    /// Items below this are in the catalogue; `None` if there is no catalogue.
    pub known_items: Option<usize>,
    pub raw: Raw,
    /// Sum and number of unit prices per item.
    pub unit_prices: Vec<(f64, u32)>,
}

impl EventReader<'_> {
    /// Reads one file to its end.
    ///
    /// # Errors
    /// [`InputError`] if the file cannot be used, or a row breaks a rule that is switched off.
    pub(crate) fn read(&mut self, file: &EventFile, base: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<()> {
        let path = base.join(&file.path);
        let (table, format) = Table::open(&path, file.format, &file.options)?;
        let names = table.names().to_vec();
        let mut chooser = Chooser::new(&path, &names);
        let layout = lay_out(file, &mut chooser, format)?;
        let (wanted, columns) = (chooser.wanted, chooser.chosen);
        let index = self.report.files.len();
        let entry = FileReport { path: file.path.clone(), role: Role::Events, format, columns, read: 0, kept: 0 };
        self.report.files.push(entry);
        self.raw.files.push((self.raw.users.len(), layout.clock, index));
        let mut misread = 0;
        table.rows(&wanted, &mut |row: Row<'_>| {
            progress_every(row.line, || Progress { path: &file.path, rows: row.line, done: row.done }, progress);
            self.report.files[index].read += 1;
            self.report.files[index].kept += 1;
            let line = row.line;
            let Err(refused) = self.take(&layout, index, row) else { return Ok(()) };
            if !self.clean.runs(refused.rule) {
                return Err(broken_rule(&path, line, &refused));
            }
            misread += u64::from(refused.rule.is_misread());
            self.report.drop(refused.rule, index, line, || refused.what);
            Ok(())
        })?;
        self.report.refuse_misread(index, misread, self.clean)
    }

    /// Checks a row and appends it.
    fn take(&mut self, layout: &Layout, file: usize, row: Row<'_>) -> std::result::Result<(), Refused> {
        let line = row.line;
        let cells = row.cells.map_err(|u| Refused { rule: u.rule, field: "row", what: u.why })?;
        let (user, item) = (&cells[layout.user], &cells[layout.item]);
        check_id(user, "user", self.clean)?;
        check_id(item, "item", self.clean)?;
        let at = self.at(layout, cells)?;
        let kind = match layout.kind_column {
            Some(slot) => self.kind(&cells[slot], layout.kind, file, line)?,
            None => layout.kind,
        };
        let value = self.value(layout, kind, cells, file, line)?;
        let unit_price = self.unit_price(layout, cells, value)?;
        let item = self.item(item, file, line)?;
        let user = self.users.of(user, true).ok_or_else(|| too_many("user"))?;
        if let Some(price) = unit_price {
            if self.unit_prices.len() <= item as usize {
                self.unit_prices.resize(item as usize + 1, (0.0, 0));
            }
            let entry = &mut self.unit_prices[item as usize];
            *entry = (entry.0 + price, entry.1 + 1);
        }
        self.raw.users.push(user);
        self.raw.items.push(ItemId(item));
        self.raw.at.push(at);
        self.raw.kinds.push(kind);
        self.raw.values.push(value);
        self.raw.lines.push(u32::try_from(line).unwrap_or(u32::MAX));
        Ok(())
    }

    fn at(&self, layout: &Layout, cells: &[Cell<'_>]) -> std::result::Result<i64, Refused> {
        let Some(slot) = layout.at else { return Ok(self.raw.users.len() as i64) };
        let cell = &cells[slot];
        let refused = || Refused { rule: Rule::BadTimestamp, field: "at", what: format!("time {}", cell.show()) };
        if layout.clock == Clock::Position {
            return cell.number().map(|x| x.floor() as i64).ok_or_else(refused);
        }
        let at = time::seconds(cell).ok_or_else(refused)?;
        let believed = (self.clean.earliest..=self.clean.latest).contains(&at);
        if believed || !self.clean.runs(Rule::BadTimestamp) { Ok(at) } else { Err(refused()) }
    }

    fn kind(
        &mut self,
        cell: &Cell<'_>,
        default: EventKind,
        file: usize,
        line: u64,
    ) -> std::result::Result<EventKind, Refused> {
        let word = match cell {
            Cell::Missing => return Ok(default),
            Cell::Text(bytes) => String::from_utf8_lossy(bytes),
            other => other.show().into(),
        };
        if let Some(kind) = EventKind::parse(&word) {
            return Ok(kind);
        }
        let what = format!("kind {word:?}");
        if !self.clean.runs(Rule::UnknownKind) {
            return Err(Refused { rule: Rule::UnknownKind, field: "kind", what });
        }
        self.report.fill(Rule::UnknownKind, file, line, || what);
        Ok(EventKind::Other)
    }

    /// A rating for `rate`, a quantity (or weight) for everything else.
    fn value(
        &mut self,
        layout: &Layout,
        kind: EventKind,
        cells: &[Cell<'_>],
        file: usize,
        line: u64,
    ) -> std::result::Result<f32, Refused> {
        let rated = kind == EventKind::Rate;
        let (field, slot, range) = match (rated, layout.value, layout.quantity) {
            (true, Some(slot), _) => ("rating", slot, self.clean.rating),
            (false, _, Some(slot)) => ("quantity", slot, [f32::MIN_POSITIVE, self.clean.max_quantity]),
            (false, Some(slot), None) => ("value", slot, [0.0, self.clean.max_quantity]),
            (true, None, _) | (false, None, None) => return Ok(1.0),
        };
        let cell = &cells[slot];
        let refused = |rule| Refused { rule, field, what: format!("{field} {}", cell.show()) };
        if *cell == Cell::Missing {
            if rated || !self.clean.runs(Rule::MissingValue) {
                return Err(refused(Rule::MissingValue));
            }
            self.report.fill(Rule::MissingValue, file, line, || format!("no {field}, filled with 1"));
            return Ok(1.0);
        }
        let value = cell.number().map(|x| x as f32).filter(|x| x.is_finite());
        let value = value.ok_or_else(|| refused(Rule::BadValue))?;
        let believed = (range[0]..=range[1]).contains(&value);
        if believed || !self.clean.runs(Rule::BadValue) { Ok(value) } else { Err(refused(Rule::BadValue)) }
    }

    fn unit_price(
        &self,
        layout: &Layout,
        cells: &[Cell<'_>],
        pieces: f32,
    ) -> std::result::Result<Option<f64>, Refused> {
        let Some(slot) = layout.amount.filter(|slot| cells[*slot] != Cell::Missing) else { return Ok(None) };
        let cell = &cells[slot];
        let refused = || Refused { rule: Rule::BadValue, field: "amount", what: format!("amount {}", cell.show()) };
        let amount = cell.number().ok_or_else(refused)?;
        if !(0.0..=f64::from(self.clean.max_price)).contains(&amount) && self.clean.runs(Rule::BadValue) {
            return Err(refused());
        }
        let pieces = if layout.quantity.is_some() { f64::from(pieces) } else { 1.0 };
        Ok((pieces > 0.0 && amount > 0.0).then(|| amount / pieces))
    }

    fn item(&mut self, cell: &Cell<'_>, file: usize, line: u64) -> std::result::Result<u32, Refused> {
        let Some(known) = self.known_items else { return self.items.of(cell, true).ok_or_else(|| too_many("item")) };
        let may_grow = self.clean.runs(Rule::UnknownItem) && self.clean.unknown_items == UnknownItems::Keep;
        let unknown = || Refused { rule: Rule::UnknownItem, field: "item", what: format!("item {}", cell.show()) };
        let id = self.items.of(cell, may_grow).ok_or_else(unknown)?;
        if id as usize >= known {
            self.report.fill(Rule::UnknownItem, file, line, || unknown().what);
        }
        Ok(id)
    }
}

fn too_many(field: &'static str) -> Refused {
    Refused { rule: Rule::HugeId, field, what: "more than 2^32 - 1 different ids".into() }
}

/// The error for a row that a switched-off rule would have dropped, but that cannot be kept.
pub(crate) fn broken_rule(path: &Path, line: u64, refused: &Refused) -> DataError {
    let remedy = format!("correct the row, or take {:?} out of clean.off", refused.rule.name());
    InputError::new(path, format!("a usable {}", refused.field), &refused.what, remedy)
        .at(line)
        .in_field(refused.field)
        .into()
}

fn lay_out(file: &EventFile, chooser: &mut Chooser<'_>, format: super::Format) -> Result<Layout> {
    let columns = &file.columns;
    // MovieLens files have no header; their order is fixed: user, item, rating, time.
    let movielens = format == super::Format::Movielens;
    let fixed = |named: &Option<String>, name: &str| named.clone().or_else(|| movielens.then(|| name.to_string()));
    let user = chooser.require("user", fixed(&columns.user, "c1").as_deref(), guess::USER)?;
    let item = chooser.require("item", fixed(&columns.item, "c2").as_deref(), guess::ITEM)?;
    let value = chooser.choose("value", fixed(&columns.value, "c3").as_deref(), guess::VALUE)?;
    let mut at = chooser.choose("at", fixed(&columns.at, "c4").as_deref(), guess::AT)?;
    let mut clock = Clock::Time;
    if at.is_none() {
        at = chooser.choose("position", columns.position.as_deref(), guess::POSITION)?;
        clock = if at.is_some() { Clock::Position } else { Clock::Order };
    }
    if clock == Clock::Order {
        chooser.assume("at", "order of the file", columns.at.is_none());
    }
    let kind_column = match file.kind {
        Some(_) if columns.kind.is_none() => None,
        _ => chooser.choose("kind", columns.kind.as_deref(), guess::KIND)?,
    };
    let quantity = chooser.choose("quantity", columns.quantity.as_deref(), guess::QUANTITY)?;
    let amount = chooser.choose("amount", columns.amount.as_deref(), guess::AMOUNT)?;
    let kind = file.kind.unwrap_or(match (value, quantity) {
        (_, Some(_)) => EventKind::Buy,
        (Some(_), None) => EventKind::Rate,
        _ => EventKind::Other,
    });
    if kind_column.is_none() {
        chooser.assume("kind", kind.name(), file.kind.is_none());
    }
    Ok(Layout { user, item, at, clock, kind_column, kind, value, quantity, amount })
}
