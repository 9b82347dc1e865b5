//! What was shown, with which probability, by which policy, and what came of it. The decision log is the only bridge
//! from serving back to learning.

use crate::{EventKind, Fingerprint, ItemId, UserId};
use serde::{Deserialize, Serialize};

/// One place of a slate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// What was shown here.
    pub item: ItemId,
    /// The ranking score that it had.
    pub score: f32,
    /// Probability, in (0, 1], that the policy puts this item here, given the slots before it. Exact, not estimated.
    pub propensity: f32,
    /// Whether the policy explored here instead of taking the best eligible item.
    pub explored: bool,
}

/// A slate as it was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Unique, given by the store.
    pub id: u64,
    /// For whom; `None` for a shopper never seen.
    pub user: Option<UserId>,
    /// When, unix seconds.
    pub at: i64,
    /// Name and parameters of the policy that chose, e.g. `epsilon-greedy(0.05)/1`.
    pub policy: String,
    /// The snapshot that scored.
    pub snapshot: Fingerprint,
    /// Seed of the policy's random stream, so that the choice can be replayed.
    pub seed: u64,
    /// The slate from first to last place.
    pub slots: Vec<Slot>,
}

/// What came of a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// The decision that it answers.
    pub decision: u64,
    /// The item that the shopper acted on.
    pub item: ItemId,
    /// What the shopper did.
    pub kind: EventKind,
    /// Rating, quantity or 1.
    pub value: f32,
    /// When, unix seconds.
    pub at: i64,
}

/// What a policy learns from one slot: what it saw when it chose, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// What was shown.
    pub item: ItemId,
    /// The candidate's row of [`Scored::features`](crate::Scored::features) at the time of the decision.
    pub features: Vec<f32>,
    /// What came of it: 1 for what the shop wants, 0 for nothing, anything finite between or beyond.
    pub reward: f32,
    /// How much it counts; 1, or less for a place that is seldom looked at.
    pub weight: f32,
}
