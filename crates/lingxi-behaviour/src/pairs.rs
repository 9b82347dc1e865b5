//! Who took what: the distinct pairs of shopper and item with one value each, readable from both sides. Events come in;
//! what goes out is the matrix `X [users, items]` that the item model and the graph are built from.

use crate::history::HistoryWeights;
use lingxi_data::Events;

/// `X [users, items]` as lists by shopper and by item. Memory: 16 bytes a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    /// The items of each shopper, rising.
    pub by_user: Lists,
    /// The shoppers of each item, rising.
    pub by_item: Lists,
}

/// Ragged rows of `(id, value)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Lists {
    offsets: Vec<usize>,
    ids: Vec<u32>,
    values: Vec<f32>,
}

impl Lists {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids of a row and their values.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[row]..self.offsets[row + 1];
        (&self.ids[range.clone()], &self.values[range])
    }

    /// The length of a row.
    pub fn count(&self, row: usize) -> usize {
        self.offsets[row + 1] - self.offsets[row]
    }

    /// Number of entries in all rows.
    pub fn entries(&self) -> usize {
        self.ids.len()
    }

    /// The same rows without the given `(row, id)`, which rise.
    pub(crate) fn without(&self, gone: &[(u32, u32)]) -> Lists {
        self.filtered(|row, id| gone.binary_search(&(row, id)).is_err().then_some(id))
    }

    /// The same rows with each id replaced by its place in `names`, which rise and hold every id.
    pub(crate) fn renamed(&self, names: &[u32]) -> Lists {
        self.filtered(|_, id| names.binary_search(&id).ok().map(|place| place as u32))
    }

    fn filtered(&self, keep: impl Fn(u32, u32) -> Option<u32>) -> Lists {
        let mut out = Lists { offsets: vec![0], ids: Vec::new(), values: Vec::new() };
        for row in 0..self.len() {
            let (ids, values) = self.row(row);
            for (&id, &value) in ids.iter().zip(values) {
                if let Some(id) = keep(row as u32, id) {
                    out.ids.push(id);
                    out.values.push(value);
                }
            }
            out.offsets.push(out.ids.len());
        }
        out
    }

    /// The same entries by the other side, `n` rows.
    fn turned(&self, n: usize) -> Lists {
        let mut offsets = vec![0usize; n + 1];
        self.ids.iter().for_each(|&id| offsets[id as usize + 1] += 1);
        (0..n).for_each(|i| offsets[i + 1] += offsets[i]);
        let mut next = offsets.clone();
        let (mut ids, mut values) = (vec![0u32; self.ids.len()], vec![0f32; self.ids.len()]);
        for row in 0..self.len() {
            let (of, value) = self.row(row);
            for (&id, &value) in of.iter().zip(value) {
                let at = &mut next[id as usize];
                (ids[*at], values[*at]) = (row as u32, value);
                *at += 1;
            }
        }
        Lists { offsets, ids, values }
    }
}

impl Pairs {
    /// Reads each distinct pair once; its value is the largest weight among the kinds of its events, times
    /// `occurrences ^ power` (`power = 0`: taken or not). Pairs of weight zero are left out.
    pub fn of(events: &Events<'_>, weights: &HistoryWeights, power: f32) -> Pairs {
        let mut by_user =
            Lists { offsets: Vec::with_capacity(events.n_users() + 1), ids: Vec::new(), values: Vec::new() };
        by_user.offsets.push(0);
        let mut taken: Vec<(u32, f32)> = Vec::new();
        for (_, rows) in events.users() {
            taken.clear();
            taken.extend(rows.items.iter().zip(rows.kinds).map(|(item, kind)| (item.0, weights.kind(*kind))));
            taken.sort_unstable_by_key(|(item, _)| *item);
            for same in taken.chunk_by(|a, b| a.0 == b.0) {
                let weight = same.iter().map(|(_, w)| *w).fold(0.0, f32::max);
                if weight > 0.0 {
                    by_user.ids.push(same[0].0);
                    by_user.values.push(weight * (same.len() as f32).powf(power));
                }
            }
            by_user.offsets.push(by_user.ids.len());
        }
        let by_item = by_user.turned(events.n_items());
        Pairs { by_user, by_item }
    }

    /// The same pairs with each shopper's values divided by the square root of their number of items to `power`, so that
    /// in `X^T X` a shopper of `k` items counts `1 / k^power`.
    pub(crate) fn evened(mut self, power: f32) -> Pairs {
        if power > 0.0 {
            for user in 0..self.by_user.len() {
                let factor = (self.by_user.count(user).max(1) as f32).powf(-0.5 * power);
                let range = self.by_user.offsets[user]..self.by_user.offsets[user + 1];
                self.by_user.values[range].iter_mut().for_each(|value| *value *= factor);
            }
            self.by_item = self.by_user.turned(self.by_item.len());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Event, EventKind, Interactions, ItemId, Purpose, UserId};

    #[test]
    fn a_pair_is_held_once_and_reads_the_same_from_both_sides() {
        let event = |u, i, kind| Event { user: UserId(u), item: ItemId(i), at: 0, kind, value: 1.0 };
        let (view, buy, click) = (EventKind::View, EventKind::Buy, EventKind::Click);
        let rows = vec![event(0, 2, view), event(0, 2, buy), event(0, 1, click), event(1, 2, view), event(1, 2, view)];
        let log = Interactions::from_events(rows, 2, 3).unwrap();
        let mut weights = HistoryWeights::default();
        weights.kinds.extend([(view, 0.5), (click, 0.0)]);
        let pairs = Pairs::of(&log.for_purpose(Purpose::Training), &weights, 1.0);
        assert_eq!(pairs.by_user.row(0), (&[2u32][..], &[2.0f32][..]));
        assert_eq!(pairs.by_item.row(2), (&[0u32, 1][..], &[2.0f32, 1.0][..]));
        assert_eq!((pairs.by_item.count(1), pairs.by_user.entries()), (0, 2));
    }
}
