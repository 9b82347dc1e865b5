//! How does a model rank among sampled items?
//!
//! Only for published tables that were made so: ranking among a hundred drawn items flatters every model and can change
//! their order, so the report of this protocol carries it in its protocol text. Everything else ranks all items.

use crate::rank::{Lists, Ranked};
use crate::report::{Asked, Scope};
use crate::{Case, EvalConfig, Goods, Report, Result};
use lingxi_data::{ItemId, Score};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Ranks each case's relevant items among `negatives` items drawn evenly, without repetition, from those that are neither
/// relevant, nor masked, nor in the case's history (all of them, where there are fewer). The draw depends on the seed
/// of `config` and the place of the case, not on the model. Coverage and Gini make no sense among drawn items and are
/// left out, as is AUC.
///
/// # Errors
/// Those of [`crate::evaluate`].
pub fn evaluate_sampled(
    model: &dyn Score,
    cases: &[Case<'_>],
    negatives: usize,
    goods: &Goods<'_>,
    config: &EvalConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Report> {
    let n_items = model.n_items();
    let config = EvalConfig { auc: false, ..config.clone() };
    let asked = Asked::of(cases, n_items, goods, &config)?;
    let k = config.longest();
    let (mut lists, mut nan_scores) = (Vec::with_capacity(asked.cases.len()), 0);
    for chunk in asked.cases.chunks(1024) {
        let first = lists.len();
        let ranked = chunk.par_iter().enumerate().map(|(i, case)| {
            let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
            rng.set_stream((first + i) as u64);
            rank_among(model, case, &draw(case, n_items, negatives, &mut rng), k)
        });
        for (list, nan) in ranked.collect::<Vec<_>>() {
            lists.push(list);
            nan_scores += nan;
        }
        progress(lists.len(), asked.cases.len());
    }
    let ranked = Ranked { lists: Lists::new(k, lists.iter().map(Vec::as_slice)), auc: Vec::new(), nan_scores };
    Ok(asked.report(model.name(), ranked, goods, &config, Scope::Sampled(negatives)))
}

/// Draws until there are enough: the excluded items are few beside the catalogue, or else all the rest is taken.
fn draw(case: &Case<'_>, n_items: usize, negatives: usize, rng: &mut ChaCha8Rng) -> Vec<ItemId> {
    let mut taken: Vec<ItemId> = case.context.history.items.to_vec();
    taken.extend(case.relevant.iter().chain(&case.masked));
    taken.sort_unstable();
    taken.dedup();
    let free = n_items - taken.len();
    if free <= 2 * negatives {
        let mut rest: Vec<ItemId> =
            (0..n_items as u32).map(ItemId).filter(|item| taken.binary_search(item).is_err()).collect();
        let wanted = negatives.min(rest.len());
        for i in 0..wanted {
            rest.swap(i, rng.random_range(i..free));
        }
        rest.truncate(wanted);
        return rest;
    }
    let mut drawn = Vec::with_capacity(negatives);
    while drawn.len() < negatives {
        let item = ItemId(rng.random_range(0..n_items as u32));
        if taken.binary_search(&item).is_err() && !drawn.contains(&item) {
            drawn.push(item);
        }
    }
    drawn
}

/// The best `k` of relevant and drawn items, and how many scores were `NaN`.
fn rank_among(model: &dyn Score, case: &Case<'_>, negatives: &[ItemId], k: usize) -> (Vec<u32>, u64) {
    let items: Vec<ItemId> = case.relevant.iter().chain(negatives).copied().collect();
    let mut scores = vec![0f32; items.len()];
    model.score(&case.context, &items, &mut scores);
    let nan = scores.iter().filter(|s| s.is_nan()).count() as u64;
    let mut order: Vec<(f32, ItemId)> = scores
        .iter()
        .map(|s| if s.is_nan() { f32::MIN } else { *s })
        .zip(items)
        .filter(|(score, item)| *score > f32::NEG_INFINITY && case.masked.binary_search(item).is_err())
        .collect();
    order.sort_unstable_by(|a, b| b.0.partial_cmp(&a.0).expect("no NaN is left").then(a.1.cmp(&b.1)));
    (order.iter().take(k).map(|(_, item)| item.0).collect(), nan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Context, Rows};

    #[test]
    fn drawn_items_are_distinct_and_never_known_to_the_case() {
        let case = Case {
            context: Context { user: None, history: Rows::default(), now: 0 },
            relevant: vec![ItemId(3)],
            grades: Vec::new(),
            masked: vec![ItemId(1), ItemId(4)],
        };
        for (n_items, wanted) in [(100, 20), (10, 5), (10, 7), (10, 50)] {
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let mut drawn = draw(&case, n_items, wanted, &mut rng);
            assert_eq!(drawn.len(), wanted.min(n_items - 3));
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), wanted.min(n_items - 3), "an item twice");
            assert!(drawn.iter().all(|item| ![1, 3, 4].contains(&item.0)));
        }
    }
}
