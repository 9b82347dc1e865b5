//! The shoppers of the simulator: what they hide, how it was fitted to real logs, and what was assumed.
//!
//! Fitted: each shopper's log is cut in time. Goods are divided into hidden interests by who took them and what they mean
//! (neither division nor vectors are the learner's); the share of each interest in the first part of the log is what the shopper
//! cares for in the beginning, in the second part at the end, and at a hidden time the one turns into the other. So drift, new
//! interests and their sizes are those of the log. The quality of goods follows how often they were taken.
//!
//! Assumed, because logs of what was taken do not say: the share of shown goods that is clicked (`CLICKED` for random ones), that a
//! place at p is looked at with 1 / sqrt(1 + p), that a click sates for a while, and that half of the quality of an item is not
//! its popularity. A click on a good i of interest k that is looked at has the log odds
//!
//! b + 3 t / (t + 0.1) + quality_i - sated_k - clicked_i,   t the care for k now
//!
//! which is linear in nothing that a policy sees.

use lingxi_data::{ItemId, ItemVectors};
use lingxi_decide::novel::{Clusters, join};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

const INTERESTS: usize = 40;
/// Numbers that say who took an item.
const WHO: usize = 48;
/// Share of goods drawn at random that would be clicked in the first place.
const CLICKED: f64 = 0.03;
/// The first part of each log.
const FIRST: f64 = 0.6;
/// Events of a shopper who can be cut in two.
pub const FEWEST: usize = 10;

/// One shopper's log: goods in time order.
pub type Log = Vec<u32>;

/// One shopper: what the learner may know, and what it may not.
pub struct Shopper {
    /// Whose log it is, by its place among all logs.
    pub log: usize,
    /// Goods of the first part of the log: the learner's.
    pub known: Log,
    /// Hidden: interest, care for it in the beginning and in the end.
    tastes: Vec<(u32, f32, f32)>,
    /// Hidden: when the one turns into the other, as a share of the run.
    turn: f64,
    /// Hidden interests that only the second part has.
    pub latent: Vec<u32>,
}

/// What the logs say of shoppers, as far as it was fitted.
#[derive(Clone, Debug, Serialize)]
pub struct Fit {
    /// Shoppers with enough events.
    pub shoppers: usize,
    /// Goods.
    pub goods: usize,
    /// Hidden interests.
    pub interests: usize,
    /// Mean distance of interests between both parts of a log: 0 nothing changes, 1 everything.
    pub drift: f64,
    /// Hidden interests per shopper that only the second part has.
    pub new_interests: f64,
    /// Clicks on the first place by goods drawn at random.
    pub clicked_at_random: f64,
}

/// Shoppers and goods, hidden from every policy.
pub struct World {
    /// Shoppers of the run.
    pub shoppers: Vec<Shopper>,
    /// Hidden interest of each item.
    pub interest: Vec<u32>,
    quality: Vec<f32>,
    /// Goods of each interest by quality.
    best: Vec<Vec<u32>>,
    intercept: f64,
    /// What was fitted.
    pub fit: Fit,
}

/// How a shopper feels just now; every arm of the simulation has its own.
#[derive(Clone, Default)]
pub struct Mood {
    sated: Vec<f32>,
    clicked: Vec<u32>,
}

impl World {
    /// Fits the shoppers to logs of goods numbered as `vectors`.
    pub fn fit(logs: &[Log], vectors: &ItemVectors, most: usize, seed: u64) -> anyhow::Result<World> {
        let goods = vectors.len();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let taken = taken(logs, goods);
        let joint = join(vectors.data(), vectors.dim(), &who_took(logs, goods, &mut rng), WHO, 0.5);
        let clusters = Clusters::fit(&joint, vectors.dim() + WHO, vectors.present(), INTERESTS, seed ^ 0x5EED)?;
        let interest: Vec<u32> = clusters.of.iter().map(|of| of.unwrap_or(0)).collect();
        let quality = qualities(&taken, &mut rng);
        let mut best: Vec<Vec<u32>> = vec![Vec::new(); clusters.len().max(1)];
        (0..goods as u32).for_each(|i| best[interest[i as usize] as usize].push(i));
        for of in &mut best {
            of.sort_by(|a, b| quality[*b as usize].total_cmp(&quality[*a as usize]));
        }
        let mut order: Vec<usize> = (0..logs.len()).filter(|i| logs[*i].len() >= FEWEST).collect();
        for i in 0..order.len().min(most) {
            let other = rng.random_range(i..order.len());
            order.swap(i, other);
        }
        order.truncate(most);
        let shoppers: Vec<Shopper> = order.iter().map(|i| shopper(*i, &logs[*i], &interest, &mut rng)).collect();
        let mut world =
            World { fit: fit_of(&shoppers, goods, best.len()), shoppers, interest, quality, best, intercept: 0.0 };
        world.settle(&mut rng);
        Ok(world)
    }

