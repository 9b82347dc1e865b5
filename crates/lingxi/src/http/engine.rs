//! What the endpoints ask of the house: names, a slate, its reasons, neighbours, a search.

use crate::live::Known;
use lingxi_data::{Catalog, Context, Contribution, Decision, Fingerprint, ItemId};

/// A loaded snapshot as the endpoints see it.
pub trait Engine: Send + Sync + 'static {
    /// Names and log.
    fn known(&self) -> Known<'_>;
    /// What is sold.
    fn catalog(&self) -> &Catalog;
    /// The snapshot's fingerprint.
    fn fingerprint(&self) -> Fingerprint;
    /// The slate for a context: `id` and `seed` go into the decision.
    fn recommend(&self, context: &Context<'_>, n: usize, id: u64, seed: u64) -> Decision;
    /// The sentence for a person and the parts that add up to the score.
    fn reason(&self, context: &Context<'_>, item: ItemId) -> (String, Vec<Contribution>);
    /// At most `n` items like this one, best first.
    fn similar(&self, item: ItemId, n: usize) -> Vec<(ItemId, f32)>;
    /// At most `n` items that a text means, best first; `None` if the snapshot has no language model.
    fn search(&self, text: &str, n: usize) -> Option<Vec<(ItemId, f32)>>;
}
