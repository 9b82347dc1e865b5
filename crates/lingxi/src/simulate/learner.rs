//! What every arm of the simulation has in common: recall, a ranking score, and what policies see of a shopper with an item.
//!
//! Fitted on the first part of the logs alone, with other clusters than the world's. As a shopper clicks, the degrees of interest
//! and the mean of what they took move on.

use super::run::START;
use super::world::{Log, Shopper};
use crate::stages::interests::Tastes;
use lingxi_data::{CategoryId, EventKind, ItemId, ItemVectors, Scored};
use lingxi_decide::explore::{Facts, popularity};
use lingxi_decide::interests::Past;
use lingxi_decide::novel::{Clusters, NewInterests, NovelConfig};
use lingxi_decide::{Interests, InterestsConfig};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;

/// Candidates of a slate.
pub const CANDIDATES: usize = 100;
const DAY: i64 = 86_400;

/// What was learnt from the first part of the logs.
pub struct Learner<'a> {
    vectors: &'a ItemVectors,
    /// Interests of the goods and what follows what.
    pub new: NewInterests,
    tastes: Tastes,
    /// Popularity in standard deviations.
    popularity: Vec<f32>,
    /// Goods by popularity, of each interest and of all.
    of: Vec<Vec<u32>>,
    popular: Vec<u32>,
}

/// What is known of one shopper, in one arm.
#[derive(Clone)]
pub struct Known {
    interests: Interests,
    had: Vec<(u32, f32)>,
    goods: Vec<ItemId>,
    mean: Vec<f32>,
    likeliest: Vec<(u32, f32)>,
    /// How much of each interest was shown lately.
    shown: Vec<f32>,
    clicked: Vec<u32>,
}

impl<'a> Learner<'a> {
    /// Learns from the first part of the logs.
    pub fn fit(firsts: &[Log], vectors: &'a ItemVectors, clusters: usize, seed: u64) -> anyhow::Result<Learner<'a>> {
        let config = NovelConfig { clusters, places: 1, ..NovelConfig::default() };
        let clusters = Clusters::fit(vectors.data(), vectors.dim(), vectors.present(), clusters, seed)?;
        let taken = super::world::taken(firsts, vectors.len());
        let histories: Vec<Vec<ItemId>> = firsts.iter().map(|log| log.iter().map(|i| ItemId(*i)).collect()).collect();
        let new = NewInterests::fit(config, clusters, &histories, &taken, Vec::new())?;
        let past = |log: &Log| -> Vec<Past> {
            let of = |(day, item): (usize, &u32)| {
                Some((CategoryId(new.of(ItemId(*item))?), EventKind::Buy, day as i64 * DAY))
            };
            log.iter().enumerate().filter_map(of).collect()
        };
        let pasts: Vec<Vec<Past>> = firsts.iter().map(past).collect();
        let tastes = Tastes::learnt(&InterestsConfig::default(), &pasts, new.clusters.len());
        let mut popular: Vec<u32> = (0..vectors.len() as u32).collect();
        popular.sort_by(|a, b| taken[*b as usize].total_cmp(&taken[*a as usize]));
        let mut of = vec![Vec::new(); new.clusters.len()];
        for item in &popular {
            if let Some(k) = new.of(ItemId(*item)) {
                of[k as usize].push(*item);
            }
        }
        Ok(Learner { vectors, new, tastes, popularity: popularity(&taken), of, popular })
    }

    /// What goods mean.
    pub fn vectors(&self) -> &'a ItemVectors {
        self.vectors
    }

    /// What is known of a shopper in the beginning.
    pub fn meet(&self, shopper: &Shopper) -> Known {
        let mut known = Known {
            interests: Interests::default(),
            had: Vec::new(),
            goods: Vec::new(),
            mean: vec![0.0; self.vectors.dim()],
            likeliest: Vec::new(),
            shown: vec![0.0; self.new.clusters.len()],
            clicked: Vec::new(),
        };
        // The run begins the day after the logs end.
        let first = START - shopper.known.len() as i64 * DAY;
        for (day, item) in shopper.known.iter().enumerate() {
            self.took(&mut known, *item, first + day as i64 * DAY);
        }
        self.settle(&mut known);
        known
    }

    fn took(&self, known: &mut Known, item: u32, at: i64) {
        let item = ItemId(item);
        known.goods.push(item);
        let old = known.goods.len().saturating_sub(200);
        known.goods.drain(..old);
        if let Some(k) = self.new.of(item) {
            known.interests.observe(&self.tastes.config, CategoryId(k), EventKind::Buy, at);
        }
        if let Some(vector) = self.vectors.get(item) {
            known.mean.iter_mut().zip(vector).for_each(|(mean, x)| *mean = 0.95 * *mean + 0.05 * x);
        }
    }

    fn settle(&self, known: &mut Known) {
        known.had = self.new.had(&known.goods);
        known.likeliest = self.new.likeliest(&known.had);
    }

