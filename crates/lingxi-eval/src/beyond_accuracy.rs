//! What are the lists like, whoever took what of them?
//!
//! Lists and what is known of the goods come in; per case go out `novelty@k` (mean self-information of the listed items,
//! `-log2` of an item's share of training events, one event added to each item so that new goods have a share),
//! `ild@k` (intra-list diversity: mean cosine distance over the pairs of listed items that have a vector, 0 without a
//! pair), `popularity@k` (mean number of training events of the listed items) and `popularity_lift@k` (that over the same
//! mean of the shopper's history, or of a random training event where there is no history): above 1 the model pushes
//! toward best sellers. Over all cases together: `coverage@k` (share of the catalogue that is listed at all) and `gini@k`
//! (inequality of exposure over the catalogue: 0 all alike, near 1 a few take it all).

use crate::Case;
use crate::rank::Lists;
use lingxi_data::{ItemId, ItemVectors};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// What is known of the goods. Figures that need what is not there are left out of the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Goods<'a> {
    /// Training events per item; length `n_items`.
    pub counts: Option<&'a [u32]>,
    /// Vectors in whose space diversity is measured.
    pub vectors: Option<&'a ItemVectors>,
}

impl Goods<'_> {
    fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        if self.counts.is_some() {
            names.extend(["novelty", "popularity", "popularity_lift"]);
        }
        if self.vectors.is_some() {
            names.push("ild");
        }
        names
    }
}

/// The columns of [`measure`].
pub(crate) fn names(goods: &Goods<'_>, ks: &[usize]) -> Vec<String> {
    goods.names().iter().flat_map(|name| ks.iter().map(move |k| format!("{name}@{k}"))).collect()
}

/// The figures of every case at every `k`: row-major `[cases, names(goods, ks).len()]`.
pub(crate) fn measure(cases: &[&Case<'_>], lists: &Lists, goods: &Goods<'_>, ks: &[usize]) -> Vec<f64> {
    let width = goods.names().len() * ks.len();
    let mut out = vec![0.0; cases.len() * width];
    if width == 0 {
        return out;
    }
    let popularity = goods.counts.map(Popularity::of);
    let rows = out.par_chunks_mut(width).with_min_len(64).enumerate();
    rows.for_each(|(i, row)| {
        let mut columns = row.chunks_mut(ks.len());
        let mut fill = |value: &dyn Fn(&[ItemId]) -> f64| {
            let column = columns.next().expect("one column group per name");
            for (slot, &k) in column.iter_mut().zip(ks) {
                *slot = value(&lists.of(i)[..k.min(lists.of(i).len())]);
            }
        };
        if let Some(popularity) = &popularity {
            fill(&|list| mean(list, |item| popularity.information(item)));
            fill(&|list| mean(list, |item| popularity.count(item)));
            let past = popularity.of_history(cases[i]);
            fill(&|list| mean(list, |item| popularity.count(item)) / past);
        }
        if let Some(vectors) = goods.vectors {
            fill(&|list| diversity(list, vectors));
        }
    });
    out
}

fn mean(list: &[ItemId], value: impl Fn(ItemId) -> f64) -> f64 {
    list.iter().map(|item| value(*item)).sum::<f64>() / list.len().max(1) as f64
}

struct Popularity<'a> {
    counts: &'a [u32],
    total: f64,
    /// Mean count over training events: what an event drawn at random is worth.
    of_an_event: f64,
}

impl Popularity<'_> {
    fn of(counts: &[u32]) -> Popularity<'_> {
        let total: f64 = counts.iter().map(|&c| f64::from(c)).sum();
        let squares: f64 = counts.iter().map(|&c| f64::from(c) * f64::from(c)).sum();
        Popularity { counts, total, of_an_event: squares / total.max(1.0) }
    }

    fn count(&self, item: ItemId) -> f64 {
        self.counts.get(item.index()).copied().map_or(0.0, f64::from)
    }

    fn information(&self, item: ItemId) -> f64 {
        -((self.count(item) + 1.0) / (self.total + self.counts.len() as f64)).log2()
    }

    /// The mean count of the case's past items; never 0, so that a lift is a number.
    fn of_history(&self, case: &Case<'_>) -> f64 {
        let past = mean(case.context.history.items, |item| self.count(item));
        if past > 0.0 { past } else { self.of_an_event.max(1.0) }
    }
}

