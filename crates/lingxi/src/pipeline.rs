//! How do logs become a snapshot, and a shopper a slate? Every stage is called here by its name; read it aloud.
//!
//! ```text
//! build:      ingest -> arrivals -> encode -> divide -> fit -> choose on validation -> measure on test -> fit on all -> index
//! recommend:  recall -> rank -> choose within the rules
//! ```

use crate::figures;
use crate::generate;
use crate::http::Front;
use crate::learner::Learning;
use crate::reasons::WordIndex;
use crate::recipe::Recipe;
use crate::shelf::{Place, Shelf};
use crate::sight::Sight;
use crate::site::Site;
use crate::snapshot::{Built, Snapshot};
use crate::stages::arrivals::{self, Arrivals};
use crate::stages::choose::{self, Choice, choose};
use crate::stages::divide::divide;
use crate::stages::encode::{Meaning, encode, encode_by, reads};
use crate::stages::fit::{Fitted, Lessons, fit, lacks_alignment};
use crate::stages::index::{index, recall};
use crate::stages::ingest::{self, Shop, ingest};
use crate::stages::interests::tastes;
use crate::stages::measure::{self, Measured, measure};
use crate::stages::novel::novel;
use crate::stages::tune::tune;
use anyhow::Result;
use lingxi_behaviour::blend::Blend;
use lingxi_data::ingest::Ingested;
use lingxi_data::{Context, Decision, Fingerprint, ItemId, Policy, Purpose, Scored};
use lingxi_decide::{KeptAway, Moved, Standing, decide};
use serde_json::json;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// A shop that was read: its files as columns, its goods as vectors.
pub struct Read {
    /// Events, catalogue, shoppers.
    pub shop: Shop,
    /// Vectors, if goods have text.
    pub meaning: Option<Meaning>,
}

/// Reads the files and the goods, with what arrived since the files were written.
///
/// # Errors
/// Files that cannot be used, assets that cannot be fetched.
pub fn read(recipe: &Recipe, arrivals: &Arrivals, site: &Site) -> Result<Read> {
    let shop = arrivals::join(recipe, ingest(recipe, site)?, arrivals, site)?;
    with_meaning(recipe, shop, site)
}

fn with_meaning(recipe: &Recipe, shop: Shop, site: &Site) -> Result<Read> {
    let content = &recipe.content;
    let meaning = match &content.tune {
        // What shoppers did after training begins must not have taught the encoder that is measured on it.
        Some(wanted) if reads(content, &shop) => {
            let train = divide(recipe, &shop.data, site.seed)?.split.train;
            Some(encode_by(&tune(wanted, content, &shop, &train, site)?, content, &shop, site)?)
        }
        _ => encode(content, &shop, site)?,
    };
    Ok(Read { shop, meaning })
}

/// A shop that was measured.
pub struct Evaluated {
    /// What validation chose.
    pub choice: Choice,
    /// The figures on the test part.
    pub measured: Measured,
    /// The models that were measured; `None` if choice and figures came from the shelf.
    pub fitted: Option<Fitted>,
}

/// Divides the past, fits on training, chooses on validation, measures on test; or takes choice and figures from the shelf
/// if nothing changed since they were made.
///
/// # Errors
/// A division that does not fit the data; whatever the models say.
pub fn evaluate(recipe: &Recipe, read: &Read, site: &Site) -> Result<Evaluated> {
    let inputs = [read.shop.place.key, read.meaning.as_ref().map_or(read.shop.place.key, |m| m.key)];
    let config = (&recipe.split, &recipe.models, &recipe.blend, &recipe.evaluate, site.seed);
    let load = |folder: &Path| Ok((choose::load(folder)?, measure::load(folder)?, None));
    let save = |(choice, measured, _): &(Choice, Measured, _), folder: &Path| {
        choose::save(choice, folder).and_then(|()| measure::save(measured, folder))
    };
    let make = || evaluate_anew(recipe, read, site);
    let ((choice, measured, fitted), _) = site.shelf.get("figures", Shelf::key(&inputs, &config), load, make, save)?;
    Ok(Evaluated { choice, measured, fitted })
}