    /// Takes note of a slate and of what was clicked; `at` in seconds.
    pub fn note(&self, known: &mut Known, slate: &[ItemId], clicked: &[u32], at: i64) {
        known.shown.iter_mut().for_each(|s| *s *= 0.8);
        slate.iter().filter_map(|item| self.new.of(*item)).for_each(|k| known.shown[k as usize] += 0.1);
        clicked.iter().for_each(|item| self.took(known, *item, at));
        known.clicked.extend(clicked);
        let old = known.clicked.len().saturating_sub(20);
        known.clicked.drain(..old);
        if !clicked.is_empty() {
            self.settle(known);
        }
    }

    /// Candidates for a shopper: half from the interests that they have, a quarter from what sells, the rest from the
    /// likeliest new interests and from anywhere. The same for every arm.
    pub fn recall(&self, known: &Known, rng: &mut ChaCha8Rng) -> Vec<ItemId> {
        let mut found: Vec<ItemId> = Vec::with_capacity(CANDIDATES);
        let mut taken = vec![false; self.vectors.len()];
        let mut add = |item: u32| {
            if found.len() < CANDIDATES && !std::mem::replace(&mut taken[item as usize], true) {
                found.push(ItemId(item));
            }
        };
        for _ in 0..50 {
            let mut left = rng.random::<f32>();
            let drawn = known
                .had
                .iter()
                .find(|(_, share)| {
                    left -= share;
                    left <= 0.0
                })
                .or(known.had.last());
            if let Some((k, _)) = drawn {
                add(near_the_top(&self.of[*k as usize], rng));
            }
        }
        (0..25).for_each(|_| add(near_the_top(&self.popular, rng)));
        self.new.propose(&known.likeliest, 15).into_iter().for_each(|item| add(item.0));
        while found.len() < CANDIDATES {
            let item = rng.random_range(0..self.vectors.len());
            if !std::mem::replace(&mut taken[item], true) {
                found.push(ItemId(item as u32));
            }
        }
        found
    }

    /// The most taken item of each of the `n` largest interests.
    pub fn best_of_each(&self, n: usize) -> Vec<ItemId> {
        let share = |k: &usize| self.tastes.base.shares[*k];
        let mut order: Vec<usize> = (0..self.of.len()).filter(|k| !self.of[*k].is_empty()).collect();
        order.sort_by(|a, b| share(b).total_cmp(&share(a)));
        order.iter().take(n).map(|k| ItemId(self.of[*k][0])).collect()
    }

    /// Degree of each interest, and its standard deviation.
    pub fn degrees(&self, known: &Known, at: i64) -> Vec<(f64, f64)> {
        known.interests.spread(&self.tastes.config, &self.tastes.base, at)
    }

    /// All that is known of a shopper with these goods.
    pub fn glance(&self, known: &Known, at: i64, goods: &[ItemId]) -> Glance {
        let degrees = self.degrees(known, at);
        let facts = |item: &ItemId| {
            let k = self.new.of(*item);
            let (degree, doubt) = k.map_or((0.0, 0.0), |k| degrees[k as usize]);
            let facts = Facts {
                like: self.vectors.get(*item).map_or(0.0, |vector| lingxi_kernels::dot(&known.mean, vector)),
                degree: degree as f32,
                doubt: doubt as f32,
                popularity: self.popularity[item.index()],
                freshness: 0.0,
                next: known.likeliest.iter().find(|(next, _)| Some(*next) == k).map_or(0.0, |next| next.1),
                shown: k.map_or(0.0, |k| known.shown[k as usize]),
                taken: known.clicked.contains(&item.0),
            };
            (*item, facts)
        };
        Glance(goods.iter().map(facts).collect())
    }

    /// Fills in what policies see of the candidates.
    pub fn describe(&self, known: &Known, glance: &Glance, scored: &mut Scored) {
        lingxi_decide::explore::describe(scored, |item| glance.facts(item));
        self.new.mark(&known.likeliest, scored);
    }
}

/// What is known of a shopper with some goods.
pub struct Glance(HashMap<ItemId, Facts>);

impl Glance {
    fn facts(&self, item: ItemId) -> Facts {
        self.0.get(&item).copied().unwrap_or_default()
    }

    /// The ranking score of a shop that does not learn from its slates: likeness to the shopper's past, degree of interest,
    /// popularity.
    pub fn score(&self, item: ItemId) -> f32 {
        let Facts { like, degree, popularity, .. } = self.facts(item);
        2.0 * like + 2.0 * degree + 0.2 * popularity
    }
}

/// One of a list, the first ones more often.
fn near_the_top(goods: &[u32], rng: &mut ChaCha8Rng) -> u32 {
    let at = rng.random::<f32>().powi(3) * goods.len() as f32;
    goods.get(at as usize).copied().unwrap_or(0)
}
