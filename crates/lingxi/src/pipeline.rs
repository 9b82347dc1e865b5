//! How do logs become a snapshot, and a shopper a slate? Every stage is called here by its name; read it aloud.
//!
//! ```text
//! build:      ingest -> arrivals -> encode -> divide -> fit -> choose on validation -> measure on test -> fit on all -> index
//! recommend:  recall -> rank -> choose within the rules
//! ```

use crate::figures;
use crate::generate;
use crate::http::Front;
use crate::reasons::WordIndex;
use crate::recipe::Recipe;
use crate::shelf::{Place, Shelf};
use crate::site::Site;
use crate::snapshot::{Built, Snapshot};
use crate::stages::arrivals::{self, Arrivals};
use crate::stages::choose::{self, Choice, choose};
use crate::stages::divide::divide;
use crate::stages::encode::{Meaning, encode};
use crate::stages::fit::{Fitted, Lessons, fit, lacks_alignment};
use crate::stages::index::{index, recall};
use crate::stages::ingest::{self, Shop, ingest};
use crate::stages::interests::tastes;
use crate::stages::measure::{self, Measured, measure};
use anyhow::Result;
use lingxi_behaviour::blend::Blend;
use lingxi_data::{Context, Decision, Fingerprint, ItemId};
use lingxi_decide::{KeptAway, Standing, decide};
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
    let meaning = encode(&recipe.content, &shop, site)?;
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

fn evaluate_anew(recipe: &Recipe, read: &Read, site: &Site) -> Result<(Choice, Measured, Option<Fitted>)> {
    let division = divide(recipe, &read.shop.data, site.seed)?;
    let key = Fingerprint::of_json(&(read.shop.place.key, &division.protocol, site.seed));
    let (catalog, meaning) = (&read.shop.data.catalog, read.meaning.as_ref());
    let train = Lessons { events: &division.split.train, catalog, meaning, key };
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
    let score = Arc::new(Blend::new(evaluated.choice.weigh(fitted.rows()))?);
    let figures = json!(figures::line_with_published("evaluate", recipe, &evaluated.measured));
    let tastes = tastes(&recipe.serve.interests, &shop, key, site)?;
    let words = WordIndex::new(&shop.data.catalog.texts);
    let writer = recipe
        .generate
        .phrase
        .then(|| generate::open(&recipe.generate.model, &site.assets, &site.cache, &site.progress));
    let built = Built {
        fingerprint: Fingerprint::of_json(&(key, recipe, &evaluated.choice, site.seed)),
        policy: Box::new(recipe.serve.policy.build()?),
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
    Lessons { events: &shop.data.interactions, catalog: &shop.data.catalog, meaning, key }
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
}

/// A slate of at most `n` goods for whoever asks, with the probability of every place, and the better scored goods that a
/// rule kept away. The same snapshot and question give the same slate.
pub fn recommend(snapshot: &Snapshot, ask: &Ask<'_>) -> (Decision, Vec<KeptAway>) {
    let slate = decide(&snapshot.stages(ask), ask.context, ask.n, ask.seed);
    let decision = Decision {
        id: ask.id,
        user: ask.context.user,
        at: ask.context.now,
        policy: policy_of(snapshot, ask),
        snapshot: snapshot.fingerprint(),
        seed: ask.seed,
        slots: slate.slots,
    };
    (decision, slate.kept_away)
}

/// The policy as it is logged: one that was held back is another policy, with other propensities.
fn policy_of(snapshot: &Snapshot, ask: &Ask<'_>) -> String {
    let version = snapshot.built.policy.version();
    if ask.explore < 1.0 { format!("{version} x{}", ask.explore) } else { version }
}

/// How an item stands among the candidates for the slate that answers a question; `None` if no model knows it.
pub fn consider(snapshot: &Snapshot, ask: &Ask<'_>, item: ItemId) -> Option<Standing> {
    lingxi_decide::consider(&snapshot.stages(ask), ask.context, item)
}
