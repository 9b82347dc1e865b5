//! All goods, ranked by a model: the reference that a faster recall is measured against, and fast enough to serve from
//! for some ten thousand goods.

use crate::decide::descending;
use lingxi_data::{Context, ItemId, Recall, Score};
use std::sync::Arc;

/// The best k of all goods by a model's score.
pub struct ExactRecall {
    score: Arc<dyn Score>,
}

impl ExactRecall {
    /// Ranks by `score`.
    pub fn new(score: Arc<dyn Score>) -> ExactRecall {
        ExactRecall { score }
    }
}

impl Recall for ExactRecall {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn recall(&self, context: &Context<'_>, k: usize) -> Vec<ItemId> {
        let mut scores = vec![0.0; self.score.n_items()];
        if scores.is_empty() || k == 0 {
            return Vec::new();
        }
        self.score.score_all(std::slice::from_ref(context), &mut scores);
        best(&scores, k)
    }
}

/// The `k` best places of `scores`, best first; ties by lower id, NaN last. Selects before it sorts: O(n + k log k).
fn best(scores: &[f32], k: usize) -> Vec<ItemId> {
    let mut items: Vec<ItemId> = (0..scores.len() as u32).map(ItemId).collect();
    let order = |a: &ItemId, b: &ItemId| descending(scores[a.index()], scores[b.index()]).then(a.cmp(b));
    if k < items.len() {
        items.select_nth_unstable_by(k, order);
        items.truncate(k);
    }
    items.sort_unstable_by(order);
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_with_ties_by_id_and_nan_last() {
        let scores = [1.0, f32::NAN, 3.0, 1.0, 2.0];
        let ids = |k| best(&scores, k).iter().map(|i| i.0).collect::<Vec<_>>();
        assert_eq!(ids(3), [2, 4, 0]);
        assert_eq!(ids(9), [2, 4, 0, 3, 1]);
    }
}
