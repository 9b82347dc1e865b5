//! What did each shopper take last? Leave-one-out, and the next purchase among events of several kinds.

use super::Split;
use super::draft::{Draft, refuse};
use crate::{EventKind, Interactions, Result};
use serde::{Deserialize, Serialize};

/// Options of [`leave_one_out`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeaveOneOut {
    /// Shoppers with fewer events only train; at least 3, one each to train, to validate and to test.
    pub min_events: usize,
}

impl Default for LeaveOneOut {
    fn default() -> Self {
        LeaveOneOut { min_events: 3 }
    }
}

/// Each shopper's last event is test, the one before it is validation, the rest trains.
///
/// # Errors
/// [`crate::DataError::Shape`] if `min_events` is below 3.
pub fn leave_one_out(all: &Interactions, options: LeaveOneOut) -> Result<Split> {
    if options.min_events < 3 {
        return Err(refuse("leave-one-out: min_events", "at least 3", options.min_events));
    }
    let mut draft = Draft::of(all);
    for (user, rows, agreed) in draft.shoppers() {
        let n = rows.len();
        if !agreed || n < options.min_events {
            draft.train.extend(rows.iter(user));
            continue;
        }
        draft.train.extend(rows.first(n - 2).iter(user));
        for (pile, target) in [(&mut draft.valid, n - 2), (&mut draft.test, n - 1)] {
            let held = rows.range(target, target + 1);
            pile.ask(user, rows.at[target], rows.first(target).iter(user), held.iter(user), false);
        }
    }
    draft.finish()
}

/// Options of [`next_purchase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NextPurchase {
    /// The kind of event to predict.
    pub target: EventKind,
}

impl Default for NextPurchase {
    fn default() -> Self {
        NextPurchase { target: EventKind::Buy }
    }
}

/// Each shopper's last purchase is test and the one before it is validation. A case knows the events of all kinds
/// strictly before its purchase; training knows those strictly before the shopper's first target. Events at or after a
/// shopper's test purchase, and others that share the second of a target, are counted as unused unless a part holds them.
///
/// # Errors
/// None that a log in order can cause.
pub fn next_purchase(all: &Interactions, options: NextPurchase) -> Result<Split> {
    let mut draft = Draft::of(all);
    for (user, rows, agreed) in draft.shoppers() {
        let mut targets = (0..rows.len()).rev().filter(|&i| rows.kinds[i] == options.target);
        let Some(test) = targets.next().filter(|_| agreed) else {
            draft.train.extend(rows.iter(user));
            continue;
        };
        let valid = targets.next();
        let known = rows.before(rows.at[valid.unwrap_or(test)]);
        draft.train.extend(known.iter(user));
        for (pile, target) in [(&mut draft.valid, valid), (&mut draft.test, Some(test))] {
            let Some(i) = target else { continue };
            let held = rows.range(i, i + 1);
            pile.ask(user, rows.at[i], rows.before(rows.at[i]).iter(user), held.iter(user), false);
        }
        // The test history holds all that is before the test purchase; the rest is the targets and what no part takes.
        let in_history = rows.before(rows.at[test]).len();
        let held = 1 + usize::from(valid.is_some_and(|v| v >= in_history));
        draft.unused += rows.len() - in_history - held;
    }
    draft.finish()
}
