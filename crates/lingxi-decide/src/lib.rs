//! Which slate, with what probability?
//!
//! A shopper's [`Context`](lingxi_data::Context) comes in; a slate of [`Slot`](lingxi_data::Slot)s goes out, each with the
//! exact probability of having been put there. On the way: [`recall`] proposes a few hundred of many goods ([`hnsw`] finds
//! those near a vector without looking at all), a [`Score`](lingxi_data::Score) ranks them, [`rules`] say what may be
//! shown, [`rerank`] moves candidates so that slates are varied and fair, a policy of [`explore`] draws place by place, and
//! [`decide()`] calls them in this order. [`interests`] says how much a shopper cares for each category, [`novel`] which
//! interest that they never showed is worth a place. What is learnt is plain data in the caller's hands; nothing reads a clock:
//! time, seed and models are arguments.
//!
//! [`conformance`] holds what every recall and every policy must obey, for the tests of this crate and of others.

pub mod conformance;
pub mod decide;
pub mod error;
pub mod explore;
pub mod hnsw;
pub mod interests;
pub mod novel;
pub mod recall;
pub mod rerank;
pub mod rules;

pub use decide::{Slate, Stages, Standing, consider, decide, rank};
pub use error::{DecideError, Result};
pub use explore::{Explorer, PolicyConfig};
pub use hnsw::{HnswConfig, HnswIndex};
pub use interests::{Base, Degree, Interests, InterestsConfig};
pub use novel::{Clusters, NewInterests, NovelConfig, Transitions};
pub use recall::{ExactRecall, HistoryRecall, HnswRecall, LastRecall, Listed, Union, recalls_at};
pub use rerank::{Cause, Exposure, Moved, RerankConfig, Reranker, Shaping};
pub use rules::{CapConfig, KeptAway, Repeats, Rule, Rules, RulesConfig};
