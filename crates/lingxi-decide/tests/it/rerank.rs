//! Varied, fair and what the shop wants, with propensities that stay exact.

use crate::shop::{Near, bought, catalog, context};
use lingxi_data::catalog::Attribute;
use lingxi_data::{Catalog, ItemId, ItemVectors, Provenance};
use lingxi_decide::rerank::{BoostConfig, Cause, DiversityConfig, Exposure, GroupsConfig, RerankConfig, Reranker};
use lingxi_decide::rerank::{SellersConfig, Shaping, Target, fair};
use lingxi_decide::{CapConfig, Listed, PolicyConfig, Rule, Rules, RulesConfig, Slate, Stages, decide};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{HashMap, HashSet};

const N: usize = 24;

/// Goods of four brands in turn; two in three belong to the first.
fn goods() -> Catalog {
    let mut goods = catalog(N);
    let brand = |i: usize| if i.is_multiple_of(3) { format!("brand-{}", 1 + i / 3 % 3) } else { "brand-0".into() };
    goods.attributes = vec![Attribute { name: "brand".into(), values: (0..N).map(brand).collect() }];
    goods
}

fn vectors() -> ItemVectors {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut data: Vec<f32> = (0..N * 4).map(|_| rng.random::<f32>() - 0.5).collect();
    for row in data.chunks_mut(4) {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= norm);
    }
    let provenance =
        Provenance { model: "test".into(), revision: "1".into(), pooling: "mean".into(), normalised: true };
    ItemVectors::new(4, data, vec![true; N], provenance).unwrap()
}

struct Shop {
    goods: Catalog,
    vectors: ItemVectors,
    reranker: Reranker,
    exposure: Exposure,
    rules: RulesConfig,
    policy: PolicyConfig,
}

fn shop(config: RerankConfig) -> Shop {
    let goods = goods();
    let reranker = Reranker::new(config, &goods, &[1.0; N]).unwrap();
    let (rules, policy) = (RulesConfig::default(), PolicyConfig::Greedy {});
    Shop { goods, vectors: vectors(), reranker, exposure: Exposure::default(), rules, policy }
}

impl Shop {
    fn slate(&self, at: f32, n: usize, group: Option<u32>, seed: u64) -> Slate {
        let log = bought(&[], N);
        let recall = Listed::new("all", (0..N as u32).map(ItemId));
        let (rules, policy) = (Rules::new(self.rules.clone(), &self.goods).unwrap(), self.policy.build().unwrap());
        let (reranker, vectors, exposure) = (&self.reranker, Some(&self.vectors), &self.exposure);
        let stages = Stages {
            recall: &recall,
            score: &Near { at, n: N },
            rules: &rules,
            policy: &policy,
            candidates: N,
            withdrawn: &HashSet::new(),
            within: None,
            describe: None,
            shaping: Some(Shaping { reranker, vectors, exposure, group }),
            explore: 1.0,
        };
        decide(&stages, &context(&log, 1), n, seed)
    }
}

fn cosine(vectors: &ItemVectors, a: ItemId, b: ItemId) -> f64 {
    let (a, b) = (vectors.get(a).unwrap(), vectors.get(b).unwrap());
    a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
}

/// Scores in their own standard deviations, as moves are measured.
fn standard(slate: &Slate) -> HashMap<ItemId, f64> {
    let scores: Vec<f64> = slate.scored.scores.iter().map(|s| f64::from(*s)).collect();
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let spread = (scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / scores.len() as f64).sqrt();
    slate.scored.items.iter().copied().zip(scores.iter().map(|s| s / spread)).collect()
}

/// Determinant by elimination.
fn determinant(mut m: Vec<Vec<f64>>) -> f64 {
    let mut product = 1.0;
    for k in 0..m.len() {
        product *= m[k][k];
        for i in k + 1..m.len() {
            let (pivot, factor) = (m[k].clone(), m[i][k] / m[k][k]);
            m[i].iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
        }
    }
    product
}

fn greedy(slate: &Slate, n: usize, gain: impl Fn(&[ItemId], ItemId) -> f64) -> Vec<ItemId> {
    let mut chosen: Vec<ItemId> = Vec::new();
    for _ in 0..n {
        let left = slate.scored.items.iter().copied().filter(|item| !chosen.contains(item));
        let best = left.max_by(|a, b| gain(&chosen, *a).total_cmp(&gain(&chosen, *b))).unwrap();
        chosen.push(best);
    }
    chosen
}

