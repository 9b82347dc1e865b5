//! What shoppers take -> an encoder by whose vectors such goods are found.
//!
//! By the training events alone. Either the goods that each shopper took are companions, and the encoder learns to find them among the
//! goods of its batch; or it learns what came next after a weighed past, among all goods. Then a share of the goods is held out, as if nobody
//! had taken them: how often those are found says when to stop, and how far to go from where the encoder began. So what goods mean becomes
//! what they mean to the shoppers of this shop, also for goods that nobody took yet.

use crate::finetune::learn::{Work, learn};
use crate::recipe::Content;
use crate::site::Site;
use crate::stages::ingest::Shop;
use anyhow::Result;
use lingxi_behaviour::history::HistoryWeights;
use lingxi_content::BertEncoder;
use lingxi_content::finetune::{Head, Lessons, Task, Tuning, Visit};
use lingxi_data::{Context, Events, Interactions, Purpose, Rows, UserId};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::PathBuf;

/// Most visits that say when to stop.
const HELD: usize = 4_000;

/// How the encoder learns from shoppers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuneGoods {
    /// Most shoppers that are learned from, drawn evenly; default 20,000.
    #[serde(default = "shoppers")]
    pub shoppers: usize,
    /// Most goods of a shopper, the last ones; default 8.
    #[serde(default = "goods")]
    pub goods: usize,
    /// Share that is held out and says when to stop: of the shoppers, or of the goods where the head asks what comes next; default .05.
    #[serde(default = "held_out")]
    pub held_out: f64,
    /// What a past says, where the head asks what comes next.
    #[serde(default)]
    pub history: HistoryWeights,
    /// Shares of the way from where the encoder began; what is held out chooses. Default all the way.
    #[serde(default)]
    pub ways: Vec<f32>,
    /// What is trained, and how; the head is `companions` or `next`.
    pub tuning: Tuning,
}

fn shoppers() -> usize {
    20_000
}

fn goods() -> usize {
    8
}

fn held_out() -> f64 {
    0.05
}

impl TuneGoods {
    /// The first field that is out of its range, with what was expected and what came.
    pub fn wrong(&self) -> Option<(&'static str, &'static str, String)> {
        if !(2..=10_000_000).contains(&self.shoppers) {
            return Some(("content.tune.shoppers", "2 to 10,000,000", self.shoppers.to_string()));
        }
        if !(2..=100).contains(&self.goods) {
            return Some(("content.tune.goods", "2 to 100", self.goods.to_string()));
        }
        if !(0.0..0.5).contains(&self.held_out) {
            return Some(("content.tune.held_out", "0 to below 0.5", self.held_out.to_string()));
        }
        if let Err(why) = self.history.validate() {
            return Some(("content.tune.history", "weights of a past", why.to_string()));
        }
        if !self.ways.iter().all(|way| (0.0..=1.0).contains(way)) {
            return Some(("content.tune.ways", "shares from 0 to 1", format!("{:?}", self.ways)));
        }
        let fits = matches!(self.tuning.head, Head::Companions { .. } | Head::Next { .. });
        let got = || format!("{:?} with {}", self.tuning.head, self.tuning.strategy.name());
        let fits = fits && self.tuning.strategy.merges();
        (!fits).then(|| ("content.tune.tuning", "head companions or next, and no adapters or prefix", got()))
    }
}

