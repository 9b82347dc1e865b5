//! What does serving need? Catalogue, vectors, models, index and rules, whole, behind one `Arc`.
//!
//! Readers keep the snapshot that they started with; a new one replaces it whole or not at all. What was [`Built`] never
//! changes; goods that come after it make another snapshot on the same ground.

use crate::fresh::{self, Fresh, FreshRecall, FreshScore};
use crate::http::{Engine, Front};
use crate::live::Known;
use crate::pipeline::{self, Ask};
use crate::reasons::{Reason, Witness, WordIndex};
use crate::stages::encode::Meaning;
use crate::stages::index::Indexes;
use crate::stages::ingest::Shop;
use crate::stages::interests::Tastes;
use crate::store::NewItem;
use lingxi_content::{BertEncoder, Generator};
use lingxi_data::{
    Catalog, Context, Decision, Encode, Fingerprint, ItemId, Policy, Purpose, Recall, Rows, Score, Slot, UserId,
};
use lingxi_decide::{Degree, KeptAway, Rules, RulesConfig, Stages, Standing};
use std::sync::Arc;

/// What a build made.
pub struct Built {
    /// Names data, configuration and code.
    pub fingerprint: Fingerprint,
    /// Events, catalogue, shoppers.
    pub shop: Shop,
    /// The encoder and what it read, if goods have text.
    pub meaning: Option<Meaning>,
    /// What finds goods by vectors.
    pub indexes: Indexes,
    /// Proposes candidates.
    pub recall: Arc<dyn Recall>,
    /// Ranks them.
    pub score: Arc<dyn Score>,
    /// Say which may be shown.
    pub rules: RulesConfig,
    /// The words of the catalogue, for reasons.
    pub words: WordIndex,
    /// Chooses among those.
    pub policy: Box<dyn Policy>,
    /// How many candidates recall may propose.
    pub candidates: usize,
    /// Turns a history into degrees of interest.
    pub tastes: Tastes,
    /// What the shop says of itself.
    pub front: Front,
    /// Phrases reasons, if the recipe wants it.
    pub writer: Option<Arc<Generator>>,
}

/// A shop, ready to answer: what was built, and the goods that came since.
pub struct Snapshot {
    /// What was built.
    pub built: Arc<Built>,
    /// All goods, those of the build first, if others came since.
    stocked: Option<Catalog>,
    fresh: Arc<Fresh>,
    recall: Arc<dyn Recall>,
    score: Arc<dyn Score>,
    rules: Rules,
}

impl Snapshot {
    /// What was built, without new goods.
    ///
    /// # Errors
    /// [`lingxi_decide::DecideError::Config`] if the rules do not hold together.
    pub fn new(built: Built) -> lingxi_decide::Result<Snapshot> {
        let built = Arc::new(built);
        Ok(Snapshot {
            stocked: None,
            fresh: Arc::default(),
            recall: built.recall.clone(),
            score: built.score.clone(),
            rules: Rules::new(built.rules.clone(), &built.shop.data.catalog)?,
            built,
        })
    }

    /// Names the build.
    pub fn fingerprint(&self) -> Fingerprint {
        self.built.fingerprint
    }

    /// The stages that make a slate.
    pub fn stages<'a>(&'a self, ask: &Ask<'a>) -> Stages<'a> {
        Stages {
            recall: &*self.recall,
            score: &*self.score,
            rules: &self.rules,
            policy: self.built.policy.as_ref(),
            candidates: self.built.candidates,
            withdrawn: ask.withdrawn,
            within: ask.within,
            describe: None,
            shaping: None,
            explore: ask.explore,
        }
    }

    /// At most `n` goods like this one, best first: near in language and behaviour together, or in language alone, or
    /// taken together, as far as the shop has what it takes. A new item is near in language alone.
    pub fn similar(&self, item: ItemId, n: usize) -> Vec<(ItemId, f32)> {
        let indexes = &self.built.indexes;
        if let (Some(vector), Some(index)) = (self.fresh.vector(item), &indexes.meaning) {
            let mut near = self.fresh.join(index.search(vector, n + 1), vector, n + 1);
            near.retain(|(other, _)| *other != item);
            near.truncate(n);
            return near;
        }
        let known = match (&indexes.alignment, &indexes.meaning, &indexes.led_to) {
            (Some(index), ..) | (None, Some(index), _) => index.neighbours(item, n),
            (None, None, Some(led_to)) => led_to.get(item.index()).into_iter().flatten().take(n).copied().collect(),
            (None, None, None) => Vec::new(),
        };
        match self.built.meaning.as_ref().and_then(|meaning| meaning.vectors.get(item)) {
            Some(vector) => self.fresh.join(known, vector, n),
            None => known,
        }
    }