fn items(slate: &Slate) -> Vec<ItemId> {
    slate.slots.iter().map(|slot| slot.item).collect()
}

#[test]
fn dpp_slates_are_those_that_greedy_determinants_give() {
    let config = RerankConfig { diversity: Some(DiversityConfig::Dpp { strength: 0.5 }), ..Default::default() };
    let shop = shop(config);
    for at in 0..8 {
        // Four dimensions span four places; the fifth would only add rounding.
        let slate = shop.slate(at as f32 * 3.0 + 0.1, 4, None, 1);
        let score = standard(&slate);
        let gain = |chosen: &[ItemId], item: ItemId| {
            let all: Vec<ItemId> = chosen.iter().copied().chain([item]).collect();
            let row =
                |a: &ItemId| all.iter().map(|b| if a == b { 1.0 } else { cosine(&shop.vectors, *a, *b) }).collect();
            let before: f64 = determinant(
                all[..chosen.len()]
                    .iter()
                    .map(|a| {
                        all[..chosen.len()]
                            .iter()
                            .map(|b| if a == b { 1.0 } else { cosine(&shop.vectors, *a, *b) })
                            .collect()
                    })
                    .collect(),
            );
            score[&item] + 0.5 * (determinant(all.iter().map(row).collect()) / before).max(1e-4).ln()
        };
        assert_eq!(items(&slate), greedy(&slate, 4, gain), "at {at}");
    }
}

#[test]
fn mmr_slates_are_those_that_its_definition_gives() {
    let config = RerankConfig { diversity: Some(DiversityConfig::Mmr { strength: 0.8 }), ..Default::default() };
    let shop = shop(config);
    for at in 0..8 {
        let slate = shop.slate(at as f32 * 3.0 + 0.1, 6, None, 1);
        let score = standard(&slate);
        let gain = |chosen: &[ItemId], item: ItemId| {
            let most = chosen.iter().map(|c| cosine(&shop.vectors, *c, item)).fold(0.0, f64::max);
            score[&item] - 0.8 * most
        };
        assert_eq!(items(&slate), greedy(&slate, 6, gain), "at {at}");
    }
}

#[test]
fn propensities_stay_exact_under_everything_that_moves_candidates() {
    let mut shop = shop(RerankConfig {
        diversity: Some(DiversityConfig::Dpp { strength: 0.7 }),
        boosts: vec![BoostConfig { category: Some("dairy".into()), by: 0.5, ..Default::default() }],
        sellers: Some(SellersConfig { attribute: "brand".into(), strength: 1.0, target: Target::Equal }),
        groups: None,
    });
    shop.policy = PolicyConfig::Softmax { temperature: 3.0 };
    shop.rules.caps = vec![CapConfig { attribute: "brand".into(), most: 1 }];
    let greedy = [0u32, 3].map(ItemId);
    shop.exposure.sellers.observe(greedy.map(|item| shop.reranker.seller(item)));
    let mut reached: HashMap<Vec<ItemId>, HashMap<ItemId, (f64, f64)>> = HashMap::new();
    for seed in 0..4000 {
        let slate = shop.slate(4.0, 2, None, seed);
        for (place, slot) in slate.slots.iter().enumerate() {
            let seen = reached.entry(items(&slate)[..place].to_vec()).or_default().entry(slot.item).or_default();
            *seen = (seen.0 + 1.0, f64::from(slot.propensity));
        }
    }
    for (before, seen) in reached {
        let n: f64 = seen.values().map(|s| s.0).sum();
        for (item, (count, p)) in seen.iter().filter(|_| n > 200.0) {
            let allowed = 5.0 * (p * (1.0 - p) / n).sqrt() + 2.0 / n;
            assert!((count / n - p).abs() < allowed, "after {before:?}: {item:?} {p} drawn {} of {n}", count / n);
        }
    }
}

#[test]
fn boosts_move_what_they_name_and_say_so() {
    let boost =
        BoostConfig { attribute: Some("brand".into()), value: Some("brand-2".into()), by: 9.0, ..Default::default() };
    let slate = shop(RerankConfig { boosts: vec![boost], ..Default::default() }).slate(0.0, 3, None, 1);
    assert_eq!(items(&slate)[..2], [ItemId(3), ItemId(12)], "the two goods of that brand that are near, best first");
    assert_eq!((slate.moved[0][0].cause, slate.moved[0][0].by), (Cause::Boost, 9.0));
    let held = BoostConfig { items: vec!["item-0".into()], by: -9.0, ..Default::default() };
    let slate = shop(RerankConfig { boosts: vec![held], ..Default::default() }).slate(0.0, 3, None, 1);
    assert_eq!(items(&slate), [1, 2, 3].map(ItemId));
    assert!(slate.moved.iter().all(Vec::is_empty), "nothing moved what is shown");
}

