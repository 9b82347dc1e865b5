//! What arrived over HTTP since the files were written -> a shop that has it too.
//!
//! The store keeps goods and events under external ids. A build takes them in after the files, so that retraining learns
//! from both, and says up to which event it did: whoever serves the build replays the later ones.

use crate::fresh;
use crate::recipe::Recipe;
use crate::shelf::{Place, Shelf};
use crate::site::Site;
use crate::stages::ingest::Shop;
use crate::store::{Erasure, NewItem, Reader, StoredEvent};
use anyhow::Result;
use lingxi_data::ingest::{Ingested, Later};
use lingxi_data::{EventKind, Fingerprint};
use std::collections::HashMap;
use std::path::Path;

const STAGE: &str = "arrivals";

/// What arrived, as the store has it at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrivals {
    /// The number of the last event; 0 if there is none.
    pub up_to: i64,
    events: Vec<StoredEvent>,
    goods: Vec<NewItem>,
    erased: Vec<Erasure>,
}

impl Arrivals {
    /// Reads a store; nothing arrived where there is none.
    ///
    /// # Errors
    /// [`crate::store::StoreError`] if it cannot be read.
    pub fn read(store: &Path) -> Result<Arrivals> {
        if !store.exists() {
            return Ok(Arrivals::default());
        }
        let (reader, mut arrivals) = (Reader::open(store)?, Arrivals::default());
        reader.events_after(0, |stored| {
            arrivals.up_to = stored.seq;
            // What was only shown is nothing that a shopper did.
            if !stored.event.is_put_away() {
                arrivals.events.push(stored);
            }
        })?;
        arrivals.erased = reader.erased()?.into_iter().map(|erased| erased.what).collect();
        arrivals.goods = reader.goods()?.into_iter().filter_map(|good| good.body).collect();
        Ok(arrivals)
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.goods.is_empty() && self.erased.is_empty()
    }

    fn key(&self) -> Fingerprint {
        let row = |e: &StoredEvent| {
            let event = &e.event;
            Fingerprint::of_json(&(&event.user, &event.item, event.kind, event.value, event.at))
        };
        let rows: Vec<Fingerprint> = self.events.iter().map(row).collect();
        let erased: Vec<_> = self.erased.iter().map(|what| (&what.user, &what.item, what.kind)).collect();
        let others = [Fingerprint::of_json(&self.goods), Fingerprint::of_json(&erased)];
        Fingerprint::of(rows.iter().chain(&others).map(|f| f.bytes().as_slice()))
    }
}

/// The shop with what arrived; as it is if nothing did.
///
/// # Errors
/// What arrived does not fit the shop, or the shelf cannot be written.
pub fn join(recipe: &Recipe, shop: Shop, arrivals: &Arrivals, site: &Site) -> Result<Shop> {
    if arrivals.is_empty() {
        return Ok(shop);
    }
    let key = Shelf::key(&[shop.place.key, arrivals.key()], &STAGE);
    let load = |folder: &Path| Ok(Ingested::load(folder)?);
    let make = || joined(recipe, &shop.data, arrivals);
    let (data, reused) = site.shelf.get(STAGE, key, load, make, |data, folder| Ok(data.save(folder)?))?;
    Ok(Shop { data, place: Place { stage: STAGE.into(), key }, reused })
}

fn joined(recipe: &Recipe, shop: &Ingested, arrivals: &Arrivals) -> Result<Ingested> {
    let mut catalog = fresh::stock(&shop.catalog, &arrivals.goods);
    if recipe.data.items.is_none() {
        // The shop has no list of its goods: they are known by what is done with them.
        arrivals.events.iter().for_each(|stored| fresh::name(&mut catalog, &stored.event.item));
    }
    let later = arrivals.events.iter().map(|StoredEvent { event: e, .. }| Later {
        user: &e.user,
        item: &e.item,
        kind: e.kind,
        at: e.at,
        value: e.value,
    });
    let later: Vec<Later<'_>> = later.collect();
    let buckets = recipe.data.items.as_ref().map_or(10, |file| file.price_buckets);
    let mut erased: HashMap<&str, Vec<&Erasure>> = HashMap::new();
    arrivals.erased.iter().for_each(|what| erased.entry(&what.user).or_default().push(what));
    let is_erased = |user: &str, item: &str, kind: EventKind| {
        erased.get(user).is_some_and(|all| all.iter().any(|what| what.names(item, kind)))
    };
    let (data, taken) = shop.clone().with_later(catalog, buckets, &later, &is_erased)?;
    tracing::info!(
        "arrivals: {} events kept, {} known, {} on unknown items",
        taken.kept,
        taken.known,
        taken.unknown_items
    );
    Ok(data)
}
