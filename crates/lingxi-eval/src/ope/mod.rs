//! What would another policy have earned on what was logged?
//!
//! Logged [`Rounds`], the evaluation policy's chance of every action ([`Grid`]) and, where a model of the reward
//! exists, its predictions come in; a [`Report`] goes out: one value with interval per estimator, the one that a stated
//! rule chose, and a refusal in words where the log cannot answer.
//!
//! In reading order: [`rounds`] is the log as plain columns, [`terms`] what every estimator is made of (a base, a
//! weighted correction, perhaps a normaliser), then one file per family of estimators: [`direct`], [`weighting`],
//! [`doubly_robust`], and [`slate`] for lists, with [`outlook`] on what is still to come in them; [`reward_model`]
//! predicts rewards with [`lingxi_train::logistic`], [`tuning`] chooses clipping and shrinkage, [`overlap`] asks whether the log can
//! answer at all, [`choice`] which estimate to believe, [`report`] puts it together, [`thompson`] is the policy of the
//! published log, [`synthetic`] makes logs whose truth is known and [`coverage`] holds all of this against it.

pub mod choice;
pub mod coverage;
pub mod direct;
pub mod doubly_robust;
pub mod outlook;
pub mod overlap;
pub mod report;
pub mod reward_model;
pub mod rounds;
pub mod slate;
pub mod synthetic;
pub mod terms;
pub mod thompson;
pub mod tuning;
pub mod weighting;

pub use overlap::{Bars, Overlap};
pub use report::{Estimate, Report, ReportConfig, evaluate, evaluate_slates};
pub use reward_model::{RewardModelConfig, predict};
pub use rounds::{Grid, Rounds};
pub use terms::{Columns, Terms};
