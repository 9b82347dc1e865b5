//! A file of goods -> the catalogue: one row per item, text normalised, category paths interned, prices checked.

use super::clean::{Clean, Rule};
use super::events::{Ids, Refused, broken_rule, check_id};
use super::guess::{self, Chooser};
use super::report::{FileReport, Report, Role};
use super::source::{Columns, ItemFile};
use super::table::{Cell, Row, Table};
use super::{Progress, progress_every};
use crate::catalog::Attribute;
use crate::{Catalog, CategoryId, Result, text};
use std::path::Path;

const DESCRIPTION_FIELDS: [(&str, &[&str]); 2] = [("brand", guess::BRAND), ("description", guess::DESCRIPTION)];

/// Where each field lies among the cells of a row.
struct Layout {
    id: usize,
    title: Vec<usize>,
    text: Vec<usize>,
    category: Vec<usize>,
    price: Option<usize>,
    available: Option<usize>,
    attributes: Vec<usize>,
}

/// Reads the catalogue; the ids it gives are the first ones.
///
/// # Errors
/// [`crate::InputError`] if the file cannot be used, or a row breaks a rule that is switched off.
pub(crate) fn read(
    file: &ItemFile,
    base: &Path,
    clean: &Clean,
    report: &mut Report,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(Catalog, Ids)> {
    let path = base.join(&file.path);
    let (table, format) = Table::open(&path, file.format, &file.options)?;
    let names = table.names().to_vec();
    let mut chooser = Chooser::new(&path, &names);
    let (layout, attributes) = lay_out(file, &mut chooser, format)?;
    let (wanted, columns) = (chooser.wanted, chooser.chosen);
    let index = report.files.len();
    report.files.push(FileReport { path: file.path.clone(), role: Role::Items, format, columns, read: 0, kept: 0 });
    let mut reader =
        ItemReader { file, index, clean, report, layout, ids: Ids::default(), catalog: Catalog::default() };
    reader.catalog.attributes = attributes.into_iter().map(|name| Attribute { name, values: Vec::new() }).collect();
    let mut misread = 0;
    table.rows(&wanted, &mut |row: Row<'_>| {
        let line = row.line;
        progress_every(line, || Progress { path: &file.path, rows: line, done: row.done }, progress);
        reader.report.files[index].read += 1;
        reader.report.files[index].kept += 1;
        let Err(refused) = reader.take(row) else { return Ok(()) };
        if !clean.runs(refused.rule) {
            return Err(broken_rule(&path, line, &refused));
        }
        misread += u64::from(refused.rule.is_misread());
        reader.report.drop(refused.rule, index, line, || refused.what);
        Ok(())
    })?;
    let ItemReader { ids, mut catalog, .. } = reader;
    report.refuse_misread(index, misread, clean)?;
    catalog.ids = ids.names.clone();
    Ok((catalog, ids))
}

struct ItemReader<'a> {
    file: &'a ItemFile,
    index: usize,
    clean: &'a Clean,
    report: &'a mut Report,
    layout: Layout,
    ids: Ids,
    catalog: Catalog,
}