/// The same without the shelf's choice and figures: the lists behind the figures are there to be compared.
///
/// # Errors
/// Those of [`evaluate`].
pub fn evaluate_anew(recipe: &Recipe, read: &Read, site: &Site) -> Result<(Choice, Measured, Option<Fitted>)> {
    let division = divide(recipe, &read.shop.data, site.seed)?;
    let key = Fingerprint::of_json(&(read.shop.place.key, &division.protocol, site.seed));
    let (catalog, meaning) = (&read.shop.data.catalog, read.meaning.as_ref());
    let knowledge = &read.shop.data.knowledge;
    let train = Lessons { events: &division.split.train, catalog, knowledge, meaning, key };
    let (choice, mut fitted) = choose(recipe, train, &division.split.valid, site)?;
    if let Some(events) = &division.refit {
        let key = Fingerprint::of_json(&(key, "refit"));
        fitted = fit(&recipe.models, choice.item.as_ref(), None, Lessons { events, key, ..train }, site)?;
    }
    let measured = measure(recipe, &read.shop.data, &division, &choice, &fitted, meaning, site)?;
    Ok((choice, measured, Some(fitted)))
}

/// Fits the chosen models on everything that is known and makes them ready to answer.
///
/// # Errors
/// Whatever the models, the index or the rules say.
pub fn publish(recipe: &Recipe, read: Read, evaluated: &Evaluated, site: &Site) -> Result<Snapshot> {
    let Read { shop, meaning } = read;
    let all = on_all_events(&shop, meaning.as_ref());
    let key = all.key;
    let fitted = fit(&recipe.models, evaluated.choice.item.as_ref(), evaluated.fitted.as_ref(), all, site)?;
    let indexes = index(meaning.as_ref(), &fitted, key, site)?;
    let recall = Arc::new(recall(&fitted, &indexes, meaning.as_ref().map(|m| &m.vectors)));
    let score = Arc::new(Blend::new(evaluated.choice.weigh(&fitted))?);
    let figures = json!(figures::line_with_published("evaluate", recipe, &evaluated.measured));
    let tastes = tastes(&recipe.serve.interests, &shop, key, site)?;
    let words = WordIndex::new(&shop.data.catalog.texts);
    let new = novel(recipe, &shop, meaning.as_ref(), &fitted, key, site)?;
    let learning = Learning::of(&recipe.serve);
    let writer = recipe
        .generate
        .phrase
        .then(|| generate::open(&recipe.generate.model, &site.assets, &site.cache, &site.progress));
    let built = Built {
        fingerprint: Fingerprint::of_json(&(key, recipe, &evaluated.choice, site.seed)),
        policy: recipe.serve.policy.build()?.with_budget(learning.budget),
        learning,
        sight: Sight::new(&shop.data.interactions.for_purpose(Purpose::Training), shop.data.catalog.len()),
        new,
        rerank: recipe.serve.rerank.clone(),
        exposure: Default::default(),
        candidates: recipe.serve.candidates,
        front: Front::new(recipe, shop.data.timed, figures, fitted.curves),
        rules: recipe.serve.rules.clone(),
        shop,
        meaning,
        indexes,
        recall,
        score,
        words,
        tastes,
        writer: writer.transpose()?,
    };
    Ok(Snapshot::new(built)?)
}

fn on_all_events<'a>(shop: &'a Shop, meaning: Option<&'a Meaning>) -> Lessons<'a> {
    let key = Fingerprint::of_json(&(shop.place.key, "all events"));
    let Ingested { interactions: events, catalog, knowledge, .. } = &shop.data;
    Lessons { events, catalog, knowledge, meaning, key }
}

/// The whole way from logs to a snapshot that can answer, with the figures that it earned on the way.
///
/// # Errors
/// Those of [`read`], [`evaluate`] and [`publish`].
pub fn build(recipe: &Recipe, arrivals: &Arrivals, site: &Site) -> Result<(Snapshot, Measured)> {
    from_read(recipe, read(recipe, arrivals, site)?, site)
}

/// The same for a shop that lies on the site's shelf, and all that was made from it: nothing is fitted where the shelf is
/// sealed.
///
/// # Errors
/// An artefact that is missing, spoilt or of another version of the program.
pub fn reopen(recipe: &Recipe, shop: &Place, site: &Site) -> Result<(Snapshot, Measured)> {
    from_read(recipe, with_meaning(recipe, ingest::reopen(shop, site)?, site)?, site)
}

