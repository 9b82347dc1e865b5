//! Which settings are best? A recipe with a `[search]` table comes in; its trials, best first, and the winner as a recipe go out.
//!
//! ```toml
//! [search]
//! method = "tpe"
//! trials = 30
//! [search.space]
//! "models.item.0.l2" = { from = 50, to = 500, scale = "log" }
//! ```
//!
//! Each trial is the recipe with other values at those keys, fitted and measured up to validation only: the test part is never read.
//! [`log`] keeps what was tried, so that a search that was killed goes on; [`document`] sets values; [`behaviour`] is a trial of a
//! shop's recipe, [`texts`] one of a recipe for fine-tuning.

pub mod behaviour;
pub mod document;
pub mod log;
pub mod texts;

use crate::failure::UserError;
use crate::progress::{Progress, Unit};
use anyhow::Result;
use lingxi_data::Fingerprint;
use lingxi_eval::Report;
use lingxi_train::search::{Method, Plan, Search, Suggestion};
use lingxi_train::space::Dimension;
use log::{Kept, TrialLog};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// The `[search]` table of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchTable {
    /// `random`, `tpe` or `halving`.
    #[serde(default)]
    pub method: Method,
    /// Different settings that are tried.
    #[serde(default = "twenty")]
    pub trials: usize,
    /// At most so many whole trainings in all; absent: as many as the trials need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<f64>,
    /// Halving: one in so many goes on; 3 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<usize>,
    /// Halving: the smallest share of the training that says anything; a ninth where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// Seed of what is tried.
    #[serde(default = "one")]
    pub seed: u64,
    /// What may be tried, by dotted keys of the recipe; places in a list are numbers from 0.
    pub space: BTreeMap<String, Dimension>,
}

fn twenty() -> usize {
    20
}

fn one() -> u64 {
    1
}

impl SearchTable {
    /// How long is searched.
    pub fn plan(&self) -> Plan {
        let SearchTable { method, trials, budget, keep, least, seed, .. } = *self;
        let plan = Plan { method, trials, seed, ..Plan::default() };
        Plan {
            budget: budget.unwrap_or(plan.budget),
            keep: keep.unwrap_or(plan.keep),
            least: least.unwrap_or(plan.least),
            ..plan
        }
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The key, what was expected and what came.
    pub fn check(&self) -> Result<(), String> {
        self.plan().check()?;
        match self.space.len() {
            1..=50 => Ok(()),
            n => Err(format!("space: expected 1 to 50 settings, got {n}")),
        }
    }
}

/// A recipe that can be run with other values.
pub trait Trial {
    /// The figure that is to be as large as possible, such as `ndcg@10`.
    fn main(&self) -> &str;

    /// Whether `document` can be run at all, before anything is computed.
    ///
    /// # Errors
    /// The key that does not fit, or may not be searched.
    fn check(&self, document: &toml::Table) -> Result<()>;

    /// Fits `document` with `share` of the whole training and measures it on validation.
    ///
    /// # Errors
    /// Settings that cannot be fitted; the search goes on without them.
    fn run(&self, document: &toml::Table, share: f64) -> Result<Report>;
}

/// A search that has come to its end.
pub struct Found {
    /// Every trial, best first: largest share of the training, then highest figure.
    pub trials: Vec<Kept>,
    /// The recipe with the winner's values, without its `[search]`.
    pub document: toml::Table,
}

/// What is searched, and where its trials are kept.
pub struct Task<'a> {
    /// The recipe as written, with its `[search]`.
    pub document: &'a toml::Table,
    /// That table.
    pub table: &'a SearchTable,
    /// The file of trials.
    pub trials: &'a Path,
    /// Whether trials that lie there are forgotten.
    pub fresh: bool,
    /// What else a trial depends on (data, seed): a file of trials goes on only with the same.
    pub key: Fingerprint,
}

/// Searches to the end, from the start or from where it was killed.
///
/// # Errors
/// A space whose keys do not fit the recipe, a first trial that fails, a file of another search.
pub fn search(task: &Task<'_>, trial: &dyn Trial, progress: Progress) -> Result<Found> {
    let (keys, space): (Vec<&String>, Vec<Dimension>) = task.table.space.iter().map(|(k, d)| (k, d.clone())).unzip();
    let mut plain = task.document.clone();
    plain.remove("search");
    for end in [0.0, 1.0] {
        trial.check(&document::with(&plain, &keys, &space, &vec![end; space.len()])?)?;
    }
    let key = Fingerprint::of_json(&(task.key, &plain, task.table, trial.main()));
    let (mut log, before) = TrialLog::open(task.trials, key, trial.main(), task.fresh)?;
    let mut search = Search::new(space.clone(), task.table.plan(), before.iter().map(Kept::told).collect());
    let mut trials = before;
    let stage = progress.stage("tune", Some(search.total() as u64), Unit::Of("trials"));
    stage.set(trials.len() as u64);
    if !trials.is_empty() {
        progress.note(&format!("goes on after {} trials of {}", trials.len(), task.trials.display()));
    }
    while let Some(next) = search.suggest() {
        let document = document::with(&plain, &keys, &space, &next.point)?;
        let kept = run(trial, &document, next, &keys, &space, trials.is_empty())?;
        search.tell(kept.trial.clone(), kept.score);
        log.add(&kept)?;
        trials.push(kept);
        stage.set(trials.len() as u64);
    }
    let Some(best) = search.best() else {
        return Err(UserError::new("tune: no trial could be fitted", "look at why in the file of trials").into());
    };
    let best = best.trial.clone();
    let document = document::with(&plain, &keys, &space, &best.point)?;
    stage.finish(&format!("best is trial {}", best.arm));
    trials.sort_by(|a, b| b.rank().0.total_cmp(&a.rank().0).then(b.rank().1.total_cmp(&a.rank().1)));
    Ok(Found { trials, document })
}

/// One trial; the first one must not fail, since then all would.
fn run(
    trial: &dyn Trial,
    document: &toml::Table,
    next: Suggestion,
    keys: &[&String],
    space: &[Dimension],
    first: bool,
) -> Result<Kept> {
    let started = Instant::now();
    let ran = trial.run(document, next.share);
    let values = keys.iter().zip(space).zip(&next.point).map(|((key, of), at)| ((*key).clone(), of.at(*at))).collect();
    let seconds = started.elapsed().as_secs_f64();
    let kept = Kept { trial: next, values, seconds, score: None, interval: None, protocol: None, why: None };
    match ran {
        Err(why) if first => Err(why),
        Err(why) => Ok(Kept { why: Some(format!("{why:#}")), ..kept }),
        Ok(report) => {
            let (score, interval) = (report.metrics.get(trial.main()), report.interval.get(trial.main()));
            let score = score.copied().filter(|score| score.is_finite());
            Ok(Kept { score, interval: interval.copied(), protocol: Some(report.protocol), ..kept })
        }
    }
}
