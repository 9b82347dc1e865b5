//! The whole way from a shopper to a slate.

use crate::shop::{Near, bought, catalog, context};
use lingxi_data::{Context, ItemId, Score};
use lingxi_decide::{
    HistoryRecall, Listed, PolicyConfig, Repeats, Rule, Rules, RulesConfig, Slate, Stages, Union, consider, decide,
    rank,
};
use std::collections::HashSet;

fn slate(policy: PolicyConfig, config: RulesConfig, past: &[u32], n: usize, seed: u64) -> Slate {
    with_stages(policy, config, past, None, |stages, context| decide(stages, context, n, seed))
}

fn with_stages<T>(
    policy: PolicyConfig,
    config: RulesConfig,
    past: &[u32],
    within: Option<&[ItemId]>,
    ask: impl FnOnce(&Stages<'_>, &Context<'_>) -> T,
) -> T {
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
        policy: &policy,
        candidates: 20,
        withdrawn: &withdrawn,
        within,
        describe: None,
        shaping: None,
        explore: 1.0,
    };
    ask(&stages, &context(&log, 30))
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
fn within_a_category_only_its_goods_are_candidates_and_propensities_are_those_among_them() {
    let goods = [3, 4, 21, 25].map(ItemId);
    let policy = PolicyConfig::EpsilonGreedy { epsilon: 0.4 };
    let ask = |stages: &Stages<'_>, context: &Context<'_>| decide(stages, context, 9, 5);
    let slate = with_stages(policy, RulesConfig::default(), &[10], Some(&goods), ask);
    let mut items = shown(&slate);
    items.sort_unstable();
    assert_eq!(items, [3, 4, 21, 25]);
    // One of four at random with probability 0.4, the best one otherwise.
    let first = &slate.slots[0];
    let expected = if first.item == slate.scored.items[0] { 0.6 + 0.4 / 4.0 } else { 0.4 / 4.0 };
    assert!((first.propensity - expected).abs() < 1e-6, "{first:?}");
}

#[test]
fn an_item_stands_where_its_score_puts_it_or_is_no_candidate_and_its_rule_is_named() {
    let config = RulesConfig { repeats: Repeats::Never {}, ..RulesConfig::default() };
    let standing = |item: u32| {
        let ask = |stages: &Stages<'_>, context: &Context<'_>| consider(stages, context, ItemId(item));
        with_stages(PolicyConfig::Greedy {}, config.clone(), &[10], None, ask)
    };
    let taken = standing(10).unwrap();
    assert_eq!((taken.rank, taken.rule), (Some(0), Some(Rule::AlreadyBought)));
    let next = standing(11).unwrap();
    assert!(next.rule.is_none() && next.rank.is_some_and(|rank| rank == 1 || rank == 2), "{next:?}");
    let far = standing(29).unwrap();
    assert_eq!((far.rank, far.rule), (None, None), "beyond the candidates");
    assert!(far.score < next.score);
    assert_eq!(standing(99), None);
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
