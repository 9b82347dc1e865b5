//! Hundreds of contributions to one score -> a handful of parts that a person can read, with the same sum.
//!
//! Contributions for the same cause are added over the models that made them. Past goods of one category that count for the
//! same cause become one part, led by the strongest of them. The largest parts stay, the rest are added up as "other".

use lingxi_data::{Because, Catalog, CategoryId, Contribution, EventKind, ItemId};
use std::collections::HashMap;

/// At most so many parts are shown, "other" among them.
pub(super) const MOST: usize = 5;

/// A part that stays in the background unless its share of all that was added or taken away reaches this.
const SMALL: f64 = 0.02;

/// A part before it has words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub cause: Cause,
    /// Sum of its contributions; f64, since hundreds of them may cancel out.
    pub value: f64,
    /// The past goods in it, the strongest first, with what was done with each (of [`Cause::Resembles`] known goods); empty
    /// for causes without.
    pub past: Vec<(ItemId, EventKind)>,
    /// How many causes it stands for.
    pub merged: usize,
}

/// What brings contributions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Cause {
    BoughtTogether(Near),
    SimilarMeaning(Near),
    Repeat,
    Popular,
    Trending,
    PopularInCategory(CategoryId),
    Resembles,
    Baseline,
    Other,
}

/// Past goods that are told as one: those of one category, or one without a category alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Near {
    Category(CategoryId),
    Item(ItemId),
}

/// One contribution: the past item behind it, if there is one, and its value.
type Member = (Option<(ItemId, EventKind)>, f64);

/// Groups contributions, the largest first. The values add up to those of `contributions` within f64 rounding.
pub(super) fn group(contributions: &[Contribution], catalog: &Catalog) -> Vec<Group> {
    let mut groups: HashMap<Cause, Vec<Member>> = HashMap::new();
    for contribution in contributions {
        let (cause, past) = cause(contribution.because, catalog);
        groups.entry(cause).or_default().push((past, f64::from(contribution.value)));
    }
    let mut groups: Vec<Group> = groups.into_iter().map(|(cause, members)| one(cause, members)).collect();
    groups.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()).then(a.cause.cmp(&b.cause)));
    fold_small(groups)
}

fn cause(because: Because, catalog: &Catalog) -> (Cause, Option<(ItemId, EventKind)>) {
    let near = |item: ItemId| match catalog.category.get(item.index()).copied().flatten() {
        Some(category) => Near::Category(category),
        None => Near::Item(item),
    };
    match because {
        Because::BoughtTogether { item, kind } => (Cause::BoughtTogether(near(item)), Some((item, kind))),
        Because::SimilarMeaning { item, kind } => (Cause::SimilarMeaning(near(item)), Some((item, kind))),
        Because::Repeat => (Cause::Repeat, None),
        Because::Popular => (Cause::Popular, None),
        Because::Trending => (Cause::Trending, None),
        Because::PopularInCategory { category } => (Cause::PopularInCategory(category), None),
        Because::Resembles { item } => (Cause::Resembles, Some((item, EventKind::Other))),
        Because::Baseline => (Cause::Baseline, None),
    }
}

fn one(cause: Cause, members: Vec<Member>) -> Group {
    let value: f64 = members.iter().map(|(_, value)| value).sum();
    let mut past: HashMap<ItemId, (EventKind, f64)> = HashMap::new();
    for ((item, kind), value) in members.iter().filter_map(|(past, value)| Some(((*past)?, value))) {
        past.entry(item).or_insert((kind, 0.0)).1 += value;
    }
    let mut past: Vec<(ItemId, EventKind, f64)> = past.into_iter().map(|(item, (kind, v))| (item, kind, v)).collect();
    // The leader pulls the way the whole part does.
    past.sort_by(|a, b| (b.2 * value.signum()).total_cmp(&(a.2 * value.signum())).then(a.0.cmp(&b.0)));
    Group { cause, value, past: past.into_iter().map(|(item, kind, _)| (item, kind)).collect(), merged: 1 }
}

