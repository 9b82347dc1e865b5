//! What comes next in a visit? Sequences without a shopper: every prefix of a test session predicts its next item.
//!
//! Here a "user" of the log is one session.

use super::draft::{Draft, refuse};
use super::{Split, from_parts};
use crate::{Event, Interactions, Result, UserId};
use serde::{Deserialize, Serialize};

/// Options of [`sessions`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// Where the log names shoppers and not sessions: a shopper's session ends when nothing happens for this long.
    pub gap_minutes: Option<u32>,
    /// Sessions that end here or later (unix seconds) no longer train; absent: the last fifth of all sessions.
    pub valid_from: Option<i64>,
    /// Sessions that end here or later test; absent: the last tenth of all sessions.
    pub test_from: Option<i64>,
}

impl Sessions {
    /// Both times, those that are absent taken from the ends of the sessions.
    fn times(&self, all: &Interactions) -> (i64, i64) {
        let mut ends: Vec<i64> = Draft::of(all).shoppers().filter_map(|(_, rows, _)| rows.at.last().copied()).collect();
        ends.sort_unstable();
        let last = |share: usize| ends.get(ends.len() - ends.len() / share).or(ends.last()).copied().unwrap_or(0);
        (self.valid_from.unwrap_or_else(|| last(5)), self.test_from.unwrap_or_else(|| last(10)))
    }
}

/// Divides whole sessions by the time of their last event; each prefix of a held-out session is one case. A session of
/// one event cannot be asked: it trains if it is old enough, otherwise it is unused.
///
/// # Errors
/// [`crate::DataError::Shape`] if the windows are out of order.
pub fn sessions(all: &Interactions, options: Sessions) -> Result<Split> {
    if let Some(gap) = options.gap_minutes {
        let (cut, _) = cut_sessions(all, 60 * i64::from(gap))?;
        return sessions(&cut, Sessions { gap_minutes: None, ..options });
    }
    let (valid_from, test_from) = options.times(all);
    if valid_from > test_from {
        return Err(refuse("split of sessions", format!("test_from at or after valid_from {valid_from}"), test_from));
    }
    let mut draft = Draft::of(all);
    for (session, rows, agreed) in draft.shoppers() {
        let Some(&end) = rows.at.last() else { continue };
        if end < valid_from {
            draft.train.extend(rows.iter(session));
        } else if !agreed || rows.len() < 2 {
            draft.unused += rows.len();
        } else if end < test_from {
            draft.valid.ask_each_next(session, rows);
        } else {
            draft.test.ask_each_next(session, rows);
        }
    }
    draft.finish()
}

/// Sessions in published parts: each prefix of a validation or test session is one case. A session must be in one part.
///
/// # Errors
/// [`crate::DataError::Shape`] if the parts differ in their numbers of sessions or items, or share a session.
pub fn sessions_from_parts(train: &Interactions, valid: Option<&Interactions>, test: &Interactions) -> Result<Split> {
    // Checks the shapes, and says which sessions may be asked.
    let by_part = from_parts(train, valid, test)?;
    if let Some(case) = by_part.valid.cases.iter().chain(&by_part.test.cases).find(|case| case.history_len > 0) {
        return Err(refuse(
            "sessions from parts",
            "each session in one part",
            format!("session {} in two", case.user.0),
        ));
    }
    let mut draft = Draft::of(train);
    for (session, rows, _) in draft.shoppers() {
        draft.train.extend(rows.iter(session));
    }
    for (pile, part) in [(&mut draft.valid, &by_part.valid), (&mut draft.test, &by_part.test)] {
        for case in &part.cases {
            let rows = part.held.rows(case.user);
            pile.ask_each_next(case.user, rows);
            draft.unused += usize::from(rows.len() == 1);
        }
    }
    draft.unused += by_part.unused;
    draft.finish()
}

/// Cuts each shopper's log into sessions wherever more than `gap` seconds pass between two events. Returns the log of
/// sessions, in the order of shoppers and time, and whose each session is.
///
/// # Errors
/// None that a log in order can cause.
pub fn cut_sessions(all: &Interactions, gap: i64) -> Result<(Interactions, Vec<UserId>)> {
    let mut events: Vec<Event> = Vec::with_capacity(all.len());
    let mut owners = Vec::new();
    for (user, rows, _) in Draft::of(all).shoppers() {
        for (i, event) in rows.iter(user).enumerate() {
            if i == 0 || rows.at[i].saturating_sub(rows.at[i - 1]) > gap {
                owners.push(user);
            }
            events.push(Event { user: UserId(owners.len() as u32 - 1), ..event });
        }
    }
    let log = Interactions::from_events(events, owners.len(), all.n_items())?;
    if all.consent().is_empty() {
        return Ok((log, owners));
    }
    let consent = owners.iter().map(|owner| all.consent()[owner.index()]).collect();
    Ok((log.with_consent(consent)?, owners))
}
