//! What has each shopper done up to this moment?
//!
//! The history in the snapshot plus the events that arrived since: events come in as they are stored, a [`History`] in
//! dense ids goes out to the models, so that a new event changes the next slate. Events on items that the snapshot does
//! not know wait in the store for the next build; a shopper that it does not know has a history from the first event.
//! What was erased is out of every history at once, also if the snapshot was built with it.

use crate::store::{Erased, Erasure, NewEvent, StoredEvent};
use lingxi_data::{EventKind, Events, Interner, ItemId, Rows, UserId};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// Shoppers are spread over this many locks.
const SHARDS: usize = 64;

/// Most events that are held, of all shoppers together (about 300 MB). Past it those not heard of for longest are let go
/// until the next build: their events stay in the store.
const MOST: usize = 8_000_000;

/// What the snapshot knows: names, and events that its models may be asked with.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The shoppers of the log.
    pub users: &'a Interner,
    /// The items of the catalogue.
    pub items: &'a Interner,
    /// The log, for [`lingxi_data::Purpose::Serving`].
    pub log: Events<'a>,
}

/// Events that arrived after the snapshot was built, by shopper: the last `limit` of each.
pub struct Live {
    limit: usize,
    seen: AtomicI64,
    unknown: AtomicU64,
    most_per_shard: usize,
    hash: RandomState,
    shards: Vec<RwLock<Shard>>,
    /// What was erased of the log.
    hidden: RwLock<HashMap<UserId, Vec<Hidden>>>,
}

/// Events of a shopper that were erased: those on an item, or of a kind, or all.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hidden {
    item: Option<ItemId>,
    kind: Option<EventKind>,
}

/// Most goods of one shopper that stay put away.
const MOST_AWAY: usize = 1000;

/// Some of the shoppers.
#[derive(Default)]
struct Shard {
    events: usize,
    shoppers: HashMap<Box<str>, Recent>,
}

/// One shopper's events since the snapshot, by time, and the number of the last that came.
#[derive(Default)]
struct Recent {
    heard: i64,
    events: Vec<Past>,
    /// What was shown and is not to be shown again, in the order of arrival.
    away: Vec<Past>,
}

#[derive(Clone, Copy)]
struct Past {
    /// The event's number; 0 in the log.
    seq: i64,
    item: ItemId,
    at: i64,
    kind: EventKind,
    value: f32,
}

/// One shopper's last events in time order, held by whoever asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The shopper, if the snapshot knows them.
    pub user: Option<UserId>,
    items: Vec<ItemId>,
    at: Vec<i64>,
    kinds: Vec<EventKind>,
    values: Vec<f32>,
    /// Goods that were shown and are not to be shown again, each from a time on.
    pub put_away: Vec<(ItemId, i64)>,
}

impl Live {
    /// Keeps at most `limit` events of each shopper, old and new together; the snapshot was built with the events of the
    /// store up to number `built_with`.
    pub fn new(limit: usize, built_with: i64) -> Live {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        let (seen, unknown) = (AtomicI64::new(built_with), AtomicU64::new(0));
        let (most_per_shard, hidden) = (MOST / SHARDS, RwLock::default());
        Live { limit: limit.max(1), seen, unknown, most_per_shard, hash: RandomState::new(), shards, hidden }
    }

    /// The number of the last event taken in.
    pub fn seen(&self) -> i64 {
        self.seen.load(Ordering::Acquire)
    }

