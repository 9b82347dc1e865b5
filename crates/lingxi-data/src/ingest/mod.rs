//! How do a shop's files become columns with dense ids?
//!
//! A [`Source`] (a few lines of TOML) and its files come in; [`Ingested`] goes out: interactions sorted by shopper and
//! time, the catalogue, attributes of shoppers, triples, and a [`Report`] in which every row that was read is either
//! kept or counted under the rule that dropped it.
//!
//! In reading order: [`source`] is what a person writes, `table` (with `lines`, `delimited`, `jsonl`, `columnar`) turns
//! any format into rows of cells, `guess` finds columns by their names, [`clean`] lists the rules, `scan` runs over the rows
//! of a file and counts, `ids` and `time` read single cells, `events`, `items`, `shoppers` and `knowledge` one kind of file, `sequence` sorts and drops duplicates and
//! robots, [`standardise`] puts numbers on one scale, [`report`] says what happened, `stored` keeps it all on disk; `columns` reads files that hold no events; `later` takes
//! in what came after the files were written.

pub mod clean;
pub(crate) mod columnar;
mod columns;
mod delimited;
mod events;
mod guess;
mod ids;
mod items;
mod jsonl;
mod knowledge;
mod later;
pub(crate) mod lines;
pub mod report;
mod scan;
mod sequence;
mod shoppers;
pub mod source;
pub mod standardise;
mod stored;
mod table;
mod time;

pub use clean::{Clean, Rule, UnknownItems};
pub use columns::{Visit, read_columns};
pub use knowledge::Knowledge;
pub use later::{Later, Taken};
pub use report::Report;
pub use scan::Progress;
pub use source::{Format, Part, Source};
pub use standardise::Standardised;

use crate::catalog::Attribute;
use crate::{Catalog, InputError, Interactions, Interner, Result};
use events::{Clock, EventReader, Raw};
use ids::Ids;
use scan::Run;
use std::collections::BTreeMap;
use std::path::Path;

/// Everything that came out of a shop's files.
#[derive(Clone, Debug)]
pub struct Ingested {
    /// All events that were kept.
    pub interactions: Interactions,
    /// The events of each part of a published split, with the same ids.
    pub parts: BTreeMap<Part, Interactions>,
    /// External ids of shoppers.
    pub users: Interner,
    /// What is sold.
    pub catalog: Catalog,
    /// What is known of shoppers: one value per shopper in each column, empty where unknown.
    pub user_attributes: Vec<Attribute>,
    /// Numeric columns of the catalogue on one scale, one value per item.
    pub numeric: Vec<Standardised>,
    /// Knowledge triples.
    pub knowledge: Knowledge,
    /// Whether `at` is unix seconds; otherwise it is a position that only orders.
    pub timed: bool,
    /// What was read, guessed, dropped and filled.
    pub report: Report,
}

/// Reads, checks, cleans and sorts the files of `source`; their paths are relative to `base`.
///
/// # Errors
/// [`InputError`] if a file cannot be used as described, most of its rows are misread, no event is left, or a row breaks
/// a rule that is switched off and cannot be kept.
pub fn read(source: &Source, base: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Ingested> {
    source.check(base)?;
    let clean = &source.clean;
    let mut run = Run { base, clean, report: Report::new(clean), progress };
    let (mut catalog, mut items) = match &source.items {
        Some(file) => items::read(file, &mut run)?,
        None => (Catalog::default(), Ids::default()),
    };
    let known_items = source.items.is_some().then(|| items.names.len());
    let mut users = Ids::default();
    let (raw, unit_prices) = read_events(source, &mut users, &mut items, known_items, &mut run)?;
    let timed = one_clock(source, &raw, base)? == Clock::Time;
    let user_attributes = match &source.users {
        Some(file) => shoppers::read(file, &mut users, &mut run)?,
        None => Vec::new(),
    };
    let knowledge = knowledge::read(&source.knowledge, &mut run)?;
    let (users, items, mut report) = (users.names, items.names, run.report);
    let parts: Vec<Option<Part>> = source.events.iter().map(|f| f.part).collect();
    let (interactions, parts) = sequence::arrange(raw, users.len(), items.len(), &parts, clean, &mut report)?;
    if interactions.is_empty() {
        let got = "none left after cleaning";
        let remedy = format!("switch off in [data.clean] what dropped them:\n{report}");
        return Err(InputError::new(base.join(&source.events[0].path), "events", got, remedy).into());
    }
    complete(&mut catalog, items, &unit_prices);
    let buckets = source.items.as_ref().map_or(10, |f| f.price_buckets);
    catalog.price_bucket = standardise::price_buckets(&catalog.price, buckets);
    catalog.validate()?;
    let numeric = standardise::of_catalog(&catalog);
    Ok(Ingested { interactions, parts, users, catalog, user_attributes, numeric, knowledge, timed, report })
}

/// Reads every log; returns the raw columns and, per item, sum and number of unit prices.
fn read_events(
    source: &Source,
    users: &mut Ids,
    items: &mut Ids,
    known_items: Option<usize>,
    run: &mut Run<'_>,
) -> Result<(Raw, Vec<(f64, u32)>)> {
    let (clean, raw) = (&source.clean, Raw::default());
    let (pending, unit_prices) = Default::default();
    let mut reader = EventReader { clean, users, pending, items, known_items, raw, unit_prices };
    for file in &source.events {
        reader.read(file, run)?;
    }
    Ok((reader.raw, reader.unit_prices))
}

/// Rows ordered by time and rows ordered by a position cannot be put into one order.
fn one_clock(source: &Source, raw: &Raw, base: &Path) -> Result<Clock> {
    let first = raw.files[0].1;
    if let Some(i) = raw.files.iter().position(|(_, clock, _)| *clock != first) {
        let expected = format!("rows ordered by {first:?}, as in {}", source.events[0].path.display());
        let got = format!("{:?}", raw.files[i].1);
        let remedy = "name columns.at or columns.position in each log, or \"\" in all";
        return Err(InputError::new(base.join(&source.events[i].path), expected, got, remedy).in_field("at").into());
    }
    Ok(first)
}

/// Adds the items that only the log names, and prices that only the log knows (mean unit price).
fn complete(catalog: &mut Catalog, ids: Interner, unit_prices: &[(f64, u32)]) {
    let n = ids.len();
    catalog.ids = ids;
    catalog.titles.resize(n, String::new());
    catalog.texts.resize(n, String::new());
    catalog.category.resize(n, None);
    catalog.price.resize(n, f32::NAN);
    catalog.available.resize(n, true);
    for attribute in &mut catalog.attributes {
        attribute.values.resize(n, String::new());
    }
    for (price, (sum, count)) in catalog.price.iter_mut().zip(unit_prices) {
        if price.is_nan() && *count > 0 {
            *price = (sum / f64::from(*count)) as f32;
        }
    }
}