/// Mean cosine distance over pairs: `1 - (|sum|^2 - n) / (n (n - 1))` for unit vectors, so the cost is O(k d).
fn diversity(list: &[ItemId], vectors: &ItemVectors) -> f64 {
    let mut sum = vec![0f64; vectors.dim()];
    let mut n = 0.0;
    for vector in list.iter().filter_map(|item| vectors.get(*item)) {
        let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if norm > 0.0 {
            n += 1.0;
            sum.iter_mut().zip(vector).for_each(|(s, x)| *s += f64::from(*x) / norm);
        }
    }
    if n < 2.0 {
        return 0.0;
    }
    let cosines = sum.iter().map(|s| s * s).sum::<f64>() - n;
    1.0 - cosines / (n * (n - 1.0))
}

/// Coverage and Gini of the exposure that the first `k` items of all lists give, and the interval of each.
pub(crate) struct Exposure {
    /// `coverage` and `gini`.
    pub value: [f64; 2],
    /// Interval of each.
    pub interval: [[f64; 2]; 2],
}

/// Resamples for exposure: it is costly, and a standard error needs fewer than a percentile.
const RESAMPLES: u64 = 100;

/// A resample repeats cases, so it always covers less than the cases themselves and its percentiles would lie beside the
/// value. The interval is therefore the value and `z` bootstrap standard errors on both sides.
pub(crate) fn exposure(lists: &Lists, n_items: usize, k: usize, seed: u64, resamples: usize, z: f64) -> Exposure {
    let n = lists.len();
    let value = coverage_and_gini(lists, 0..n, n_items, k);
    let draws = RESAMPLES.min(resamples as u64);
    let resample = |draw: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(draw + 1);
        coverage_and_gini(lists, (0..n).map(|_| rng.random_range(0..n)), n_items, k)
    };
    let figures: Vec<[f64; 2]> = (0..draws).into_par_iter().map(resample).collect();
    let interval = [0, 1].map(|f| {
        let mean = figures.iter().map(|x| x[f]).sum::<f64>() / draws.max(1) as f64;
        let variance =
            figures.iter().map(|x| (x[f] - mean).powi(2)).sum::<f64>() / draws.saturating_sub(1).max(1) as f64;
        let half = z * variance.sqrt();
        [(value[f] - half).max(0.0), (value[f] + half).min(1.0)]
    });
    Exposure { value, interval }
}

fn coverage_and_gini(lists: &Lists, cases: impl Iterator<Item = usize>, n_items: usize, k: usize) -> [f64; 2] {
    let mut shown = vec![0u32; n_items];
    for case in cases {
        lists.of(case).iter().take(k).for_each(|item| shown[item.index()] += 1);
    }
    shown.retain(|&count| count > 0);
    shown.sort_unstable();
    [shown.len() as f64 / n_items.max(1) as f64, gini(&shown, n_items)]
}

/// Gini coefficient of `n` values of which the positive ones are given, ascending.
fn gini(positive: &[u32], n: usize) -> f64 {
    let total: f64 = positive.iter().map(|&x| f64::from(x)).sum();
    if total == 0.0 {
        return 0.0;
    }
    let zeros = n - positive.len();
    let ranked: f64 = positive.iter().zip(zeros + 1..).map(|(&x, rank)| f64::from(x) * rank as f64).sum();
    2.0 * ranked / (n as f64 * total) - (n as f64 + 1.0) / n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::Provenance;

    #[test]
    fn gini_is_zero_for_equal_exposure_and_near_one_for_a_single_item() {
        assert!(gini(&[3, 3, 3, 3], 4).abs() < 1e-12);
        assert!((gini(&[7], 100) - 0.99).abs() < 1e-12);
        // Mean absolute difference over twice the mean, by hand: values 0, 1, 3.
        let (values, mean) = ([0.0f64, 1.0, 3.0], 4.0 / 3.0);
        let differences: f64 = values.iter().flat_map(|a| values.iter().map(move |b| (a - b).abs())).sum();
        assert!((gini(&[1, 3], 3) - differences / (2.0 * 9.0 * mean)).abs() < 1e-12);
    }

    #[test]
    fn diversity_is_the_mean_cosine_distance_of_all_pairs() {
        let data = vec![1.0, 0.0, 0.0, 2.0, 3.0, 3.0, 0.0, 0.0];
        let space = Provenance { model: "m".into(), revision: "r".into(), pooling: "p".into(), normalised: false };
        let vectors = ItemVectors::new(2, data, vec![true, true, true, false], space).unwrap();
        let list = [0, 1, 2, 3].map(ItemId);
        let half = 0.5f64.sqrt();
        let expected = ((1.0 - 0.0) + (1.0 - half) + (1.0 - half)) / 3.0;
        assert!((diversity(&list, &vectors) - expected).abs() < 1e-12);
        assert_eq!(diversity(&list[..1], &vectors), 0.0);
    }
}