fn from_read(recipe: &Recipe, read: Read, site: &Site) -> Result<(Snapshot, Measured)> {
    let mut evaluated = evaluate(recipe, &read, site)?;
    let all = on_all_events(&read.shop, read.meaning.as_ref());
    if evaluated.fitted.is_none() && lacks_alignment(&recipe.models, all, site) {
        // What is served is the alignment that was measured, placed anew: it must not depend on what lies on the shelf.
        evaluated.fitted = evaluate_anew(recipe, &read, site)?.2;
    }
    Ok((publish(recipe, read, &evaluated, site)?, evaluated.measured))
}

/// One question to a snapshot.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Who asks, and what they did before.
    pub context: &'a Context<'a>,
    /// How many goods at most.
    pub n: usize,
    /// Number of the decision.
    pub id: u64,
    /// Seed of the policy's draws.
    pub seed: u64,
    /// Goods that are not to be shown: the shop took them away since the snapshot was built, or they were put away.
    pub withdrawn: &'a HashSet<ItemId>,
    /// Only these goods are asked for, in the order of ids: a category. `None`: all.
    pub within: Option<&'a [ItemId]>,
    /// How much the policy may explore, from 0 (the best only) to 1 (as the recipe says).
    pub explore: f64,
    /// Chooses in place of the snapshot's own policy, which has learnt nothing: what it has learnt since, or an arm of an experiment.
    pub policy: Option<&'a dyn Policy>,
}

/// A slate that was chosen, and what it was chosen by.
pub struct Made {
    /// The slate, with the probability of every place.
    pub decision: Decision,
    /// Better scored goods that a rule kept away.
    pub kept_away: Vec<KeptAway>,
    /// What the policy saw of each place, row-major; empty for a policy that learns nothing.
    pub seen: Vec<f32>,
    /// Whether each place opens an interest that is new to the shopper; empty if none may.
    pub opens: Vec<bool>,
    /// What moved the item of each place beside its score; empty if nothing does.
    pub moved: Vec<Vec<Moved>>,
}

impl Made {
    /// Leaves out the first `n` places: they are on a page before.
    pub fn skip(&mut self, n: usize) {
        let all = self.decision.slots.len();
        let (n, width) = (n.min(all), self.seen.len() / all.max(1));
        self.decision.slots.drain(..n);
        self.seen.drain(..n * width);
        self.opens.drain(..n.min(self.opens.len()));
        self.moved.drain(..n.min(self.moved.len()));
    }
}

/// A slate of at most `n` goods for whoever asks, with the probability of every place. The same snapshot, policy and question
/// give the same slate.
pub fn recommend(snapshot: &Snapshot, ask: &Ask<'_>) -> Made {
    let (glance, exposure) = (snapshot.glance(ask.context), snapshot.exposure());
    let describe = |scored: &mut Scored| glance.iter().for_each(|glance| glance.describe(scored));
    let mut stages = snapshot.stages(ask);
    if glance.is_some() {
        stages.describe = Some(&describe);
    }
    stages.shaping = snapshot.shaping(exposure.as_deref(), ask.context.user);
    let slate = decide(&stages, ask.context, ask.n, ask.seed);
    let learns = snapshot.built.learning.policy.learns();
    let slots = || slate.slots.iter().map(|slot| slot.item);
    let decision = Decision {
        id: ask.id,
        user: ask.context.user,
        at: ask.context.now,
        policy: policy_of(snapshot, ask),
        snapshot: snapshot.fingerprint(),
        seed: ask.seed,
        slots: slate.slots.clone(),
    };
    Made {
        decision,
        seen: if learns { slots().flat_map(|item| slate.features(item)).copied().collect() } else { Vec::new() },
        opens: if glance.is_some() { slots().map(|item| slate.opens_interest(item)).collect() } else { Vec::new() },
        kept_away: slate.kept_away,
        moved: slate.moved,
    }
}

/// The policy as it is logged: one that was held back is another policy, with other propensities.
fn policy_of(snapshot: &Snapshot, ask: &Ask<'_>) -> String {
    let version = snapshot.policy(ask).version();
    if ask.explore < 1.0 { format!("{version} x{}", ask.explore) } else { version }
}

/// How an item stands among the candidates for the slate that answers a question; `None` if no model knows it.
pub fn consider(snapshot: &Snapshot, ask: &Ask<'_>, item: ItemId) -> Option<Standing> {
    lingxi_decide::consider(&snapshot.stages(ask), ask.context, item)
}