    /// Events passed over because the snapshot does not know their item.
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Takes in stored events in their order; one that was taken in before is left out, so that reading back and listening
    /// may overlap. Called by one thread at a time.
    pub fn absorb(&self, items: &Interner, events: &[StoredEvent]) {
        for StoredEvent { seq, event } in events {
            if self.seen.fetch_max(*seq, Ordering::AcqRel) >= *seq {
                continue;
            }
            let Some(item) = items.get(&event.item) else {
                self.unknown.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let past = Past { seq: *seq, item: ItemId(item), at: event.at, kind: event.kind, value: event.value };
            self.insert(&event.user, past, event.is_put_away());
        }
    }

    /// Forgets events by their numbers.
    pub fn forget(&self, events: &[(String, i64)]) {
        for (user, seq) in events {
            let mut shard = self.shard(user).write().unwrap_or_else(PoisonError::into_inner);
            let Some(recent) = shard.shoppers.get_mut(user.as_str()) else { continue };
            let before = recent.len();
            recent.events.retain(|past| past.seq != *seq);
            recent.away.retain(|past| past.seq != *seq);
            let (gone, none) = (before - recent.len(), recent.len() == 0);
            shard.events -= gone;
            if none {
                shard.shoppers.remove(user.as_str());
            }
        }
    }

    /// Hides what was erased of the log.
    pub fn hide(&self, known: &Known<'_>, erased: &[Erased]) {
        let mut hidden = self.hidden.write().unwrap_or_else(PoisonError::into_inner);
        for Erased { what, .. } in erased {
            let Some((user, what)) = resolve(known, what) else { continue };
            let of_user = hidden.entry(user).or_default();
            if what == (Hidden { item: None, kind: None }) {
                of_user.clear();
            }
            if !of_user.contains(&what) {
                of_user.push(what);
            }
        }
    }

    /// The events of the log that a shopper has, without those that were erased; in time order.
    pub fn logged(&self, known: &Known<'_>, user: UserId) -> History {
        let all = known.log.of(user);
        let hidden = self.hidden.read().unwrap_or_else(PoisonError::into_inner);
        let hidden = hidden.get(&user).map_or(&[][..], Vec::as_slice);
        let mut history = History { user: Some(user), ..History::default() };
        for past in (0..all.len()).map(|i| Past::of(&all, i)).filter(|past| !hidden.iter().any(|h| h.covers(past))) {
            history.push(past);
        }
        history
    }

    /// The history of somebody who is not known: the last of these events on known goods.
    pub fn session(&self, known: &Known<'_>, events: &[NewEvent]) -> History {
        let past = |event: &NewEvent| {
            let item = known.items.get(&event.item).map(ItemId)?;
            Some(Past { seq: 0, item, at: event.at, kind: event.kind, value: event.value })
        };
        let mut all: Vec<Past> = events.iter().filter_map(past).collect();
        all.sort_by_key(|past| past.at);
        let mut history = History::default();
        all.iter().skip(all.len().saturating_sub(self.limit)).for_each(|past| history.push(*past));
        history
    }

    /// Whether something of the log was erased for a shopper.
    pub fn hides(&self, user: UserId) -> bool {
        self.hidden.read().unwrap_or_else(PoisonError::into_inner).contains_key(&user)
    }

    /// How many events of the log an erasure would hide, beyond those that are hidden.
    pub fn would_hide(&self, known: &Known<'_>, what: &Erasure) -> usize {
        let Some((user, what)) = resolve(known, what) else { return 0 };
        let logged = self.logged(known, user);
        let rows = logged.rows();
        (0..rows.len()).filter(|i| what.covers(&Past::of(&rows, *i))).count()
    }

    fn insert(&self, user: &str, past: Past, away: bool) {
        let mut shard = self.shard(user).write().unwrap_or_else(PoisonError::into_inner);
        if !shard.shoppers.contains_key(user) {
            shard.shoppers.insert(user.into(), Recent::default());
        }
        let recent = shard.shoppers.get_mut(user).expect("inserted above");
        recent.heard = past.seq;
        let (list, most) = if away { (&mut recent.away, MOST_AWAY) } else { (&mut recent.events, self.limit) };
        let at = if away { list.len() } else { list.partition_point(|e| e.at <= past.at) };
        list.insert(at, past);
        if list.len() > most {
            list.remove(0);
        } else {
            shard.events += 1;
        }
        if shard.events > self.most_per_shard {
            shard.let_go();
        }
    }

    /// The last events of `user`: those of the snapshot and those since, merged by time. Empty for an unknown shopper.
    pub fn history(&self, known: &Known<'_>, user: &str) -> History {
        let id = known.users.get(user).map(UserId);
        let left = id.filter(|id| self.hides(*id)).map(|id| self.logged(known, id));
        let old = match &left {
            Some(left) => left.rows(),
            None => id.map_or_else(Rows::default, |id| known.log.of(id)),
        };
        let old = old.last(self.limit);
        let shard = self.shard(user).read().unwrap_or_else(PoisonError::into_inner);
        let (new, away) = shard.shoppers.get(user).map_or((&[][..], &[][..]), |recent| (&recent.events, &recent.away));
        let put_away = away.iter().map(|past| (past.item, past.at)).collect();
        let mut history = History { user: id, put_away, ..History::default() };
        // The latest `limit` of both, taken from the front after skipping what is too old.
        let mut skip = (old.len() + new.len()).saturating_sub(self.limit);
        let (mut i, mut j) = (0, 0);
        while i < old.len() || j < new.len() {
            let take_old = j == new.len() || (i < old.len() && old.at[i] <= new[j].at);
            let past = if take_old {
                i += 1;
                Past::of(&old, i - 1)
            } else {
                j += 1;
                new[j - 1]
            };
            if skip > 0 {
                skip -= 1;
            } else {
                history.push(past);
            }
        }
        history
    }

    fn shard(&self, user: &str) -> &RwLock<Shard> {
        &self.shards[self.hash.hash_one(user) as usize % SHARDS]
    }
}

impl Shard {
    /// Lets go of the eighth of the shoppers that was not heard of for longest; an eighth, so that it is seldom done.
    fn let_go(&mut self) {
        let mut heard: Vec<i64> = self.shoppers.values().map(|recent| recent.heard).collect();
        let gone = heard.len() / 8;
        let (_, &mut last, _) = heard.select_nth_unstable(gone);
        self.shoppers.retain(|_, recent| recent.heard > last);
        self.events = self.shoppers.values().map(Recent::len).sum();
    }
}

impl Recent {
    fn len(&self) -> usize {
        self.events.len() + self.away.len()
    }
}

impl Past {
    /// One row of the log.
    fn of(rows: &Rows<'_>, i: usize) -> Past {
        Past { seq: 0, item: rows.items[i], at: rows.at[i], kind: rows.kinds[i], value: rows.values[i] }
    }
}

impl Hidden {
    fn covers(self, past: &Past) -> bool {
        self.item.is_none_or(|item| item == past.item) && self.kind.is_none_or(|kind| kind == past.kind)
    }
}

/// An erasure in the snapshot's ids; `None` if it can mean nothing there.
fn resolve(known: &Known<'_>, what: &Erasure) -> Option<(UserId, Hidden)> {
    let user = known.users.get(&what.user).map(UserId)?;
    let item = match &what.item {
        Some(item) => Some(known.items.get(item).map(ItemId)?),
        None => None,
    };
    Some((user, Hidden { item, kind: what.kind }))
}

impl History {
    /// The events as models read them.
    pub fn rows(&self) -> Rows<'_> {
        Rows { items: &self.items, at: &self.at, kinds: &self.kinds, values: &self.values }
    }

