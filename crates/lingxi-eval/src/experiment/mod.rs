//! Did a change help when it was tried?
//!
//! In reading order: [`assign`] says which arm a shopper is in, [`totals`] is all that is kept of an arm while it runs,
//! [`ratio`] asks whether the arms have the sizes that they should, [`difference`] compares two arms (with what was
//! known before, CUPED), [`sequential`] gives intervals that hold however often one looks, [`guard`] stops an arm that
//! loses, [`analysis`] puts it together and [`running`] is what a server holds, [`plan`] says beforehand how long it
//! takes, [`null_tests`] holds the promised risk against simulated A/A tests. [`effect`] asks of a log without an
//! experiment what being recommended does, [`effect_trials`] holds that against simulated logs whose truth is known.
//!
//! All of it is plain data and pure functions: a server keeps the totals of each arm, and asks a [`Running`] for an
//! [`Analysis`] whenever somebody looks.

pub mod analysis;
pub mod assign;
pub mod difference;
pub mod effect;
pub mod effect_trials;
pub mod guard;
pub mod linear;
pub mod null_tests;
pub mod plan;
pub mod ratio;
pub mod running;
pub mod sequential;
pub mod totals;

pub use analysis::{Analysis, AnalysisConfig, analyse};
pub use assign::{Arm, Experiment};
pub use guard::Verdict;
pub use running::Running;
pub use totals::ArmTotals;
