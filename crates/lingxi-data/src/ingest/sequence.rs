//! Raw columns in file order -> columns by shopper and time, without duplicates and robots. Works on a permutation and
//! moves one column at a time, so that the events lie in memory once.

use super::clean::{Clean, Rule};
use super::events::{Clock, Raw};
use super::report::Report;
use super::source::Part;
use crate::{EventKind, Interactions, ItemId, Result};
use std::collections::{BTreeMap, HashMap};

/// Sorts, cleans and cuts into parts; `parts[f]` is the part of event file `f`.
///
/// # Errors
/// None beyond those of [`Interactions::from_sorted_columns`], which the sorting rules out.
pub(crate) fn arrange(
    raw: Raw,
    n_users: usize,
    n_items: usize,
    parts: &[Option<Part>],
    clean: &Clean,
    report: &mut Report,
) -> Result<(Interactions, BTreeMap<Part, Interactions>)> {
    let (mut order, offsets) = by_user(&raw, n_users);
    for user in 0..n_users {
        // The row number as second key makes the sort stable.
        order[offsets[user]..offsets[user + 1]].sort_unstable_by_key(|&row| (raw.at[row as usize], row));
    }
    let (order, offsets) = cleaned(&raw, order, offsets, parts, clean, report);
    let mut split = BTreeMap::new();
    for part in [Part::Train, Part::Valid, Part::Test] {
        if parts.contains(&Some(part)) {
            let (order, offsets) = only(&raw, &order, &offsets, |file| parts[file] == Some(part));
            split.insert(part, gather_copy(&raw, &order, offsets, n_items)?);
        }
    }
    Ok((gather(raw, &order, offsets, n_items)?, split))
}

/// Row numbers by shopper (counting sort, file order within) and where each shopper begins.
fn by_user(raw: &Raw, n_users: usize) -> (Vec<u32>, Vec<usize>) {
    let mut offsets = vec![0usize; n_users + 1];
    for user in &raw.users {
        offsets[*user as usize + 1] += 1;
    }
    for u in 0..n_users {
        offsets[u + 1] += offsets[u];
    }
    let mut next = offsets.clone();
    let mut order = vec![0u32; raw.users.len()];
    for (row, user) in raw.users.iter().enumerate() {
        let at = &mut next[*user as usize];
        order[*at] = row as u32;
        *at += 1;
    }
    (order, offsets)
}

type Same = (ItemId, EventKind, Option<Part>);

/// Drops robots and duplicates, shopper by shopper, shrinking `order` in place.
fn cleaned(
    raw: &Raw,
    mut order: Vec<u32>,
    offsets: Vec<usize>,
    parts: &[Option<Part>],
    clean: &Clean,
    report: &mut Report,
) -> (Vec<u32>, Vec<usize>) {
    let mut kept = 0;
    let mut new_offsets = Vec::with_capacity(offsets.len());
    new_offsets.push(0);
    let mut seen = Seen::default();
    for bounds in offsets.windows(2) {
        let robot = clean.runs(Rule::Robot).then(|| robot(raw, &order[bounds[0]..bounds[1]], clean)).flatten();
        seen.clear();
        for i in bounds[0]..bounds[1] {
            let row = order[i] as usize;
            let file = raw.file_of(row);
            let verdict = match &robot {
                Some(why) => Some((Rule::Robot, why.clone())),
                None => seen.repeats(raw, row, raw.files[file].1, parts[file], clean),
            };
            match verdict {
                Some((rule, why)) => report.drop(rule, raw.files[file].2, u64::from(raw.lines[row]), || why),
                None => {
                    order[kept] = row as u32;
                    kept += 1;
                }
            }
        }
        new_offsets.push(kept);
    }
    order.truncate(kept);
    order.shrink_to_fit();
    (order, new_offsets)
}