impl ItemReader<'_> {
    fn take(&mut self, row: Row<'_>) -> std::result::Result<(), Refused> {
        let line = row.line;
        let cells = row.cells.map_err(|u| Refused { rule: u.rule, field: "row", what: u.why })?;
        let id = &cells[self.layout.id];
        check_id(id, "item", self.clean)?;
        let title = self.phrase(&self.layout.title, cells)?;
        let mut words = self.phrase(&self.layout.text, cells)?;
        let category = self.category(cells)?;
        let mut attributes = Vec::with_capacity(self.layout.attributes.len());
        for &slot in &self.layout.attributes {
            attributes.push(self.words(&cells[slot])?);
        }
        let before = self.ids.names.len();
        let new = self.ids.of(id, true).is_some_and(|id| id as usize == before);
        if !new {
            return Err(Refused { rule: Rule::DuplicateId, field: "item", what: format!("item {}", id.show()) });
        }
        // A description that says `text = []` wants none.
        if words.is_empty() && !self.layout.text.is_empty() && self.clean.runs(Rule::EmptyText) {
            words = category.clone().unwrap_or_default();
            self.report.fill(Rule::EmptyText, self.index, line, || format!("item {} without text", id.show()));
        }
        let price = self.price(cells, line);
        let available = self.available(cells, line);
        let category = category.and_then(|path| self.catalog.categories.intern(&path)).map(CategoryId);
        self.catalog.titles.push(title);
        self.catalog.texts.push(words);
        self.catalog.category.push(category);
        self.catalog.price.push(price);
        self.catalog.available.push(available);
        for (column, value) in self.catalog.attributes.iter_mut().zip(attributes) {
            column.values.push(value);
        }
        Ok(())
    }

    /// A cell as normalised text.
    fn words(&self, cell: &Cell<'_>) -> std::result::Result<String, Refused> {
        let raw = match cell.text() {
            Ok(text) => text.unwrap_or_default(),
            Err(lossy) if self.clean.runs(Rule::InvalidUtf8) => {
                return Err(Refused { rule: Rule::InvalidUtf8, field: "text", what: lossy });
            }
            Err(lossy) => lossy.into(),
        };
        let words = text::normalise(&raw);
        Ok(if self.file.natural_case { text::natural_case(&words) } else { words })
    }

    fn phrase(&self, slots: &[usize], cells: &[Cell<'_>]) -> std::result::Result<String, Refused> {
        let parts: std::result::Result<Vec<String>, Refused> = slots.iter().map(|&s| self.words(&cells[s])).collect();
        Ok(text::join(parts?.iter().map(String::as_str)))
    }

    /// The category path, steps joined by ` > `.
    fn category(&self, cells: &[Cell<'_>]) -> std::result::Result<Option<String>, Refused> {
        let mut steps = Vec::new();
        for &slot in &self.layout.category {
            let words = self.words(&cells[slot])?;
            match &self.file.category_separator {
                Some(separator) => steps.extend(words.split(separator.as_str()).map(text::normalise)),
                None => steps.push(words),
            }
        }
        steps.retain(|s| !s.is_empty());
        steps.truncate(self.file.category_depth.unwrap_or(usize::MAX));
        Ok((!steps.is_empty()).then(|| steps.join(" > ")))
    }

    /// The price, `NaN` where there is none or none to believe.
    fn price(&mut self, cells: &[Cell<'_>], line: u64) -> f32 {
        let Some(cell) = self.layout.price.map(|slot| &cells[slot]).filter(|c| **c != Cell::Missing) else {
            return f32::NAN;
        };
        let price = cell.number().or_else(|| money(cell)).map(|x| x as f32);
        match price.filter(|p| (0.0..=self.clean.max_price).contains(p) || !self.clean.runs(Rule::BadValue)) {
            Some(price) => price,
            None => {
                self.report.fill(Rule::BadValue, self.index, line, || format!("price {}", cell.show()));
                f32::NAN
            }
        }
    }

    fn available(&mut self, cells: &[Cell<'_>], line: u64) -> bool {
        let Some(cell) = self.layout.available.map(|slot| &cells[slot]) else { return true };
        let word = cell.text().ok().flatten().unwrap_or_default().to_ascii_lowercase();
        match word.as_str() {
            "" | "true" | "1" | "yes" | "y" | "in stock" | "instock" | "in_stock" | "available" => true,
            "false" | "0" | "no" | "n" | "out of stock" | "outofstock" | "out_of_stock" | "sold out" => false,
            _ => {
                self.report.fill(Rule::BadValue, self.index, line, || format!("availability {word:?}, taken as true"));
                true
            }
        }
    }
}

/// `$1,234.50` as a number: one sign of currency before or after, commas between thousands.
fn money(cell: &Cell<'_>) -> Option<f64> {
    let text = cell.text().ok()??.into_owned();
    let bare = text.trim_matches(|c: char| !c.is_ascii_digit() && c != '-' && c != '.').replace(',', "");
    bare.parse().ok().filter(|x: &f64| x.is_finite())
}

fn names_of(columns: Option<&Columns>) -> Option<&[String]> {
    columns.map(Columns::names)
}

fn lay_out(file: &ItemFile, chooser: &mut Chooser<'_>, format: super::Format) -> Result<(Layout, Vec<String>)> {
    let movielens = format == super::Format::Movielens;
    let fixed = |name: &str| movielens.then(|| name.to_string());
    let id = chooser.require("id", file.id.clone().or_else(|| fixed("c1")).as_deref(), guess::ITEM)?;
    let title = match names_of(file.title.as_ref()) {
        Some(names) => chooser.choose_all("title", names)?,
        None => chooser.choose("title", fixed("c2").as_deref(), guess::TITLE)?.into_iter().collect(),
    };
    let category = match names_of(file.category.as_ref()) {
        Some(names) => chooser.choose_all("category", names)?,
        None => chooser.choose("category", fixed("c3").as_deref(), guess::CATEGORY)?.into_iter().collect(),
    };
    let text = match names_of(file.text.as_ref()) {
        Some(names) => chooser.choose_all("text", names)?,
        None => {
            let mut slots = title.clone();
            slots.extend(&category);
            for (field, guesses) in DESCRIPTION_FIELDS {
                slots.extend(chooser.choose(field, None, guesses)?);
            }
            slots
        }
    };
    let price = chooser.choose("price", file.price.as_deref(), guess::PRICE)?;
    let available = chooser.choose("available", file.available.as_deref(), guess::AVAILABLE)?;
    let kept = if file.attributes == ["*"] { chooser.rest() } else { file.attributes.clone() };
    let attributes = chooser.choose_all("attribute", &kept)?;
    Ok((Layout { id, title, text, category, price, available, attributes }, kept))
}
