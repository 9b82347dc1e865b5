//! What do all shoppers of a log say together? Which goods are popular, which came last, and who is like whom.
//!
//! The log of a snapshot comes in; lists and neighbours go out. Each is counted when it is first asked for and kept as long
//! as the snapshot. Neighbours are shoppers who took the same goods: with `w_i = ln(1 + N / c_i)` for an item that `c_i` of
//! `N` shoppers took, `like(u, v) = sum of w_i^2 over the goods of both / (|u| |v|)`, the cosine of their weighed baskets.
//!
//! Bounded work: the last [`SEEDS`] different goods of a shopper propose those who took them, of each item an even sample of
//! [`TAKERS`]; the [`PROPOSED`] who share most are compared exactly.

use crate::live::Known;
use lingxi_data::{ItemId, UserId};
use std::collections::HashMap;
use std::sync::OnceLock;

/// Past goods that propose neighbours.
const SEEDS: usize = 64;

/// Shoppers that one item may propose.
const TAKERS: usize = 64;

/// Shoppers that are compared exactly, at least.
const PROPOSED: usize = 400;

/// What was counted of one log.
#[derive(Default)]
pub struct Crowd {
    counts: OnceLock<Vec<u32>>,
    popular: OnceLock<Vec<(ItemId, u32)>>,
    arrivals: OnceLock<Vec<(ItemId, i64)>>,
    takers: OnceLock<Takers>,
}

/// For each item some of those who took it: `users[starts[i]..starts[i + 1]]`.
struct Takers {
    starts: Vec<u32>,
    users: Vec<UserId>,
}

impl Crowd {
    /// Goods and how many shoppers took each, the most popular first; those that nobody took are not in it.
    pub fn popular(&self, known: &Known<'_>) -> &[(ItemId, u32)] {
        self.popular.get_or_init(|| {
            let counts = (0..).map(ItemId).zip(self.counts(known).iter().copied());
            let mut popular: Vec<(ItemId, u32)> = counts.filter(|(_, count)| *count > 0).collect();
            popular.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
            popular
        })
    }

    /// Goods and when each was first taken, the latest first: what a log knows of arrivals.
    pub fn arrivals(&self, known: &Known<'_>) -> &[(ItemId, i64)] {
        self.arrivals.get_or_init(|| {
            let mut first = vec![i64::MAX; known.log.n_items()];
            known.log.iter().for_each(|event| {
                let place = &mut first[event.item.index()];
                *place = event.at.min(*place);
            });
            let taken = (0..).map(ItemId).zip(first).filter(|(_, at)| *at != i64::MAX);
            let mut arrivals: Vec<(ItemId, i64)> = taken.collect();
            arrivals.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(b.0.cmp(&a.0)));
            arrivals
        })
    }

    /// At most `n` shoppers of the log whose goods are most like `basket` (in time order), best first, without `own`.
    /// `basket_of` gives what a shopper took as it stands now.
    pub fn like(
        &self,
        known: &Known<'_>,
        basket: &[ItemId],
        own: Option<UserId>,
        n: usize,
        basket_of: impl Fn(UserId) -> Vec<ItemId>,
    ) -> Vec<(UserId, f32)> {
        let counts = self.counts(known);
        let shoppers = known.log.n_users() as f32;
        let weight = |item: ItemId| match counts.get(item.index()) {
            Some(&count) if count > 0 => (1.0 + shoppers / count as f32).ln(),
            _ => 0.0,
        };
        let length = |items: &[ItemId]| items.iter().map(|item| weight(*item).powi(2)).sum::<f32>().sqrt();
        let takers = self.takers.get_or_init(|| Takers::of(known, counts));
        let mut seeds: Vec<ItemId> = Vec::new();
        for item in basket.iter().rev() {
            if seeds.len() < SEEDS && !seeds.contains(item) {
                seeds.push(*item);
            }
        }
        let mut shared: HashMap<UserId, f32> = HashMap::new();
        for item in &seeds {
            for user in takers.of_item(*item).iter().filter(|user| Some(**user) != own) {
                *shared.entry(*user).or_default() += weight(*item).powi(2);
            }
        }
        let proposed = best(shared.into_iter().collect(), PROPOSED.max(2 * n));
        let mine = goods_of(basket.to_vec());
        let my_length = length(&mine);
        let compared = proposed.into_iter().map(|(user, _)| {
            let theirs = goods_of(basket_of(user));
            let of_both = mine.iter().filter(|item| theirs.binary_search(item).is_ok());
            let both: f32 = of_both.map(|item| weight(*item).powi(2)).sum();
            (user, both / (my_length * length(&theirs)).max(f32::MIN_POSITIVE))
        });
        best(compared.filter(|(_, like)| *like > 0.0).collect(), n)
    }

    /// How many shoppers took each item.
    fn counts(&self, known: &Known<'_>) -> &[u32] {
        self.counts.get_or_init(|| {
            let mut counts = vec![0; known.log.n_items()];
            each_taken(known, |_, item| counts[item.index()] += 1);
            counts
        })
    }
}

