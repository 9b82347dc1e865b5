//! Which division does a recipe ask for?

use super::random::one_fold;
use super::{ByRatio, ByTime, ColdItems, FoldOf, KFold, LeaveOneOut, NextPurchase, Sessions, Split};
use super::{by_ratio, by_time, cold_items, leave_one_out, next_purchase, sessions};
use crate::{Interactions, Result};
use serde::{Deserialize, Serialize};

/// A division as a recipe writes it: `by = "leave_one_out"` and the options of that way beside it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum SplitConfig {
    /// See [`leave_one_out`].
    LeaveOneOut(LeaveOneOut),
    /// See [`by_time`].
    Time(ByTime),
    /// See [`by_ratio`].
    Ratio(ByRatio),
    /// See [`k_fold`](super::k_fold). A split is one turn; whoever wants all asks for [`SplitConfig::turns`].
    KFold(KFold),
    /// See [`cold_items`]; the warm cases are left aside.
    ColdItems(ColdItems),
    /// See [`sessions`].
    Sessions(Sessions),
    /// See [`next_purchase`].
    NextPurchase(NextPurchase),
}

/// A time as people write it, in UTC; a place in a sequence stays a number.
fn when(at: i64) -> String {
    match jiff::Timestamp::from_second(at) {
        Ok(time) if at % 86_400 == 0 && at > 0 => time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string(),
        Ok(time) if at > 0 => time.to_string(),
        _ => at.to_string(),
    }
}

impl SplitConfig {
    /// Divides the log.
    ///
    /// # Errors
    /// Those of the function that the variant names.
    pub fn split(&self, all: &Interactions) -> Result<Split> {
        match *self {
            SplitConfig::LeaveOneOut(options) => leave_one_out(all, options),
            SplitConfig::Time(options) => by_time(all, options),
            SplitConfig::Ratio(options) => by_ratio(all, options),
            SplitConfig::KFold(options) => one_fold(all, options, options.turns().start),
            SplitConfig::ColdItems(options) => cold_items(all, options).map(|cold| cold.split),
            SplitConfig::Sessions(options) => sessions(all, options),
            SplitConfig::NextPurchase(options) => next_purchase(all, options),
        }
    }

    /// The divisions that together are this one: each fold in its turn, or just itself.
    pub fn turns(&self) -> Vec<SplitConfig> {
        match *self {
            SplitConfig::KFold(o) => {
                o.turns().map(|turn| SplitConfig::KFold(KFold { turn: Some(turn), ..o })).collect()
            }
            other => vec![other],
        }
    }

    /// The division in words, for the protocol of a report.
    pub fn describe(&self) -> String {
        match self {
            SplitConfig::LeaveOneOut(o) => format!("leave-one-out (shoppers with at least {} events)", o.min_events),
            SplitConfig::Time(o) => {
                let what = if o.new_only { "new items only" } else { "repeats counted" };
                format!("by time (validation from {}, test from {}), {what}", when(o.valid_from), when(o.test_from))
            }
            SplitConfig::Ratio(o) => {
                format!("by ratio per shopper (validation {}, test {}, seed {})", o.valid, o.test, o.seed)
            }
            SplitConfig::KFold(o) => {
                let of = if o.of == FoldOf::Event { "events" } else { "shoppers" };
                let turn = o.turn.map_or_else(String::new, |turn| format!(", fold {turn}"));
                format!("{}-fold over {of} (seed {}){turn}", o.k, o.seed)
            }
            SplitConfig::ColdItems(o) => format!(
                "cold items ({} of the items with at least {} events, seed {})",
                o.fraction, o.min_events, o.seed
            ),
            SplitConfig::Sessions(o) => {
                let cut =
                    o.gap_minutes.map_or_else(String::new, |gap| format!("sessions end after {gap} quiet minutes, "));
                format!("{cut}every prefix of a test session predicts its next item")
            }
            SplitConfig::NextPurchase(o) => format!("next {}: the last one of each shopper", o.target.name()),
        }
    }
}