    /// Chooses the intercept so that goods drawn at random are clicked as often as assumed.
    fn settle(&mut self, rng: &mut ChaCha8Rng) {
        let pairs: Vec<(usize, u32)> = (0..20_000)
            .map(|_| (rng.random_range(0..self.shoppers.len()), rng.random_range(0..self.interest.len() as u32)))
            .collect();
        let (mut low, mut high) = (-15.0, 5.0);
        for _ in 0..40 {
            self.intercept = (low + high) / 2.0;
            let clicked: f64 = pairs.iter().map(|(s, i)| self.click(*s, *i, 0.0, &Mood::default())).sum();
            if clicked / pairs.len() as f64 > CLICKED { high = self.intercept } else { low = self.intercept }
        }
    }

    /// Probability of a click on an item that is looked at, `at` from 0 to 1 of the run.
    pub fn click(&self, shopper: usize, item: u32, at: f64, mood: &Mood) -> f64 {
        let shopper = &self.shoppers[shopper];
        let k = self.interest[item as usize];
        let care = shopper.tastes.iter().find(|taste| taste.0 == k).map_or(0.0, |taste| shopper.care(taste, at));
        let sated = f64::from(mood.sated.get(k as usize).copied().unwrap_or(0.0));
        let clicked = if mood.clicked.contains(&item) { 2.0 } else { 0.0 };
        let odds =
            self.intercept + 3.0 * care / (care + 0.1) + f64::from(self.quality[item as usize]) - sated - clicked;
        1.0 / (1.0 + (-odds).exp())
    }

    /// What the best slate of `n` goods would bring, chosen by one who knows all that is hidden.
    pub fn best(&self, shopper: usize, n: usize, at: f64, mood: &Mood) -> f64 {
        let tastes = self.shoppers[shopper].tastes.iter().map(|taste| taste.0 as usize);
        let mut clicks: Vec<f64> = tastes
            .flat_map(|k| self.best[k].iter().take(2 * n))
            .map(|item| self.click(shopper, *item, at, mood))
            .collect();
        clicks.sort_by(|a, b| b.total_cmp(a));
        clicks.iter().take(n).enumerate().map(|(place, p)| p * looked_at(place)).sum()
    }

    /// How a shopper feels after a slate, of which they clicked some goods.
    pub fn feel(&self, mood: &mut Mood, clicked: &[u32]) {
        mood.sated.resize(self.best.len(), 0.0);
        mood.sated.iter_mut().for_each(|s| *s *= 0.9);
        for item in clicked {
            mood.sated[self.interest[*item as usize] as usize] += 0.4;
            mood.clicked.push(*item);
        }
        let old = mood.clicked.len().saturating_sub(20);
        mood.clicked.drain(..old);
    }
}

impl Shopper {
    /// Care for an interest `at` a share of the run.
    fn care(&self, &(_, first, last): &(u32, f32, f32), at: f64) -> f64 {
        let turned = 1.0 / (1.0 + (-(at - self.turn) / 0.05).exp());
        f64::from(first) * (1.0 - turned) + f64::from(last) * turned
    }
}

/// How likely a place is looked at.
pub fn looked_at(place: usize) -> f64 {
    1.0 / (1.0 + place as f64).sqrt()
}

/// How often each item was taken in the logs.
pub fn taken(logs: &[Log], goods: usize) -> Vec<f32> {
    let mut taken = vec![0.0; goods];
    logs.iter().flatten().for_each(|item| taken[*item as usize] += 1.0);
    taken
}

