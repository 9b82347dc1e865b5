//! The four traits of the way from a shopper to a slate: encode, recall, score, choose.
//!
//! Synchronous and object-safe, batches in and out. Training is no trait: every model has its own `fit`.

use crate::{CategoryId, EventKind, ItemId, Lesson, Rows, Slot, UserId};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Who asks, and what they did before.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The shopper, if known.
    pub user: Option<UserId>,
    /// What they did, in time order; empty for a shopper never seen.
    pub history: Rows<'a>,
    /// The time of asking, unix seconds: models weigh the history by its age.
    pub now: i64,
}

/// A batch of texts (or images, later) -> vectors; catalogue, queries and typed interests all go through it.
pub trait Encode: Send + Sync {
    /// Length of one vector.
    fn dim(&self) -> usize;
    /// Row-major `[texts.len(), dim]`; a batch equals its texts one by one, within rounding.
    fn encode(&self, texts: &[&str]) -> Vec<f32>;
}

/// Context, k -> at most k candidates, no item twice, best first by the source's own measure.
pub trait Recall: Send + Sync {
    /// Short name for logs and reasons.
    fn name(&self) -> &'static str;
    /// The candidates.
    fn recall(&self, context: &Context<'_>, k: usize) -> Vec<ItemId>;
}

/// How much does this shopper want these items? Higher is better; scores of one model compare only within one context.
pub trait Score: Send + Sync {
    /// Short name for tables and reasons.
    fn name(&self) -> &'static str;
    /// Number of items that the model knows (ids run below it).
    fn n_items(&self) -> usize;
    /// Fills `out[i]` with the score of `items[i]`; lengths are equal.
    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]);
    /// Fills row-major `out[contexts.len(), n_items]` with the scores of all items. Models that score a whole row or
    /// batch faster than item by item override it.
    fn score_all(&self, contexts: &[Context<'_>], out: &mut [f32]) {
        let items: Vec<ItemId> = (0..self.n_items() as u32).map(ItemId).collect();
        for (context, row) in contexts.iter().zip(out.chunks_mut(self.n_items())) {
            self.score(context, &items, row);
        }
    }
    /// What the score of `item` is made of; the values add up to the score within rounding.
    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution>;
}

/// One part of a score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contribution {
    /// The model that says so.
    pub model: &'static str,
    /// Why.
    pub because: Because,
    /// How much of the score.
    pub value: f32,
}

/// Why an item has a part of its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Because {
    /// The shopper did this with that item before, and others who did also took this one.
    BoughtTogether {
        /// The past item.
        item: ItemId,
        /// What the shopper did with it.
        kind: EventKind,
    },
    /// Its description is close to that of an item of the shopper's past.
    SimilarMeaning {
        /// The past item.
        item: ItemId,
        /// What the shopper did with it.
        kind: EventKind,
    },
    /// The shopper took the item itself before.
    Repeat,
    /// Many shoppers take it.
    Popular,
    /// Many shoppers took it lately.
    Trending,
    /// Many shoppers take it within a category that this shopper likes.
    PopularInCategory {
        /// The category.
        category: CategoryId,
    },
    /// The item came after the models were fitted, and this one, which it is like, speaks for it.
    Resembles {
        /// The known item.
        item: ItemId,
    },
    /// A constant that makes models comparable (centring in a blend).
    Baseline,
}

/// Candidates with their scores, best first, and what an exploring policy may know of them besides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    /// The candidates, no item twice.
    pub items: Vec<ItemId>,
    /// One score per candidate, not increasing.
    pub scores: Vec<f32>,
    /// Row-major `[items, width]`: what a learning policy sees of this shopper with each candidate. Empty: nothing, and such
    /// a policy goes by the scores.
    pub features: Vec<f32>,
    /// How much each candidate would open an interest that is new to the shopper; 0: not at all. Empty: none would.
    pub novelty: Vec<f32>,
}

impl Scored {
    /// Candidates of which only the scores are known.
    pub fn new(items: Vec<ItemId>, scores: Vec<f32>) -> Scored {
        Scored { items, scores, ..Scored::default() }
    }

    /// Length of a row of features, 0 if there are none.
    pub fn width(&self) -> usize {
        self.features.len() / self.items.len().max(1)
    }
}

/// What a shop asks of one slate. The policy asks before each place, never after the last, so that its propensities are exact.
/// A closure that says what is eligible asks nothing else.
pub trait Terms {
    /// Whether the rules allow `item` in the next place after `slots`.
    fn eligible(&self, slots: &[Slot], item: ItemId) -> bool;
    /// Says that this candidate, by its index, took the next place.
    fn placed(&mut self, _candidate: usize) {}
    /// By how much each candidate is moved up or down for the next place, in standard deviations of the candidates' worth.
    /// Empty: none is.
    fn moves(&self) -> &[f32] {
        &[]
    }
    /// How much the policy may explore, from 0 (not at all) to 1 (as it was set up).
    fn explore(&self) -> f64 {
        1.0
    }
}

impl<F: Fn(&[Slot], ItemId) -> bool> Terms for F {
    fn eligible(&self, slots: &[Slot], item: ItemId) -> bool {
        self(slots, item)
    }
}

/// Chooses a slate from scored candidates and says with which probability.
pub trait Policy: Send + Sync {
    /// Name, parameters and version, as logged with every decision.
    fn version(&self) -> String;
    /// Fills up to `n` slots from first to last within the terms; propensities are exact under exactly those.
    fn choose(&self, scored: &Scored, n: usize, terms: &mut dyn Terms, rng: &mut ChaCha8Rng) -> Vec<Slot>;
    /// Learns from what came of slots, in the order given; called by the one learner. Policies that do not learn ignore it.
    fn learn(&mut self, _lessons: &[Lesson]) {}
}
