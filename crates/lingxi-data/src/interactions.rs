//! What happened: one row per event, in columns, sorted by shopper and then time.

use crate::error::{DataError, Result};
use crate::ids::{ItemId, UserId};
use serde::{Deserialize, Serialize};

/// What a shopper did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum EventKind {
    /// Looked at an item.
    View,
    /// Clicked on an item in a list.
    Click,
    /// Put an item into the cart.
    Cart,
    /// Bought an item.
    Buy,
    /// Gave an item a rating; the row's value is the rating.
    Rate,
    /// Found an item by searching.
    Search,
    /// Anything else that the source names.
    Other,
}

impl EventKind {
    /// All kinds, in the order of their codes.
    pub const ALL: [EventKind; 7] = [
        EventKind::View,
        EventKind::Click,
        EventKind::Cart,
        EventKind::Buy,
        EventKind::Rate,
        EventKind::Search,
        EventKind::Other,
    ];

    /// The lower-case name, as written in files and over HTTP.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::View => "view",
            EventKind::Click => "click",
            EventKind::Cart => "cart",
            EventKind::Buy => "buy",
            EventKind::Rate => "rate",
            EventKind::Search => "search",
            EventKind::Other => "other",
        }
    }

    /// Reads a name as shops write it (`purchase`, `addtocart`, `pv` ...); `None` if it is not known.
    pub fn parse(name: &str) -> Option<EventKind> {
        let name = name.trim();
        // Most files write it in lower case; this is asked for every row.
        let lower = name.bytes().any(|b| b.is_ascii_uppercase()).then(|| name.to_ascii_lowercase());
        Some(match lower.as_deref().unwrap_or(name) {
            "view" | "pv" | "pageview" | "page_view" | "impression" | "read" | "watch" | "play" | "listen" => {
                EventKind::View
            }
            "click" | "star" | "like" | "fav" | "favorite" | "favourite" | "wish" | "wishlist" => EventKind::Click,
            "cart" | "addtocart" | "add_to_cart" | "add-to-cart" | "basket" => EventKind::Cart,
            "buy" | "purchase" | "transaction" | "order" | "sale" | "paid" => EventKind::Buy,
            "rate" | "rating" | "review" => EventKind::Rate,
            "search" | "query" => EventKind::Search,
            "other" => EventKind::Other,
            _ => return None,
        })
    }
}

/// Why events are read. Consent is given per purpose, so reading asks for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Purpose {
    /// Fit models on behaviour.
    Training = 1,
    /// Answer this shopper.
    Serving = 2,
    /// Measure quality.
    Evaluation = 4,
}

/// One event as a row; the columns of [`Interactions`] hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Who.
    pub user: UserId,
    /// What.
    pub item: ItemId,
    /// When, unix seconds. Sources without time give the position in the shopper's sequence.
    pub at: i64,
    /// How.
    pub kind: EventKind,
    /// A rating, a quantity or 1: what `kind` says.
    pub value: f32,
}

/// Columns `user, item, at, kind, value`, sorted by user then time with a stable tie-break (the order of the source),
/// plus the offset at which each shopper's rows begin.
///
/// Memory: 21 bytes an event and 8 a shopper.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interactions {
    items: Vec<ItemId>,
    at: Vec<i64>,
    kinds: Vec<EventKind>,
    values: Vec<f32>,
    /// `offsets[u]..offsets[u + 1]` are the rows of shopper `u`; length users + 1.
    offsets: Vec<usize>,
    n_items: usize,
    /// One bit set of purposes per shopper; empty means that all agreed to all.
    consent: Vec<u8>,
}

impl Interactions {
    /// Sorts `events` by user and time (stable) and checks each id against the numbers of shoppers and items.
    ///
    /// # Errors
    /// [`DataError::IdOutOfRange`] names the first row whose user or item is not below `n_users` / `n_items`.
    pub fn from_events(mut events: Vec<Event>, n_users: usize, n_items: usize) -> Result<Interactions> {
        for (row, e) in events.iter().enumerate() {
            for (what, id, limit) in [("user", e.user.index(), n_users), ("item", e.item.index(), n_items)] {
                if id >= limit {
                    return Err(DataError::IdOutOfRange { what, row, id, limit });
                }
            }
        }
        if !events.is_sorted_by_key(|e| (e.user, e.at)) {
            events.sort_by_key(|e| (e.user, e.at));
        }
        let mut offsets = vec![0usize; n_users + 1];
        for e in &events {
            offsets[e.user.index() + 1] += 1;
        }
        for u in 0..n_users {
            offsets[u + 1] += offsets[u];
        }
        Ok(Interactions {
            items: events.iter().map(|e| e.item).collect(),
            at: events.iter().map(|e| e.at).collect(),
            kinds: events.iter().map(|e| e.kind).collect(),
            values: events.iter().map(|e| e.value).collect(),
            offsets,
            n_items,
            consent: Vec::new(),
        })
    }

