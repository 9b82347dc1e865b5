//! Which interest, that this shopper never showed, is worth a place of the slate?
//!
//! Interest exploration with the language model (Wang et al. 2024, arXiv 2405.16363): the catalogue is divided into interests
//! ([`Clusters`]), a learned model says which one follows those that a shopper has ([`Transitions`]), and a few places of the
//! slate are kept for goods of the likeliest ones ([`BudgetConfig`](crate::explore::BudgetConfig)). [`NewInterests`] is both,
//! ready to serve: it proposes goods for recall and fills [`Scored::novelty`](lingxi_data::Scored::novelty), which the policy
//! mixes in before it draws. Goods far below the other candidates are guarded against. `places = 0` switches it off.

mod clusters;
mod transitions;

pub use clusters::{Clusters, join};
pub use transitions::{Foretold, Transitions, Weights};

use crate::{DecideError, Result};
use lingxi_data::{ItemId, Scored};
use serde::{Deserialize, Serialize};

/// Goods of one interest that recall may propose.
const PER_INTEREST: usize = 200;

/// Written in a recipe as `[serve.novel]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NovelConfig {
    /// Places of a slate that may open a new interest; 0: off.
    pub places: usize,
    /// Interests that the catalogue is divided into.
    pub clusters: usize,
    /// Share of behaviour in the likeness of goods, the rest is language.
    pub behaviour: f32,
    /// Only goods that score above this share of the candidates: the guard on relevance, 0 to 1.
    pub guard: f32,
    /// The likeliest new interests that places are drawn from.
    pub breadth: usize,
    /// Share of a shopper's events from which on an interest is theirs.
    pub known_from: f32,
}

impl Default for NovelConfig {
    fn default() -> Self {
        NovelConfig { places: 0, clusters: 64, behaviour: 0.5, guard: 0.1, breadth: 5, known_from: 0.0 }
    }
}

impl NovelConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`DecideError::Config`] names what is outside its range.
    pub fn check(&self) -> Result<()> {
        let shares = [("behaviour", self.behaviour), ("guard", self.guard), ("known_from", self.known_from)];
        for (what, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return Err(DecideError::Config { what, expected: "0 to 1", got: value.to_string() });
            }
        }
        for (what, value) in [("clusters", self.clusters), ("breadth", self.breadth)] {
            if !(1..=4096).contains(&value) {
                return Err(DecideError::Config { what, expected: "1 to 4096", got: value.to_string() });
            }
        }
        Ok(())
    }
}

/// Interests of the catalogue and what follows what: plain data, made once per snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewInterests {
    config: NovelConfig,
    /// Interests of the goods.
    pub clusters: Clusters,
    /// What follows what.
    pub transitions: Transitions,
    /// Goods of each interest, the most taken first.
    best: Vec<Vec<ItemId>>,
}

impl NewInterests {
    /// Learns from shoppers' goods in time order; `taken` says how much shoppers took of each item, `told` what a language model
    /// says of transitions (see [`Transitions::fit`]) or nothing.
    ///
    /// # Errors
    /// A configuration outside its range.
    pub fn fit(
        config: NovelConfig,
        clusters: Clusters,
        histories: &[Vec<ItemId>],
        taken: &[f32],
        told: Vec<f32>,
    ) -> Result<NewInterests> {
        config.check()?;
        let interest = |item: &ItemId| clusters.of.get(item.index()).copied().flatten();
        let histories: Vec<Vec<u32>> = histories.iter().map(|h| h.iter().filter_map(interest).collect()).collect();
        let transitions = Transitions::fit(&clusters, &histories, told);
        let mut best: Vec<Vec<ItemId>> = vec![Vec::new(); clusters.len()];
        for (i, of) in clusters.of.iter().enumerate() {
            if let Some(k) = of {
                best[*k as usize].push(ItemId(i as u32));
            }
        }
        let much = |item: &ItemId| taken.get(item.index()).copied().unwrap_or(0.0);
        for goods in &mut best {
            goods.sort_by(|a, b| much(b).total_cmp(&much(a)).then(a.cmp(b)));
            goods.truncate(PER_INTEREST);
        }
        Ok(NewInterests { config, clusters, transitions, best })
    }

    /// The configuration.
    pub fn config(&self) -> NovelConfig {
        self.config
    }

    /// The interest of an item.
    pub fn of(&self, item: ItemId) -> Option<u32> {
        self.clusters.of.get(item.index()).copied().flatten()
    }

    /// The interests that a shopper has, each with its share of their goods, in the order of numbers.
    pub fn had(&self, goods: &[ItemId]) -> Vec<(u32, f32)> {
        let mut counts = vec![0.0f32; self.clusters.len()];
        goods.iter().filter_map(|item| self.of(*item)).for_each(|k| counts[k as usize] += 1.0);
        let all: f32 = counts.iter().sum::<f32>().max(1.0);
        let known = counts.iter().enumerate().map(|(k, n)| (k as u32, n / all));
        known.filter(|(_, share)| *share > 0.0 && *share >= self.config.known_from).collect()
    }

    /// The likeliest new interests of a shopper, the first first, each with its probability.
    pub fn likeliest(&self, had: &[(u32, f32)]) -> Vec<(u32, f32)> {
        let next = self.transitions.next(&self.clusters, had);
        let mut order: Vec<(u32, f32)> = next.into_iter().enumerate().map(|(k, p)| (k as u32, p)).collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        order.truncate(self.config.breadth);
        order.retain(|(_, p)| *p > 0.0);
        order
    }

