//! Slates of ten from a few hundred candidates under everything that moves them: for `bench/decide.py`.
//!
//! Usage: `rerank FOLDER KIND SLATES`. The folder holds `vectors.f32` (rows of 384), `scores.f32` and `brands.f32`; KIND is
//! `mmr`, `dpp` or `all`. Each line on stdin is answered with one line of JSON: seconds a slate, and the items of one slate.

use lingxi_data::catalog::Attribute;
use lingxi_data::{Catalog, Context, Contribution, ItemId, ItemVectors, Policy, Provenance, Rows, Score, Scored};
use lingxi_decide::explore::SquareCbConfig;
use lingxi_decide::rerank::{BoostConfig, DiversityConfig, Exposure, GroupsConfig, RerankConfig, Reranker};
use lingxi_decide::rerank::{SellersConfig, Shaping, Target};
use lingxi_decide::{CapConfig, Explorer, Listed, PolicyConfig, Rules, RulesConfig, Stages, decide};
use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

const DIM: usize = 384;
const WIDTH: usize = 16;

/// Scores that were computed before: re-ranking is what is measured.
struct Known(Vec<f32>);

impl Score for Known {
    fn name(&self) -> &'static str {
        "known"
    }
    fn n_items(&self) -> usize {
        self.0.len()
    }
    fn score(&self, _context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        items.iter().zip(out).for_each(|(item, out)| *out = self.0[item.index()]);
    }
    fn contributions(&self, _context: &Context<'_>, _item: ItemId) -> Vec<Contribution> {
        Vec::new()
    }
}

fn numbers(path: &Path) -> std::io::Result<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn config(kind: &str) -> (RerankConfig, RulesConfig, PolicyConfig) {
    let mmr = RerankConfig { diversity: Some(DiversityConfig::Mmr { strength: 0.5 }), ..Default::default() };
    let dpp = RerankConfig { diversity: Some(DiversityConfig::Dpp { strength: 0.5 }), ..Default::default() };
    let (free, best) = (RulesConfig::default(), PolicyConfig::Greedy {});
    match kind {
        "mmr" => (mmr, free, best),
        "dpp" => (dpp, free, best),
        _ => {
            let boost = |brand: u32| BoostConfig {
                attribute: Some("brand".into()),
                value: Some(format!("brand-{brand}")),
                by: 0.3,
                ..Default::default()
            };
            let all = RerankConfig {
                boosts: vec![boost(1), boost(7)],
                sellers: Some(SellersConfig { attribute: "brand".into(), strength: 0.5, target: Target::Equal }),
                groups: Some(GroupsConfig { by: "age".into(), strength: 0.2 }),
                ..dpp
            };
            let caps = vec![CapConfig { attribute: "brand".into(), most: 2 }];
            let rules = RulesConfig { caps, per_category: Some(3), min_price: Some(0.5), ..Default::default() };
            (all, rules, PolicyConfig::SquareCb(SquareCbConfig::default()))
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, folder, kind, slates] = args.as_slice() else { return Err("usage: rerank FOLDER KIND SLATES".into()) };
    let (folder, slates) = (Path::new(folder), slates.parse::<u64>()?);
    let (scores, brands) = (numbers(&folder.join("scores.f32"))?, numbers(&folder.join("brands.f32"))?);
    let n = scores.len();
    let provenance =
        Provenance { model: "bench".into(), revision: "1".into(), pooling: "mean".into(), normalised: true };
    let vectors = ItemVectors::new(DIM, numbers(&folder.join("vectors.f32"))?, vec![true; n], provenance)?;
    let mut catalog = Catalog::of_ids((0..n).map(|i| format!("item-{i}")).collect());
    catalog.categories = (0..20).map(|c| format!("category-{c}")).collect();
    catalog.category = (0..n as u32).map(|i| Some(lingxi_data::CategoryId(i % 20))).collect();
    catalog.price = (0..n).map(|i| 1.0 + i as f32).collect();
    let values = brands.iter().map(|brand| format!("brand-{brand}")).collect();
    catalog.attributes = vec![Attribute { name: "brand".into(), values }];
    let (rerank, rules, policy) = config(kind);
    let reranker = Reranker::new(rerank, &catalog, &[])?;
    let (rules, mut policy): (Rules, Explorer) = (Rules::new(rules, &catalog)?, policy.build()?);
    let describe = |scored: &mut Scored| {
        let row = |score: &f32| (0..WIDTH).map(|j| if j == 0 { 1.0 } else { score / j as f32 }).collect::<Vec<_>>();
        scored.features = scored.scores.iter().flat_map(row).collect();
    };
    let mut exposure = Exposure::default();
    let recall = Listed::new("all", (0..n as u32).map(ItemId));
    let (score, withdrawn) = (Known(scores), HashSet::new());
    let context = Context { user: None, history: Rows { items: &[], at: &[], kinds: &[], values: &[] }, now: 0 };
    for line in std::io::stdin().lines() {
        line?;
        let (mut seconds, mut shown) = (0.0, Vec::new());
        for seed in 0..slates {
            let started = Instant::now();
            let stages = Stages {
                recall: &recall,
                score: &score,
                rules: &rules,
                policy: &policy,
                candidates: n,
                withdrawn: &withdrawn,
                within: None,
                describe: if kind == "all" { Some(&describe) } else { None },
                shaping: Some(Shaping {
                    reranker: &reranker,
                    vectors: Some(&vectors),
                    exposure: &exposure,
                    group: Some((seed % 4) as u32),
                }),
                explore: 1.0,
            };
            let slate = decide(&stages, &context, 10, seed);
            seconds += started.elapsed().as_secs_f64();
            reranker.observe(&mut exposure, &slate.slots, Some((seed % 4) as u32));
            let lesson = |slot: &lingxi_data::Slot| lingxi_data::Lesson {
                item: slot.item,
                features: slate.features(slot.item).to_vec(),
                reward: (slot.item.0 % 2) as f32,
                weight: 1.0,
            };
            policy.learn(&slate.slots.iter().map(lesson).collect::<Vec<_>>());
            shown = slate.slots.iter().map(|slot| slot.item.0).collect();
        }
        println!("{}", serde_json::json!({ "seconds": seconds / slates as f64, "slate": shown }));
    }
    Ok(())
}
