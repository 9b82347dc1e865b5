//! How do logs become a snapshot, and a shopper a slate? Every stage is called here by its name; read it aloud.
//!
//! ```text
//! build:      ingest -> encode -> divide -> fit -> choose on validation -> measure on test -> fit on all -> index
//! recommend:  recall -> rank -> choose within the rules
//! ```

use crate::reasons::WordIndex;
use crate::recipe::Recipe;
use crate::site::Site;
use crate::snapshot::Snapshot;
use crate::stages::choose::{Choice, choose};
use crate::stages::divide::divide;
use crate::stages::encode::{Meaning, encode};
use crate::stages::fit::{Lessons, fit};
use crate::stages::index::{index, recall};
use crate::stages::ingest::{Shop, ingest};
use crate::stages::measure::{Measured, measure};
use anyhow::Result;
use lingxi_behaviour::blend::Blend;
use lingxi_data::{Context, Decision, Fingerprint, ItemId};
use lingxi_decide::{Rule, Rules, decide};

/// A shop that was read: its files as columns, its goods as vectors.
pub struct Read {
    /// Events, catalogue, shoppers.
    pub shop: Shop,
    /// Vectors, if goods have text.
    pub meaning: Option<Meaning>,
}

/// Reads the files and the goods.
///
/// # Errors
/// Files that cannot be used, assets that cannot be fetched.
pub fn read(recipe: &Recipe, site: &Site) -> Result<Read> {
    let shop = ingest(recipe, site)?;
    let meaning = encode(&recipe.content, &shop, site)?;
    Ok(Read { shop, meaning })
}

/// Divides the past, fits on training, chooses on validation, measures on test.
///
/// # Errors
/// A division that does not fit the data; whatever the models say.
pub fn evaluate(recipe: &Recipe, read: &Read, site: &Site) -> Result<(Choice, Measured)> {
    let division = divide(recipe, &read.shop.data, site.seed)?;
    let key = Fingerprint::of_json(&(read.shop.key, &division.protocol, site.seed));
    let train = Lessons {
        events: &division.split.train,
        catalog: &read.shop.data.catalog,
        meaning: read.meaning.as_ref(),
        key,
    };
    let (choice, fitted) = choose(recipe, train, &division.split.valid, site)?;
    let fitted = match &division.refit {
        Some(events) => {
            let key = Fingerprint::of_json(&(key, "refit"));
            fit(&recipe.models, choice.item.as_ref(), Lessons { events, key, ..train }, site)?
        }
        None => fitted,
    };
    let measured = measure(recipe, &read.shop.data, &division, &choice, &fitted, read.meaning.as_ref(), site)?;
    Ok((choice, measured))
}

/// Fits the chosen models on everything that is known and makes them ready to answer.
///
/// # Errors
/// Whatever the models, the index or the rules say.
pub fn publish(recipe: &Recipe, read: Read, choice: &Choice, site: &Site) -> Result<Snapshot> {
    let Read { shop, meaning } = read;
    let key = Fingerprint::of_json(&(shop.key, "all events"));
    let all = Lessons { events: &shop.data.interactions, catalog: &shop.data.catalog, meaning: meaning.as_ref(), key };
    let fitted = fit(&recipe.models, choice.item.as_ref(), all, site)?;
    let indexes = index(meaning.as_ref(), &fitted, key, site)?;
    let recall = recall(&fitted, &indexes, meaning.as_ref().map(|m| &m.vectors));
    let score = Blend::new(choice.weigh(fitted.rows()))?;
    let rules = Rules::new(recipe.serve.rules.clone(), &shop.data.catalog)?;
    let words = WordIndex::new(&shop.data.catalog.texts);
    Ok(Snapshot {
        fingerprint: Fingerprint::of_json(&(key, recipe, choice, site.seed)),
        policy: recipe.serve.policy.build()?,
        candidates: recipe.serve.candidates,
        shop,
        meaning,
        indexes,
        recall,
        score,
        rules,
        words,
    })
}

/// The whole way from logs to a snapshot that can answer, with the figures that it earned on the way.
///
/// # Errors
/// Those of [`read`], [`evaluate`] and [`publish`].
pub fn build(recipe: &Recipe, site: &Site) -> Result<(Snapshot, Measured)> {
    let read = read(recipe, site)?;
    let (choice, measured) = evaluate(recipe, &read, site)?;
    Ok((publish(recipe, read, &choice, site)?, measured))
}

/// A slate of at most `n` goods for whoever asks, with the probability of every place, and the better scored goods that a
/// rule kept away. The same snapshot, context and seed give the same slate.
pub fn recommend(
    snapshot: &Snapshot,
    context: &Context<'_>,
    n: usize,
    id: u64,
    seed: u64,
) -> (Decision, Vec<(ItemId, Rule)>) {
    let slate = decide(&snapshot.stages(), context, n, seed);
    let decision = Decision {
        id,
        user: context.user,
        at: context.now,
        policy: snapshot.policy.version(),
        snapshot: snapshot.fingerprint,
        seed,
        slots: slate.slots,
    };
    (decision, slate.kept_away)
}
