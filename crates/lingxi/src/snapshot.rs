//! What does serving need? Catalogue, vectors, models, index and rules, whole, behind one `Arc`.
//!
//! Readers keep the snapshot that they started with; a new one replaces it whole or not at all.

use crate::http::Engine;
use crate::live::Known;
use crate::pipeline;
use crate::reasons::{Reason, Witness, WordIndex};
use crate::stages::encode::Meaning;
use crate::stages::index::Indexes;
use crate::stages::ingest::Shop;
use lingxi_behaviour::blend::Blend;
use lingxi_data::{Catalog, Context, Decision, Encode, Fingerprint, ItemId, Policy, Purpose, Slot};
use lingxi_decide::{KeptAway, Rules, Stages, Union};

/// A shop, ready to answer.
pub struct Snapshot {
    /// Names data, configuration and code.
    pub fingerprint: Fingerprint,
    /// Events, catalogue, shoppers.
    pub shop: Shop,
    /// The encoder and what it read, if goods have text.
    pub meaning: Option<Meaning>,
    /// What finds goods by vectors.
    pub indexes: Indexes,
    /// Proposes candidates.
    pub recall: Union,
    /// Ranks them.
    pub score: Blend,
    /// Say which may be shown.
    pub rules: Rules,
    /// The words of the catalogue, for reasons.
    pub words: WordIndex,
    /// Chooses among those.
    pub policy: Box<dyn Policy>,
    /// How many candidates recall may propose.
    pub candidates: usize,
}

impl Snapshot {
    /// The stages that make a slate.
    pub fn stages(&self) -> Stages<'_> {
        Stages {
            recall: &self.recall,
            score: &self.score,
            rules: &self.rules,
            policy: self.policy.as_ref(),
            candidates: self.candidates,
        }
    }

    /// At most `n` goods like this one, best first: near in language and behaviour together, or in language alone, or
    /// taken together, as far as the shop has what it takes.
    pub fn similar(&self, item: ItemId, n: usize) -> Vec<(ItemId, f32)> {
        match (&self.indexes.alignment, &self.indexes.meaning, &self.indexes.led_to) {
            (Some(index), ..) | (None, Some(index), _) => index.neighbours(item, n),
            (None, None, Some(led_to)) => led_to.get(item.index()).into_iter().flatten().take(n).copied().collect(),
            (None, None, None) => Vec::new(),
        }
    }

    /// At most `n` goods that a text means, best first; `None` without a language model.
    pub fn search(&self, text: &str, n: usize) -> Option<Vec<(ItemId, f32)>> {
        let (meaning, index) = (self.meaning.as_ref()?, self.indexes.meaning.as_ref()?);
        Some(index.search(&meaning.encoder.encode(&[text]), n))
    }
}

impl Engine for Snapshot {
    fn known(&self) -> Known<'_> {
        let data = &self.shop.data;
        let log = data.interactions.for_purpose(Purpose::Serving);
        Known { users: &data.users, items: &data.catalog.ids, log }
    }

    fn catalog(&self) -> &Catalog {
        &self.shop.data.catalog
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn recommend(&self, context: &Context<'_>, n: usize, id: u64, seed: u64) -> (Decision, Vec<KeptAway>) {
        pipeline::recommend(self, context, n, id, seed)
    }

    fn reason(&self, context: &Context<'_>, slot: &Slot, kept_away: &[KeptAway]) -> Reason {
        let (catalog, words, score, rules) = (&self.shop.data.catalog, &self.words, &self.score, &self.rules);
        Witness { catalog, words, score, rules }.explain(context, slot, kept_away)
    }

    fn similar(&self, item: ItemId, n: usize) -> Vec<(ItemId, f32)> {
        Snapshot::similar(self, item, n)
    }

    fn search(&self, text: &str, n: usize) -> Option<Vec<(ItemId, f32)>> {
        Snapshot::search(self, text, n)
    }
}