    /// At most `n` goods of the likeliest new interests, as a source of recall: the most taken of each in turn.
    pub fn propose(&self, likeliest: &[(u32, f32)], n: usize) -> Vec<ItemId> {
        let turns = (0..PER_INTEREST)
            .flat_map(|turn| likeliest.iter().filter_map(move |(k, _)| self.best[*k as usize].get(turn).copied()));
        turns.take(n).collect()
    }

    /// Fills `scored.novelty`: for goods of the likeliest interests that pass the guard, the interest's probability divided by
    /// the square of the item's rank within the interest, so that the better ones of each are shown.
    pub fn mark(&self, likeliest: &[(u32, f32)], scored: &mut Scored) {
        let finite = scored.scores.iter().filter(|s| s.is_finite()).count();
        let allowed = finite - ((finite as f32 * self.config.guard) as usize).min(finite);
        let mut ranks = vec![0.0f32; self.clusters.len()];
        // Candidates come best first, so the guard keeps the first ones and ranks count up.
        let novelty = |(place, item): (usize, &ItemId)| {
            let interest = self.of(*item).filter(|_| place < allowed)?;
            let p = likeliest.iter().find(|(k, _)| *k == interest)?.1;
            let rank = &mut ranks[interest as usize];
            *rank += 1.0;
            Some(p / (*rank * *rank))
        };
        let mut novelty = novelty;
        scored.novelty = scored.items.iter().enumerate().map(|pair| novelty(pair).unwrap_or(0.0)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four interests on axes; ten goods each.
    fn clusters() -> Clusters {
        let vectors: Vec<f32> = (0..40)
            .flat_map(|i| {
                let mut row = [0.05, 0.05, 0.05, 0.05, 0.01 * (i / 4) as f32];
                row[i % 4] = 1.0;
                let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                row.map(|x| x / norm)
            })
            .collect();
        Clusters::fit(&vectors, 5, &[true; 40], 4, 3).unwrap()
    }

    /// Shoppers of the first kind of goods turn to the second, those of the third to the fourth.
    fn new_interests(config: NovelConfig) -> NewInterests {
        let histories: Vec<Vec<ItemId>> = (0..200u32)
            .map(|i| {
                let from = 2 * (i % 2);
                [from, from + 4, from + 1, from + 5].map(|item| ItemId((item + 4 * (i % 9)) % 40)).to_vec()
            })
            .collect();
        NewInterests::fit(config, clusters(), &histories, &[1.0; 40], Vec::new()).unwrap()
    }

    #[test]
    fn goods_that_are_alike_are_one_interest_and_the_seed_decides_all() {
        let found = clusters();
        for i in 0..40 {
            assert_eq!(found.of[i], found.of[i % 4], "{i}");
        }
        let distinct: std::collections::HashSet<_> = found.of[..4].iter().collect();
        assert_eq!(distinct.len(), 4);
        assert_eq!(found, clusters());
    }

    #[test]
    fn fewer_goods_than_interests_and_goods_without_vectors_are_borne() {
        let vectors = [1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let found = Clusters::fit(&vectors, 2, &[true, true, false], 5, 1).unwrap();
        assert_eq!((found.len(), found.of[0], found.of[2]), (1, found.of[1], None));
        assert!(Clusters::fit(&[], 2, &[], 5, 1).unwrap().is_empty());
        assert!(Clusters::fit(&vectors, 2, &[true], 5, 1).is_err());
    }

    #[test]
    fn what_followed_in_the_past_is_the_likeliest_to_follow() {
        let new = new_interests(NovelConfig::default());
        for (from, to) in [(0, 1), (2, 3)] {
            let had = new.had(&[ItemId(from), ItemId(from + 4)]);
            assert_eq!(had.len(), 1);
            let likeliest = new.likeliest(&had);
            assert_eq!(Some(likeliest[0].0), new.of(ItemId(to)), "{likeliest:?}");
            assert!(likeliest.iter().all(|(k, _)| *k != had[0].0), "what the shopper has is not new");
        }
        assert!(new.transitions.foretold.hit_at_3 >= new.transitions.foretold.reach_hit_at_3);
    }

    #[test]
    fn novelty_goes_to_new_interests_that_pass_the_guard() {
        let new = new_interests(NovelConfig { guard: 0.5, ..NovelConfig::default() });
        let likeliest = new.likeliest(&new.had(&[ItemId(0)]));
        let mut scored = Scored::new([1, 0, 5, 4, 9, 13].map(ItemId).to_vec(), vec![6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
        new.mark(&likeliest, &mut scored);
        assert!(scored.novelty[0] > scored.novelty[2] && scored.novelty[2] > 0.0, "{:?}", scored.novelty);
        assert_eq!((scored.novelty[1], &scored.novelty[3..]), (0.0, &[0.0, 0.0, 0.0][..]));
        assert_eq!(new.propose(&likeliest[..1], 3), [1, 5, 9].map(ItemId));
    }

    #[test]
    fn a_shopper_who_has_every_interest_has_nothing_new_to_find() {
        let new = new_interests(NovelConfig::default());
        assert!(new.likeliest(&new.had(&[0, 1, 2, 3].map(ItemId))).is_empty());
    }
}
