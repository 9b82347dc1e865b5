//! Which `k` items does a model put first, out of all?
//!
//! Cases and a model (or plain vectors) come in, one list per case goes out, and, if asked for, the ranking AUC of each
//! case, which needs the scores of all items and so must be taken while they are there. Scores live for one batch of
//! rows; batches run in parallel and the result does not depend on the number of threads.

use crate::Case;
use lingxi_data::{Context, ItemId, Score};
use lingxi_kernels::{matmul_nt, top_k, top_k_dot};
use rayon::prelude::*;
use std::ops::Range;

/// Rows that one task scores at once.
const ROWS: usize = 64;

/// The lists of all cases, best item first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lists {
    k: usize,
    /// `[cases, k]`, filled up with [`NO_ITEM`] where a list is shorter.
    items: Vec<ItemId>,
}

/// Where a list has ended.
const NO_ITEM: ItemId = ItemId(u32::MAX);

impl Lists {
    /// Takes ranked item ids, best first, cut to `k` each.
    pub fn new<'a>(k: usize, lists: impl IntoIterator<Item = &'a [u32]>) -> Lists {
        let mut items = Vec::new();
        for list in lists {
            items.extend(list.iter().take(k).map(|&item| ItemId(item)));
            items.resize(items.len().next_multiple_of(k.max(1)), NO_ITEM);
            if list.is_empty() {
                items.resize(items.len() + k, NO_ITEM);
            }
        }
        Lists { k, items }
    }

    /// Number of lists.
    pub fn len(&self) -> usize {
        self.items.len().checked_div(self.k).unwrap_or(0)
    }

    /// Whether there is no list.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The list of one case, best first; at most `k` items.
    pub fn of(&self, case: usize) -> &[ItemId] {
        let row = &self.items[case * self.k..(case + 1) * self.k];
        let end = row.iter().rposition(|item| *item != NO_ITEM).map_or(0, |last| last + 1);
        &row[..end]
    }

    /// The lists of some cases.
    pub fn select(&self, cases: &[u32]) -> Lists {
        let rows = cases.iter().map(|&c| &self.items[c as usize * self.k..(c as usize + 1) * self.k]);
        Lists { k: self.k, items: rows.flatten().copied().collect() }
    }
}

/// What ranking gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    /// One list per case.
    pub lists: Lists,
    /// One ranking AUC per case, or empty if it was not asked for.
    pub auc: Vec<f64>,
    /// How many scores were `NaN`.
    pub nan_scores: u64,
}

