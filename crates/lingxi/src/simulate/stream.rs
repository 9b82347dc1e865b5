//! The simulator's shoppers as a file, so that other programs can decide on the same contexts and earn the same rewards.
//!
//! Little-endian f32. `goods.f32`: for each decision ten candidates, each its row of features and whether the shopper would click
//! on it. `arms.f32`: ten goods that are always the same, one of each of the largest interests; each row what is known of the
//! shopper (1, and the degree of interest for each of the ten) and whether they would click on that one. Shoppers drift with
//! time, and what is chosen changes nobody.

use super::learner::{CANDIDATES, Known};
use super::run::{Ground, LENGTH, START};
use super::world::Mood;
use lingxi_data::artefact::write_atomically;
use lingxi_data::{ItemId, Scored};
use lingxi_decide::explore::WIDTH;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// Candidates of a decision.
const ACTIONS: usize = 10;

/// Writes both streams of `decisions` into `folder`.
///
/// # Errors
/// A folder that cannot be written to.
pub fn write(ground: &Ground<'_>, decisions: usize, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let known: Vec<Known> = ground.world.shoppers.iter().map(|shopper| ground.learner.meet(shopper)).collect();
    let fixed = ground.learner.best_of_each(ACTIONS);
    let mut rng = ChaCha8Rng::seed_from_u64(ground.seed ^ 0x57_2EA4);
    let (mut goods, mut arms) = (Vec::new(), Vec::new());
    for turn in 0..decisions {
        let who = rng.random_range(0..known.len());
        let at = turn as f64 / decisions as f64;
        let now = START + (at * LENGTH as f64) as i64;
        let mut found = ground.learner.recall(&known[who], &mut rng);
        for i in 0..ACTIONS {
            found.swap(i, rng.random_range(i..CANDIDATES));
        }
        found.truncate(ACTIONS);
        let glance = ground.learner.glance(&known[who], now, &found);
        let scores = found.iter().map(|item| glance.score(*item)).collect();
        let mut scored = Scored::new(found, scores);
        ground.learner.describe(&known[who], &glance, &mut scored);
        let mut clicks = |item: &ItemId| {
            let p = ground.world.click(who, item.0, at, &Mood::default());
            f32::from(u8::from(rng.random::<f64>() < p))
        };
        for (item, row) in scored.items.iter().zip(scored.features.chunks_exact(WIDTH)) {
            goods.extend_from_slice(row);
            goods.push(clicks(item));
        }
        let all = ground.learner.degrees(&known[who], now);
        let degree = |item: &ItemId| ground.learner.new.of(*item).map_or(0.0, |k| all[k as usize].0.sqrt() as f32);
        let degrees: Vec<f32> = fixed.iter().map(degree).collect();
        for item in &fixed {
            arms.push(1.0);
            arms.extend_from_slice(&degrees);
            arms.push(clicks(item));
        }
    }
    let bytes = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    write_atomically(&folder.join("goods.f32"), &bytes(&goods))?;
    write_atomically(&folder.join("arms.f32"), &bytes(&arms))
}
