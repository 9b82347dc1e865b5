//! Which few hundred of many goods are worth ranking?
//!
//! A shopper's context comes in; candidates go out, no item twice, best first by the source's own measure. One source a
//! file: [`ExactRecall`] looks at everything and is the reference, [`HnswRecall`] looks near a vector, [`LastRecall`]
//! near the last item, [`HistoryRecall`] looks back, [`Listed`] is for everyone, and [`Union`] takes from several in turn. [`recalls_at`] measures what an index
//! misses.

mod exact;
mod history;
mod last;
mod listed;
mod measure;
mod near;
mod union;

pub use exact::ExactRecall;
pub use history::{HistoryRecall, Neighbours};
pub use last::LastRecall;
pub use listed::Listed;
pub use measure::recalls_at;
pub use near::{HnswRecall, Query};
pub use union::Union;