    fn push(&mut self, past: Past) {
        self.items.push(past.item);
        self.at.push(past.at);
        self.kinds.push(past.kind);
        self.values.push(past.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Event, Interactions, Purpose};
    use proptest::prelude::*;

    fn arrived(seq: i64, user: &str, item: &str, at: i64) -> StoredEvent {
        let (user, item) = (user.to_string(), item.to_string());
        StoredEvent {
            seq,
            event: NewEvent { user, item, kind: EventKind::Cart, value: 1.0, at, comment: None, key: None },
        }
    }

    fn with_known(events: Vec<Event>, check: impl FnOnce(&Known<'_>)) {
        let users: Interner = ["ann", "bob"].iter().collect();
        let items: Interner = (0..50).map(|i| format!("i{i}")).collect();
        let log = Interactions::from_events(events, 2, 50).unwrap();
        check(&Known { users: &users, items: &items, log: log.for_purpose(Purpose::Serving) });
    }

    fn bought(item: u32, at: i64) -> Event {
        Event { user: UserId(0), item: ItemId(item), at, kind: EventKind::Buy, value: 1.0 }
    }

    #[test]
    fn a_late_event_takes_its_place_in_time_and_an_unknown_item_is_passed_over() {
        with_known(vec![bought(1, 10), bought(2, 30)], |known| {
            let live = Live::new(9, 0);
            let events = [arrived(1, "ann", "i5", 40), arrived(2, "ann", "new", 41), arrived(3, "ann", "i4", 20)];
            live.absorb(known.items, &events);
            assert_eq!((live.unknown(), live.seen()), (1, 3));
            let history = live.history(known, "ann");
            assert_eq!(history.rows().items, [1, 4, 2, 5].map(ItemId));
            assert_eq!(history.user, Some(UserId(0)));
        });
    }

    #[test]
    fn past_the_limit_those_not_heard_of_for_longest_are_let_go() {
        with_known(vec![], |known| {
            let live = Live { most_per_shard: 8, ..Live::new(9, 0) };
            let events: Vec<_> = (0..2000).map(|i| arrived(i + 1, &format!("u{i}"), "i3", i)).collect();
            live.absorb(known.items, &events);
            let held: usize = live.shards.iter().map(|shard| shard.read().unwrap().shoppers.len()).sum();
            assert!((SHARDS..=8 * SHARDS).contains(&held), "{held}");
            assert_eq!(live.history(known, "u1999").rows().len(), 1);
            assert_eq!(live.history(known, "u0").rows().len(), 0);
        });
    }

    #[test]
    fn an_unknown_shopper_has_a_history_from_the_first_event() {
        with_known(vec![], |known| {
            let live = Live::new(9, 0);
            assert!(live.history(known, "zoe").rows().is_empty());
            live.absorb(known.items, &[arrived(1, "zoe", "i3", 1)]);
            let history = live.history(known, "zoe");
            assert_eq!((history.user, history.rows().items), (None, &[ItemId(3)][..]));
            assert!(live.history(known, "bob").rows().is_empty());
        });
    }

    #[test]
    fn what_was_erased_is_out_of_the_history_and_what_comes_later_is_in_it() {
        with_known(vec![bought(1, 10), bought(2, 20), bought(1, 30)], |known| {
            let live = Live::new(2, 0);
            live.absorb(known.items, &[arrived(1, "ann", "i5", 40), arrived(2, "ann", "i6", 50)]);
            let what = Erasure { user: "ann".into(), item: Some("i1".into()), kind: None };
            assert_eq!(live.would_hide(known, &what), 2);
            assert_eq!(live.would_hide(known, &Erasure { kind: Some(EventKind::View), ..what.clone() }), 0);
            live.hide(known, &[Erased { what: what.clone(), until: 2 }]);
            live.forget(&[("ann".into(), 2)]);
            assert_eq!(live.would_hide(known, &what), 0, "they are hidden");
            assert_eq!(live.history(known, "ann").rows().items, [2, 5].map(ItemId));
            live.absorb(known.items, &[arrived(3, "ann", "i1", 60)]);
            assert_eq!(live.history(known, "ann").rows().items, [5, 1].map(ItemId));
            let all = Erasure { user: "ann".into(), item: None, kind: None };
            live.hide(known, &[Erased { what: all, until: 3 }]);
            live.forget(&[("ann".into(), 1), ("ann".into(), 3)]);
            assert_eq!(live.history(known, "ann").rows().len(), 0);
            assert!(live.shards.iter().all(|shard| shard.read().unwrap().events == 0));
        });
    }

    #[test]
    fn what_was_put_away_is_no_event_of_the_history() {
        with_known(vec![bought(1, 10)], |known| {
            let live = Live::new(9, 0);
            let mut shown = arrived(1, "ann", "i5", 40);
            shown.event.value = 0.0;
            live.absorb(known.items, &[shown]);
            let history = live.history(known, "ann");
            assert_eq!((history.rows().items, history.put_away.as_slice()), (&[ItemId(1)][..], &[(ItemId(5), 40)][..]));
            live.forget(&[("ann".into(), 1)]);
            assert!(live.history(known, "ann").put_away.is_empty());
        });
    }

    proptest! {
        #[test]
        fn a_history_is_the_latest_events_of_both_sources_in_time_order(
            old in proptest::collection::vec(0i64..40, 0..30),
            new in proptest::collection::vec(0i64..40, 0..30),
            limit in 1usize..20,
        ) {
            let mut expected: Vec<i64> = old.iter().chain(&new).copied().collect();
            expected.sort_unstable();
            let expected = expected.split_off(expected.len().saturating_sub(limit));
            with_known(old.iter().map(|at| bought(7, *at)).collect(), |known| {
                let live = Live::new(limit, 0);
                let new: Vec<_> = (1..).zip(&new).map(|(seq, at)| arrived(seq, "ann", "i8", *at)).collect();
                live.absorb(known.items, &new);
                live.absorb(known.items, &new[new.len() / 2..]); // taken in before: nothing changes
                assert_eq!(live.history(known, "ann").rows().at, expected);
            });
        }
    }
}
