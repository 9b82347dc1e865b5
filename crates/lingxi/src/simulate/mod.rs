//! Does exploring pay? Policies against simulated shoppers whose interests are hidden and drift.
//!
//! [`world`] are the shoppers, fitted to real logs; [`learner`] is what every arm may know; [`arms`] are the policies, [`run()`]
//! plays one of them through [`lingxi_decide::decide()`], the way that serves; [`chart`] draws the curves. A simulation shows how
//! policies differ under stated assumptions, never what a shop will earn.

pub mod arms;
pub mod calibration;
pub mod chart;
pub mod learner;
pub mod run;
pub mod stream;
pub mod world;

use crate::failure::UserError;
use crate::stages::encode::Meaning;
use crate::stages::ingest::Shop;
use arms::Arm;
use calibration::Degrees;
use learner::Learner;
use lingxi_data::catalog::Attribute;
use lingxi_data::{Catalog, CategoryId, Interner, ItemId, ItemVectors, Purpose, UserId};
use lingxi_decide::novel::Foretold;
use rayon::prelude::*;
use run::{Ground, Outcome, run};
use std::path::Path;
use world::{Fit, Log, World};

/// Interests that the learner divides the goods into.
const CLUSTERS: usize = 64;

/// Recall needs some to choose from.
const FEWEST_GOODS: usize = 2 * learner::CANDIDATES;

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

/// Where the contexts and rewards of so many decisions go, instead of playing the arms.
pub type Stream<'a> = Option<(&'a Path, usize)>;

/// What came of all arms.
pub struct Simulated {
    /// In the order of the table.
    pub arms: Vec<Outcome>,
    /// What was fitted.
    pub fit: Fit,
    /// How well new interests are foretold.
    pub foretold: Foretold,
    /// Whether degrees of interest come true on the real log.
    pub calibration: Option<Degrees>,
}

/// Fits shoppers and learner to a shop's logs and plays the arms, or none where a stream is asked for; `done` is told of
/// slates as they are decided.
///
/// # Errors
/// Too few events to fit shoppers to.
pub fn simulate(
    shop: &Shop,
    meaning: &Meaning,
    scale: Scale,
    arms: &[Arm],
    stream: Stream<'_>,
    done: &(dyn Fn(u64) + Sync),
) -> anyhow::Result<Simulated> {
    let data = &shop.data;
    let events = data.interactions.for_purpose(Purpose::Training);
    let logs: Vec<Vec<ItemId>> = (0..data.users.len() as u32).map(|u| events.of(UserId(u)).items.to_vec()).collect();
    let (goods, logs) = world::goods(&logs, &meaning.vectors, scale.goods);
    let shoppers = logs.iter().filter(|log| log.len() >= world::FEWEST).count();
    if goods.len() < FEWEST_GOODS || shoppers == 0 {
        let least = world::FEWEST;
        let expected = format!("expected {FEWEST_GOODS} goods with text and a shopper who took {least} of them");
        let message = format!("{expected}, got {} goods and {shoppers} such shoppers", goods.len());
        return Err(UserError::new(message, "give a shop with more events").into());
    }
    let vectors = part(&meaning.vectors, &goods)?;
    let world = World::fit(&logs, &vectors, scale.shoppers, scale.seed)?;
    let firsts: Vec<Log> =
        logs.iter().filter(|log| !log.is_empty()).map(|log| world::first_part(log).to_vec()).collect();
    let learner = Learner::fit(&firsts, &vectors, CLUSTERS, scale.seed)?;
    let groups = groups(shop);
    let groups: Vec<Option<u32>> = world.shoppers.iter().map(|shopper| groups[shopper.log]).collect();
    let (catalog, taken) = (stock(&data.catalog, &goods), world::taken(&firsts, goods.len()));
    let ground = Ground {
        world: &world,
        learner: &learner,
        catalog: &catalog,
        taken: &taken,
        groups: &groups,
        decisions: scale.decisions,
        places: scale.places,
        seed: scale.seed,
    };
    if let Some((folder, decisions)) = stream {
        stream::write(&ground, decisions, folder)?;
        let foretold = learner.new.transitions.foretold;
        return Ok(Simulated { arms: Vec::new(), foretold, fit: world.fit, calibration: None });
    }
    let play = |arm: &Arm| run(&ground, arm, done);
    let arms = arms.par_iter().with_max_len(1).map(play).collect::<anyhow::Result<Vec<Outcome>>>()?;
    let calibration = calibration::calibrate(data, scale.seed);
    Ok(Simulated { arms, foretold: learner.new.transitions.foretold, fit: world.fit, calibration })
}

fn part(vectors: &ItemVectors, goods: &[ItemId]) -> anyhow::Result<ItemVectors> {
    let rows = goods.iter().flat_map(|item| vectors.get(*item).into_iter().flatten()).copied().collect();
    Ok(ItemVectors::new(vectors.dim(), rows, vec![true; goods.len()], vectors.provenance().clone())?)
}

/// The group of each shopper: the first thing that the shop knows of at least a fifth of them.
fn groups(shop: &Shop) -> Vec<Option<u32>> {
    let n = shop.data.users.len();
    let known = |values: &[String]| values.iter().filter(|value| !value.is_empty()).count();
    let Some(column) = shop.data.user_attributes.iter().find(|column| 5 * known(&column.values) >= n) else {
        return vec![None; n];
    };
    let mut names: Vec<&String> = column.values.iter().filter(|value| !value.is_empty()).collect();
    names.sort();
    names.dedup();
    let number = |value: &String| names.binary_search(&value).ok().map(|group| group as u32);
    (0..n).map(|u| column.values.get(u).and_then(number)).collect()
}