    /// Takes columns that are sorted already (ingest sorts in place, to hold the events once in memory).
    ///
    /// # Errors
    /// [`DataError::Shape`] if the columns differ in length, the offsets do not fit them, or a shopper's times decrease;
    /// [`DataError::IdOutOfRange`] if an item is not below `n_items`.
    pub fn from_sorted_columns(
        items: Vec<ItemId>,
        at: Vec<i64>,
        kinds: Vec<EventKind>,
        values: Vec<f32>,
        offsets: Vec<usize>,
        n_items: usize,
    ) -> Result<Interactions> {
        let shape = |expected: String, got: String| DataError::Shape { what: "interaction columns", expected, got };
        let n = items.len();
        for len in [at.len(), kinds.len(), values.len()] {
            if len != n {
                return Err(shape(format!("{n} rows in each column"), format!("{len}")));
            }
        }
        if offsets.first() != Some(&0) || offsets.last() != Some(&n) || !offsets.is_sorted() {
            return Err(shape(
                format!("offsets rising from 0 to {n}"),
                format!("{:?}..{:?}", offsets.first(), offsets.last()),
            ));
        }
        if let Some(row) = items.iter().position(|i| i.index() >= n_items) {
            return Err(DataError::IdOutOfRange { what: "item", row, id: items[row].index(), limit: n_items });
        }
        if let Some(w) = offsets.windows(2).find(|w| !at[w[0]..w[1]].is_sorted()) {
            return Err(shape(
                "times rising within each shopper".into(),
                format!("rows {}..{} out of order", w[0], w[1]),
            ));
        }
        Ok(Interactions { items, at, kinds, values, offsets, n_items, consent: Vec::new() })
    }

    /// Records each shopper's consent: a sum of [`Purpose`] codes.
    ///
    /// # Errors
    /// [`DataError::Shape`] unless there is one entry per shopper.
    pub fn with_consent(mut self, consent: Vec<u8>) -> Result<Interactions> {
        if consent.len() != self.n_users() {
            return Err(DataError::Shape {
                what: "consent",
                expected: format!("one entry for each of {} shoppers", self.n_users()),
                got: consent.len().to_string(),
            });
        }
        self.consent = consent;
        Ok(self)
    }

    /// The only way to read events for fitting or measuring: rows of shoppers who did not agree to `purpose` are empty.
    pub fn for_purpose(&self, purpose: Purpose) -> Events<'_> {
        Events { all: self, purpose }
    }

    /// Number of shoppers, with or without events.
    pub fn n_users(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Number of items, with or without events.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The columns as they lie, to be kept on disk.
    pub(crate) fn columns(&self) -> Columns<'_> {
        let Interactions { items, at, kinds, values, offsets, consent, .. } = self;
        Columns { items, at, kinds, values, offsets, consent }
    }

    /// One entry per shopper, or empty when all agreed to all: what a division of the log hands on to its parts.
    pub(crate) fn consent(&self) -> &[u8] {
        &self.consent
    }

    /// A shopper's events whatever they agreed to: for dividing a log, never for reading it.
    pub(crate) fn rows(&self, user: UserId) -> Rows<'_> {
        let (a, b) = match self.offsets.get(user.index()..user.index() + 2) {
            Some(w) => (w[0], w[1]),
            None => (0, 0),
        };
        Rows { items: &self.items[a..b], at: &self.at[a..b], kinds: &self.kinds[a..b], values: &self.values[a..b] }
    }
}

/// The raw columns of [`Interactions`].
pub(crate) struct Columns<'a> {
    pub items: &'a [ItemId],
    pub at: &'a [i64],
    pub kinds: &'a [EventKind],
    pub values: &'a [f32],
    pub offsets: &'a [usize],
    pub consent: &'a [u8],
}

/// The events that may be read for one purpose.
#[derive(Clone, Copy, Debug)]
pub struct Events<'a> {
    all: &'a Interactions,
    purpose: Purpose,
}

impl<'a> Events<'a> {
    /// What these events are read for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Number of shoppers (ids run below it).
    pub fn n_users(&self) -> usize {
        self.all.n_users()
    }

    /// Number of items (ids run below it).
    pub fn n_items(&self) -> usize {
        self.all.n_items()
    }

