//! Did it help?
//!
//! Held-out cases and a model come in, a [`Report`] goes out: every figure with its split, its protocol and its
//! interval. The whole catalogue is ranked for every case; sampled negatives exist only for published tables that were
//! made with them, and their report says so.
//!
//! In reading order: [`case`] is one question with its answer, [`rank`] turns scores into lists, [`accuracy`] asks what of
//! the lists was taken, [`beyond_accuracy`] what the lists are like whoever took what, [`interval`] how far chance moves
//! a figure, [`report`] puts it together, [`slices`] looks at some of the cases, [`significance`] asks whether one model
//! is better than another, [`negatives`] ranks against sampled items, [`ratings`] measures predicted ratings, [`probabilities`] and
//! [`calibration`] foretold probabilities, [`repeated`] joins the figures of folds, [`intents`] measures a classifier that may decline,
//! [`judged`] the order of things that people judged. [`ope`] asks what another policy would have earned on a log, [`experiment`] whether a
//! change helped when it was tried.
//!
//! Edge rules, everywhere the same: equal scores rank by lower item id; a masked item and one scored negative infinity
//! are never listed; a `NaN` score ranks below all numbers and is counted; a case without relevant items is skipped and
//! counted; a relevant item that is masked counts as missed; `k` may exceed the catalogue, lists are then shorter.

pub mod accuracy;
pub mod beyond_accuracy;
pub mod calibration;
pub mod case;
pub mod error;
pub mod experiment;
pub mod intents;
pub mod interval;
pub mod judged;
pub mod negatives;
pub mod ope;
pub mod probabilities;
pub mod rank;
pub mod ratings;
pub mod repeated;
pub mod report;
pub mod significance;
pub mod slices;

pub use beyond_accuracy::Goods;
pub use case::{Case, Mask, cases};
pub use error::{EvalError, Result};
pub use judged::{Judged, measure_judged};
pub use negatives::evaluate_sampled;
pub use ratings::rating_errors;
pub use report::{EvalConfig, Report, evaluate, evaluate_vectors, table};
pub use significance::{Paired, paired_test};
pub use slices::{Slice, measure};