    /// At most `n` goods that a text means, best first; `None` without a language model.
    pub fn search(&self, text: &str, n: usize) -> Option<Vec<(ItemId, f32)>> {
        let (meaning, index) = (self.built.meaning.as_ref()?, self.built.indexes.meaning.as_ref()?);
        let query = meaning.encoder.encode(&[text]);
        Some(self.fresh.join(index.search(&query, n), &query, n))
    }

    /// The same build with these goods beside it; `None` without a language model to read them.
    pub fn with_goods(&self, goods: &[NewItem]) -> Option<Snapshot> {
        let built = &self.built;
        let (meaning, index) = (built.meaning.as_ref()?, built.indexes.meaning.as_ref()?);
        let known = &built.shop.data.catalog;
        let catalog = fresh::stock(known, goods);
        let fresh = Arc::new(Fresh::place(&catalog, known.len(), &self.fresh, &meaning.newcomers, index));
        Some(Snapshot {
            rules: Rules::new(built.rules.clone(), &catalog)
                .expect("the rules were checked when the build was published"),
            stocked: Some(catalog),
            recall: Arc::new(FreshRecall { known: built.recall.clone(), fresh: fresh.clone() }),
            score: Arc::new(FreshScore { known: built.score.clone(), fresh: fresh.clone() }),
            fresh,
            built: built.clone(),
        })
    }
}

impl Engine for Snapshot {
    fn known(&self) -> Known<'_> {
        let data = &self.built.shop.data;
        Known { users: &data.users, items: &self.catalog().ids, log: data.interactions.for_purpose(Purpose::Serving) }
    }

    fn catalog(&self) -> &Catalog {
        self.stocked.as_ref().unwrap_or(&self.built.shop.data.catalog)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.built.fingerprint
    }

    fn front(&self) -> &Front {
        &self.built.front
    }

    fn labels(&self, user: UserId) -> Vec<(&str, &str)> {
        let all = self.built.shop.data.user_attributes.iter();
        all.filter_map(|column| Some((column.name.as_str(), column.values.get(user.index())?.as_str())))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }

    fn recommend(&self, ask: &Ask<'_>) -> (Decision, Vec<KeptAway>) {
        pipeline::recommend(self, ask)
    }

    fn consider(&self, ask: &Ask<'_>, item: ItemId) -> Option<Standing> {
        pipeline::consider(self, ask, item)
    }

    fn reason(&self, context: &Context<'_>, slot: &Slot, kept_away: &[KeptAway]) -> Reason {
        let (catalog, words, score, rules) = (self.catalog(), &self.built.words, &*self.score, &self.rules);
        Witness { catalog, words, score, rules }.explain(context, slot, kept_away)
    }

    fn similar(&self, item: ItemId, n: usize) -> Vec<(ItemId, f32)> {
        Snapshot::similar(self, item, n)
    }

    fn search(&self, text: &str, n: usize) -> Option<Vec<(ItemId, f32)>> {
        Snapshot::search(self, text, n)
    }

    fn interests(&self, history: Rows<'_>, now: i64, most: usize) -> Vec<Degree> {
        self.built.tastes.degrees(history, self.catalog(), now, most)
    }

    fn encoder(&self) -> Option<&Arc<BertEncoder>> {
        self.built.meaning.as_ref().map(|meaning| &meaning.encoder)
    }

    fn writer(&self) -> Option<&Generator> {
        self.built.writer.as_deref()
    }

    fn reads_goods(&self) -> bool {
        self.built.meaning.is_some()
    }

    fn with_goods(&self, goods: &[NewItem]) -> Option<Arc<dyn Engine>> {
        Some(Arc::new(Snapshot::with_goods(self, goods)?))
    }
}