#[test]
fn at_most_so_many_of_a_brand_are_shown_and_the_others_named() {
    let mut shop = shop(RerankConfig::default());
    shop.rules.caps = vec![CapConfig { attribute: "brand".into(), most: 1 }];
    let slate = shop.slate(0.0, 4, None, 1);
    let brands: HashSet<_> = slate.slots.iter().map(|s| &shop.goods.attributes[0].values[s.item.index()]).collect();
    assert_eq!((slate.slots.len(), brands.len()), (4, 4));
    assert!(slate.kept_away.iter().all(|kept| kept.rule == Rule::Cap { cap: 0, most: 1 }), "{:?}", slate.kept_away);
    assert!(!slate.kept_away.is_empty());
}

/// Exposure gap of sellers, and mean score of what was shown, after 400 slates.
fn serve(strength: f32) -> (f64, f64) {
    let sellers = SellersConfig { attribute: "brand".into(), strength, target: Target::Equal };
    let mut shop = shop(RerankConfig { sellers: Some(sellers), ..Default::default() });
    let mut score = 0.0;
    for turn in 0..400 {
        let slate = shop.slate((turn * 7 % 24) as f32, 4, None, turn as u64);
        score += slate.slots.iter().map(|s| f64::from(s.score)).sum::<f64>();
        shop.reranker.observe(&mut shop.exposure, &slate.slots, None);
    }
    (fair::gap(&shop.exposure.sellers.shares(4), shop.reranker.due()), score / 1600.0)
}

#[test]
fn sellers_come_nearer_to_their_share_the_harder_they_are_pulled_at_a_price_in_score() {
    let (none, some, much) = (serve(0.0), serve(0.5), serve(3.0));
    assert!(some.0 < none.0 && much.0 < 0.2 * none.0, "{none:?} {some:?} {much:?}");
    assert!(much.1 < none.1, "it costs something");
}

#[test]
fn groups_of_shoppers_are_shown_the_same_mix_where_the_shop_wants_it() {
    let run = |strength| {
        let groups = GroupsConfig { by: "age".into(), strength };
        let mut shop = shop(RerankConfig { groups: Some(groups), ..Default::default() });
        for turn in 0..300u64 {
            // Each group is near goods of one category.
            let group = (turn % 2) as u32;
            let slate = shop.slate(group as f32 + 0.2, 1, Some(group), turn);
            shop.reranker.observe(&mut shop.exposure, &slate.slots, Some(group));
        }
        fair::disparity(&shop.exposure, 3)
    };
    let (apart, together) = (run(0.0), run(2.0));
    assert!(apart > 0.45 && together < 0.1, "{apart} {together}");
}

#[test]
fn what_cannot_be_is_named() {
    let refuse = |config: RerankConfig, what: &str| {
        let why = Reranker::new(config, &goods(), &[]).unwrap_err().to_string();
        assert!(why.contains(what), "{why}");
    };
    let brand = |strength| SellersConfig { attribute: "brand".into(), strength, target: Target::Goods };
    refuse(RerankConfig { sellers: Some(brand(-1.0)), ..Default::default() }, "sellers.strength");
    let shelf = SellersConfig { attribute: "shelf".into(), ..brand(1.0) };
    refuse(RerankConfig { sellers: Some(shelf), ..Default::default() }, "shelf\" (columns: brand)");
    refuse(RerankConfig { boosts: vec![BoostConfig::default()], ..Default::default() }, "boosts");
    let half = BoostConfig { attribute: Some("brand".into()), by: 1.0, ..Default::default() };
    refuse(RerankConfig { boosts: vec![half], ..Default::default() }, "boosts.attribute");
    let rules = RulesConfig { caps: vec![CapConfig { attribute: "shelf".into(), most: 1 }], ..Default::default() };
    assert!(Rules::new(rules, &goods()).unwrap_err().to_string().contains("caps.attribute"));
    let none = RulesConfig { caps: vec![CapConfig { attribute: "brand".into(), most: 0 }], ..Default::default() };
    assert!(Rules::new(none, &goods()).is_err());
    assert!(serde_json::from_str::<RerankConfig>(r#"{"diversity":{"kind":"mmr","force":1}}"#).is_err());
}
