//! Several sources as one: the first of each, then the second of each, and so on, so that no source starves another.
//!
//! As everybody has a turn, little of what one source proposes is taken while the others have goods too. So each is asked
//! for twice its share, and for all only if that was not enough: an index that looks for fewer goods looks at fewer.

use lingxi_data::{Context, ItemId, Recall};
use rustc_hash::FxHashSet;

/// Takes from its sources in turn, no item twice.
pub struct Union {
    sources: Vec<Box<dyn Recall>>,
}

impl Union {
    /// Sources in the order in which they take turns.
    pub fn new(sources: Vec<Box<dyn Recall>>) -> Union {
        Union { sources }
    }
}

impl Recall for Union {
    fn name(&self) -> &'static str {
        "union"
    }

    fn recall(&self, context: &Context<'_>, k: usize) -> Vec<ItemId> {
        let take = |each: usize| {
            let lists: Vec<Vec<ItemId>> = self.sources.iter().map(|s| s.recall(context, each)).collect();
            in_turn(&lists, &[], k)
        };
        let twice_the_share = (2 * k).div_ceil(self.sources.len().max(1));
        let taken = take(twice_the_share.min(k));
        if taken.len() == k || twice_the_share >= k { taken } else { take(k) }
    }
}

/// Up to `k` items of `lists` in turn, no item twice and none of `without`.
pub(super) fn in_turn(lists: &[Vec<ItemId>], without: &[ItemId], k: usize) -> Vec<ItemId> {
    let mut seen: FxHashSet<ItemId> = without.iter().copied().collect();
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|turn| lists.iter().filter_map(move |list| list.get(turn)));
    turns.copied().filter(|item| seen.insert(*item)).take(k).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_its_turn_and_no_item_comes_twice() {
        let list = |ids: &[u32]| ids.iter().copied().map(ItemId).collect::<Vec<_>>();
        let lists = [list(&[1, 2, 3]), list(&[2]), list(&[7, 1, 8, 9])];
        assert_eq!(in_turn(&lists, &[], 10), list(&[1, 2, 7, 3, 8, 9]));
        assert_eq!(in_turn(&lists, &list(&[7]), 3), list(&[1, 2, 3]));
    }

    /// The items from one number up to another.
    struct Range(u32, u32);

    impl Recall for Range {
        fn name(&self) -> &'static str {
            "range"
        }

        fn recall(&self, _: &Context<'_>, k: usize) -> Vec<ItemId> {
            (self.0..self.1).take(k).map(ItemId).collect()
        }
    }

    #[test]
    fn asking_for_shares_first_gives_what_asking_for_all_gives() {
        let nobody = Context { user: None, history: Default::default(), now: 0 };
        for lengths in [[100, 100, 100, 100], [100, 0, 0, 0], [3, 9, 0, 40], [1, 1, 1, 1], [0, 0, 0, 0]] {
            for apart in [50, 1000] {
                let ranges = || (0..4).zip(lengths).map(|(i, n)| Range(i * apart, i * apart + n));
                let union = Union::new(ranges().map(|range| Box::new(range) as Box<dyn Recall>).collect());
                for k in [0, 1, 7, 20, 200] {
                    let all: Vec<Vec<ItemId>> = ranges().map(|range| range.recall(&nobody, k)).collect();
                    assert_eq!(union.recall(&nobody, k), in_turn(&all, &[], k), "{lengths:?}, {apart} apart, {k}");
                }
            }
        }
    }
}