/// The directory of an encoder tuned on `train`.
///
/// # Errors
/// A model or a folder that cannot be used; too few pairs.
pub fn tune(tune: &TuneGoods, content: &Content, shop: &Shop, train: &Interactions, site: &Site) -> Result<PathBuf> {
    let base = site.assets.ensure(&content.encoder, &site.progress)?;
    let encoder = BertEncoder::load(&base, lingxi_content::Precision::F32)?;
    let texts = &shop.data.catalog.texts;
    let tokens: Vec<Vec<u32>> = texts.par_iter().map(|text| encoder.tokens_up_to(text, tune.tuning.tokens)).collect();
    let events = train.for_purpose(Purpose::Training);
    let [learned, held] = match tune.tuning.head {
        Head::Next { .. } => next(tune, &events, texts, site.seed),
        _ => companions(tune, &events, texts, site.seed),
    };
    let lessons = |task| Lessons { texts: tokens.clone(), task };
    let base = (base.as_path(), encoder.revision());
    let work = Work {
        title: "tune",
        name: "goods",
        tuning: &tune.tuning,
        base,
        classes: &[],
        seed: site.seed,
        unit: (1.0, 0.0),
        ways: &tune.ways,
    };
    Ok(learn(&work, lessons(learned), lessons(held), site)?.model)
}

/// What is learned, and what is held out: shoppers.
fn companions(tune: &TuneGoods, events: &Events<'_>, texts: &[String], seed: u64) -> [Task; 2] {
    let mut all = together(events, texts, tune.goods);
    all.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    all.truncate(tune.shoppers);
    let held = ((all.len() as f64 * tune.held_out) as usize).min(all.len().saturating_sub(1));
    let rest = all.split_off(held);
    [Task::Groups(rest), Task::Groups(all)]
}

/// What is learned, and what is held out: goods. They are in nobody's past, and no rivals while the others are learned.
fn next(tune: &TuneGoods, events: &Events<'_>, texts: &[String], seed: u64) -> [Task; 2] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let counts = events.item_counts();
    let taken = |item: &u32| counts[*item as usize] > 0 && !texts[*item as usize].is_empty();
    let mut goods: Vec<u32> = (0..texts.len() as u32).filter(taken).collect();
    goods.shuffle(&mut rng);
    let new: HashSet<u32> = goods.drain(..(goods.len() as f64 * tune.held_out) as usize).collect();
    let known: HashSet<u32> = goods.iter().copied().collect();
    let mut shoppers: Vec<(UserId, Rows<'_>)> = events.users().collect();
    shoppers.shuffle(&mut rng);
    shoppers.truncate(tune.shoppers);
    let (mut learned, mut held) = (Vec::new(), Vec::new());
    for (user, rows) in shoppers {
        for at in (1..rows.len()).rev().take(tune.goods) {
            let (history, next) = (rows.first(at), rows.items[at].0);
            let context = Context { user: Some(user), history, now: rows.at[at] };
            let mut past: Vec<(u32, f32)> =
                tune.history.weigh(&context, texts.len()).into_iter().map(|past| (past.item.0, past.weight)).collect();
            past.retain(|(item, _)| known.contains(item));
            let whole: f32 = past.iter().map(|(_, weight)| weight).sum();
            past.iter_mut().for_each(|(_, weight)| *weight /= whole);
            if past.is_empty() || history.items.iter().any(|item| item.0 == next) {
                continue;
            }
            match (known.contains(&next), new.contains(&next)) {
                (true, _) => learned.push(Visit { past, next }),
                (_, true) => held.push(Visit { past, next }),
                _ => {}
            }
        }
    }
    held.truncate(HELD);
    goods.sort_unstable();
    let mut all: Vec<u32> = goods.iter().chain(&new).copied().collect();
    all.sort_unstable();
    [Task::Visits { rivals: goods, visits: learned }, Task::Visits { rivals: all, visits: held }]
}

/// The last goods with text of each shopper who took at least two.
fn together(events: &Events<'_>, texts: &[String], most: usize) -> Vec<Vec<u32>> {
    let last = |(user, rows): (UserId, Rows<'_>)| {
        let mut items: Vec<u32> = rows.iter(user).map(|event| event.item.0).collect();
        items.retain(|item| !texts[*item as usize].is_empty());
        let mut seen = HashSet::new();
        items.into_iter().rev().filter(|item| seen.insert(*item)).take(most).collect::<Vec<_>>()
    };
    events.users().map(last).filter(|group| group.len() > 1).collect()
}
