//! What does serving need? Catalogue, vectors, models, index and rules, whole, behind one `Arc`.
//!
//! Readers keep the snapshot that they started with; a new one replaces it whole or not at all. What was [`Built`] never
//! changes; goods that come after it make another snapshot on the same ground.

use crate::fresh::{self, Fresh, FreshRecall, FreshScore};
use crate::http::{Engine, Front};
use crate::learner::Learning;
use crate::live::Known;
use crate::pipeline::{self, Ask, Made};
use crate::reasons::{Reason, Witness, WordIndex};
use crate::sight::{Glance, Ground, NovelRecall, Sight};
use crate::stages::encode::Meaning;
use crate::stages::index::Indexes;
use crate::stages::ingest::Shop;
use crate::stages::interests::Tastes;
use crate::store::NewItem;
use lingxi_content::{BertEncoder, Generator};
use lingxi_data::{
    Catalog, Context, Encode, Fingerprint, Interner, ItemId, Policy, Purpose, Recall, Rows, Score, Slot, UserId,
};
use lingxi_decide::{
    DecideError, Degree, Explorer, Exposure, KeptAway, NewInterests, RerankConfig, Reranker, Rules, RulesConfig,
    Shaping, Stages, Standing,
};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

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
    /// Chooses among those, as long as nobody has learnt a better one.
    pub policy: Explorer,
    /// What a better one is learnt with.
    pub learning: Learning,
    /// What policies that learn see of shoppers and goods.
    pub sight: Sight,
    /// Interests of the catalogue, and which follows which, if anybody asks.
    pub new: Option<Arc<NewInterests>>,
    /// What the shop wants beyond the best scores.
    pub rerank: RerankConfig,
    /// Who was shown how much.
    pub exposure: RwLock<Exposure>,
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
    /// `None`: the best scores are all that the shop wants.
    reranker: Option<Reranker>,
    /// The group of each shopper, where groups are to see the same mix.
    groups: Vec<Option<u32>>,
}

impl Snapshot {
    /// What was built, without new goods.
    ///
    /// # Errors
    /// [`lingxi_decide::DecideError::Config`] if the rules do not hold together, or what moves goods does not fit the shop.
    pub fn new(built: Built) -> lingxi_decide::Result<Snapshot> {
        let built = Arc::new(built);
        Ok(Snapshot {
            stocked: None,
            fresh: Arc::default(),
            recall: with_new(built.recall.clone(), &built),
            score: built.score.clone(),
            rules: Rules::new(built.rules.clone(), &built.shop.data.catalog)?,
            reranker: reranker(&built, &built.shop.data.catalog)?,
            groups: groups(&built)?,
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
            policy: self.policy(ask),
            candidates: self.built.candidates,
            withdrawn: ask.withdrawn,
            within: ask.within,
            describe: None,
            shaping: None,
            explore: ask.explore,
        }
    }

    /// The policy that answers a question.
    pub fn policy<'a>(&'a self, ask: &Ask<'a>) -> &'a dyn Policy {
        ask.policy.unwrap_or(&self.built.policy)
    }

    /// What policies that learn see of whoever asks; `None` if nobody looks.
    pub fn glance(&self, context: &Context<'_>) -> Option<Glance<'_>> {
        let built = &self.built;
        if !built.learning.policy.learns() && built.learning.budget.places == 0 {
            return None;
        }
        let ground = Ground {
            sight: &built.sight,
            catalog: self.catalog(),
            tastes: &built.tastes,
            vectors: built.meaning.as_ref().map(|meaning| &*meaning.vectors),
            new: built.new.as_deref(),
        };
        Some(Glance::of(ground, context))
    }

    /// Who was shown how much; `None` if nothing moves goods.
    pub fn exposure(&self) -> Option<RwLockReadGuard<'_, Exposure>> {
        self.reranker.as_ref().map(|_| self.built.exposure.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What moves goods on a slate for this shopper.
    pub fn shaping<'a>(&'a self, exposure: Option<&'a Exposure>, user: Option<UserId>) -> Option<Shaping<'a>> {
        Some(Shaping {
            reranker: self.reranker.as_ref()?,
            vectors: self.built.meaning.as_ref().map(|meaning| &*meaning.vectors),
            exposure: exposure?,
            group: self.group(user),
        })
    }

    fn group(&self, user: Option<UserId>) -> Option<u32> {
        self.groups.get(user?.index()).copied().flatten()
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
            reranker: reranker(built, &catalog).expect("it was checked when the build was published"),
            groups: self.groups.clone(),
            stocked: Some(catalog),
            recall: with_new(Arc::new(FreshRecall { known: built.recall.clone(), fresh: fresh.clone() }), built),
            score: Arc::new(FreshScore { known: built.score.clone(), fresh: fresh.clone() }),
            fresh,
            built: built.clone(),
        })
    }
}

/// A recall that also finds goods of interests that are new to the shopper, if places are kept for them.
fn with_new(known: Arc<dyn Recall>, built: &Built) -> Arc<dyn Recall> {
    match &built.new {
        Some(new) if built.learning.budget.places > 0 => Arc::new(NovelRecall { known, new: new.clone() }),
        _ => known,
    }
}

fn reranker(built: &Built, catalog: &Catalog) -> lingxi_decide::Result<Option<Reranker>> {
    if built.rerank == RerankConfig::default() {
        return Ok(None);
    }
    Reranker::new(built.rerank.clone(), catalog, built.sight.taken()).map(Some)
}

/// Numbers the values of the column that the recipe tells groups apart by.
fn groups(built: &Built) -> lingxi_decide::Result<Vec<Option<u32>>> {
    let Some(config) = &built.rerank.groups else { return Ok(Vec::new()) };
    let columns = &built.shop.data.user_attributes;
    let Some(column) = columns.iter().find(|column| column.name == config.by) else {
        let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        return Err(DecideError::Config {
            what: "rerank.groups.by",
            expected: "a column of the shoppers",
            got: format!("{:?} (columns: {})", config.by, known.join(", ")),
        });
    };
    let mut names = Interner::default();
    Ok(column.values.iter().map(|value| if value.is_empty() { None } else { names.intern(value) }).collect())
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

    fn recommend(&self, ask: &Ask<'_>) -> Made {
        pipeline::recommend(self, ask)
    }

    fn policy(&self) -> &dyn Policy {
        &self.built.policy
    }

    fn learning(&self) -> Option<Learning> {
        Some(self.built.learning.clone()).filter(|learning| learning.policy.learns())
    }

    fn remembers(&self) -> bool {
        self.reranker.is_some() || (self.built.learning.policy.learns() && self.built.new.is_some())
    }

    fn shown(&self, user: Option<UserId>, slots: &[Slot]) {
        if let Some(reranker) = &self.reranker {
            let mut exposure = self.built.exposure.write().unwrap_or_else(PoisonError::into_inner);
            reranker.observe(&mut exposure, slots, self.group(user));
        }
        if let (Some(new), Some(user), true) = (&self.built.new, user, self.built.learning.policy.learns()) {
            self.built.sight.note(new, user, slots);
        }
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
