//! What do the ways of dividing share? Three piles that events are put on, and how piles become a [`Split`].

use super::{HeldCase, Holdout, Split};
use crate::{DataError, Event, Interactions, ItemId, Purpose, Result, Rows, UserId};

/// The piles of a split while the log is walked through.
pub(super) struct Draft<'a> {
    all: &'a Interactions,
    pub train: Vec<Event>,
    pub valid: Pile,
    pub test: Pile,
    pub unused: usize,
}

/// A holdout while it is gathered.
#[derive(Default)]
pub(super) struct Pile {
    history: Vec<Event>,
    held: Vec<Event>,
    cases: Vec<HeldCase>,
}

impl<'a> Draft<'a> {
    pub fn of(all: &'a Interactions) -> Draft<'a> {
        Draft { all, train: Vec::new(), valid: Pile::default(), test: Pile::default(), unused: 0 }
    }

    /// Each shopper in the order of ids, and whether they may make a case.
    pub fn shoppers(&self) -> impl Iterator<Item = (UserId, Rows<'a>, bool)> + use<'a> {
        let all = self.all;
        (0..all.n_users() as u32).map(UserId).map(move |user| {
            let agreed = all.consent().get(user.index()).is_none_or(|c| c & Purpose::Evaluation as u8 != 0);
            (user, all.rows(user), agreed)
        })
    }

    pub fn finish(self) -> Result<Split> {
        let log = |events| like(self.all, events);
        Ok(Split {
            train: log(self.train)?,
            valid: self.valid.finish(self.all)?,
            test: self.test.finish(self.all)?,
            unused: self.unused,
        })
    }
}

impl Pile {
    /// Adds a case whose shopper has no other one here. `skip_known` leaves items of the history out of the relevant
    /// ones; a case without relevant items is not asked.
    pub fn ask(
        &mut self,
        user: UserId,
        at: i64,
        history: impl Iterator<Item = Event>,
        held: impl Iterator<Item = Event>,
        skip_known: bool,
    ) {
        let (h, d) = (self.history.len(), self.held.len());
        self.history.extend(history);
        self.held.extend(held);
        let history = &self.history[h..];
        let mut relevant = distinct(self.held[d..].iter().map(|e| e.item));
        if skip_known {
            let known = distinct(history.iter().map(|e| e.item));
            relevant.retain(|item| known.binary_search(item).is_err());
        }
        if !relevant.is_empty() {
            self.cases.push(HeldCase { user, at, relevant, history_len: history.len() });
        }
    }

    /// Adds one case for each event after the first: the events before it ask for it.
    pub fn ask_each_next(&mut self, user: UserId, rows: Rows<'_>) {
        let Some(last) = rows.len().checked_sub(1).filter(|&last| last > 0) else { return };
        self.history.extend(rows.first(last).iter(user));
        self.held.extend(rows.range(1, rows.len()).iter(user));
        self.cases.extend((1..=last).map(|n| HeldCase {
            user,
            at: rows.at[n],
            relevant: vec![rows.items[n]],
            history_len: n,
        }));
    }

    pub fn finish(self, all: &Interactions) -> Result<Holdout> {
        Ok(Holdout { history: like(all, self.history)?, held: like(all, self.held)?, cases: self.cases })
    }
}

/// A log of the same shoppers, items and consent with other events.
pub(super) fn like(all: &Interactions, events: Vec<Event>) -> Result<Interactions> {
    let log = Interactions::from_events(events, all.n_users(), all.n_items())?;
    if all.consent().is_empty() { Ok(log) } else { log.with_consent(all.consent().to_vec()) }
}

/// The distinct items, ascending.
pub(super) fn distinct(items: impl Iterator<Item = ItemId>) -> Vec<ItemId> {
    let mut items: Vec<ItemId> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

/// The error of an option that makes no sense.
pub(super) fn refuse(what: &'static str, expected: impl Into<String>, got: impl std::fmt::Display) -> DataError {
    DataError::Shape { what, expected: expected.into(), got: got.to_string() }
}
