//! What is stored: events and decisions under external ids, which outlive every build.

use lingxi_data::{Decision, EventKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An event as it arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// The shop's id of the shopper.
    pub user: String,
    /// The shop's id of the item; it need not be in the catalogue yet.
    pub item: String,
    /// What the shopper did.
    pub kind: EventKind,
    /// Rating, quantity or 1.
    pub value: f32,
    /// When, unix seconds.
    pub at: i64,
    /// The shop's remark, kept as it came.
    pub comment: Option<String>,
    /// An event with a key that was stored before is not stored again, so that a shop may send again without fear.
    pub key: Option<String>,
}

/// An event that is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Its place in the order of arrival, from 1.
    pub seq: i64,
    /// What arrived; read back, it has no key.
    pub event: NewEvent,
}

/// An item as the shop describes it after the build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewItem {
    /// The shop's id.
    pub id: String,
    /// Short name.
    pub title: String,
    /// What the language model reads; absent: title, categories and labels.
    pub text: Option<String>,
    /// Category paths (`grocery > dairy`), the main one first.
    pub categories: Vec<String>,
    /// In the shop's currency.
    pub price: Option<f32>,
    /// Further attributes.
    pub labels: BTreeMap<String, String>,
}

/// What became of an item since the last build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// It is for sale again.
    Shown,
    /// It is kept and not shown.
    Hidden,
    /// It is gone.
    Deleted,
}

impl Withdrawal {
    /// As it is stored.
    pub(super) fn name(self) -> &'static str {
        match self {
            Withdrawal::Shown => "shown",
            Withdrawal::Hidden => "hidden",
            Withdrawal::Deleted => "deleted",
        }
    }

    /// Back from how it is stored.
    pub(super) fn parse(name: &str) -> Option<Withdrawal> {
        [Withdrawal::Shown, Withdrawal::Hidden, Withdrawal::Deleted].into_iter().find(|what| what.name() == name)
    }
}

/// What is known of an item beyond the build.
#[derive(Clone, Debug, PartialEq)]
pub struct Good {
    /// The shop's id.
    pub item: String,
    /// Whether it is for sale.
    pub what: Withdrawal,
    /// Its description, if the shop gave a new one.
    pub body: Option<NewItem>,
}

/// A slate as it was shown, under external ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Unique, from [`super::Store::next_decision_id`].
    pub id: u64,
    /// The shop's id of the shopper.
    pub user: String,
    /// When, unix seconds.
    pub at: i64,
    /// Name and parameters of the policy.
    pub policy: String,
    /// Fingerprint of the snapshot that scored.
    pub snapshot: String,
    /// Seed of the policy's random stream.
    pub seed: u64,
    /// The slate from first to last place.
    pub slots: Vec<ShownSlot>,
}

/// One place of a slate.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownSlot {
    /// The shop's id of the item.
    pub item: String,
    /// The ranking score that it had.
    pub score: f32,
    /// Probability that the policy put it here, given the slots before.
    pub propensity: f32,
    /// Whether the policy explored here.
    pub explored: bool,
}

impl Shown {
    /// A decision made for `user`; `name` gives the shop's id of an item.
    pub fn new<'a>(decision: &Decision, user: &str, name: impl Fn(lingxi_data::ItemId) -> &'a str) -> Shown {
        Shown {
            id: decision.id,
            user: user.to_owned(),
            at: decision.at,
            policy: decision.policy.clone(),
            snapshot: decision.snapshot.to_string(),
            seed: decision.seed,
            slots: decision
                .slots
                .iter()
                .map(|slot| ShownSlot {
                    item: name(slot.item).to_owned(),
                    score: slot.score,
                    propensity: slot.propensity,
                    explored: slot.explored,
                })
                .collect(),
        }
    }
}
