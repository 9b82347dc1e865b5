//! Logs -> raw columns with dense ids, in the order of the files. Each row is checked as it passes; what needs the rows
//! of a whole shopper (duplicates, robots) comes after, in [`super::sequence`].

use super::clean::{Clean, Rule, UnknownItems};
use super::guess::{self, Chooser};
use super::ids::{self, Ids, Pending};
use super::report::Role;
use super::scan::{Note, Refused, Run, Taken};
use super::source::{EventFile, Format};
use super::table::Cell;
use super::time;
use crate::{EventKind, InputError, ItemId, Result};

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

/// Takes one log after the other into the same columns and ids.
pub(crate) struct EventReader<'a> {
    pub clean: &'a Clean,
    pub users: &'a mut Ids,
    /// Shoppers of the last rows, which have no id yet.
    pub pending: Pending,
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
    /// Those of [`Run::open`] and [`Run::scan`], and a column that is missing.
    pub(crate) fn read(&mut self, file: &EventFile, run: &mut Run<'_>) -> Result<()> {
        let opened = run.open(&file.path, file.format, &file.options)?;
        let mut chooser = Chooser::new(&opened.path, &opened.names);
        let layout = lay_out(file, &mut chooser, opened.format)?;
        let choice = chooser.done();
        self.raw.files.push((self.raw.items.len(), layout.clock, run.report.files.len()));
        let path = opened.path.clone();
        run.scan(Role::Events, opened, choice, &mut |cells, note| self.take(&layout, cells, note))?;
        self.pending.settle(self.users, &mut self.raw.users).map_err(|refused| {
            InputError::new(path, "fewer than 2^32 - 1 different shoppers", refused.what, "split the log").into()
        })
    }

    /// Checks a row and appends it. Ids are given last, so that a refused row leaves none behind.
    fn take(&mut self, layout: &Layout, cells: &[Cell<'_>], note: &mut Note<'_>) -> Taken {
        ids::check(&cells[layout.user], "user", self.clean)?;
        ids::check(&cells[layout.item], "item", self.clean)?;
        let at = self.at(layout, cells)?;
        let kind = self.kind(layout, cells, note)?;
        let value = self.value(layout, kind, cells, note)?;
        let unit_price = self.unit_price(layout, cells, value)?;
        let item = self.item(&cells[layout.item], note)?;
        self.pending.take(&cells[layout.user], self.users, &mut self.raw.users)?;
        if let Some(price) = unit_price {
            self.note_price(item, price);
        }
        self.raw.items.push(ItemId(item));
        self.raw.at.push(at);
        self.raw.kinds.push(kind);
        self.raw.values.push(value);
        self.raw.lines.push(u32::try_from(note.line()).unwrap_or(u32::MAX));
        Ok(())
    }

    fn note_price(&mut self, item: u32, price: f64) {
        if self.unit_prices.len() <= item as usize {
            self.unit_prices.resize(item as usize + 1, (0.0, 0));
        }
        let (sum, count) = &mut self.unit_prices[item as usize];
        *sum += price;
        *count += 1;
    }

    fn at(&self, layout: &Layout, cells: &[Cell<'_>]) -> Taken<i64> {
        let Some(slot) = layout.at else { return Ok(self.raw.items.len() as i64) };
        let cell = &cells[slot];
        let refused = || Refused::new(Rule::BadTimestamp, "at", format!("time {}", cell.show()));
        if layout.clock == Clock::Position {
            return cell.number().map(|x| x.floor() as i64).ok_or_else(refused);
        }
        let at = time::seconds(cell).ok_or_else(refused)?;
        let believed = (self.clean.earliest..=self.clean.latest).contains(&at);
        if believed || !self.clean.runs(Rule::BadTimestamp) {
            return Ok(at);
        }
        Err(Refused::new(Rule::BadTimestamp, "at", format!("time {} is outside the believed range", cell.show())))
    }

    fn kind(&self, layout: &Layout, cells: &[Cell<'_>], note: &mut Note<'_>) -> Taken<EventKind> {
        let Some(cell) = layout.kind_column.map(|slot| &cells[slot]) else { return Ok(layout.kind) };
        let word = match cell {
            Cell::Missing => {
                note.fill(Rule::UnknownKind, || format!("no kind, taken as {}", layout.kind.name()));
                return Ok(layout.kind);
            }
            Cell::Text(bytes) => String::from_utf8_lossy(bytes),
            other => other.show().into(),
        };
        if let Some(kind) = EventKind::parse(&word) {
            return Ok(kind);
        }
        if !self.clean.runs(Rule::UnknownKind) {
            return Err(Refused::new(Rule::UnknownKind, "kind", format!("kind {word:?}")));
        }
        note.fill(Rule::UnknownKind, || format!("kind {word:?}, taken as other"));
        Ok(EventKind::Other)
    }

    /// A rating for `rate`, a quantity (or weight) for everything else.
    fn value(&self, layout: &Layout, kind: EventKind, cells: &[Cell<'_>], note: &mut Note<'_>) -> Taken<f32> {
        let rated = kind == EventKind::Rate;
        let (field, slot, range) = match (rated, layout.value, layout.quantity) {
            (true, Some(slot), _) => ("rating", slot, self.clean.rating),
            (false, _, Some(slot)) => ("quantity", slot, [f32::MIN_POSITIVE, self.clean.max_quantity]),
            (false, Some(slot), None) => ("value", slot, [0.0, self.clean.max_quantity]),
            (true, None, _) | (false, None, None) => return Ok(1.0),
        };
        let cell = &cells[slot];
        let refused = |rule| Refused::new(rule, field, format!("{field} {}", cell.show()));
        if *cell == Cell::Missing {
            if rated || !self.clean.runs(Rule::MissingValue) {
                return Err(refused(Rule::MissingValue));
            }
            note.fill(Rule::MissingValue, || format!("no {field}, filled with 1"));
            return Ok(1.0);
        }
        let value = cell.number().map(|x| x as f32).filter(|x| x.is_finite());
        let value = value.ok_or_else(|| refused(Rule::BadValue))?;
        let believed = (range[0]..=range[1]).contains(&value);
        if believed || !self.clean.runs(Rule::BadValue) { Ok(value) } else { Err(refused(Rule::BadValue)) }
    }

    fn unit_price(&self, layout: &Layout, cells: &[Cell<'_>], pieces: f32) -> Taken<Option<f64>> {
        let Some(cell) = layout.amount.map(|slot| &cells[slot]).filter(|c| **c != Cell::Missing) else {
            return Ok(None);
        };
        let refused = || Refused::new(Rule::BadValue, "amount", format!("amount {}", cell.show()));
        let amount = cell.number().ok_or_else(refused)?;
        if !(0.0..=f64::from(self.clean.max_price)).contains(&amount) && self.clean.runs(Rule::BadValue) {
            return Err(refused());
        }
        let pieces = if layout.quantity.is_some() { f64::from(pieces) } else { 1.0 };
        Ok((pieces > 0.0 && amount > 0.0).then(|| amount / pieces))
    }

    fn item(&mut self, cell: &Cell<'_>, note: &mut Note<'_>) -> Taken<u32> {
        let Some(known) = self.known_items else { return self.items.take_checked(cell) };
        let may_grow = self.clean.runs(Rule::UnknownItem) && self.clean.unknown_items == UnknownItems::Keep;
        let what = || format!("item {} is not in the catalogue", cell.show());
        let id = self.items.find(cell, may_grow).ok_or_else(|| Refused::new(Rule::UnknownItem, "item", what()))?;
        if id as usize >= known {
            note.fill(Rule::UnknownItem, what);
        }
        Ok(id)
    }
}

fn lay_out(file: &EventFile, chooser: &mut Chooser<'_>, format: Format) -> Result<Layout> {
    let columns = &file.columns;
    // MovieLens files have no header; their order is fixed: user, item, rating, time.
    let fixed = |named: &Option<String>, name: &str| {
        named.clone().or_else(|| (format == Format::Movielens).then(|| name.to_string()))
    };
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
    let quantity = chooser.choose("quantity", columns.quantity.as_deref(), guess::QUANTITY)?;
    let amount = chooser.choose("amount", columns.amount.as_deref(), guess::AMOUNT)?;
    let kind_column = match file.kind {
        Some(_) if columns.kind.is_none() => None,
        _ => chooser.choose("kind", columns.kind.as_deref(), guess::KIND)?,
    };
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
