//! What if events are held out by chance? A ratio of each shopper's events, and folds that take turns.
//!
//! Chance does not respect time: a case may know events later than those it must find. Published tables of collaborative
//! filtering are made so; use [`super::by_time`] to know what a shop would see.

use super::Split;
use super::draft::{Draft, refuse};
use crate::{Interactions, Result, Rows};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Options of [`by_ratio`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByRatio {
    /// Share of each shopper's events that validates.
    pub valid: f64,
    /// Share of each shopper's events that tests.
    pub test: f64,
    /// Seed of the draw.
    pub seed: u64,
}

/// Where one event of a shopper goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Train,
    Valid,
    Test,
}

/// Draws the given shares of each shopper's events, rounded to the nearest number; one event always trains.
///
/// # Errors
/// [`crate::DataError::Shape`] if a share is negative or both add up to 1 or more.
pub fn by_ratio(all: &Interactions, options: ByRatio) -> Result<Split> {
    let ByRatio { valid, test, seed } = options;
    if !(valid >= 0.0 && test >= 0.0 && valid + test < 1.0) {
        return Err(refuse(
            "split by ratio",
            "shares of at least 0 that add up to less than 1",
            format!("{valid} + {test}"),
        ));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draft = Draft::of(all);
    for (user, rows, agreed) in draft.shoppers() {
        let n = rows.len();
        let n_test = ((n as f64 * test).round() as usize).min(n.saturating_sub(1));
        let n_valid = ((n as f64 * valid).round() as usize).min(n.saturating_sub(1 + n_test));
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut rng);
        let mut parts = vec![Part::Train; n];
        if agreed {
            order[..n_test].iter().for_each(|&i| parts[i] = Part::Test);
            order[n_test..n_test + n_valid].iter().for_each(|&i| parts[i] = Part::Valid);
        }
        deal(&mut draft, user, rows, &parts);
    }
    draft.finish()
}

/// What [`k_fold`] deals out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FoldOf {
    /// Each shopper's events: every fold tests some of every shopper's past.
    #[default]
    Event,
    /// Whole shoppers: a fold's shoppers are strangers to training, and their last event is asked with those before it.
    User,
}

/// Options of [`k_fold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KFold {
    /// Number of folds, at least 3: one tests, the next validates, the others train.
    pub k: usize,
    /// What is dealt out.
    pub of: FoldOf,
    /// Seed of the draw.
    pub seed: u64,
    /// The one fold to test, from 0; absent: all take turns.
    pub turn: Option<usize>,
}

impl Default for KFold {
    fn default() -> Self {
        KFold { k: 5, of: FoldOf::Event, seed: 1, turn: None }
    }
}

/// `k` splits that take turns: split `f` tests on fold `f` and validates on fold `f + 1` (modulo `k`). Only one of them if
/// the options name a turn.
///
/// # Errors
/// [`crate::DataError::Shape`] if `k` is below 3 or the turn is not below `k`.
pub fn k_fold(all: &Interactions, options: KFold) -> Result<Vec<Split>> {
    options.turns().map(|turn| one_fold(all, options, turn)).collect()
}

impl KFold {
    /// The folds that test, in their order.
    pub fn turns(&self) -> std::ops::Range<usize> {
        self.turn.map_or(0..self.k, |turn| turn..turn + 1)
    }
}

/// The split that tests on fold `turn`.
pub(super) fn one_fold(all: &Interactions, options: KFold, turn: usize) -> Result<Split> {
    let k = options.k;
    if k < 3 {
        return Err(refuse("k-fold: k", "at least 3", k));
    }
    if turn >= k {
        return Err(refuse("k-fold: turn", format!("below k = {k}"), turn));
    }
    let part = |fold: usize| match (fold + k - turn) % k {
        0 => Part::Test,
        1 => Part::Valid,
        _ => Part::Train,
    };
    // Every turn draws the same folds anew, so that they need not be kept.
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut draft = Draft::of(all);
    for (user, rows, agreed) in draft.shoppers() {
        // A random first fold, so that shoppers with few events do not all fill the same one.
        let first = rng.random_range(0..k);
        match options.of {
            _ if !agreed => draft.train.extend(rows.iter(user)),
            FoldOf::User => {
                let pile = match part(first) {
                    Part::Test => &mut draft.test,
                    Part::Valid => &mut draft.valid,
                    Part::Train => {
                        draft.train.extend(rows.iter(user));
                        continue;
                    }
                };
                let Some(last) = rows.len().checked_sub(1) else { continue };
                let held = rows.range(last, last + 1);
                pile.ask(user, rows.at[last], rows.first(last).iter(user), held.iter(user), false);
            }
            FoldOf::Event => {
                let mut folds: Vec<usize> = (0..rows.len()).map(|i| (first + i) % k).collect();
                folds.shuffle(&mut rng);
                let parts: Vec<Part> = folds.into_iter().map(part).collect();
                deal(&mut draft, user, rows, &parts);
            }
        }
    }
    draft.finish()
}

/// Puts each event on its pile. Cases are asked at the time of the shopper's last event, so that no history is later.
fn deal(draft: &mut Draft<'_>, user: crate::UserId, rows: Rows<'_>, parts: &[Part]) {
    let Some(&at) = rows.at.last() else { return };
    let those =
        |wanted: &'static [Part]| rows.iter(user).zip(parts).filter(|(_, p)| wanted.contains(p)).map(|(e, _)| e);
    draft.train.extend(those(&[Part::Train]));
    if parts.contains(&Part::Valid) {
        draft.valid.ask(user, at, those(&[Part::Train]), those(&[Part::Valid]), false);
    }
    if parts.contains(&Part::Test) {
        draft.test.ask(user, at, those(&[Part::Train, Part::Valid]), those(&[Part::Test]), false);
    }
}