    /// The events of one shopper in time order; empty for an unknown shopper or one who did not agree.
    pub fn of(&self, user: UserId) -> Rows<'a> {
        let agreed = self.all.consent.get(user.index()).is_none_or(|c| c & self.purpose as u8 != 0);
        if agreed { self.all.rows(user) } else { Rows::default() }
    }

    /// Every shopper with their rows, in the order of ids.
    pub fn users(&self) -> impl ExactSizeIterator<Item = (UserId, Rows<'a>)> + use<'a> {
        let this = *self;
        (0..self.n_users()).map(move |u| (UserId(u as u32), this.of(UserId(u as u32))))
    }

    /// All events as rows, by shopper then time.
    pub fn iter(&self) -> impl Iterator<Item = Event> + use<'a> {
        self.users().flat_map(|(user, rows)| rows.iter(user))
    }

    /// Number of events that may be read.
    pub fn len(&self) -> usize {
        self.users().map(|(_, rows)| rows.len()).sum()
    }

    /// Whether no event may be read.
    pub fn is_empty(&self) -> bool {
        self.users().all(|(_, rows)| rows.is_empty())
    }

    /// How often each item occurs; length `n_items`.
    pub fn item_counts(&self) -> Vec<u32> {
        let mut counts = vec![0u32; self.n_items()];
        for (_, rows) in self.users() {
            for item in rows.items {
                counts[item.index()] += 1;
            }
        }
        counts
    }
}

/// A run of one shopper's events in time order: four columns of equal length.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rows<'a> {
    /// What.
    pub items: &'a [ItemId],
    /// When, unix seconds.
    pub at: &'a [i64],
    /// How.
    pub kinds: &'a [EventKind],
    /// Rating, quantity or 1.
    pub values: &'a [f32],
}

impl<'a> Rows<'a> {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The first `n` events (all of them if there are fewer).
    pub fn first(&self, n: usize) -> Rows<'a> {
        self.range(0, n)
    }

    /// The last `n` events (all of them if there are fewer).
    pub fn last(&self, n: usize) -> Rows<'a> {
        self.range(self.len().saturating_sub(n), self.len())
    }

    /// Events `from..to`, cut to what there is.
    pub fn range(&self, from: usize, to: usize) -> Rows<'a> {
        let to = to.min(self.len());
        let from = from.min(to);
        Rows {
            items: &self.items[from..to],
            at: &self.at[from..to],
            kinds: &self.kinds[from..to],
            values: &self.values[from..to],
        }
    }

    /// The events strictly before `time`.
    pub fn before(&self, time: i64) -> Rows<'a> {
        self.first(self.at.partition_point(|&at| at < time))
    }

    /// The events as rows of `user`.
    pub fn iter(&self, user: UserId) -> impl ExactSizeIterator<Item = Event> + use<'a> {
        let rows = *self;
        (0..rows.len()).map(move |i| Event {
            user,
            item: rows.items[i],
            at: rows.at[i],
            kind: rows.kinds[i],
            value: rows.values[i],
        })
    }
}

/// Which items are rare: the least taken `share` (0.8 is usual) of a catalogue by `counts`, ties by higher id.
pub fn least_taken(counts: &[u32], share: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|&item| (counts[item], std::cmp::Reverse(item)));
    let mut rare = vec![false; counts.len()];
    order.iter().take((counts.len() as f64 * share).round() as usize).for_each(|&item| rare[item] = true);
    rare
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(user: u32, item: u32, at: i64) -> Event {
        Event { user: UserId(user), item: ItemId(item), at, kind: EventKind::Buy, value: 1.0 }
    }

    #[test]
    fn rows_are_sorted_by_shopper_then_time_and_ties_keep_their_order() {
        let log = Interactions::from_events(vec![event(1, 4, 9), event(0, 2, 5), event(1, 3, 9), event(0, 1, 1)], 3, 5)
            .unwrap();
        let events = log.for_purpose(Purpose::Training);
        assert_eq!(events.of(UserId(0)).items, [ItemId(1), ItemId(2)]);
        assert_eq!(events.of(UserId(1)).items, [ItemId(4), ItemId(3)]);
        assert!(events.of(UserId(2)).is_empty() && events.of(UserId(99)).is_empty());
        assert_eq!(events.item_counts(), [0, 1, 1, 1, 1]);
        assert_eq!(events.of(UserId(0)).before(5).items, [ItemId(1)]);
    }

    #[test]
    fn an_id_past_the_limit_is_named_with_its_row() {
        let err = Interactions::from_events(vec![event(0, 1, 1), event(0, 7, 1)], 1, 5).unwrap_err();
        assert!(err.to_string().contains("row 1") && err.to_string().contains('7'), "{err}");
    }

    #[test]
    fn a_shopper_who_did_not_agree_to_training_is_not_read_for_it() {
        let log = Interactions::from_events(vec![event(0, 1, 1), event(1, 2, 1)], 2, 5).unwrap();
        let log = log.with_consent(vec![Purpose::Serving as u8, 7]).unwrap();
        assert!(log.for_purpose(Purpose::Training).of(UserId(0)).is_empty());
        assert_eq!(log.for_purpose(Purpose::Serving).of(UserId(0)).len(), 1);
        assert_eq!(log.for_purpose(Purpose::Training).len(), 1);
    }
}
