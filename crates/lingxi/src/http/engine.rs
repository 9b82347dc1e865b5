//! What the endpoints ask of the house: names, a slate, its reasons, neighbours, a search.

use crate::live::Known;
use crate::reasons::Reason;
use lingxi_data::{Catalog, Context, Decision, Fingerprint, ItemId, Slot};
use lingxi_decide::KeptAway;

/// A loaded snapshot as the endpoints see it.
pub trait Engine: Send + Sync + 'static {
    /// Names and log.
    fn known(&self) -> Known<'_>;
    /// What is sold.
    fn catalog(&self) -> &Catalog;
    /// The snapshot's fingerprint.
    fn fingerprint(&self) -> Fingerprint;
    /// The slate for a context, and the better scored goods that a rule kept away: `id` and `seed` go into the decision.
    fn recommend(&self, context: &Context<'_>, n: usize, id: u64, seed: u64) -> (Decision, Vec<KeptAway>);
    /// Why a place of that slate is filled as it is; the parts add up to the score.
    fn reason(&self, context: &Context<'_>, slot: &Slot, kept_away: &[KeptAway]) -> Reason;
    /// At most `n` items like this one, best first.
    fn similar(&self, item: ItemId, n: usize) -> Vec<(ItemId, f32)>;
    /// At most `n` items that a text means, best first; `None` if the snapshot has no language model.
    fn search(&self, text: &str, n: usize) -> Option<Vec<(ItemId, f32)>>;
}
