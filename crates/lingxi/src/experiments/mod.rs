//! Does a change help, tried on some of the shoppers while the shop serves?
//!
//! What a person writes ([`config`]) is kept in the store; every shopper who asks for a slate is dealt an arm ([`running`])
//! and is met in it; what they do is added up by the store's writer in the transaction that stores it ([`measure`]), so that
//! what is counted is exactly what is stored, also after a crash. Whoever looks reads a few sums ([`mod@look`]): the log is never
//! read again. An arm that surely loses more than a guardrail tolerates is stopped by the server itself.

pub mod config;
pub mod look;
pub mod measure;
pub mod running;

pub use config::{ArmConfig, ExperimentConfig, GuardrailConfig, Wrong};
pub use look::{Look, look};
pub use measure::{Deeds, Measure};
pub use running::{Dealt, Experiments};

use lingxi_eval::experiment::ArmTotals;
use lingxi_eval::experiment::analysis::Comparison;
use serde::{Deserialize, Serialize};

/// Most experiments that are kept, running and ended.
pub const MOST: usize = 32;

/// An experiment as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its number in the store.
    pub id: i64,
    /// What is tried.
    pub config: ExperimentConfig,
    /// When it was started, unix seconds.
    pub started: i64,
    /// When and why it ended.
    pub ended: Option<(i64, String)>,
    /// Its arms, in their order.
    pub arms: Vec<KeptArm>,
}

/// An arm as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptArm {
    /// If it was stopped before the experiment ended.
    pub stopped: Option<Stopped>,
    /// What was measured so far, in the order of the experiment's metrics.
    pub totals: Vec<ArmTotals>,
}

/// An arm that was stopped: its shoppers get what is served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    /// Unix seconds.
    pub at: i64,
    /// The metric whose guardrail stopped it.
    pub by: Measure,
    /// In words.
    pub why: String,
    /// What it said last, of each metric.
    pub said: Vec<(Measure, Comparison)>,
}

impl Stopped {
    /// What it said last of a metric.
    pub fn said(&self, metric: Measure) -> Option<Comparison> {
        self.said.iter().find(|(said, _)| *said == metric).map(|(_, comparison)| comparison.clone())
    }
}

impl Kept {
    /// Whether it deals shoppers.
    pub fn runs(&self) -> bool {
        self.ended.is_none()
    }

    /// The places of the arms that go on.
    pub fn going(&self) -> Vec<usize> {
        (0..self.arms.len()).filter(|&arm| self.arms[arm].stopped.is_none()).collect()
    }
}
