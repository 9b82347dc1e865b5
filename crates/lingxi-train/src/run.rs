//! A run that can be killed: its folder keeps the checkpoint that it goes on from, `metrics.jsonl`, and TensorBoard's event file.

use crate::checkpoint;
use crate::event_file::EventFile;
use crate::run_log::{RunLog, TrainError};
use crate::trainer::{Learner, State, Step, TrainerConfig, go_on};
use std::path::Path;

/// Where and when a run is kept.
pub struct Run<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// What it is of (data, configuration, seed): a run goes on only from a checkpoint with the same key.
    pub key: &'a str,
    /// Steps between two checkpoints.
    pub every: u64,
    /// Unix seconds now, for TensorBoard.
    pub clock: &'a dyn Fn() -> f64,
}

/// Trains to the end and returns the best parameters, from the start or from where a run of the same key was killed: the steps
/// are those of a run that was never killed.
///
/// # Errors
/// A folder that cannot be written, a damaged checkpoint, or one of another run.
pub fn train_in(
    run: &Run<'_>,
    config: &TrainerConfig,
    learner: &mut dyn Learner,
    parameters: Vec<f32>,
    seed: u64,
    seen: &mut dyn FnMut(Step),
) -> Result<Vec<f32>, TrainError> {
    let path = run.folder.join("checkpoint.safetensors");
    let mut state = match checkpoint::load(config, parameters.len(), run.key, &path)? {
        Some(state) => state,
        None => State::new(config, parameters),
    };
    let mut log = RunLog::go_on(&run.folder.join("metrics.jsonl"), state.step)?;
    let mut events = EventFile::create(run.folder, (run.clock)())?;
    let mut failed = None;
    go_on(config, learner, &mut state, seed, &mut |step, state| {
        let mut values = vec![("loss", step.loss), ("rate", step.rate), ("gradient", step.gradient)];
        values.extend(step.held_out.map(|figure| ("held_out", figure)));
        let kept =
            log.log(step.step, &values).and_then(|()| events.log((run.clock)(), step.step, &values)).and_then(|()| {
                match step.step.is_multiple_of(run.every) {
                    true => checkpoint::save(state, run.key, &path),
                    false => Ok(()),
                }
            });
        if let Err(why) = kept {
            failed.get_or_insert(why);
        }
        seen(step);
    });
    if let Some(why) = failed {
        return Err(why);
    }
    checkpoint::save(&state, run.key, &path)?;
    Ok(state.outcome())
}