/// The first part of a log.
pub fn first_part(log: &Log) -> &[u32] {
    &log[..((log.len() as f64 * FIRST) as usize).max(1)]
}

/// Unit rows: a random projection of who took each item.
fn who_took(logs: &[Log], goods: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut rows = vec![0.0f32; goods * WHO];
    for log in logs {
        let who: Vec<f32> = (0..WHO).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
        for item in log {
            rows[*item as usize * WHO..][..WHO].iter_mut().zip(&who).for_each(|(x, w)| *x += w);
        }
    }
    for row in rows.chunks_mut(WHO) {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
        row.iter_mut().for_each(|x| *x /= norm);
    }
    rows
}

/// Log odds: how often it was taken, and as much again that nobody sees.
fn qualities(taken: &[f32], rng: &mut ChaCha8Rng) -> Vec<f32> {
    let logs: Vec<f32> = taken.iter().map(|n| n.ln_1p()).collect();
    let mean = logs.iter().sum::<f32>() / logs.len().max(1) as f32;
    let spread = (logs.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / logs.len().max(1) as f32).sqrt().max(1e-6);
    // A sum of twelve uniform numbers less six is nearly standard normal.
    let mut hidden = || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
    logs.iter().map(|x| 0.5 * (x - mean) / spread + 0.5 * hidden()).collect()
}

fn shares(goods: &[u32], interest: &[u32]) -> std::collections::BTreeMap<u32, f32> {
    let mut shares = std::collections::BTreeMap::new();
    let one = 1.0 / goods.len().max(1) as f32;
    goods.iter().for_each(|item| *shares.entry(interest[*item as usize]).or_insert(0.0) += one);
    shares
}

fn shopper(place: usize, log: &Log, interest: &[u32], rng: &mut ChaCha8Rng) -> Shopper {
    let known = first_part(log);
    let (first, last) = (shares(known, interest), shares(&log[known.len()..], interest));
    let all: std::collections::BTreeSet<u32> = first.keys().chain(last.keys()).copied().collect();
    let of = |shares: &std::collections::BTreeMap<u32, f32>, k: &u32| shares.get(k).copied().unwrap_or(0.0);
    Shopper {
        log: place,
        known: known.to_vec(),
        tastes: all.iter().map(|k| (*k, of(&first, k), of(&last, k))).collect(),
        turn: 0.15 + 0.5 * rng.random::<f64>(),
        latent: last.keys().filter(|k| !first.contains_key(k)).copied().collect(),
    }
}

fn fit_of(shoppers: &[Shopper], goods: usize, interests: usize) -> Fit {
    let n = shoppers.len().max(1) as f64;
    let moved = |s: &Shopper| s.tastes.iter().map(|(_, a, b)| f64::from((a - b).abs())).sum::<f64>() / 2.0;
    Fit {
        shoppers: shoppers.len(),
        goods,
        interests,
        drift: shoppers.iter().map(moved).sum::<f64>() / n,
        new_interests: shoppers.iter().map(|s| s.latent.len() as f64).sum::<f64>() / n,
        clicked_at_random: CLICKED,
    }
}

/// The goods of a run: the most taken ones that have a vector, and the logs in their numbers.
pub fn goods(logs: &[Vec<ItemId>], vectors: &ItemVectors, most: usize) -> (Vec<ItemId>, Vec<Log>) {
    let mut taken = vec![0usize; vectors.len()];
    logs.iter().flatten().for_each(|item| taken[item.index()] += 1);
    let mut goods: Vec<ItemId> = (0..vectors.len() as u32).map(ItemId).filter(|i| vectors.get(*i).is_some()).collect();
    goods.sort_by_key(|item| (std::cmp::Reverse(taken[item.index()]), *item));
    goods.truncate(most);
    goods.retain(|item| taken[item.index()] > 0);
    let mut number = vec![u32::MAX; vectors.len()];
    goods.iter().enumerate().for_each(|(i, item)| number[item.index()] = i as u32);
    let renumber = |log: &Vec<ItemId>| log.iter().map(|i| number[i.index()]).filter(|i| *i != u32::MAX).collect();
    (goods, logs.iter().map(renumber).collect())
}
