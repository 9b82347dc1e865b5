//! Goods like the one that the shopper took up last.
//!
//! They are the same whoever asks. So an item is searched for once, and what was found is kept for the next shopper who comes
//! from there; as the goods that are taken up most come first, the lists that there is room for are those that count.

use crate::hnsw::HnswIndex;
use lingxi_data::{Context, ItemId, Recall};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Goods in a list that is kept; who asks for more is searched for.
const LONGEST: usize = 256;
/// Lists that are kept: 16 MB at most.
const LISTS: usize = 16_384;

/// The neighbours of the last item of the history, without the item itself.
pub struct LastRecall {
    name: &'static str,
    index: Arc<HnswIndex>,
    /// By item.
    kept: Vec<OnceLock<Box<[ItemId]>>>,
    /// How many lists there is room for still.
    room: AtomicUsize,
}

impl LastRecall {
    /// Neighbours by the vectors of `index`, which spans a catalogue of `n_items`.
    pub fn new(name: &'static str, index: Arc<HnswIndex>, n_items: usize) -> LastRecall {
        let kept = (0..n_items).map(|_| OnceLock::new()).collect();
        LastRecall { name, index, kept, room: AtomicUsize::new(LISTS) }
    }

    fn search(&self, item: ItemId, k: usize) -> Vec<ItemId> {
        self.index.neighbours(item, k).into_iter().map(|(near, _)| near).collect()
    }
}

impl Recall for LastRecall {
    fn name(&self) -> &'static str {
        self.name
    }

    fn recall(&self, context: &Context<'_>, k: usize) -> Vec<ItemId> {
        let Some(last) = context.history.items.last() else { return Vec::new() };
        let Some(kept) = self.kept.get(last.index()).filter(|_| k <= LONGEST) else { return self.search(*last, k) };
        if let Some(list) = kept.get() {
            return list.iter().take(k).copied().collect();
        }
        let mut found = self.search(*last, LONGEST);
        if self.room.fetch_update(Relaxed, Relaxed, |room| room.checked_sub(1)).is_ok() {
            // Another thread may have been first, with the same list.
            let _ = kept.set(found.clone().into_boxed_slice());
        }
        found.truncate(k);
        found
    }
}
