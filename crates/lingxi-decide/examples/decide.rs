//! From a shopper's past to a slate with a propensity for every place.
//!
//! `cargo run -p lingxi-decide --example decide`

use lingxi_data::{Catalog, Context, Event, EventKind, Fingerprint, Interactions, ItemId, Purpose, UserId};
use lingxi_data::{Contribution, Policy, Score};
use lingxi_decide::{
    HistoryRecall, HnswConfig, HnswIndex, Listed, PolicyConfig, Rules, RulesConfig, Stages, Union, decide,
};
use std::collections::HashSet;
use std::sync::Arc;

/// Stands for a fitted model of `lingxi-behaviour`: cheaper is better.
struct Cheap(Vec<f32>);

impl Score for Cheap {
    fn name(&self) -> &'static str {
        "cheap"
    }
    fn n_items(&self) -> usize {
        self.0.len()
    }
    fn score(&self, _context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        items.iter().zip(out).for_each(|(item, out)| *out = -self.0[item.index()]);
    }
    fn contributions(&self, _context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        let value = -self.0[item.index()];
        vec![Contribution { model: "cheap", because: lingxi_data::Because::Baseline, value }]
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut goods = Catalog::of_ids(["milk", "oat milk", "bread", "rye bread", "apple", "pear"].iter().collect());
    goods.price = vec![1.1, 1.9, 2.5, 2.9, 0.5, 0.6];
    let vectors = [1.0, 0.0, 0.9, 0.2, 0.1, 1.0, 0.0, 1.0, 0.7, 0.7, 0.6, 0.8];

    let bought_milk = Event { user: UserId(0), item: ItemId(0), at: 0, kind: EventKind::Buy, value: 1.0 };
    let log = Interactions::from_events(vec![bought_milk], 1, goods.len())?;
    let history = log.for_purpose(Purpose::Serving).of(UserId(0));
    let context = Context { user: Some(UserId(0)), history, now: 86_400 };

    let index = Arc::new(HnswIndex::build(&vectors, 2, &HnswConfig::default(), Fingerprint::of_json(&goods.ids))?);
    let near = move |item, k| index.neighbours(item, k).into_iter().map(|(item, _)| item).collect();
    let recall = Union::new(vec![
        Box::new(HistoryRecall::own(20.0)),
        Box::new(HistoryRecall::near(20.0, Box::new(near))),
        Box::new(Listed::new("popular", [4, 5].map(ItemId))),
    ]);
    let rules = Rules::new(RulesConfig::default(), &goods)?;
    let policy = PolicyConfig::EpsilonGreedy { epsilon: 0.1 }.build()?;
    let score = Cheap(goods.price.clone());

    let stages = Stages {
        recall: &recall,
        score: &score,
        rules: &rules,
        policy: &policy,
        candidates: 4,
        withdrawn: &HashSet::new(),
        within: None,
        describe: None,
        shaping: None,
        explore: 1.0,
    };
    println!("policy {}", policy.version());
    for slot in decide(&stages, &context, 3, 7).slots {
        println!("{:<10} score {:.2} propensity {:.3}", goods.label(slot.item), slot.score, slot.propensity);
    }
    Ok(())
}