/// The goods of the run, with the first step of their category and their seller: the brand, or the category where there is
/// no brand.
fn stock(catalog: &Catalog, goods: &[ItemId]) -> Catalog {
    let brands = catalog.attributes.iter().find(|column| column.name == "brand");
    let seller = |item: &ItemId| match brands.and_then(|column| column.values.get(item.index())) {
        Some(brand) => brand.clone(),
        None => catalog.category_name(*item).unwrap_or_default().to_owned(),
    };
    let names: Interner = goods.iter().map(|item| catalog.ids.name(item.0).unwrap_or_default()).collect();
    let mut stock = Catalog::of_ids(names);
    let first = |item: &ItemId| Some(catalog.category_name(*item)?.split(" > ").next().unwrap_or_default());
    let categories: Vec<Option<&str>> = goods.iter().map(first).collect();
    stock.category =
        categories.iter().map(|name| name.and_then(|name| stock.categories.intern(name)).map(CategoryId)).collect();
    stock.attributes = vec![Attribute { name: "seller".into(), values: goods.iter().map(seller).collect() }];
    stock
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::Provenance;
    use world::{Mood, looked_at};

    /// Six kinds of goods, forty of each; shoppers take of one kind first and of the next one later.
    fn shop() -> (ItemVectors, Vec<Log>) {
        let row = |i: usize| {
            let mut row = [0.1f32; 8];
            row[i % 6] = 1.0;
            row[6 + i % 2] += 0.01 * (i / 6) as f32;
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.map(|x| x / norm)
        };
        let provenance =
            Provenance { model: "test".into(), revision: "1".into(), pooling: "mean".into(), normalised: true };
        let vectors = ItemVectors::new(8, (0..240).flat_map(row).collect(), vec![true; 240], provenance).unwrap();
        let log = |u: u32| (0..20u32).map(|t| (u + t / 12) % 6 + 6 * ((u * 7 + t * t) % 40)).collect();
        (vectors, (0..120).map(log).collect())
    }

    /// Plays the named arms.
    fn play(names: &[&str], decisions: usize) -> Vec<Outcome> {
        let (vectors, logs) = shop();
        let world = World::fit(&logs, &vectors, 100, 1).unwrap();
        let firsts: Vec<Log> = logs.iter().map(|log| world::first_part(log).to_vec()).collect();
        let learner = Learner::fit(&firsts, &vectors, 6, 1).unwrap();
        let mut catalog = Catalog::of_ids((0..240).map(|i| i.to_string()).collect());
        let seller = |i: usize| format!("seller-{}", i % 5);
        catalog.attributes = vec![Attribute { name: "seller".into(), values: (0..240).map(seller).collect() }];
        let taken = world::taken(&firsts, 240);
        let ground = Ground {
            world: &world,
            learner: &learner,
            catalog: &catalog,
            taken: &taken,
            groups: &[None; 100],
            decisions,
            places: 5,
            seed: 1,
        };
        let arms = arms::all();
        let named = |name: &&str| arms.iter().find(|arm| arm.name == *name).unwrap();
        names.iter().map(|name| run(&ground, named(name), &|_| {}).unwrap()).collect()
    }

    #[test]
    fn random_goods_are_clicked_as_often_as_assumed_and_nobody_beats_the_best() {
        let (vectors, logs) = shop();
        let world = World::fit(&logs, &vectors, 100, 1).unwrap();
        let clicks = (0..240u32).flat_map(|i| (0..100).map(move |s| (s, i)));
        let mean = clicks.map(|(s, i)| world.click(s, i, 0.0, &Mood::default())).sum::<f64>() / 24_000.0;
        assert!((mean - 0.03).abs() < 0.003, "{mean}");
        for shopper in 0..100 {
            let slate: f64 =
                (0..5).map(|p| world.click(shopper, 7 * p as u32, 0.5, &Mood::default()) * looked_at(p)).sum();
            assert!(world.best(shopper, 5, 0.5, &Mood::default()) >= slate - 0.02);
        }
        assert!(world.fit.drift > 0.9 && world.fit.new_interests > 0.9, "{:?}", world.fit);
    }

    #[test]
    fn a_simulation_is_the_same_for_a_seed_and_who_learns_earns_more_than_who_draws() {
        let (once, again) = (play(&["random", "lin-ucb"], 8000), play(&["random", "lin-ucb"], 8000));
        for (a, b) in once.iter().zip(&again) {
            assert_eq!(serde_json::to_string(&a.curve).unwrap(), serde_json::to_string(&b.curve).unwrap());
        }
        // Regret is of expected clicks, so that the luck of single clicks does not decide.
        let regret = |outcome: &Outcome| outcome.curve.last().unwrap().regret;
        assert!(regret(&once[1]) < regret(&once[0]), "{} {}", regret(&once[1]), regret(&once[0]));
    }

    #[test]
    fn places_for_new_interests_find_more_of_them_than_the_best_scores_do() {
        let outcomes = play(&["greedy", "greedy + new interests"], 3000);
        let found = |outcome: &Outcome| outcome.curve.last().unwrap().discovered;
        assert!(found(&outcomes[1]) > found(&outcomes[0]), "{} {}", found(&outcomes[1]), found(&outcomes[0]));
    }

    #[test]
    fn the_picture_has_a_line_per_policy_and_panel() {
        let svg = chart::svg(&play(&["random", "greedy"], 200));
        assert_eq!(svg.matches("<polyline").count(), 10);
        assert!(svg.ends_with("</svg>\n") && svg.contains(">greedy<"));
    }
}
