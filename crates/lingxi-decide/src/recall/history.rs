//! What the shopper had before, and what lies near it.
//!
//! Where repeats are wanted (groceries), a shopper's own past goods are the strongest candidates of all. The goods are
//! ordered by how often and how lately they came: an event counts half as much for every `half_life` later events.

use lingxi_data::{Context, ItemId, Recall};
use rustc_hash::FxHashMap;

/// Goods near one item, best first, at most as many as asked.
pub type Neighbours = Box<dyn Fn(ItemId, usize) -> Vec<ItemId> + Send + Sync>;

/// The shopper's own past goods, or goods near them.
pub struct HistoryRecall {
    half_life: f32,
    neighbours: Option<Neighbours>,
}

impl HistoryRecall {
    /// The past goods themselves. `half_life`: after how many later events an event counts half.
    pub fn own(half_life: f32) -> HistoryRecall {
        HistoryRecall { half_life, neighbours: None }
    }

    /// Goods near the past goods, in turn from each, without the past goods themselves.
    pub fn near(half_life: f32, neighbours: Neighbours) -> HistoryRecall {
        HistoryRecall { half_life, neighbours: Some(neighbours) }
    }

    /// Past goods, the most frequent and latest first; ties by lower id.
    fn past(&self, context: &Context<'_>) -> Vec<ItemId> {
        let items = context.history.items;
        let mut weights: FxHashMap<ItemId, f32> = FxHashMap::default();
        for (i, item) in items.iter().enumerate() {
            let later = (items.len() - 1 - i) as f32;
            *weights.entry(*item).or_default() += (-later / self.half_life.max(f32::MIN_POSITIVE)).exp2();
        }
        let mut past: Vec<(ItemId, f32)> = weights.into_iter().collect();
        past.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        past.into_iter().map(|(item, _)| item).collect()
    }
}

/// How many past goods are asked for neighbours at most: beyond these the shopper has moved on.
const SEEDS: usize = 32;

impl Recall for HistoryRecall {
    fn name(&self) -> &'static str {
        if self.neighbours.is_some() { "near-history" } else { "history" }
    }

    fn recall(&self, context: &Context<'_>, k: usize) -> Vec<ItemId> {
        let mut past = self.past(context);
        let Some(neighbours) = &self.neighbours else {
            past.truncate(k);
            return past;
        };
        // Twice the fair share, since neighbourhoods overlap.
        let share = 2 * k.div_ceil(past.len().clamp(1, SEEDS));
        let lists: Vec<Vec<ItemId>> = past.iter().take(SEEDS).map(|item| neighbours(*item, share)).collect();
        super::union::in_turn(&lists, &past, k)
    }
}
