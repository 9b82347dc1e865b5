//! What does a killed run go on from? The state between two steps in one file, written whole or not at all and checked when
//! read; it belongs to one run, named by a key, and no other run goes on from it.

use crate::early_stopping::EarlyStopping;
use crate::optimiser::Descent;
use crate::run_log::TrainError;
use crate::trainer::{State, TrainerConfig};
use lingxi_data::artefact::{Reader, Writer};
use serde::{Deserialize, Serialize};
use std::path::Path;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    key: String,
    step: u64,
    optimiser_steps: u64,
    /// `None` before the first check: JSON has no infinity.
    best: Option<f64>,
    since: usize,
    ended: bool,
}

/// Writes `state` of the run `key` to `path`.
///
/// # Errors
/// [`TrainError::Checkpoint`] with what the file system says.
pub fn save(state: &State, key: &str, path: &Path) -> Result<(), TrainError> {
    let (mean, square, optimiser_steps) = state.optimiser.state();
    let (best, since) = state.watch.state();
    let best = best.is_finite().then_some(best);
    let header = Header { key: key.to_owned(), step: state.step, optimiser_steps, best, since, ended: state.ended };
    let of = |numbers: &[f32]| [numbers.len()];
    Writer::default()
        .column("parameters", &of(&state.parameters), &state.parameters)
        .column("best", &of(&state.best), &state.best)
        .column("mean", &of(mean), mean)
        .column("square", &of(square), square)
        .write(path, &header)
        .map_err(TrainError::Checkpoint)
}

/// The state that the run `key` of `parameters` numbers goes on from; `None` if it has none yet.
///
/// # Errors
/// [`TrainError::Checkpoint`] if the file is damaged, [`TrainError::OtherRun`] if it belongs to another run.
pub fn load(config: &TrainerConfig, parameters: usize, key: &str, path: &Path) -> Result<Option<State>, TrainError> {
    if !path.exists() {
        return Ok(None);
    }
    let file = Reader::open(path).map_err(TrainError::Checkpoint)?;
    let header: Header = file.meta().map_err(TrainError::Checkpoint)?;
    let column = |name: &str| file.column::<f32>(name).map_err(TrainError::Checkpoint);
    let (now, best, mean, square) = (column("parameters")?, column("best")?, column("mean")?, column("square")?);
    let second = if config.optimiser == Descent::AdamW { parameters } else { 0 };
    let fits = now.len() == parameters && mean.len() == parameters && square.len() == second;
    if header.key != key || !fits || !(best.is_empty() || best.len() == parameters) {
        return Err(TrainError::OtherRun { path: path.to_path_buf(), expected: key.to_owned(), got: header.key });
    }
    let watch = EarlyStopping::restore(config.patience, 0.0, header.best.unwrap_or(f64::INFINITY), header.since);
    let optimiser = config.go_on(mean, square, header.optimiser_steps);
    Ok(Some(State { parameters: now, best, optimiser, watch, step: header.step, ended: header.ended }))
}