/// The different goods of a basket in the order of ids: sums over them come out the same every time.
fn goods_of(mut basket: Vec<ItemId>) -> Vec<ItemId> {
    basket.sort_unstable();
    basket.dedup();
    basket
}

impl Takers {
    fn of(known: &Known<'_>, counts: &[u32]) -> Takers {
        let mut starts = vec![0u32];
        starts.extend(counts.iter().scan(0u32, |end, count| {
            *end += (*count).min(TAKERS as u32);
            Some(*end)
        }));
        let mut users = vec![UserId(0); starts.last().copied().unwrap_or_default() as usize];
        let mut seen = vec![0u32; counts.len()];
        each_taken(known, |user, item| {
            let (i, count) = (item.index(), u64::from(counts[item.index()]));
            let places = count.min(TAKERS as u64);
            // The shoppers of an item fall into `places` equal shares in the order of ids; the first of each is kept.
            let share = |nth: u64| nth * places / count;
            let nth = u64::from(seen[i]);
            if nth == 0 || share(nth) != share(nth - 1) {
                users[starts[i] as usize + share(nth) as usize] = user;
            }
            seen[i] += 1;
        });
        Takers { starts, users }
    }

    fn of_item(&self, item: ItemId) -> &[UserId] {
        match self.starts.get(item.index()..item.index() + 2) {
            Some(ends) => &self.users[ends[0] as usize..ends[1] as usize],
            None => &[],
        }
    }
}

/// Calls `each` once for every shopper and every item that they took, by shopper.
fn each_taken(known: &Known<'_>, mut each: impl FnMut(UserId, ItemId)) {
    let mut last = vec![u32::MAX; known.log.n_items()];
    for (user, rows) in known.log.users() {
        for item in rows.items {
            if std::mem::replace(&mut last[item.index()], user.0) != user.0 {
                each(user, *item);
            }
        }
    }
}

/// The `n` with the most, the best first; of equal ones the lower id.
fn best(mut all: Vec<(UserId, f32)>, n: usize) -> Vec<(UserId, f32)> {
    all.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(n);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Event, EventKind, Interactions, Interner, Purpose};

    /// Shopper `u` takes the goods of `taken[u]`, one after the other.
    fn with_log(taken: &[&[u32]], n_items: usize, check: impl FnOnce(&Known<'_>)) {
        let users: Interner = (0..taken.len()).map(|u| format!("u{u}")).collect();
        let items: Interner = (0..n_items).map(|i| format!("i{i}")).collect();
        let event = |u: usize, item: u32, at: usize| {
            let (user, item, at) = (UserId(u as u32), ItemId(item), (u * 100 + at) as i64);
            Event { user, item, at, kind: EventKind::Buy, value: 1.0 }
        };
        let of = |(u, goods): (usize, &&[u32])| {
            goods.iter().enumerate().map(|(at, item)| event(u, *item, at)).collect::<Vec<_>>()
        };
        let events = taken.iter().enumerate().flat_map(of).collect();
        let log = Interactions::from_events(events, taken.len(), n_items).unwrap();
        check(&Known { users: &users, items: &items, log: log.for_purpose(Purpose::Serving) });
    }

    #[test]
    fn popularity_counts_shoppers_and_arrival_is_the_first_time() {
        with_log(&[&[0, 0, 0, 1], &[1, 2], &[1]], 4, |known| {
            let crowd = Crowd::default();
            assert_eq!(crowd.popular(known), [(ItemId(1), 3), (ItemId(0), 1), (ItemId(2), 1)]);
            assert_eq!(crowd.arrivals(known), [(ItemId(2), 101), (ItemId(1), 3), (ItemId(0), 0)]);
        });
    }

    #[test]
    fn who_took_the_same_rare_goods_is_nearest_and_like_is_a_cosine() {
        with_log(&[&[0, 1, 2], &[0, 1, 2], &[0, 1], &[0, 3], &[0]], 4, |known| {
            let basket_of = |user: UserId| known.log.of(user).items.to_vec();
            let near = Crowd::default().like(known, &[0, 1, 2].map(ItemId), Some(UserId(0)), 9, basket_of);
            assert_eq!(near.iter().map(|(user, _)| user.0).collect::<Vec<_>>(), [1, 2, 4, 3]);
            assert!((near[0].1 - 1.0).abs() < 1e-6, "the same basket: {near:?}");
            assert!(near.iter().all(|(_, like)| *like > 0.0 && *like <= 1.000_001));
            assert!(Crowd::default().like(known, &[], None, 9, |_| Vec::new()).is_empty());
        });
    }

    #[test]
    fn of_an_item_with_many_takers_an_even_sample_is_kept() {
        let taken = vec![&[0u32][..]; 1000];
        with_log(&taken, 1, |known| {
            let crowd = Crowd::default();
            let takers = Takers::of(known, crowd.counts(known));
            let kept: Vec<u32> = takers.of_item(ItemId(0)).iter().map(|user| user.0).collect();
            assert_eq!(kept.len(), TAKERS);
            assert!(kept.windows(2).all(|pair| (15..=17).contains(&(pair[1] - pair[0]))), "{kept:?}");
        });
    }
}
