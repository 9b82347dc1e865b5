//! How well are goods placed that nobody bought yet? Items that leave training entirely.

use super::draft::{Draft, Pile, refuse};
use super::{Holdout, Split};
use crate::{Interactions, ItemId, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Options of [`cold_items`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColdItems {
    /// Share of the items with at least `min_events` events that becomes cold.
    pub fraction: f64,
    /// Items with fewer events stay warm: too few cases would ask for them.
    pub min_events: u32,
    /// Seed of the draw.
    pub seed: u64,
}

impl Default for ColdItems {
    fn default() -> Self {
        ColdItems { fraction: 0.2, min_events: 3, seed: 1 }
    }
}

/// A split by cold items, with the ordinary cases beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct ColdSplit {
    /// The items that training never sees, ascending.
    pub cold: Vec<ItemId>,
    /// Training without cold items; its holdouts ask only for cold items.
    pub split: Split,
    /// The validation cases that ask for warm items.
    pub warm_valid: Holdout,
    /// The test cases that ask for warm items: the price of the cold machinery shows here.
    pub warm_test: Holdout,
}

/// Draws cold items, then leaves each shopper's last event to test and the one before it to validation. A target that
/// is cold makes a case of the split's holdouts, any other one a warm case. Cold items are removed from training and from
/// every history (these events count as unused); all items are to be ranked, cold and warm together.
///
/// # Errors
/// [`crate::DataError::Shape`] if `fraction` is not between 0 and 1.
pub fn cold_items(all: &Interactions, options: ColdItems) -> Result<ColdSplit> {
    if !(options.fraction > 0.0 && options.fraction < 1.0) {
        return Err(refuse("cold items: fraction", "a share between 0 and 1", options.fraction));
    }
    let mut draft = Draft::of(all);
    let cold = draw(&draft, all.n_items(), options);
    let is_cold = |item: ItemId| cold.binary_search(&item).is_ok();
    let (mut warm_valid, mut warm_test) = (Pile::default(), Pile::default());
    for (user, rows, agreed) in draft.shoppers() {
        let n = rows.len();
        let asks = agreed && n >= 3;
        let train_len = if asks { n - 2 } else { n };
        let warm = |len: usize| rows.first(len).iter(user).filter(|e| !is_cold(e.item));
        draft.train.extend(warm(train_len));
        draft.unused += train_len - warm(train_len).count();
        if !asks {
            continue;
        }
        let piles = [(&mut draft.valid, &mut warm_valid, n - 2), (&mut draft.test, &mut warm_test, n - 1)];
        for (cold_pile, warm_pile, target) in piles {
            let pile = if is_cold(rows.items[target]) { cold_pile } else { warm_pile };
            pile.ask(user, rows.at[target], warm(target), rows.range(target, target + 1).iter(user), false);
        }
    }
    let (warm_valid, warm_test) = (warm_valid.finish(all)?, warm_test.finish(all)?);
    Ok(ColdSplit { cold, split: draft.finish()?, warm_valid, warm_test })
}

fn draw(draft: &Draft<'_>, n_items: usize, options: ColdItems) -> Vec<ItemId> {
    let mut counts = vec![0u32; n_items];
    for (_, rows, _) in draft.shoppers() {
        rows.items.iter().for_each(|item| counts[item.index()] += 1);
    }
    let enough = |item: &ItemId| counts[item.index()] >= options.min_events;
    let mut items: Vec<ItemId> = (0..n_items as u32).map(ItemId).filter(enough).collect();
    items.shuffle(&mut ChaCha8Rng::seed_from_u64(options.seed));
    items.truncate((items.len() as f64 * options.fraction).round() as usize);
    items.sort_unstable();
    items
}