/// Adds the small groups up as [`Cause::Other`], at the end. `groups`: the largest first.
fn fold_small(mut groups: Vec<Group>) -> Vec<Group> {
    let all: f64 = groups.iter().map(|g| g.value.abs()).sum();
    let large = groups.iter().take_while(|g| g.value.abs() >= SMALL * all).count();
    let keep = if groups.len() <= MOST && large == groups.len() { large } else { large.min(MOST - 1) };
    let rest = groups.split_off(keep);
    if !rest.is_empty() {
        let value = rest.iter().map(|g| g.value).sum();
        groups.push(Group { cause: Cause::Other, value, past: Vec::new(), merged: rest.len() });
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn catalog() -> Catalog {
        let mut catalog = Catalog::of_ids((0..20).map(|i| format!("item-{i}")).collect());
        catalog.categories = ["dairy", "bread"].iter().collect();
        catalog.category = (0..20).map(|i| (i < 15).then_some(CategoryId(i % 2))).collect();
        catalog
    }

    fn contribution(because: Because, value: f32) -> Contribution {
        Contribution { model: "m", because, value }
    }

    fn together(item: u32) -> Because {
        Because::BoughtTogether { item: ItemId(item), kind: EventKind::Buy }
    }

    #[test]
    fn past_goods_of_one_category_are_told_as_one_led_by_the_strongest() {
        let all = [
            contribution(together(0), 1.0),
            contribution(together(2), 2.0),
            contribution(together(2), 0.5),
            contribution(together(1), 1.5),
            contribution(together(16), 1.0),
            contribution(together(18), 0.9),
            contribution(Because::Popular, 0.25),
        ];
        let groups = group(&all, &catalog());
        assert_eq!(groups[0].past, [(ItemId(2), EventKind::Buy), (ItemId(0), EventKind::Buy)]);
        assert_eq!(groups[0].value, 3.5);
        assert_eq!(groups.iter().map(|g| g.past.len()).collect::<Vec<_>>(), [2, 1, 1, 1, 0]);
        assert_eq!(groups[4].cause, Cause::Popular);
    }

    #[test]
    fn what_is_small_is_added_up_as_other() {
        let all: Vec<_> =
            (0..20).map(|i| contribution(together(i), if i < 15 { 0.001 } else { 1.0 + i as f32 })).collect();
        let groups = group(&all, &catalog());
        assert_eq!(groups.len(), MOST);
        let other = groups.last().unwrap();
        assert_eq!((other.cause, other.merged), (Cause::Other, 3));
    }

    fn because() -> impl Strategy<Value = Because> {
        prop_oneof![
            6 => (0u32..20).prop_map(together),
            6 => (0u32..20).prop_map(|i| Because::SimilarMeaning { item: ItemId(i), kind: EventKind::View }),
            1 => Just(Because::Repeat),
            1 => Just(Because::Trending),
            1 => (0u32..2).prop_map(|c| Because::PopularInCategory { category: CategoryId(c) }),
            1 => Just(Because::Baseline),
        ]
    }

    proptest! {
        #[test]
        fn a_handful_of_parts_adds_up_to_all_contributions(
            all in prop::collection::vec((because(), -10f32..10.0), 0..200)
        ) {
            let all: Vec<_> = all.into_iter().map(|(because, value)| contribution(because, value)).collect();
            let groups = group(&all, &catalog());
            prop_assert!(groups.len() <= MOST);
            let (sum, parts): (f64, f64) =
                (all.iter().map(|c| f64::from(c.value)).sum(), groups.iter().map(|g| g.value).sum());
            prop_assert!((sum - parts).abs() < 1e-9, "{} {}", sum, parts);
            prop_assert_eq!(group(&all, &catalog()), groups);
        }
    }
}
