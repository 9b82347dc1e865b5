//! The way from a shopper to a slate, in one function.

use crate::rules::{KeptAway, Rules};
use lingxi_data::{Context, ItemId, Policy, Recall, Score, Scored, Slot};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::cmp::Ordering;
use std::collections::HashSet;

/// So many goods that were taken away are made up for by further candidates; more call for a new build.
const MOST_WITHDRAWN: usize = 1000;

/// The stages that make a slate; a snapshot owns them.
#[derive(Clone, Copy)]
pub struct Stages<'a> {
    /// Proposes goods; several sources go into one [`Union`](crate::Union).
    pub recall: &'a dyn Recall,
    /// Ranks them.
    pub score: &'a dyn Score,
    /// Say which may be shown.
    pub rules: &'a Rules,
    /// Chooses among those.
    pub policy: &'a dyn Policy,
    /// How many goods recall may propose, on top of those that may not be shown: what the shopper already has and may not see
    /// again, and what was taken away.
    pub candidates: usize,
    /// Goods that were taken away since the rules were made.
    pub withdrawn: &'a HashSet<ItemId>,
}

/// A slate, and what it was chosen from.
#[derive(Clone, Debug, PartialEq)]
pub struct Slate {
    /// From first to last place; fewer than asked only if too few candidates may be shown.
    pub slots: Vec<Slot>,
    /// All candidates, also those that a rule kept away, best first.
    pub scored: Scored,
    /// Better scored candidates that a rule kept away, best first.
    pub kept_away: Vec<KeptAway>,
}

/// Recalls candidates, ranks them, and lets the policy fill `n` places within the rules. The same context, stages and
/// seed give the same slate.
pub fn decide(stages: &Stages<'_>, context: &Context<'_>, n: usize, seed: u64) -> Slate {
    let mut allowed = stages.rules.for_shopper(context).without(stages.withdrawn);
    let candidates = stages
        .recall
        .recall(context, stages.candidates + allowed.already_bought() + stages.withdrawn.len().min(MOST_WITHDRAWN));
    let scored = rank(stages.score, context, candidates);
    allowed.keep_places_for_new(context, &scored.items, n);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let slots = stages.policy.choose(&scored, n, &|slots, item| allowed.eligible(slots, item), &mut rng);
    let kept_away = allowed.kept_away(&scored, &slots);
    Slate { slots, scored, kept_away }
}

/// Scores `items` and puts the best first; ties stay in the order of recall, NaN comes last. Items that the model does
/// not know are left out.
pub fn rank(score: &dyn Score, context: &Context<'_>, mut items: Vec<ItemId>) -> Scored {
    items.retain(|item| item.index() < score.n_items());
    let mut scores = vec![0.0; items.len()];
    score.score(context, &items, &mut scores);
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|&a, &b| descending(scores[a], scores[b]));
    Scored { items: order.iter().map(|&i| items[i]).collect(), scores: order.iter().map(|&i| scores[i]).collect() }
}

/// Greater scores first, NaN after every number.
pub(crate) fn descending(a: f32, b: f32) -> Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}
