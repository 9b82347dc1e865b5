//! A file of goods -> the catalogue: one row per item, text normalised, category paths interned, prices checked.

use super::clean::{Clean, Rule};
use super::guess::{self, Chooser};
use super::ids::Ids;
use super::report::Role;
use super::scan::{Note, Refused, Run, Taken};
use super::shoppers::words;
use super::source::{Columns, Format, ItemFile};
use super::table::Cell;
use crate::catalog::Attribute;
use crate::{Catalog, CategoryId, Result, text};

const DESCRIPTION_FIELDS: [(&str, &str); 2] = [("brand", guess::BRAND), ("description", guess::DESCRIPTION)];

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

/// Reads the catalogue; the ids it gives are the first ones. The catalogue's own `ids` stay empty until the logs are read.
///
/// # Errors
/// Those of [`Run::open`] and [`Run::scan`], and a column that is missing.
pub(crate) fn read(file: &ItemFile, run: &mut Run<'_>) -> Result<(Catalog, Ids)> {
    let opened = run.open(&file.path, file.format, &file.options)?;
    let mut chooser = Chooser::new(&opened.path, &opened.names);
    let (layout, attributes) = lay_out(file, &mut chooser, opened.format)?;
    let attributes = attributes.into_iter().map(|name| Attribute { name, values: Vec::new() }).collect();
    let catalog = Catalog { attributes, ..Catalog::default() };
    let mut reader = ItemReader { file, clean: run.clean, layout, ids: Ids::default(), catalog };
    let choice = chooser.done();
    run.scan(Role::Items, opened, choice, &mut |cells, note| reader.take(cells, note))?;
    Ok((reader.catalog, reader.ids))
}

struct ItemReader<'a> {
    file: &'a ItemFile,
    clean: &'a Clean,
    layout: Layout,
    ids: Ids,
    catalog: Catalog,
}

impl ItemReader<'_> {
    /// Checks a row and appends it. The id is given last, so that a refused row leaves none behind.
    fn take(&mut self, cells: &[Cell<'_>], note: &mut Note<'_>) -> Taken {
        let title = self.phrase(&self.layout.title, cells)?;
        let mut words = self.phrase(&self.layout.text, cells)?;
        let category = self.category(cells)?;
        let attributes: Taken<Vec<String>> = self.layout.attributes.iter().map(|&s| self.words(&cells[s])).collect();
        let attributes = attributes?;
        let (id, before) = (&cells[self.layout.id], self.ids.names.len());
        if (self.ids.take(id, "item", self.clean)? as usize) < before {
            return Err(Refused::new(Rule::DuplicateId, "item", format!("item {} again", id.show())));
        }
        // A description that says `text = []` wants none.
        if words.is_empty() && !self.layout.text.is_empty() && self.clean.runs(Rule::EmptyText) {
            words = category.clone().unwrap_or_default();
            note.fill(Rule::EmptyText, || format!("item {} without text", id.show()));
        }
        let category = category.and_then(|path| self.catalog.categories.intern(&path)).map(CategoryId);
        self.catalog.titles.push(title);
        self.catalog.texts.push(words);
        self.catalog.category.push(category);
        self.catalog.price.push(self.price(cells, note));
        self.catalog.available.push(self.available(cells, note));
        for (column, value) in self.catalog.attributes.iter_mut().zip(attributes) {
            column.values.push(value);
        }
        Ok(())
    }

    /// A cell as normalised text.
    fn words(&self, cell: &Cell<'_>) -> Taken<String> {
        let words = words(cell, self.clean)?;
        Ok(if self.file.natural_case { text::natural_case(&words) } else { words })
    }

    fn phrase(&self, slots: &[usize], cells: &[Cell<'_>]) -> Taken<String> {
        let parts: Taken<Vec<String>> = slots.iter().map(|&s| self.words(&cells[s])).collect();
        Ok(text::join(parts?.iter().map(String::as_str)))
    }

    /// The category path, steps joined by ` > `.
    fn category(&self, cells: &[Cell<'_>]) -> Taken<Option<String>> {
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
    fn price(&self, cells: &[Cell<'_>], note: &mut Note<'_>) -> f32 {
        let Some(cell) = self.layout.price.map(|slot| &cells[slot]).filter(|c| **c != Cell::Missing) else {
            return f32::NAN;
        };
        let price = cell.number().or_else(|| money(cell)).map(|x| x as f32);
        match price.filter(|p| (0.0..=self.clean.max_price).contains(p) || !self.clean.runs(Rule::BadValue)) {
            Some(price) => price,
            None => {
                note.fill(Rule::BadValue, || format!("price {}", cell.show()));
                f32::NAN
            }
        }
    }

    fn available(&self, cells: &[Cell<'_>], note: &mut Note<'_>) -> bool {
        let Some(cell) = self.layout.available.map(|slot| &cells[slot]) else { return true };
        let word = cell.text().ok().flatten().unwrap_or_default().to_ascii_lowercase();
        match word.as_str() {
            "" | "true" | "1" | "yes" | "y" | "in stock" | "instock" | "in_stock" | "available" => true,
            "false" | "0" | "no" | "n" | "out of stock" | "outofstock" | "out_of_stock" | "sold out" => false,
            _ => {
                note.fill(Rule::BadValue, || format!("availability {word:?}, taken as true"));
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

fn lay_out(file: &ItemFile, chooser: &mut Chooser<'_>, format: Format) -> Result<(Layout, Vec<String>)> {
    let movielens = format == Format::Movielens;
    let fixed = |name: &str| movielens.then(|| name.to_string());
    let id =
        chooser.require("id", file.id.clone().or_else(|| fixed("c1")).as_deref(), &[guess::ITEM, " id"].concat())?;
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
    let kept = if file.attributes == ["*"] { chooser.all_but(id) } else { file.attributes.clone() };
    let attributes = chooser.choose_all("attribute", &kept)?;
    Ok((Layout { id, title, text, category, price, available, attributes }, kept))
}
