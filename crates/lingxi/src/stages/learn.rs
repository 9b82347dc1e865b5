//! A model that learns in steps -> the model and its curve: from the shelf, or trained in a run folder.
//!
//! The folder is `runs/<model>/<fingerprint>` in the cache: `metrics.jsonl` and TensorBoard's event file with every step, and a
//! checkpoint. A build that was killed goes on from the checkpoint with the same steps to the last bit. When the model
//! lies on the shelf the checkpoint goes; the curves of the newest few runs of each model stay.

use crate::progress::Unit;
use crate::shelf;
use crate::site::Site;
use anyhow::{Context as _, Result};
use lingxi_behaviour::Result as Fitted;
use lingxi_data::Fingerprint;
use lingxi_train::{Course, Run};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Runs of one model whose curves are kept.
const KEPT: usize = 6;
/// Seconds between two checkpoints, at the least.
const PAUSE: f64 = 0.5;
/// The file with the curve, beside the model.
const CURVE: &str = "curve.json";

/// A figure over the steps of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Which model learned.
    pub model: String,
    /// What was watched, with its unit.
    pub metric: String,
    /// Step and value.
    pub points: Vec<(u64, f64)>,
}

/// What is watched while a model learns.
#[derive(Clone, Copy)]
pub(super) enum Watched {
    /// A loss, lower is better.
    Loss(&'static str),
    /// The trainer makes its negative small.
    Gain(&'static str),
}

impl Watched {
    fn metric(self) -> &'static str {
        match self {
            Watched::Loss(metric) | Watched::Gain(metric) => metric,
        }
    }

    fn value(self, figure: f64) -> f64 {
        match self {
            Watched::Loss(_) => figure,
            Watched::Gain(_) => -figure,
        }
    }
}

/// A model's name on the shelf and in the tables, what it is a function of, and what is watched.
#[derive(Clone, Copy)]
pub(super) struct Pupil {
    pub name: &'static str,
    pub key: Fingerprint,
    pub watched: Watched,
}

/// How a model is written and read.
pub(super) struct Form<M> {
    pub load: fn(&Path) -> Fitted<M>,
    pub save: fn(&M, &Path) -> Fitted<()>,
}

/// The model from the shelf, or trained by `fit` on a course that can be killed.
///
/// # Errors
/// Those of the model, and a folder that cannot be written.
pub(super) fn learn<M>(
    pupil: Pupil,
    form: &Form<M>,
    site: &Site,
    fit: impl FnOnce(&mut Course<'_>) -> Fitted<M>,
) -> Result<(M, Curve)> {
    keep(pupil, form, site, || train(pupil, site, fit))
}

/// The model with its curve from the shelf, or made.
///
/// # Errors
/// Whatever `make` says, and a folder that cannot be written.
pub(super) fn keep<M>(
    pupil: Pupil,
    form: &Form<M>,
    site: &Site,
    make: impl FnOnce() -> Result<(M, Curve)>,
) -> Result<(M, Curve)> {
    let load = |folder: &Path| {
        let curve = serde_json::from_slice(&std::fs::read(folder.join(CURVE))?)?;
        Ok(((form.load)(&file(folder))?, curve))
    };
    let save = |(model, curve): &(M, Curve), folder: &Path| {
        (form.save)(model, &file(folder))?;
        Ok(std::fs::write(folder.join(CURVE), serde_json::to_vec(curve)?)?)
    };
    let (learnt, reused) = site.shelf.get(pupil.name, pupil.key, load, make, save)?;
    if !reused {
        Folder::of(pupil, site).tidy();
    }
    Ok(learnt)
}

/// The file of a model in its folder.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join("model.safetensors")
}

/// One course from start to end, with its bar.
///
/// # Errors
/// Those of the model, and a run folder that cannot be written.
pub(super) fn train<M>(
    pupil: Pupil,
    site: &Site,
    fit: impl FnOnce(&mut Course<'_>) -> Fitted<M>,
) -> Result<(M, Curve)> {
    let place = Folder::of(pupil, site);
    let lock = place.open(site.shelf.reuses())?;
    let stage = site.progress.stage(pupil.name, None, Unit::Of("steps"));
    let mut curve = Curve { model: pupil.name.into(), metric: pupil.watched.metric().into(), points: Vec::new() };
    let mut told = String::new();
    let mut seen = |step: lingxi_train::Step| {
        stage.set_total(step.steps);
        if let Some(figure) = step.held_out.map(|figure| pupil.watched.value(figure)) {
            curve.points.push((step.step, figure));
            told = format!(", {} {figure:.4}", pupil.watched.metric());
        }
        stage.say(&format!("loss {:.4}{told}", step.loss));
        stage.set(step.step);
    };
    let key = pupil.key.to_string();
    // Another process that trains the same model has the folder; this one then trains in memory.
    let run = Run { folder: &place.path, key: &key, every: 1, pause: PAUSE, clock: &unix_seconds };
    let mut course = match &lock {
        Some(_) => Course::kept(run, &mut seen),
        None => Course::heard(&mut seen),
    };
    let model = fit(&mut course)?;
    curve.points.extend(place.earlier(pupil.watched, &curve.points));
    curve.points.sort_unstable_by_key(|(step, _)| *step);
    stage.finish(told.trim_start_matches(", "));
    Ok((model, curve))
}

/// Seconds since 1970, for the event file.
pub(crate) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The run folder of a model.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn of(pupil: Pupil, site: &Site) -> Folder {
        Folder { path: site.cache.join("runs").join(pupil.name).join(pupil.key.to_string()) }
    }

    /// Makes the folder and takes it for this process; `None` if another one has it. What lies there is gone on with if `reused`.
    fn open(&self, reused: bool) -> Result<Option<std::fs::File>> {
        let open = || {
            std::fs::create_dir_all(&self.path)?;
            std::fs::File::create(self.path.join("lock"))
        };
        let lock = open().with_context(|| format!("cannot write the run folder {}", self.path.display()))?;
        if lock.try_lock().is_err() {
            return Ok(None);
        }
        if !reused {
            self.forget();
        }
        Ok(Some(lock))
    }

    /// The held-out figures of the part of the run before it was killed: those before the first of `points`.
    fn earlier(&self, watched: Watched, points: &[(u64, f64)]) -> Vec<(u64, f64)> {
        let first = points.first().map_or(u64::MAX, |(step, _)| *step);
        let text = std::fs::read_to_string(self.path.join("metrics.jsonl")).unwrap_or_default();
        let point = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            Some((line["step"].as_u64()?, watched.value(line["held_out"].as_f64()?)))
        };
        text.lines().filter_map(point).filter(|(step, _)| *step < first).collect()
    }

    /// Deletes checkpoints, whole and half written.
    fn forget(&self) {
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("checkpoint.") {
                // What cannot be deleted now goes with the folder.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// The model is safe: its checkpoint goes, and so do the curves of old runs.
    fn tidy(&self) {
        self.forget();
        let runs = self.path.parent().and_then(|all| std::fs::read_dir(all).ok());
        let mut runs: Vec<_> = runs
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        runs.sort();
        let surplus = runs.len().saturating_sub(KEPT);
        for (_, path) in runs.into_iter().take(surplus) {
            // One that cannot be deleted now is tried again after the next run.
            let _ = shelf::remove(&path);
        }
    }
}
