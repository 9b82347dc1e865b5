//! What came after a date? The split that a shop would live through.

use super::Split;
use super::draft::{Draft, refuse};
use crate::{Interactions, Result};
use serde::{Deserialize, Serialize};

/// Options of [`by_time`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByTime {
    /// Validation begins here (unix seconds); everything before trains.
    pub valid_from: i64,
    /// Test begins here and runs to the end of the log.
    pub test_from: i64,
    /// Only items that the shopper never took before count as relevant; otherwise repeats count too.
    #[serde(default)]
    pub new_only: bool,
    /// Shoppers with fewer events before the window make no case.
    #[serde(default)]
    pub min_history: usize,
}

/// One case per shopper and window: the distinct items that they took in it, asked at its start with all they did
/// before it as history.
///
/// # Errors
/// [`crate::DataError::Shape`] if the windows are out of order.
pub fn by_time(all: &Interactions, options: ByTime) -> Result<Split> {
    let ByTime { valid_from, test_from, new_only, min_history } = options;
    if valid_from > test_from {
        let expected = format!("test_from at or after valid_from {valid_from}");
        return Err(refuse("split by time", expected, test_from));
    }
    let mut draft = Draft::of(all);
    for (user, rows, agreed) in draft.shoppers() {
        let (v, t) = (rows.before(valid_from).len(), rows.before(test_from).len());
        // Time holds for those who make no case too: nothing after the start of validation trains.
        draft.train.extend(rows.first(v).iter(user));
        let asked = |from: usize, to: usize| agreed && from >= min_history && from < to;
        let windows = [(&mut draft.valid, valid_from, v, t), (&mut draft.test, test_from, t, rows.len())];
        for (pile, at, from, to) in windows {
            if asked(from, to) {
                pile.ask(user, at, rows.first(from).iter(user), rows.range(from, to).iter(user), new_only);
            }
        }
        // A test case holds all of the log; without one, the windows that make no case are in no part.
        if !asked(t, rows.len()) {
            draft.unused += rows.len() - if asked(v, t) { t } else { v };
        }
    }
    draft.finish()
}
