//! The workshop of every trained model: flat `f32` parameters and gradients come in, better parameters go out.
//!
//! Models keep what they learn by; what they share is here. [`adamw`] or [`sgd`] takes a step ([`optimiser`] is either),
//! [`early_stopping`] says when to stop and which step was best, [`linear`] is a layer there and back, [`logistic`] the regression
//! that every classifier must beat, [`trainer`] goes from batch to batch with a schedule,
//! [mod@gradient_check] compares a hand-written backward with finite differences,
//! [`checkpoint`] keeps what a killed run goes on from, [`run_log`] and
//! [`event_file`] write what was measured on the way, [`run`] does all three in one folder. [`folds`] holds rows out, [`search`]
//! says which settings of a [`space`] to try next. No clock and no hidden randomness: seeds are arguments.

pub mod adamw;
pub mod checkpoint;
pub mod early_stopping;
pub mod event_file;
pub mod folds;
pub mod gradient_check;
pub mod linear;
pub mod logistic;
pub mod optimiser;
pub mod run;
pub mod run_log;
pub mod schedule;
pub mod search;
pub mod sgd;
pub mod space;
pub mod trainer;

pub use adamw::{AdamW, AdamWConfig};
pub use early_stopping::{EarlyStopping, Verdict};
pub use event_file::EventFile;
pub use gradient_check::{Disagreement, gradient_check};
pub use optimiser::{Descent, Optimiser};
pub use run::{Course, Run, train_in};
pub use run_log::{RunLog, TrainError};
pub use schedule::Schedule;
pub use sgd::{Sgd, SgdConfig};
pub use trainer::{Learner, Step, TrainerConfig, train};
