//! What was taken lately at the moment of asking? Popularity that knows when the question is asked, so that a past moment is
//! answered with what was known then, and goods that did not exist yet have nothing.
//!
//! For an item with training events at `t_1 <= t_2 ...` and a question at `now`:
//!
//! `r(now) = sum over t_k < now of 2^(-(now - t_k) / half-life)`, `score = ln(1 + r) / ln(1 + max r)`,
//!
//! where `max r` is the largest any item ever reached. The order is that of the decayed counts. Only for sources with real
//! time. Memory: 12 bytes an event; a score is one binary search.

use crate::error::{Result, require};
use lingxi_data::artefact::{Reader, Writer};
use lingxi_data::{Because, Context, Contribution, Events, ItemId, Score};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

const NAME: &str = "trend";
const SECONDS_A_DAY: f64 = 86_400.0;

/// How fast what was taken is forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrendConfig {
    /// An event counts half after so many days; default 90.
    pub half_life_days: f32,
}

impl Default for TrendConfig {
    fn default() -> Self {
        TrendConfig { half_life_days: 90.0 }
    }
}

/// The fitted model: of each item the times of its events and how much it was taken right after each.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    config: TrendConfig,
    /// Where each item begins in the columns; one more entry than items.
    offsets: Vec<u64>,
    at: Vec<i64>,
    level: Vec<f32>,
    /// `ln(1 + max r)`.
    most: f32,
}

/// Counts the events.
///
/// # Errors
/// [`crate::BehaviourError::Config`] for a half-life that is no positive number.
pub fn fit(config: &TrendConfig, events: &Events<'_>) -> Result<Trend> {
    let days = config.half_life_days;
    require(days.is_finite() && days > 0.0, "trend.half_life_days", "a positive number", days)?;
    let mut rows: Vec<(ItemId, i64)> = events.iter().map(|e| (e.item, e.at)).collect();
    rows.par_sort_unstable();
    let mut offsets = vec![0u64; events.n_items() + 1];
    rows.iter().for_each(|(item, _)| offsets[item.index() + 1] += 1);
    (0..events.n_items()).for_each(|i| offsets[i + 1] += offsets[i]);
    let mut level = Vec::with_capacity(rows.len());
    for of_item in rows.chunk_by(|a, b| a.0 == b.0) {
        let (mut here, mut last) = (0.0f64, of_item[0].1);
        for &(_, at) in of_item {
            here = here * fade(config, at, last) + 1.0;
            last = at;
            level.push(here as f32);
        }
    }
    let most = level.iter().copied().fold(0.0, f32::max).ln_1p();
    Ok(Trend { config: config.clone(), offsets, at: rows.into_iter().map(|(_, at)| at).collect(), level, most })
}

/// What is left at `now` of one event at `then`.
fn fade(config: &TrendConfig, now: i64, then: i64) -> f64 {
    (-(now.saturating_sub(then) as f64) / (f64::from(config.half_life_days) * SECONDS_A_DAY)).exp2()
}

impl Trend {
    fn of(&self, item: usize, now: i64) -> f32 {
        let (begin, end) = (self.offsets[item] as usize, self.offsets[item + 1] as usize);
        let before = self.at[begin..end].partition_point(|at| *at < now);
        if before == 0 || self.most <= 0.0 {
            return 0.0;
        }
        let last = begin + before - 1;
        // Levels of equal times add up: the last of them holds all.
        let left = f64::from(self.level[last]) * fade(&self.config, now, self.at[last]);
        (left.ln_1p() / f64::from(self.most)) as f32
    }

    /// Writes the model to one file.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Data`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        Ok(Writer::default()
            .column("offsets", &[self.offsets.len()], &self.offsets)
            .column("at", &[self.at.len()], &self.at)
            .column("level", &[self.level.len()], &self.level)
            .write(path, &(NAME, &self.config, self.most))?)
    }

    /// Reads a model that [`Trend::save`] wrote.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Data`] if the file is missing, damaged or of another kind; [`crate::BehaviourError::Input`] if its
    /// columns do not fit each other.
    pub fn load(path: &Path) -> Result<Trend> {
        let file = Reader::open(path)?;
        let (_, config, most): (String, TrendConfig, f32) = file.meta()?;
        let (offsets, at, level): (Vec<u64>, Vec<i64>, Vec<f32>) =
            (file.column("offsets")?, file.column("at")?, file.column("level")?);
        crate::error::same_length("load trend: levels", at.len(), level.len())?;
        let last = if offsets.is_sorted() { offsets.last().copied().unwrap_or(0) as usize } else { usize::MAX };
        crate::error::same_length("load trend: offsets", at.len(), last)?;
        Ok(Trend { config, offsets, at, level, most })
    }
}

impl Score for Trend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn n_items(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        for (item, out) in items.iter().zip(out) {
            *out = if item.index() < self.n_items() { self.of(item.index(), context.now) } else { 0.0 };
        }
    }

    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        if item.index() >= self.n_items() {
            return Vec::new();
        }
        let value = self.of(item.index(), context.now);
        let part = Contribution { model: NAME, because: Because::Trending, value };
        if value > 0.0 { vec![part] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Event, EventKind, Interactions, Purpose, Rows, UserId};

    const DAY: i64 = 86_400;

    fn trend() -> Trend {
        let event = |item, at| Event { user: UserId(0), item: ItemId(item), at, kind: EventKind::Buy, value: 1.0 };
        let rows = vec![event(0, 0), event(0, DAY), event(1, 10 * DAY), event(1, 10 * DAY)];
        let log = Interactions::from_events(rows, 1, 3).unwrap();
        fit(&TrendConfig { half_life_days: 1.0 }, &log.for_purpose(Purpose::Training)).unwrap()
    }

    fn scores(now: i64) -> Vec<f32> {
        let mut out = vec![f32::NAN; 3];
        let context = Context { user: None, history: Rows::default(), now };
        trend().score(&context, &[0, 1, 2].map(ItemId), &mut out);
        out
    }

    #[test]
    fn a_moment_is_answered_with_what_was_known_before_it() {
        assert_eq!(scores(0), [0.0; 3], "an event at the moment of asking is not known yet");
        // A day after the second event of item 0: 1/4 + 1/2; the most any item reached is 2.
        let expected = 0.75f32.ln_1p() / 2.0f32.ln_1p();
        assert!((scores(2 * DAY)[0] - expected).abs() < 1e-6 && scores(2 * DAY)[1] == 0.0);
        assert!(scores(11 * DAY)[1] > scores(11 * DAY)[0]);
    }

    #[test]
    fn it_comes_back_from_a_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        trend().save(&path).unwrap();
        assert_eq!(Trend::load(&path).unwrap(), trend());
    }
}
