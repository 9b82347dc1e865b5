//! Every source conforms, and each finds what it is for.

use crate::shop::{Near, bought, clustered, context, source};
use lingxi_data::{Context, ItemId, Recall};
use lingxi_decide::conformance::check_recall;
use lingxi_decide::{ExactRecall, HistoryRecall, HnswConfig, HnswIndex, HnswRecall, LastRecall, Listed, Union};
use std::sync::Arc;

fn ids(items: &[ItemId]) -> Vec<u32> {
    items.iter().map(|i| i.0).collect()
}

fn index() -> Arc<HnswIndex> {
    Arc::new(HnswIndex::build(&clustered(200, 8, 1), 8, &HnswConfig::default(), source()).unwrap())
}

/// Searches from the last item of the history.
fn near_last() -> HnswRecall {
    let index = index();
    let rows = clustered(200, 8, 1);
    HnswRecall::new(
        "near-last",
        index,
        Box::new(move |context: &Context<'_>| {
            let last = context.history.items.last()?.index();
            Some(rows[last * 8..last * 8 + 8].to_vec())
        }),
    )
}

fn near_history() -> HistoryRecall {
    let index = index();
    HistoryRecall::near(8.0, Box::new(move |item, k| index.neighbours(item, k).into_iter().map(|n| n.0).collect()))
}

fn sources() -> Vec<Box<dyn Recall>> {
    vec![
        Box::new(ExactRecall::new(Arc::new(Near { at: 17.0, n: 200 }))),
        Box::new(HistoryRecall::own(8.0)),
        Box::new(near_history()),
        Box::new(near_last()),
        Box::new(LastRecall::new("last", index(), 200)),
        Box::new(Listed::new("popular", (0..200).rev().chain(0..200).map(ItemId))),
    ]
}

#[test]
fn every_source_conforms_for_a_shopper_with_a_past_and_for_one_without() {
    let mut all = sources();
    all.push(Box::new(Union::new(sources())));
    for log in [bought(&[3, 50, 3, 120], 200), bought(&[], 200)] {
        for recall in &all {
            check_recall(&**recall, &context(&log, 9), 200).unwrap();
        }
    }
}

#[test]
fn goods_near_the_last_are_the_same_when_they_were_kept_and_for_every_number_asked() {
    let (index, log) = (index(), bought(&[3, 50], 200));
    let recall = LastRecall::new("last", index.clone(), 200);
    let near = |k| index.neighbours(ItemId(50), k).into_iter().map(|(item, _)| item).collect::<Vec<_>>();
    for k in [7, 20, 7, 199, 300] {
        assert_eq!(recall.recall(&context(&log, 9), k), near(k), "the first {k}");
    }
    assert_eq!(LastRecall::new("last", index.clone(), 9).recall(&context(&log, 9), 7), near(7), "beyond what is kept");
}

#[test]
fn a_recall_that_repeats_itself_is_caught() {
    struct Twice;
    impl Recall for Twice {
        fn name(&self) -> &'static str {
            "twice"
        }
        fn recall(&self, _: &Context<'_>, k: usize) -> Vec<ItemId> {
            vec![ItemId(1); k]
        }
    }
    let law = check_recall(&Twice, &context(&bought(&[], 5), 0), 5).unwrap_err();
    assert!(law.contains("no item twice"), "{law}");
}

#[test]
fn exact_recall_finds_the_best_of_all_goods() {
    let exact = ExactRecall::new(Arc::new(Near { at: 17.2, n: 200 }));
    assert_eq!(ids(&exact.recall(&context(&bought(&[], 200), 0), 4)), [17, 18, 16, 19]);
}

#[test]
fn the_own_past_comes_by_frequency_and_recency() {
    let log = bought(&[5, 5, 9, 7, 5, 7], 10);
    let own = HistoryRecall::own(100.0);
    assert_eq!(ids(&own.recall(&context(&log, 9), 10)), [5, 7, 9]);
    let latest = HistoryRecall::own(0.1);
    assert_eq!(ids(&latest.recall(&context(&log, 9), 2)), [7, 5]);
}

#[test]
fn goods_near_the_past_are_not_the_past_itself() {
    let log = bought(&[3, 50], 200);
    let near = near_history().recall(&context(&log, 9), 20);
    assert_eq!(near.len(), 20);
    assert!(!near.contains(&ItemId(3)) && !near.contains(&ItemId(50)));
}

#[test]
fn an_unknown_shopper_gets_the_list_for_everyone() {
    let union = Union::new(sources().into_iter().skip(1).collect());
    let found = union.recall(&context(&bought(&[], 200), 0), 3);
    assert_eq!(ids(&found), [199, 198, 197]);
}
