//! What is stored: events and decisions under external ids, which outlive every build.

use lingxi_data::{Decision, EventKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
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
    /// Rating, quantity or 1; 0 for an item that was shown and put away, see [`NewEvent::is_put_away`].
    pub value: f32,
    /// When, unix seconds.
    pub at: i64,
    /// The shop's remark, kept as it came.
    pub comment: Option<String>,
    /// An event with a key that was stored before is not stored again, so that a shop may send again without fear.
    pub key: Option<String>,
}

impl NewEvent {
    /// Whether this only says that the item was shown and is not to be shown again: the shopper did nothing, and no model
    /// should learn from it.
    pub fn is_put_away(&self) -> bool {
        self.value == 0.0 && self.kind != EventKind::Rate
    }
}

/// Which events of a shopper are to be erased.
#[derive(Clone, Debug, PartialEq)]
pub struct Erasure {
    /// The shop's id of the shopper.
    pub user: String,
    /// Those on this item, or on any.
    pub item: Option<String>,
    /// Those of this kind, or of any.
    pub kind: Option<EventKind>,
}

impl Erasure {
    /// Whether an event of this shopper is one of those.
    pub fn names(&self, item: &str, kind: EventKind) -> bool {
        self.item.as_deref().is_none_or(|own| own == item) && self.kind.is_none_or(|own| own == kind)
    }
}

/// An erasure that also holds for the logs that snapshots are built from.
#[derive(Clone, Debug, PartialEq)]
pub struct Erased {
    /// Which events.
    pub what: Erasure,
    /// The number of the last event that had arrived: later ones are not meant.
    pub until: i64,
}

/// What a shop says of a shopper, in Gorse's shape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Any JSON, as it came.
    pub labels: Value,
    /// The shop's remark.
    pub comment: String,
    /// Gorse's subscriptions, kept as they came.
    pub subscribe: Vec<String>,
}

/// One change of what is known of shoppers.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An event, stored unless its key was stored before.
    Insert(NewEvent),
    /// The same, in place of all events of the same kind, shopper and item.
    Replace {
        /// The new one.
        event: NewEvent,
        /// Whether logs hold such events too.
        logged: bool,
    },
    /// Takes events away, for good.
    Erase {
        /// Which.
        what: Erasure,
        /// Whether logs hold such events too.
        logged: bool,
    },
    /// What a shop says of a shopper, in place of what it said before.
    Describe(String, Profile),
    /// Takes a shopper away with all that they did and were shown.
    Forget(String),
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
    /// The labels as the shop sent them; null if it sent none.
    #[serde(default)]
    pub sent_labels: Value,
    /// The shop's remark; Gorse's clients put the name here.
    #[serde(default)]
    pub comment: String,
    /// When it came to the shop, unix seconds.
    #[serde(default)]
    pub timestamp: Option<i64>,
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
    /// The place of the first slot, from 0: not 0 on a later page.
    pub first: usize,
    /// The slate from first to last place.
    pub slots: Vec<ShownSlot>,
    /// What the policy saw of each place, row-major, for its learner; empty if it learns nothing. Not read back with the rest.
    pub seen: Vec<f32>,
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
            first: 0,
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
            seen: Vec::new(),
        }
    }
}
