//! How is the past divided into training, validation and test?
//!
//! A log comes in, a [`Split`] goes out: events to fit on, and two holdouts whose cases each say who asks, when, with
//! which history, and which items they then took. Every way of dividing gives this one shape, so that models and
//! measures know nothing of protocols. What holds for all of them: a held-out event is neither in training nor in the
//! history of its case; validation events are in the history of test cases (a served model would know them) but never
//! in training; shoppers who did not agree to [`Purpose::Evaluation`] make no case and stay in training whole.

mod cold;
mod config;
mod draft;
mod last;
mod parts;
mod random;
mod session;
mod time;

pub use cold::{ColdItems, ColdSplit, cold_items};
pub use config::SplitConfig;
pub use last::{LeaveOneOut, NextPurchase, leave_one_out, next_purchase};
pub use parts::from_parts;
pub use random::{ByRatio, FoldOf, KFold, by_ratio, k_fold};
pub use session::{Sessions, cut_sessions, sessions, sessions_from_parts};
pub use time::{ByTime, by_time};

use crate::{Context, Interactions, ItemId, Purpose, UserId};

/// A divided log.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// The only events that models may be fitted on.
    pub train: Interactions,
    /// To choose models and their settings by.
    pub valid: Holdout,
    /// To report.
    pub test: Holdout,
    /// Events that the protocol leaves out of all parts (such as what a shopper did after the test target).
    pub unused: usize,
}

/// Questions with known answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holdout {
    /// What may be known when the cases are answered; a case reads the first `history_len` events of its shopper.
    pub history: Interactions,
    /// The held-out events themselves, for measures that need their values (ratings).
    pub held: Interactions,
    /// The questions, by shopper and then time.
    pub cases: Vec<HeldCase>,
}

/// One question: who, when, and what they then took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCase {
    /// Who asks.
    pub user: UserId,
    /// When, unix seconds: nothing in the history is later.
    pub at: i64,
    /// The distinct items of the held-out events, ascending; never empty.
    pub relevant: Vec<ItemId>,
    /// How many events of the shopper's rows in [`Holdout::history`] are known.
    pub history_len: usize,
}

impl Holdout {
    /// The context of each case, in the order of the cases.
    pub fn contexts(&self) -> impl ExactSizeIterator<Item = Context<'_>> {
        self.cases.iter().map(|case| self.context(case))
    }

    /// The context of one case of this holdout.
    pub fn context(&self, case: &HeldCase) -> Context<'_> {
        let rows = self.history.for_purpose(Purpose::Evaluation).of(case.user);
        Context { user: Some(case.user), history: rows.first(case.history_len), now: case.at }
    }
}