/// Why these rows of one shopper, sorted by time, look like a robot's.
fn robot(raw: &Raw, rows: &[u32], clean: &Clean) -> Option<String> {
    if rows.len() > clean.max_events {
        return Some(format!("shopper with {} events", rows.len()));
    }
    if rows.len() <= clean.max_events_per_day {
        return None;
    }
    let (mut day, mut count) = (i64::MIN, 0);
    for &row in rows.iter().filter(|row| raw.files[raw.file_of(**row as usize)].1 == Clock::Time) {
        let today = raw.at[row as usize].div_euclid(86_400);
        count = if today == day { count + 1 } else { 1 };
        day = today;
        if count > clean.max_events_per_day {
            return Some(format!("shopper with more than {} events on one day", clean.max_events_per_day));
        }
    }
    None
}

/// What of one shopper was kept so far.
#[derive(Default)]
struct Seen {
    exact: HashMap<(Same, u32), i64>,
    last: HashMap<Same, i64>,
}

impl Seen {
    fn clear(&mut self) {
        // Clearing costs the capacity, so that one huge shopper must not leave big tables to all who follow.
        if self.exact.capacity().max(self.last.capacity()) > 4096 {
            *self = Seen::default();
        }
        self.exact.clear();
        self.last.clear();
    }

    /// Which rule this row breaks by repeating a kept one; rows come in time order.
    fn repeats(
        &mut self,
        raw: &Raw,
        row: usize,
        clock: Clock,
        part: Option<Part>,
        clean: &Clean,
    ) -> Option<(Rule, String)> {
        let same = (raw.items[row], raw.kinds[row], part);
        let at = raw.at[row];
        if clean.runs(Rule::ExactDuplicate) {
            let key = (same, raw.values[row].to_bits());
            // Without a clock the place in the file is no property of the event.
            let again = self.exact.get(&key).is_some_and(|&before| before == at || clock == Clock::Order);
            if again {
                return Some((Rule::ExactDuplicate, "same event again".into()));
            }
            self.exact.insert(key, at);
        }
        if clean.runs(Rule::NearDuplicate) && clock == Clock::Time {
            if let Some(&before) = self.last.get(&same).filter(|&&before| at - before <= clean.near_seconds) {
                return Some((Rule::NearDuplicate, format!("same event {} s later", at - before)));
            }
            self.last.insert(same, at);
        }
        None
    }
}

/// The rows of the files that `keep` accepts.
fn only(raw: &Raw, order: &[u32], offsets: &[usize], keep: impl Fn(usize) -> bool) -> (Vec<u32>, Vec<usize>) {
    let mut rows = Vec::new();
    let mut new_offsets = vec![0];
    for bounds in offsets.windows(2) {
        rows.extend(order[bounds[0]..bounds[1]].iter().filter(|row| keep(raw.file_of(**row as usize))));
        new_offsets.push(rows.len());
    }
    (rows, new_offsets)
}

fn pick<T: Copy>(column: &[T], order: &[u32]) -> Vec<T> {
    order.iter().map(|&row| column[row as usize]).collect()
}

/// Like [`pick`], but frees the column, so that the old and the new one are in memory for one column at a time.
fn moved<T: Copy>(column: Vec<T>, order: &[u32]) -> Vec<T> {
    pick(&column, order)
}

fn gather_copy(raw: &Raw, order: &[u32], offsets: Vec<usize>, n_items: usize) -> Result<Interactions> {
    let (items, at) = (pick(&raw.items, order), pick(&raw.at, order));
    Interactions::from_sorted_columns(items, at, pick(&raw.kinds, order), pick(&raw.values, order), offsets, n_items)
}

/// Moves one column after the other, freeing each raw column before the next is made.
fn gather(raw: Raw, order: &[u32], offsets: Vec<usize>, n_items: usize) -> Result<Interactions> {
    let Raw { users, items, at, kinds, values, lines, .. } = raw;
    drop((users, lines));
    let (items, at) = (moved(items, order), moved(at, order));
    let (kinds, values) = (moved(kinds, order), moved(values, order));
    Interactions::from_sorted_columns(items, at, kinds, values, offsets, n_items)
}
