//! A fixed ranked list, the same for everyone: what is popular, what is trending, what an editor chose. The good default
//! for a shopper of whom nothing is known.

use lingxi_data::{Context, ItemId, Recall};
use std::collections::HashSet;

/// The first k of a list.
#[derive(Clone, Debug)]
pub struct Listed {
    name: &'static str,
    items: Vec<ItemId>,
}

impl Listed {
    /// `items`, best first; an item that comes again is dropped.
    pub fn new(name: &'static str, items: impl IntoIterator<Item = ItemId>) -> Listed {
        let mut seen = HashSet::new();
        Listed { name, items: items.into_iter().filter(|item| seen.insert(*item)).collect() }
    }
}

impl Recall for Listed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn recall(&self, _context: &Context<'_>, k: usize) -> Vec<ItemId> {
        self.items[..k.min(self.items.len())].to_vec()
    }
}
