//! The way from a shopper to a slate, in one function.

use crate::rerank::{Moved, Shaped, Shaping};
use crate::rules::{Allowed, KeptAway, Rule, Rules};
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
    /// Only these goods are asked for, in the order of ids: a category. `None`: all.
    pub within: Option<&'a [ItemId]>,
    /// Tells the policy more of the ranked candidates: fills [`Scored::features`] and [`Scored::novelty`]. `None`: the scores
    /// are all there is.
    pub describe: Option<&'a dyn Fn(&mut Scored)>,
    /// What moves candidates beside their scores. `None`: nothing does.
    pub shaping: Option<Shaping<'a>>,
    /// How much the policy may explore, from 0 (the best only) to 1 (as the recipe says).
    pub explore: f64,
}

/// What is asked for within so few goods is chosen from all of them, without recall.
const FEW: usize = 4096;

/// A slate, and what it was chosen from.
#[derive(Clone, Debug, PartialEq)]
pub struct Slate {
    /// From first to last place; fewer than asked only if too few candidates may be shown.
    pub slots: Vec<Slot>,
    /// All candidates, also those that a rule kept away, best first.
    pub scored: Scored,
    /// Better scored candidates that a rule kept away, best first.
    pub kept_away: Vec<KeptAway>,
    /// What moved the item of each slot beside its score, the strongest cause first; empty without shaping.
    pub moved: Vec<Vec<Moved>>,
}

impl Slate {
    /// The row of features that the policy saw of an item: what a [`Lesson`](lingxi_data::Lesson) needs. Empty if it saw none.
    pub fn features(&self, item: ItemId) -> &[f32] {
        let (width, at) = (self.scored.width(), self.scored.items.iter().position(|other| *other == item));
        at.map_or(&[], |at| &self.scored.features[at * width..(at + 1) * width])
    }

    /// Whether an item opens an interest that is new to the shopper.
    pub fn opens_interest(&self, item: ItemId) -> bool {
        let at = self.scored.items.iter().position(|other| *other == item);
        at.and_then(|at| self.scored.novelty.get(at)).is_some_and(|novelty| *novelty > 0.0)
    }
}

/// Recalls candidates, ranks them, and lets the policy fill `n` places within the rules. The same context, stages and
/// seed give the same slate.
pub fn decide(stages: &Stages<'_>, context: &Context<'_>, n: usize, seed: u64) -> Slate {
    let (mut scored, mut allowed) = candidates(stages, context);
    allowed.keep_places_for_new(context, &scored.items, n);
    if let Some(describe) = stages.describe {
        describe(&mut scored);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut shaped = Shaped::new(&allowed, &scored, stages.shaping, stages.explore);
    let slots = stages.policy.choose(&scored, n, &mut shaped, &mut rng);
    let moved = shaped.moved();
    let kept_away = allowed.kept_away(&scored, &slots);
    Slate { slots, scored, kept_away, moved }
}

/// How an item stands among the candidates of a slate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Its score.
    pub score: f32,
    /// Its place among the candidates by score, from 0; `None` if it is none.
    pub rank: Option<usize>,
    /// How many candidates there are.
    pub candidates: usize,
    /// The rule that keeps it from every place.
    pub rule: Option<Rule>,
}

/// How `item` stands among the candidates that [`decide`] would choose from; `None` if the model does not know it.
pub fn consider(stages: &Stages<'_>, context: &Context<'_>, item: ItemId) -> Option<Standing> {
    let (scored, allowed) = candidates(stages, context);
    let rank = scored.items.iter().position(|candidate| *candidate == item);
    let score = match rank {
        Some(rank) => scored.scores[rank],
        None => self::rank(stages.score, context, vec![item]).scores.first().copied()?,
    };
    Some(Standing { score, rank, candidates: scored.items.len(), rule: allowed.refusal_anywhere(item) })
}

/// What a slate is chosen from, best first, and the rules for this shopper.
fn candidates<'a>(stages: &Stages<'a>, context: &Context<'_>) -> (Scored, Allowed<'a>) {
    let allowed = stages.rules.for_shopper(context).without(stages.withdrawn);
    let k = stages.candidates + allowed.already_bought() + stages.withdrawn.len().min(MOST_WITHDRAWN);
    let found = match stages.within {
        None => stages.recall.recall(context, k),
        Some(goods) => recall_within(stages.recall, context, goods, k),
    };
    let mut scored = rank(stages.score, context, found);
    scored.items.truncate(k);
    scored.scores.truncate(k);
    (scored, allowed)
}

/// Few goods are all candidates; of many those that recall finds within its first [`FEW`], and where these are fewer than
/// `k` the first others.
fn recall_within(recall: &dyn Recall, context: &Context<'_>, goods: &[ItemId], k: usize) -> Vec<ItemId> {
    if goods.len() <= FEW.max(k) {
        return goods.to_vec();
    }
    let mut found = recall.recall(context, FEW.max(k));
    found.retain(|item| goods.binary_search(item).is_ok());
    let known: HashSet<ItemId> = found.iter().copied().collect();
    let missing = k.saturating_sub(found.len());
    found.extend(goods.iter().filter(|item| !known.contains(item)).take(missing));
    found
}

/// Scores `items` and puts the best first; ties stay in the order of recall, NaN comes last. Items that the model does
/// not know are left out.
pub fn rank(score: &dyn Score, context: &Context<'_>, mut items: Vec<ItemId>) -> Scored {
    items.retain(|item| item.index() < score.n_items());
    let mut scores = vec![0.0; items.len()];
    score.score(context, &items, &mut scores);
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|&a, &b| descending(scores[a], scores[b]));
    Scored::new(order.iter().map(|&i| items[i]).collect(), order.iter().map(|&i| scores[i]).collect())
}

/// Greater scores first, NaN after every number.
pub(crate) fn descending(a: f32, b: f32) -> Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}
