//! What of the lists did the shoppers take?
//!
//! Lists and relevant items come in, one row of figures per case goes out, so that means, intervals, slices and paired
//! tests are all made of the same numbers.
//!
//! With `R` relevant items of which `h` are among the first `k`:
//! `hr@k` is 1 if `h > 0`; `recall@k` is `h / R`; `precision@k` is `h / k`, also where fewer than `k` items could be
//! listed; `f1@k` is their harmonic mean (of this case, not of the means); `mrr@k` is 1 / the rank of the first hit, 0
//! without one; `map@k` adds the precision at each hit and divides by `min(R, k)`; `ndcg@k` adds `gain / log2(rank + 1)`
//! and divides by the largest sum that any list could reach, with gain 1 or the grade.

use crate::Case;
use crate::rank::Lists;
use lingxi_data::ItemId;
use rayon::prelude::*;

/// The figures of one list, in the order of the columns.
pub const NAMES: [&str; 7] = ["hr", "recall", "precision", "ndcg", "mrr", "map", "f1"];

/// The figures of every case at every `k`: row-major `[cases, NAMES.len() * ks.len()]`, all `ks` of a metric together.
pub(crate) fn measure(cases: &[&Case<'_>], lists: &Lists, ks: &[usize]) -> Vec<f64> {
    let longest = ks.iter().copied().max().unwrap_or(0);
    let discounts: Vec<f64> = (0..longest).map(|rank| 1.0 / (rank as f64 + 2.0).log2()).collect();
    let width = NAMES.len() * ks.len();
    let mut out = vec![0.0; cases.len() * width];
    let rows = out.par_chunks_mut(width).with_min_len(256).enumerate();
    rows.for_each(|(i, row)| measure_one(lists.of(i), cases[i], ks, &discounts, row));
    out
}

/// The columns of [`measure`].
pub(crate) fn names(ks: &[usize]) -> impl Iterator<Item = String> {
    NAMES.iter().flat_map(move |name| ks.iter().map(move |k| format!("{name}@{k}")))
}

fn measure_one(list: &[ItemId], case: &Case<'_>, ks: &[usize], discounts: &[f64], out: &mut [f64]) {
    // Rank (from 0) and gain of each hit; most lists have none or one.
    let gain = |at: usize| case.grades.get(at).copied().map_or(1.0, f64::from);
    let hit = |(rank, item): (usize, &ItemId)| case.relevant.binary_search(item).ok().map(|at| (rank, gain(at)));
    let hits: Vec<(usize, f64)> = list.iter().enumerate().filter_map(hit).collect();
    let total = case.relevant.len();
    for (column, &k) in ks.iter().enumerate() {
        let within = hits.iter().take_while(|(rank, _)| *rank < k);
        let (mut h, mut dcg, mut precisions) = (0.0, 0.0, 0.0);
        for (rank, gain) in within {
            h += 1.0;
            dcg += gain * discounts[*rank];
            precisions += h / (*rank as f64 + 1.0);
        }
        if h == 0.0 {
            continue;
        }
        let (recall, precision) = (h / total as f64, h / k as f64);
        let figures = [
            1.0,
            recall,
            precision,
            dcg / ideal(case, k, discounts),
            1.0 / (hits[0].0 as f64 + 1.0),
            precisions / total.min(k) as f64,
            2.0 * precision * recall / (precision + recall),
        ];
        for (metric, value) in figures.into_iter().enumerate() {
            out[metric * ks.len() + column] = value;
        }
    }
}

/// The discounted gain of the best possible list of `k`.
fn ideal(case: &Case<'_>, k: usize, discounts: &[f64]) -> f64 {
    let n = case.relevant.len().min(k);
    if case.grades.is_empty() {
        return discounts[..n].iter().sum();
    }
    let mut grades: Vec<f64> = case.grades.iter().copied().map(f64::from).collect();
    grades.sort_by(|a, b| b.total_cmp(a));
    grades.iter().zip(&discounts[..n]).map(|(grade, discount)| grade * discount).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Context, Rows};

    fn figures(list: &[u32], relevant: &[u32], grades: &[f32], k: usize) -> Vec<f64> {
        let case = Case {
            context: Context { user: None, history: Rows::default(), now: 0 },
            relevant: relevant.iter().map(|&i| ItemId(i)).collect(),
            grades: grades.to_vec(),
            masked: Vec::new(),
        };
        measure(&[&case], &Lists::new(k, [list]), &[k])
    }

    fn check(list: &[u32], relevant: &[u32], grades: &[f32], k: usize, expected: [f64; 7]) {
        let got = figures(list, relevant, grades, k);
        for ((name, got), expected) in NAMES.iter().zip(got).zip(expected) {
            assert!((got - expected).abs() < 1e-12, "{name}: {got} instead of {expected}");
        }
    }

    #[test]
    fn figures_are_those_done_by_hand() {
        let discount = |rank: f64| 1.0 / (rank + 1.0).log2();
        // Hits at ranks 2 and 4 of 3 relevant items.
        let ndcg = (discount(2.0) + discount(4.0)) / (discount(1.0) + discount(2.0) + discount(3.0));
        let (p, r) = (2.0 / 5.0, 2.0 / 3.0);
        let map = (1.0 / 2.0 + 2.0 / 4.0) / 3.0;
        check(&[9, 1, 8, 2, 7], &[1, 2, 3], &[], 5, [1.0, r, p, ndcg, 0.5, map, 2.0 * p * r / (p + r)]);
        check(&[9, 8], &[1], &[], 2, [0.0; 7]);
        // A list shorter than k: precision still divides by k.
        check(&[1], &[1], &[], 4, [1.0, 1.0, 0.25, 1.0, 1.0, 1.0, 0.4]);
    }

    #[test]
    fn grades_are_the_gains_of_ndcg_and_nothing_else() {
        let discount = |rank: f64| 1.0 / (rank + 1.0).log2();
        let graded = figures(&[1, 2], &[1, 2], &[1.0, 3.0], 2);
        assert!((graded[3] - (1.0 + 3.0 * discount(2.0)) / (3.0 + discount(2.0))).abs() < 1e-12);
        let plain = figures(&[1, 2], &[1, 2], &[], 2);
        assert_eq!(graded[..3], plain[..3]);
        assert_eq!(graded[4..], plain[4..]);
    }
}
