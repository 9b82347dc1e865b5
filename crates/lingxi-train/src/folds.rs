//! Which rows are held out? Chance decides within each stratum (a class, say), so that every part is made of the same mixture.
//!
//! The stratum of each row comes in, and its fold, or whether it is held out, goes out. To keep rows together (all judgements of one
//! query) deal out the groups, not the rows.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// The fold of each row, from 0 to `k - 1`: folds differ by at most one row in each stratum. One fold if `k` is 0.
pub fn folds(strata: &[u32], k: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut fold_of = vec![0; strata.len()];
    for rows in shuffled(strata, &mut rng) {
        // A random first fold, so that strata of few rows do not all fill the same one.
        let first = rng.random_range(0..k.max(1));
        rows.into_iter().enumerate().for_each(|(place, row)| fold_of[row] = (first + place) % k.max(1));
    }
    fold_of
}

/// Whether each row is held out: of each stratum the given share, rounded to the nearest number, but never all of it.
pub fn hold_out(strata: &[u32], share: f64, seed: u64) -> Vec<bool> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut held = vec![false; strata.len()];
    for rows in shuffled(strata, &mut rng) {
        let n = ((rows.len() as f64 * share).round() as usize).min(rows.len().saturating_sub(1));
        rows[..n].iter().for_each(|row| held[*row] = true);
    }
    held
}

/// The rows of each stratum, in random order.
fn shuffled(strata: &[u32], rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let mut rows: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    strata.iter().enumerate().for_each(|(row, stratum)| rows.entry(*stratum).or_default().push(row));
    rows.values_mut().for_each(|rows| rows.shuffle(rng));
    rows.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_share_of_every_class_is_held_out_and_a_class_of_one_row_stays() {
        let strata: Vec<u32> = (0..100).map(|i| i % 2).chain([7]).collect();
        let held = hold_out(&strata, 0.1, 3);
        let of = |class: u32| strata.iter().zip(&held).filter(|(s, held)| **s == class && **held).count();
        assert_eq!((of(0), of(1), of(7)), (5, 5, 0));
        assert_eq!(held, hold_out(&strata, 0.1, 3));
        assert_ne!(held, hold_out(&strata, 0.1, 4));
    }

    proptest! {
        #[test]
        fn folds_differ_by_at_most_one_row_of_each_class(
            strata in proptest::collection::vec(0u32..4, 0..80), k in 1usize..6, seed in 0u64..9,
        ) {
            let fold_of = folds(&strata, k, seed);
            for class in 0..4 {
                let rows = |fold: usize| strata.iter().zip(&fold_of).filter(|(s, f)| **s == class && **f == fold).count();
                let sizes: Vec<usize> = (0..k).map(rows).collect();
                let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
                prop_assert!(most - least <= 1, "{sizes:?}");
            }
        }
    }
}
