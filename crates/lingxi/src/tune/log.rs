//! What was tried: `NAME.trials.jsonl`, a line that says of which search, then a line a trial, on disk before the next one begins. A
//! search that was killed goes on from it; a line that was half written is tried again.

use crate::failure::UserError;
use anyhow::{Context as _, Result};
use lingxi_data::Fingerprint;
use lingxi_train::search::{Suggestion, Told};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// One trial as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// What was suggested.
    pub trial: Suggestion,
    /// What that is, by key.
    pub values: BTreeMap<String, Value>,
    /// The figure on validation; `None` if it failed.
    pub score: Option<f64>,
    /// Its interval.
    pub interval: Option<[f64; 2]>,
    /// How it was measured.
    pub protocol: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// Why it failed.
    pub why: Option<String>,
}

impl Kept {
    /// What the search is told of it.
    pub fn told(&self) -> Told {
        Told { trial: self.trial.clone(), score: self.score }
    }

    /// What it is sorted by: share of the training, then figure.
    pub fn rank(&self) -> (f64, f64) {
        (self.trial.share, self.score.unwrap_or(f64::NEG_INFINITY))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    search: Fingerprint,
    metric: String,
}

/// An open file of trials.
pub struct TrialLog {
    file: File,
}

impl TrialLog {
    /// Opens the file at `path` for the search `key`, and reads the trials that it holds; with `fresh` it begins anew.
    ///
    /// # Errors
    /// A file that cannot be written, or one of another search.
    pub fn open(path: &Path, key: Fingerprint, metric: &str, fresh: bool) -> Result<(TrialLog, Vec<Kept>)> {
        let text = if fresh { String::new() } else { std::fs::read_to_string(path).unwrap_or_default() };
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        if let Some(header) = lines.next() {
            let whose = serde_json::from_str::<Header>(header).ok().map(|header| header.search);
            if whose != Some(key) {
                let message =
                    format!("{}: expected the trials of this recipe, seed and data, got others", path.display());
                return Err(UserError::new(message, "--fresh begins anew; --out keeps this search elsewhere").into());
            }
        }
        let trials: Vec<Kept> = lines.map_while(|line| serde_json::from_str(line).ok()).collect();
        let written = || -> Result<File> {
            let mut file = File::create(path)?;
            writeln!(file, "{}", serde_json::to_string(&Header { search: key, metric: metric.to_owned() })?)?;
            trials.iter().try_for_each(|kept| write(&mut file, kept))?;
            Ok(file)
        };
        let file = written().map_err(|why| {
            UserError::new(format!("cannot write {}", path.display()), "name a folder with --out").because(why)
        })?;
        Ok((TrialLog { file }, trials))
    }

    /// Adds a trial; it is on disk when this returns.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn add(&mut self, kept: &Kept) -> Result<()> {
        write(&mut self.file, kept)?;
        self.file.sync_data().context("keep a trial")
    }
}

fn write(file: &mut File, kept: &Kept) -> Result<()> {
    let line = serde_json::to_string(kept)? + "\n";
    Ok(file.write_all(line.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_are_read_back_but_not_half_ones_nor_those_of_another_search() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.trials.jsonl");
        let key = |name: &str| Fingerprint::of([name.as_bytes()]);
        let trial = |arm| Kept {
            trial: Suggestion { arm, point: vec![0.1 + 0.2, 1.0 / 3.0], share: 1.0 },
            values: BTreeMap::from([("a".to_owned(), Value::from(3))]),
            score: Some(0.1),
            interval: None,
            protocol: None,
            seconds: 0.5,
            why: None,
        };
        let (mut log, before) = TrialLog::open(&path, key("a"), "hr@10", false).unwrap();
        assert!(before.is_empty());
        (0..3).for_each(|arm| log.add(&trial(arm)).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 9]).unwrap();
        let (_, before) = TrialLog::open(&path, key("a"), "hr@10", false).unwrap();
        assert_eq!(before, [trial(0), trial(1)]);
        let why = TrialLog::open(&path, key("b"), "hr@10", false).err().unwrap().to_string();
        assert!(why.contains("a.trials.jsonl") && why.contains("got others"), "{why}");
        assert!(TrialLog::open(&path, key("b"), "hr@10", true).unwrap().1.is_empty());
    }
}
