//! Which interests does the catalogue hold, and which one follows those that a shopper has? Vectors and the log -> clusters and
//! transitions, for places of the slate that open something new.

use crate::failure::UserError;
use crate::recipe::Recipe;
use crate::shelf::Shelf;
use crate::site::Site;
use crate::stages::encode::Meaning;
use crate::stages::fit::Fitted;
use crate::stages::ingest::Shop;
use crate::stages::told::told;
use anyhow::Result;
use lingxi_data::{Fingerprint, ItemId, Purpose};
use lingxi_decide::novel::{Clusters, NewInterests, join};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

/// The file.
const FILE: &str = "novel.json";
/// A shopper's last events that are looked at.
const EVENTS: usize = 200;

/// Finds them if places of the slate are kept for new interests, or if the policy learns from how likely they are; or takes them
/// from the shelf. `None`: nobody asks for them.
///
/// # Errors
/// Places for new interests in a shop whose goods are known by their ids alone.
pub fn novel(
    recipe: &Recipe,
    shop: &Shop,
    meaning: Option<&Meaning>,
    fitted: &Fitted,
    key: Fingerprint,
    site: &Site,
) -> Result<Option<Arc<NewInterests>>> {
    let config = recipe.serve.novel;
    let Some(meaning) = meaning else {
        if config.places == 0 {
            return Ok(None);
        }
        let message = "serve.novel.places: expected goods with a text and an encoder that reads it, got neither";
        return Err(UserError::new(message, "name an encoder under [content], or set places = 0").into());
    };
    if config.places == 0 && !recipe.serve.policy.learns() {
        return Ok(None);
    }
    let key = Shelf::key(&[key, meaning.key], &(config, site.seed, fitted.alignment.is_some(), &recipe.generate));
    let load = |folder: &Path| Ok(Arc::new(serde_json::from_slice(&std::fs::read(folder.join(FILE))?)?));
    let make = || Ok(Arc::new(fit(recipe, shop, meaning, fitted, key, site)?));
    let save = |new: &Arc<NewInterests>, folder: &Path| {
        Ok(std::fs::write(folder.join(FILE), serde_json::to_vec(new.as_ref())?)?)
    };
    Ok(Some(site.shelf.get("novel", key, load, make, save)?.0))
}

fn fit(
    recipe: &Recipe,
    shop: &Shop,
    meaning: &Meaning,
    fitted: &Fitted,
    key: Fingerprint,
    site: &Site,
) -> Result<NewInterests> {
    let config = recipe.serve.novel;
    let stage = site.progress.stage("interests", None, crate::progress::Unit::Of("goods"));
    let language = &meaning.vectors;
    let behaviour = fitted.alignment.as_ref().map(|model| model.item_vectors());
    let (vectors, dim) = match behaviour.filter(|_| config.behaviour > 0.0) {
        Some((rows, dim)) => {
            let joined = join(language.data(), language.dim(), rows, dim, config.behaviour);
            (Cow::Owned(joined), language.dim() + dim)
        }
        None => (Cow::Borrowed(language.data()), language.dim()),
    };
    let clusters = Clusters::fit(&vectors, dim, language.present(), config.clusters, site.seed)?;
    let catalog = &shop.data.catalog;
    let told =
        told(&recipe.generate, catalog, &clusters, &vectors, key, site)?.map_or_else(Vec::new, |told| told.table);
    let log = shop.data.interactions.for_purpose(Purpose::Training);
    let mut taken = vec![0.0f32; shop.data.catalog.len()];
    let histories: Vec<Vec<ItemId>> = log
        .users()
        .map(|(_, rows)| {
            rows.items.iter().for_each(|item| taken[item.index()] += 1.0);
            rows.last(EVENTS).items.to_vec()
        })
        .collect();
    let new = NewInterests::fit(config, clusters, &histories, &taken, told)?;
    stage.set(taken.len() as u64);
    stage.finish(&format!("{} interests of the goods", new.clusters.len()));
    Ok(new)
}
