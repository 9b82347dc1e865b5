//! What shoppers take together -> an encoder whose vectors lie closer together for such goods.
//!
//! The goods that each shopper took, by the training events alone, are companions; the encoder learns to find them among the
//! goods of its batch. So what goods mean becomes what they mean to the shoppers of this shop, also for goods that nobody took yet.

use crate::finetune::learn::{Work, learn};
use crate::recipe::Content;
use crate::site::Site;
use crate::stages::ingest::Shop;
use anyhow::Result;
use lingxi_content::BertEncoder;
use lingxi_content::finetune::{Head, Lessons, Task, Tuning};
use lingxi_data::{Events, Interactions, Purpose, Rows, UserId};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::PathBuf;

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
    /// Share of the shoppers that is held out and says when to stop; default .05.
    #[serde(default = "held_out")]
    pub held_out: f64,
    /// What is trained, and how; the head is `companions`.
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
        let fits = matches!(self.tuning.head, Head::Companions { .. }) && self.tuning.strategy.merges();
        let got = || format!("{:?} with {}", self.tuning.head, self.tuning.strategy.name());
        (!fits).then(|| ("content.tune.tuning", "head companions, and no adapters or prefix", got()))
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
    let mut all = together(&train.for_purpose(Purpose::Training), texts, tune.goods);
    all.shuffle(&mut ChaCha8Rng::seed_from_u64(site.seed));
    all.truncate(tune.shoppers);
    let held = ((all.len() as f64 * tune.held_out) as usize).min(all.len().saturating_sub(1));
    let tokens: Vec<Vec<u32>> = texts.par_iter().map(|text| encoder.tokens_up_to(text, tune.tuning.tokens)).collect();
    let rest = all.split_off(held);
    let lessons = |groups| Lessons { texts: tokens.clone(), task: Task::Groups(groups) };
    let base = (base.as_path(), encoder.revision());
    let unit = (1.0, 0.0);
    let work = Work { title: "tune", name: "goods", tuning: &tune.tuning, base, classes: &[], seed: site.seed, unit };
    Ok(learn(&work, lessons(rest), lessons(all), site)?.model)
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