/// Ranks all items of `model` for each case.
pub fn rank(
    model: &dyn Score,
    cases: &[&Case<'_>],
    k: usize,
    auc: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Ranked {
    let contexts: Vec<Context<'_>> = cases.iter().map(|case| case.context).collect();
    let fill = |rows: Range<usize>, out: &mut [f32]| model.score_all(&contexts[rows], out);
    rank_rows(cases, model.n_items(), k, auc, &fill, progress)
}

/// Ranks the rows of `items[n,d]` for each case by their dot product with the case's row of `queries[cases,d]`.
///
/// # Panics
/// If a slice does not have the length of its shape.
pub fn rank_vectors(queries: &[f32], items: &[f32], d: usize, cases: &[&Case<'_>], k: usize, auc: bool) -> Ranked {
    if auc {
        let n = items.len() / d;
        let fill = |rows: Range<usize>, out: &mut [f32]| {
            matmul_nt(&queries[rows.start * d..rows.end * d], items, out, rows.len(), n, d);
        };
        return rank_rows(cases, n, k, auc, &fill, &mut |_, _| {});
    }
    // Without AUC no score is needed once the list is known, so the kernel never stores them. NaN from it is no item.
    let masks: Vec<&[u32]> = cases.iter().map(|case| bytemuck::cast_slice(&case.masked)).collect();
    let best = top_k_dot(queries, items, d, k, &masks);
    Ranked { lists: collect(k, &best), auc: Vec::new(), nan_scores: 0 }
}

fn collect(k: usize, best: &[Vec<(u32, f32)>]) -> Lists {
    let mut items = vec![NO_ITEM; best.len() * k];
    for (row, list) in items.chunks_mut(k.max(1)).zip(best) {
        row.iter_mut().zip(list).for_each(|(slot, (item, _))| *slot = ItemId(*item));
    }
    Lists { k, items }
}

/// Fills batches of score rows and ranks each row.
fn rank_rows(
    cases: &[&Case<'_>],
    n_items: usize,
    k: usize,
    auc: bool,
    fill: &(dyn Fn(Range<usize>, &mut [f32]) + Sync),
    progress: &mut dyn FnMut(usize, usize),
) -> Ranked {
    let tasks = 4 * rayon::current_num_threads();
    let mut scores = vec![0f32; (ROWS * tasks).min(cases.len()) * n_items];
    let mut rows: Vec<RankedRow> = Vec::with_capacity(cases.len());
    for (group, of_group) in cases.chunks(ROWS * tasks).enumerate() {
        let first = group * ROWS * tasks;
        let buffers = scores.par_chunks_mut(ROWS * n_items.max(1));
        let ranked = of_group.par_chunks(ROWS).zip(buffers).enumerate().flat_map_iter(|(task, (cases, buffer))| {
            let start = first + task * ROWS;
            let buffer = &mut buffer[..cases.len() * n_items];
            fill(start..start + cases.len(), buffer);
            let rows = cases.iter().zip(buffer.chunks_mut(n_items.max(1)));
            rows.map(|(case, row)| rank_row(row, case, k, auc)).collect::<Vec<_>>()
        });
        rows.par_extend(ranked);
        progress(rows.len(), cases.len());
    }
    let best: Vec<Vec<(u32, f32)>> = rows.iter_mut().map(|row| std::mem::take(&mut row.best)).collect();
    Ranked {
        lists: collect(k, &best),
        auc: if auc { rows.iter().map(|row| row.auc).collect() } else { Vec::new() },
        nan_scores: rows.iter().map(|row| row.nan_scores).sum(),
    }
}

struct RankedRow {
    best: Vec<(u32, f32)>,
    auc: f64,
    nan_scores: u64,
}

fn rank_row(row: &mut [f32], case: &Case<'_>, k: usize, auc: bool) -> RankedRow {
    let nan_scores = row.iter().map(|s| u64::from(s.is_nan())).sum();
    if nan_scores > 0 {
        // The lowest number, so that a NaN is a candidate that ranks last; negative infinity is none.
        row.iter_mut().filter(|s| s.is_nan()).for_each(|s| *s = f32::MIN);
    }
    for item in &case.masked {
        row[item.index()] = f32::NEG_INFINITY;
    }
    let auc = if auc { ranking_auc(row, &case.relevant) } else { 0.0 };
    RankedRow { best: top_k(row, k), auc, nan_scores }
}

/// The chance that a relevant item scores higher than an irrelevant one, ties half, over the items that are candidates
/// (score above negative infinity). A relevant item that is no candidate is below all; without any irrelevant candidate
/// nothing can be told apart and the value is one half.
fn ranking_auc(row: &[f32], relevant: &[ItemId]) -> f64 {
    let of_relevant: Vec<f32> = relevant.iter().map(|item| row[item.index()]).collect();
    let candidates = row.iter().map(|&s| u32::from(s > f32::NEG_INFINITY)).sum::<u32>() as usize;
    let irrelevant = candidates - of_relevant.iter().filter(|s| **s > f32::NEG_INFINITY).count();
    if irrelevant == 0 {
        return 0.5;
    }
    let mut wins = 0.0;
    for &score in of_relevant.iter().filter(|s| **s > f32::NEG_INFINITY) {
        let (mut below, mut equal) = (0u32, 0u32);
        for &s in row {
            below += u32::from((s < score) & (s > f32::NEG_INFINITY));
            equal += u32::from(s == score);
        }
        // Of these, the relevant ones are no win and no tie.
        let relevant_below = of_relevant.iter().filter(|s| **s < score && **s > f32::NEG_INFINITY).count();
        let relevant_equal = of_relevant.iter().filter(|s| **s == score).count();
        wins += (below as usize - relevant_below) as f64 + 0.5 * (equal as usize - relevant_equal) as f64;
    }
    wins / (irrelevant as f64 * relevant.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_auc(row: &[f32], relevant: &[u32], expected: f64) {
        let relevant: Vec<ItemId> = relevant.iter().map(|&i| ItemId(i)).collect();
        assert!((ranking_auc(row, &relevant) - expected).abs() < 1e-12, "{row:?} {relevant:?}");
    }

    #[test]
    fn auc_counts_pairs_in_order_and_ties_by_half() {
        check_auc(&[3.0, 2.0, 1.0, 0.0], &[0], 1.0);
        check_auc(&[3.0, 2.0, 1.0, 0.0], &[3], 0.0);
        check_auc(&[3.0, 2.0, 1.0, 0.0], &[0, 3], 0.5);
        check_auc(&[1.0, 1.0, 1.0], &[1], 0.5);
        check_auc(&[2.0, f32::NEG_INFINITY, 1.0], &[0], 1.0);
        check_auc(&[2.0, f32::NEG_INFINITY, 1.0], &[1], 0.0);
        check_auc(&[2.0, f32::NEG_INFINITY], &[0], 0.5);
    }

    #[test]
    fn a_nan_ranks_last_and_is_counted_and_a_masked_item_is_never_listed() {
        let case = Case {
            context: Context { user: None, history: lingxi_data::Rows::default(), now: 0 },
            relevant: vec![ItemId(0)],
            grades: Vec::new(),
            masked: vec![ItemId(2)],
        };
        let mut row = [f32::NAN, 1.0, 9.0, f32::NEG_INFINITY, 1.0];
        let ranked = rank_row(&mut row, &case, 10, true);
        assert_eq!(ranked.best.iter().map(|(item, _)| *item).collect::<Vec<_>>(), [1, 4, 0]);
        assert_eq!((ranked.nan_scores, ranked.auc), (1, 0.0));
    }

    #[test]
    fn lists_of_any_length_keep_their_places() {
        let lists = Lists::new(2, [&[7u32, 8, 9][..], &[], &[5]]);
        assert_eq!(lists.len(), 3);
        assert_eq!(lists.of(0), [ItemId(7), ItemId(8)]);
        assert!(lists.of(1).is_empty());
        assert_eq!(lists.of(2), [ItemId(5)]);
        assert_eq!(lists.select(&[2, 0]).of(0), [ItemId(5)]);
    }
}
