//! The whole way from a shopper to a slate.

use crate::shop::{Near, bought, catalog, context};
use lingxi_data::{Context, ItemId, Score};
use lingxi_decide::{
    HistoryRecall, Listed, PolicyConfig, Repeats, Rule, Rules, RulesConfig, Slate, Stages, Union, decide, rank,
};
use std::collections::HashSet;

fn slate(policy: PolicyConfig, config: RulesConfig, past: &[u32], n: usize, seed: u64) -> Slate {
    let log = bought(past, 30);
    let recall =
        Union::new(vec![Box::new(HistoryRecall::own(10.0)), Box::new(Listed::new("popular", (0..30).map(ItemId)))]);
    let rules = Rules::new(config, &catalog(30)).unwrap();
    let policy = policy.build().unwrap();
    let score = Near { at: 10.0, n: 30 };
    let withdrawn = HashSet::new();
    let stages = Stages {
        recall: &recall,
        score: &score,
        rules: &rules,
        policy: &*policy,
        candidates: 20,
        withdrawn: &withdrawn,
    };
    decide(&stages, &context(&log, 30), n, seed)
}

fn shown(slate: &Slate) -> Vec<u32> {
    slate.slots.iter().map(|s| s.item.0).collect()
}

#[test]
fn the_best_candidates_within_the_rules_are_shown_and_the_others_named() {
    let config = RulesConfig { repeats: Repeats::Never {}, per_category: Some(1), ..RulesConfig::default() };
    let slate = slate(PolicyConfig::Greedy {}, config, &[10, 9], 3, 1);
    assert_eq!(shown(&slate), [11, 12, 7]);
    assert!(slate.slots.iter().all(|s| s.propensity == 1.0 && !s.explored));
    let kept: Vec<(u32, Rule)> = slate.kept_away.iter().map(|kept| (kept.item.0, kept.rule)).collect();
    assert_eq!(kept[..2], [(10, Rule::AlreadyBought), (9, Rule::AlreadyBought)]);
    assert!(kept[2..].iter().all(|(_, rule)| matches!(rule, Rule::CategoryCap { most: 1, .. })), "{kept:?}");
}

#[test]
fn a_seed_decides_the_slate_and_another_seed_explores_elsewhere() {
    let run = |seed| slate(PolicyConfig::Softmax { temperature: 2.0 }, RulesConfig::default(), &[25], 5, seed);
    assert_eq!(run(3), run(3));
    assert!((0..20).any(|seed| shown(&run(seed)) != shown(&run(3))));
}

#[test]
fn the_shoppers_own_goods_are_candidates_beyond_the_list() {
    let slate = slate(PolicyConfig::Greedy {}, RulesConfig::default(), &[29, 28], 30, 1);
    assert!(slate.scored.items.contains(&ItemId(29)));
    assert_eq!(slate.slots.len(), 20, "as many places as candidates");
}

#[test]
fn ranking_leaves_out_what_the_model_does_not_know_and_puts_nan_last() {
    struct Odd;
    impl Score for Odd {
        fn name(&self) -> &'static str {
            "odd"
        }
        fn n_items(&self) -> usize {
            5
        }
        fn score(&self, _: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
            for (item, out) in items.iter().zip(out) {
                *out = if item.0 == 1 { f32::NAN } else { item.0 as f32 };
            }
        }
        fn contributions(&self, _: &Context<'_>, _: ItemId) -> Vec<lingxi_data::Contribution> {
            Vec::new()
        }
    }
    let log = bought(&[], 9);
    let scored = rank(&Odd, &context(&log, 0), [1, 8, 2, 4].map(ItemId).to_vec());
    assert_eq!(scored.items, [4, 2, 1].map(ItemId));
}
