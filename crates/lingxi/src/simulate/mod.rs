//! Does exploring pay? Policies against simulated shoppers whose interests are hidden and drift.
//!
//! [`world`] are the shoppers, fitted to real logs; [`learner`] is what every arm may know; [`arms`] are the policies, [`run`]
//! plays one of them through [`lingxi_decide::decide`], the way that serves; [`chart`] draws the curves. A simulation shows how
//! policies differ under stated assumptions, never what a shop will earn.

pub mod arms;
pub mod chart;
pub mod learner;
pub mod run;
pub mod world;

use crate::stages::encode::Meaning;
use crate::stages::ingest::Shop;
use learner::Learner;
use lingxi_data::catalog::Attribute;
use lingxi_data::{Catalog, Interner, ItemId, ItemVectors, Purpose, UserId};
use lingxi_decide::novel::Foretold;
use rayon::prelude::*;
use run::{Ground, Outcome, run};
use world::{Fit, Log, World};

/// Interests that the learner divides the goods into.
const CLUSTERS: usize = 64;

/// How much is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Slates per arm.
    pub decisions: usize,
    /// Shoppers.
    pub shoppers: usize,
    /// Goods.
    pub goods: usize,
    /// Places of a slate.
    pub places: usize,
    /// Seed of everything.
    pub seed: u64,
}

/// What came of all arms.
pub struct Simulated {
    /// In the order of the table.
    pub arms: Vec<Outcome>,
    /// What was fitted.
    pub fit: Fit,
    /// How well new interests are foretold.
    pub foretold: Foretold,
}

/// Fits shoppers and learner to a shop's logs and plays every arm; `done` is told of each that is finished.
///
/// # Errors
/// Too few events to fit shoppers to.
pub fn simulate(
    shop: &Shop,
    meaning: &Meaning,
    scale: Scale,
    done: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<Simulated> {
    let data = &shop.data;
    let events = data.interactions.for_purpose(Purpose::Training);
    let logs: Vec<Vec<ItemId>> = (0..data.users.len() as u32).map(|u| events.of(UserId(u)).items.to_vec()).collect();
    let (goods, logs) = world::goods(&logs, &meaning.vectors, scale.goods);
    let vectors = part(&meaning.vectors, &goods)?;
    let world = World::fit(&logs, &vectors, scale.shoppers, scale.seed)?;
    let firsts: Vec<Log> =
        logs.iter().filter(|log| !log.is_empty()).map(|log| world::first_part(log).to_vec()).collect();
    let learner = Learner::fit(&firsts, &vectors, CLUSTERS, scale.seed)?;
    let (catalog, taken) = (stock(&data.catalog, &goods), world::taken(&firsts, goods.len()));
    let ground = Ground {
        world: &world,
        learner: &learner,
        catalog: &catalog,
        taken: &taken,
        decisions: scale.decisions,
        places: scale.places,
        seed: scale.seed,
    };
    let play = |arm: &arms::Arm| {
        let outcome = run(&ground, arm);
        done(arm.name);
        outcome
    };
    let arms = arms::all().par_iter().map(play).collect::<anyhow::Result<Vec<Outcome>>>()?;
    Ok(Simulated { arms, foretold: learner.new.transitions.foretold, fit: world.fit })
}

fn part(vectors: &ItemVectors, goods: &[ItemId]) -> anyhow::Result<ItemVectors> {
    let rows = goods.iter().flat_map(|item| vectors.get(*item).into_iter().flatten()).copied().collect();
    Ok(ItemVectors::new(vectors.dim(), rows, vec![true; goods.len()], vectors.provenance().clone())?)
}

/// The goods of the run, with their seller: the brand, or the category where there is no brand.
fn stock(catalog: &Catalog, goods: &[ItemId]) -> Catalog {
    let brands = catalog.attributes.iter().find(|column| column.name == "brand");
    let seller = |item: &ItemId| match brands.and_then(|column| column.values.get(item.index())) {
        Some(brand) => brand.clone(),
        None => catalog.category_name(*item).unwrap_or_default().to_owned(),
    };
    let names: Interner = goods.iter().map(|item| catalog.ids.name(item.0).unwrap_or_default()).collect();
    let mut stock = Catalog::of_ids(names);
    stock.attributes = vec![Attribute { name: "seller".into(), values: goods.iter().map(seller).collect() }];
    stock
}
