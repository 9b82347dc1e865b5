//! Raw columns in file order -> columns by shopper and time, without duplicates and robots. Works on a permutation and
//! moves one column at a time, so that the events lie in memory once.

use super::clean::{Clean, Rule};
use super::events::{Clock, Raw};
use super::report::Report;
use super::source::Part;
use crate::{EventKind, Interactions, ItemId, Result};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

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
    let (order, offsets) = by_user(&raw, n_users);
    let (order, offsets) = cleaned(&raw, order, &offsets, parts, clean, report);
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

/// Shoppers that one thread takes at a time.
const BLOCK: usize = 4096;

/// Why a row goes.
#[derive(Clone)]
enum Why {
    Robot(Arc<str>),
    Exact,
    /// After so many seconds.
    Near(i64),
}

impl Why {
    fn rule(&self) -> Rule {
        match self {
            Why::Robot(_) => Rule::Robot,
            Why::Exact => Rule::ExactDuplicate,
            Why::Near(_) => Rule::NearDuplicate,
        }
    }

    fn words(&self) -> String {
        match self {
            Why::Robot(why) => why.to_string(),
            Why::Exact => "same event again".into(),
            Why::Near(seconds) => format!("same event {seconds} s later"),
        }
    }
}

/// What became of some shoppers: how many rows of each are left, and which went.
#[derive(Default)]
struct Block {
    kept: Vec<usize>,
    gone: Vec<(u32, Why)>,
}

/// Sorts each shopper's rows by time and drops robots and duplicates, shrinking `order` in place. Blocks of shoppers are
/// done in parallel, and counted in their order.
fn cleaned(
    raw: &Raw,
    mut order: Vec<u32>,
    offsets: &[usize],
    parts: &[Option<Part>],
    clean: &Clean,
    report: &mut Report,
) -> (Vec<u32>, Vec<usize>) {
    let mut left = order.as_mut_slice();
    let mut work = Vec::new();
    for bounds in offsets.windows(BLOCK + 1).step_by(BLOCK).chain(rest(offsets)) {
        let (rows, after) = left.split_at_mut(bounds[bounds.len() - 1] - bounds[0]);
        left = after;
        work.push((rows, bounds));
    }
    let blocks: Vec<Block> =
        work.into_par_iter().map(|(rows, bounds)| clean_block(raw, rows, bounds, parts, clean)).collect();
    let mut new_offsets = Vec::with_capacity(offsets.len());
    new_offsets.push(0);
    let (mut end, mut user) = (0, 0);
    for block in blocks {
        for kept in block.kept {
            order.copy_within(offsets[user]..offsets[user] + kept, end);
            end += kept;
            user += 1;
            new_offsets.push(end);
        }
        for (row, why) in block.gone {
            let (row, file) = (row as usize, raw.files[raw.file_of(row as usize)].2);
            report.drop(why.rule(), file, u64::from(raw.lines[row]), || why.words());
        }
    }
    order.truncate(end);
    order.shrink_to_fit();
    (order, new_offsets)
}

/// The bounds of the shoppers after the last whole block.
fn rest(offsets: &[usize]) -> Option<&[usize]> {
    let users = offsets.len() - 1;
    let whole = users / BLOCK * BLOCK;
    (whole < users).then(|| &offsets[whole..])
}

/// The rows of a few shoppers; `bounds` say where each one's begin and end. What is left of a shopper moves to their front.
fn clean_block(raw: &Raw, rows: &mut [u32], bounds: &[usize], parts: &[Option<Part>], clean: &Clean) -> Block {
    let mut block = Block::default();
    let mut seen = Seen::default();
    for at in bounds.windows(2) {
        let rows = &mut rows[at[0] - bounds[0]..at[1] - bounds[0]];
        // The row number as second key makes the sort stable.
        rows.sort_unstable_by_key(|&row| (raw.at[row as usize], row));
        let robot = clean.runs(Rule::Robot).then(|| robot(raw, rows, clean)).flatten().map(Arc::from);
        seen.clear();
        let mut kept = 0;
        for i in 0..rows.len() {
            let row = rows[i];
            let file = raw.file_of(row as usize);
            let why = match &robot {
                Some(why) => Some(Why::Robot(Arc::clone(why))),
                None => seen.repeats(raw, row as usize, raw.files[file].1, parts[file], clean),
            };
            match why {
                Some(why) => block.gone.push((row, why)),
                None => {
                    rows[kept] = row;
                    kept += 1;
                }
            }
        }
        block.kept.push(kept);
    }
    block
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
    exact: FxHashMap<(Same, u32), i64>,
    last: FxHashMap<Same, i64>,
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
    fn repeats(&mut self, raw: &Raw, row: usize, clock: Clock, part: Option<Part>, clean: &Clean) -> Option<Why> {
        let same = (raw.items[row], raw.kinds[row], part);
        let at = raw.at[row];
        if clean.runs(Rule::ExactDuplicate) {
            let key = (same, raw.values[row].to_bits());
            // Without a clock the place in the file is no property of the event.
            let again = self.exact.get(&key).is_some_and(|&before| before == at || clock == Clock::Order);
            if again {
                return Some(Why::Exact);
            }
            self.exact.insert(key, at);
        }
        if clean.runs(Rule::NearDuplicate) && clock == Clock::Time {
            if let Some(&before) = self.last.get(&same).filter(|&&before| at - before <= clean.near_seconds) {
                return Some(Why::Near(at - before));
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

fn pick<T: Copy + Send + Sync>(column: &[T], order: &[u32]) -> Vec<T> {
    order.par_iter().map(|&row| column[row as usize]).collect()
}

/// Like [`pick`], but frees the column, so that the old and the new one are in memory for one column at a time.
fn moved<T: Copy + Send + Sync>(column: Vec<T>, order: &[u32]) -> Vec<T> {
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
