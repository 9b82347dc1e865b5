//! What was measured on the way: steps and named numbers come in, one JSON line each goes out to `metrics.jsonl`, which
//! any tool of the field can read. A line is on disk when [`RunLog::log`] returns, so a killed run keeps its log.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What can go wrong in the workshop.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The log cannot be written.
    #[error("run log {}: expected to write, got {why}; free space or choose another folder", path.display())]
    RunLog {
        /// Where.
        path: PathBuf,
        /// What the file system says.
        why: std::io::Error,
    },
    /// A checkpoint cannot be written or read.
    #[error("checkpoint: {0}; delete it to train from the start")]
    Checkpoint(lingxi_data::DataError),
    /// A checkpoint of another run.
    #[error(
        "checkpoint {}: expected that of run {expected}, got one of {got}; choose another folder, or delete it to train from \
         the start",
        path.display()
    )]
    OtherRun {
        /// Where.
        path: PathBuf,
        /// The run that was to go on.
        expected: String,
        /// Whose it is.
        got: String,
    },
}

/// An open `metrics.jsonl`.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
    file: File,
}

impl RunLog {
    /// Begins a new log at `path` (an old one is replaced), making its folder.
    ///
    /// # Errors
    /// [`TrainError::RunLog`] with what the file system says.
    pub fn create(path: &Path) -> Result<RunLog, TrainError> {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| File::create(path));
        match made {
            Ok(file) => Ok(RunLog { path: path.to_path_buf(), file }),
            Err(why) => Err(TrainError::RunLog { path: path.to_path_buf(), why }),
        }
    }

    /// Goes on with the log of a run that was killed: lines after `step` are dropped, since those steps are taken again, and
    /// so is a line that was half written.
    ///
    /// # Errors
    /// [`TrainError::RunLog`] with what the file system says.
    pub fn go_on(path: &Path, step: u64) -> Result<RunLog, TrainError> {
        let old = std::fs::read_to_string(path).unwrap_or_default();
        let taken = |line: &&str| {
            let line = serde_json::from_str::<serde_json::Value>(line).ok();
            line.and_then(|line| line["step"].as_u64()).is_some_and(|at| at <= step)
        };
        let kept: String = old.lines().filter(taken).flat_map(|line| [line, "\n"]).collect();
        let mut log = RunLog::create(path)?;
        log.file.write_all(kept.as_bytes()).map_err(|why| TrainError::RunLog { path: path.to_path_buf(), why })?;
        Ok(log)
    }

    /// Writes `{"step": step, name: value, ...}` as one line; a value that is no number is written as `null`.
    ///
    /// # Errors
    /// [`TrainError::RunLog`] with what the file system says.
    pub fn log(&mut self, step: u64, values: &[(&str, f64)]) -> Result<(), TrainError> {
        let mut line = serde_json::Map::new();
        line.insert("step".into(), step.into());
        for (name, value) in values {
            line.insert((*name).into(), serde_json::Number::from_f64(*value).into());
        }
        let text = format!("{}\n", serde_json::Value::Object(line));
        self.file.write_all(text.as_bytes()).map_err(|why| TrainError::RunLog { path: self.path.clone(), why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_one_line_of_json() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/metrics.jsonl");
        let mut log = RunLog::create(&path).unwrap();
        log.log(1, &[("loss", 0.5), ("rate", f64::NAN)]).unwrap();
        log.log(2, &[("loss", 0.25)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[0], serde_json::json!({"step": 1, "loss": 0.5, "rate": null}));
        assert_eq!(lines[1]["loss"], 0.25);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let err = RunLog::create(&dir.path().join("file/metrics.jsonl")).unwrap_err();
        assert!(err.to_string().contains("metrics.jsonl"), "{err}");
    }
}
