//! What does this shopper take again and again? The baseline to beat wherever repeats are wanted.
//!
//! Shapes: `n` items. With `x` the shares of [`HistoryWeights::weigh`] in the shopper's past:
//!
//! `score(u, i) = x_i / max(x)`
//!
//! How often and how lately are both in `x`; nothing is learned from others, so there is nothing to fit and nothing to
//! store. In grocery baskets this is hard to beat ("personal top frequency", arXiv 2006.00556).
//!
//! Cost: one pass over the shopper's history.

use crate::error::{Result, require};
use crate::history::HistoryWeights;
use lingxi_data::{Because, Context, Contribution, ItemId, Score};
use rustc_hash::FxHashMap;

const NAME: &str = "habit";

/// The model; it holds only how the past is weighed.
#[derive(Clone, Debug, PartialEq)]
pub struct Habit {
    history: HistoryWeights,
    n_items: usize,
}

impl Habit {
    /// A model of `n_items` items that weighs the past by `history`.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] if a weight is out of its range or there is no item.
    pub fn new(history: &HistoryWeights, n_items: usize) -> Result<Habit> {
        history.validate()?;
        require(n_items > 0, "habit.n_items", "at least 1", n_items)?;
        Ok(Habit { history: history.clone(), n_items })
    }

    fn habits(&self, context: &Context<'_>) -> FxHashMap<ItemId, f32> {
        let past = self.history.weigh(context, self.n_items);
        let most = past.iter().map(|p| p.weight).fold(0.0, f32::max);
        past.iter().map(|p| (p.item, p.weight / most)).collect()
    }
}

impl Score for Habit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn n_items(&self) -> usize {
        self.n_items
    }

    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        let habits = self.habits(context);
        for (item, out) in items.iter().zip(out) {
            *out = habits.get(item).copied().unwrap_or(0.0);
        }
    }

    fn score_all(&self, contexts: &[Context<'_>], out: &mut [f32]) {
        out.fill(0.0);
        for (context, row) in contexts.iter().zip(out.chunks_mut(self.n_items)) {
            self.habits(context).into_iter().for_each(|(item, habit)| row[item.index()] = habit);
        }
    }

    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        let value = self.habits(context).get(&item).copied();
        value.map(|value| Contribution { model: NAME, because: Because::Repeat, value }).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{EventKind, Rows};

    #[test]
    fn what_is_taken_often_and_lately_leads_and_what_was_never_taken_has_nothing() {
        let items = [ItemId(1), ItemId(2), ItemId(1), ItemId(3)];
        let history = Rows { items: &items, at: &[1, 2, 3, 4], kinds: &[EventKind::Buy; 4], values: &[1.0; 4] };
        let context = Context { user: None, history, now: 5 };
        let habit = Habit::new(&HistoryWeights { decay: 0.9, ..HistoryWeights::default() }, 5).unwrap();
        let mut scores = [f32::NAN; 5];
        habit.score_all(&[context], &mut scores);
        assert_eq!((scores[0], scores[1], scores[4]), (0.0, 1.0, 0.0));
        assert!(scores[3] > scores[2] && scores[2] > 0.0, "{scores:?}");
        let parts = habit.contributions(&context, ItemId(3));
        assert_eq!(parts[0].value, scores[3]);
        let nobody = Context { user: None, history: Rows::default(), now: 5 };
        habit.score_all(&[nobody], &mut scores);
        assert_eq!(scores, [0.0; 5]);
    }
}
