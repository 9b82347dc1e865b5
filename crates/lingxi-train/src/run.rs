//! A run that can be killed: its folder keeps the checkpoint that it goes on from, `metrics.jsonl`, and TensorBoard's event file.
//! A model asks its [`Course`] to train it and need not know whether the run is kept.

use crate::checkpoint;
use crate::event_file::EventFile;
use crate::run_log::{RunLog, TrainError};
use crate::trainer::{Learner, State, Step, TrainerConfig, go_on, train};
use std::path::Path;

/// Where and when a run is kept.
pub struct Run<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// What it is of (data, configuration, seed): a run goes on only from a checkpoint with the same key.
    pub key: &'a str,
    /// Steps between two checkpoints.
    pub every: u64,
    /// Seconds between two checkpoints, at the least: writing must not take the time of learning.
    pub pause: f64,
    /// Unix seconds now, for TensorBoard and the pause.
    pub clock: &'a dyn Fn() -> f64,
}

/// The way of one model from its start to its outcome: who hears of each step, and where it is kept.
pub struct Course<'a> {
    kept: Option<Run<'a>>,
    seen: &'a mut dyn FnMut(Step),
}

impl<'a> Course<'a> {
    /// A run in memory.
    pub fn heard(seen: &'a mut dyn FnMut(Step)) -> Course<'a> {
        Course { kept: None, seen }
    }

    /// A run that can be killed and goes on where it was.
    pub fn kept(run: Run<'a>, seen: &'a mut dyn FnMut(Step)) -> Course<'a> {
        Course { kept: Some(run), seen }
    }

    /// Trains from `parameters`, or from where the run was killed, to the end, and returns the best parameters.
    ///
    /// # Errors
    /// As [`train_in`].
    pub fn train(
        &mut self,
        config: &TrainerConfig,
        learner: &mut dyn Learner,
        parameters: Vec<f32>,
        seed: u64,
    ) -> Result<Vec<f32>, TrainError> {
        match &self.kept {
            Some(run) => train_in(run, config, learner, parameters, seed, self.seen),
            None => Ok(train(config, learner, parameters, seed, self.seen)),
        }
    }
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
    let (mut failed, mut saved) = (None, (run.clock)());
    go_on(config, learner, &mut state, seed, &mut |step, state| {
        let mut values = vec![("loss", step.loss), ("rate", step.rate), ("gradient", step.gradient)];
        values.extend(step.held_out.map(|figure| ("held_out", figure)));
        let now = (run.clock)();
        let due = step.step.is_multiple_of(run.every) && now >= saved + run.pause;
        let kept = log
            .log(step.step, &values)
            .and_then(|()| events.log(now, step.step, &values))
            .and_then(|()| if due { checkpoint::save(state, run.key, &path) } else { Ok(()) });
        if due {
            saved = now;
        }
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
