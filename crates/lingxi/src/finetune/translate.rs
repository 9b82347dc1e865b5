//! How would a translator put it? A person's own command is started once; it reads a text a line and writes a text a line. What it
//! answered is kept, so that only new texts are asked, and the command is part of what is kept: another one is asked anew.
//!
//! For rewording, the command translates there and back: `["sh", "-c", "to-german | to-english"]`.

use crate::failure::UserError;
use anyhow::{Context as _, Result};
use lingxi_data::Fingerprint;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Longest line that is read; a longer one is no translation of a text.
const LONGEST: u64 = 1 << 20;

/// Rewording by a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Translate {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Seconds that it may take without writing a line.
    #[serde(default = "minute")]
    pub seconds: u64,
}

fn minute() -> u64 {
    60
}

/// One answer as it is kept, a JSON line each.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    text: String,
    answer: String,
}

impl Translate {
    /// The answer to each text, in order: kept ones from `folder`, the others from the command. `heard` is told how many have come.
    ///
    /// # Errors
    /// A command that cannot be started, ends early, fails, takes too long, or answers with another number of lines.
    pub fn ask(&self, texts: &[String], folder: &Path, heard: &mut dyn FnMut(usize)) -> Result<Vec<String>> {
        let path = self.kept_at(folder);
        let mut known = read_kept(&path);
        // Texts of several lines would be several questions.
        let plain: Vec<String> = texts.iter().map(|t| t.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let mut new: Vec<&str> = plain.iter().map(String::as_str).filter(|text| !known.contains_key(*text)).collect();
        new.sort_unstable();
        new.dedup();
        if !new.is_empty() {
            let answers = self.run(&new, heard)?;
            let rows = new.iter().zip(answers).map(|(text, answer)| Kept { text: (*text).to_owned(), answer });
            let rows: Vec<Kept> = rows.collect();
            keep(&path, &rows).with_context(|| format!("keep translations in {}", path.display()))?;
            known.extend(rows.into_iter().map(|row| (row.text, row.answer)));
        }
        Ok(plain.iter().map(|text| known[text.as_str()].clone()).collect())
    }

    fn kept_at(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.jsonl", Fingerprint::of_json(&self.command)))
    }

    fn run(&self, texts: &[&str], heard: &mut dyn FnMut(usize)) -> Result<Vec<String>> {
        let [program, arguments @ ..] = self.command.as_slice() else {
            return Err(
                UserError::new("translate.command: expected a program, got none", "name it in the recipe").into()
            );
        };
        let started = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = Ended(started.map_err(|why| {
            let message = format!("translate.command: cannot start {program:?}");
            UserError::new(message, "check its name, its rights and the PATH").because(why)
        })?);
        let (lines, from_child) = sync_channel(64);
        let mut to_child = child.0.stdin.take().expect("stdin is piped");
        let of_child = child.0.stdout.take().expect("stdout is piped");
        let questions: String = texts.iter().flat_map(|text| [text, "\n"]).collect();
        // A command that stops reading is noticed by what it writes, or does not.
        std::thread::spawn(move || to_child.write_all(questions.as_bytes()));
        std::thread::spawn(move || read_lines(BufReader::new(of_child), &lines));
        let answers = self.listen(&from_child, texts.len(), heard)?;
        let status = child.wait(Duration::from_secs(self.seconds))?;
        if answers.len() != texts.len() || !status.is_some_and(|status| status.success()) {
            let how = status.map_or("and did not end".into(), |status| format!("and ended with {status}"));
            return Err(self.refuse(texts.len(), &format!("{} {how}", answers.len())));
        }
        Ok(answers)
    }

    /// Lines until the command closes its end, one more than expected at most.
    fn listen(&self, lines: &Receiver<Line>, expected: usize, heard: &mut dyn FnMut(usize)) -> Result<Vec<String>> {
        let mut answers = Vec::with_capacity(expected);
        while answers.len() <= expected {
            match lines.recv_timeout(Duration::from_secs(self.seconds)) {
                Ok(Ok(line)) => answers.push(line),
                Ok(Err(why)) => return Err(self.refuse(expected, &format!("{} and then {why}", answers.len()))),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let came = format!("{} and then none for {} seconds", answers.len(), self.seconds);
                    return Err(self.refuse(expected, &came));
                }
            }
            heard(answers.len());
        }
        Ok(answers)
    }

    fn refuse(&self, expected: usize, came: &str) -> anyhow::Error {
        let message =
            format!("translate.command {:?}: expected {expected} lines, one for each text, got {came}", self.command);
        let remedy =
            "let it write exactly one line for each line that it reads, and end well; translate.seconds gives it time";
        UserError::new(message, remedy).into()
    }
}

type Line = std::result::Result<String, String>;

fn read_lines(mut from: impl BufRead, to: &SyncSender<Line>) {
    loop {
        let mut line = String::new();
        let read = from.by_ref().take(LONGEST).read_line(&mut line);
        let line = match read {
            Ok(0) => return,
            Ok(n) if n as u64 == LONGEST => Err(format!("a line longer than {LONGEST} bytes")),
            Ok(_) => Ok(line.trim().to_owned()),
            Err(why) => Err(why.to_string()),
        };
        let last = line.is_err();
        if to.send(line).is_err() || last {
            return;
        }
    }
}

/// A child that does not outlive whoever asked it.
struct Ended(Child);

impl Ended {
    /// Its exit status; `None` if it does not end in time.
    fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let started = Instant::now();
        loop {
            match self.0.try_wait()? {
                None if started.elapsed() < limit => std::thread::sleep(Duration::from_millis(5)),
                ended => return Ok(ended),
            }
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is kept, as far as it can be read: a half-written line is asked again.
fn read_kept(path: &Path) -> HashMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let rows = text.lines().filter_map(|line| serde_json::from_str::<Kept>(line).ok());
    rows.map(|row| (row.text, row.answer)).collect()
}

fn keep(path: &Path, rows: &[Kept]) -> Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    let mut text = String::new();
    // On a line of its own even after one that was half written.
    if path.exists() {
        text.push('\n');
    }
    for row in rows {
        text += &serde_json::to_string(row)?;
        text.push('\n');
    }
    Ok(std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(command: &str) -> Translate {
        Translate { command: ["sh", "-c", command].map(str::to_owned).to_vec(), seconds: 2 }
    }

    fn texts() -> Vec<String> {
        (0..500).map(|i| format!("text  {}\nof several lines", i % 400)).collect()
    }

    #[test]
    fn every_text_is_answered_in_its_place_and_asked_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let counted = dir.path().join("asked");
        let command = by(&format!("tee -a '{}' | sed 's/text/Text/'", counted.display()));
        let mut heard = 0;
        let first = command.ask(&texts(), dir.path(), &mut |n| heard = n).unwrap();
        assert_eq!((first.len(), heard), (500, 400));
        assert_eq!(first[401], "Text 1 of several lines");
        // A line that was half written when the power went is asked again, the others are not.
        let path = command.kept_at(dir.path());
        let kept = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &kept[..kept.len() - 10]).unwrap();
        assert_eq!(command.ask(&texts(), dir.path(), &mut |_| {}).unwrap(), first);
        assert_eq!(std::fs::read_to_string(&counted).unwrap().lines().count(), 401);
    }

    #[test]
    fn a_command_that_does_not_answer_as_it_should_is_named_with_what_came() {
        let dir = tempfile::tempdir().unwrap();
        let check = |command: &str, part: &str| {
            let why = by(command).ask(&texts(), dir.path(), &mut |_| {}).unwrap_err().to_string();
            assert!(why.contains("expected 400 lines") && why.contains(part), "{part} in {why}");
        };
        check("head -n 3", "got 3 and ended");
        check("cat; echo more", "got 401");
        check("cat; exit 3", "got 400 and ended with exit status: 3");
        check("sleep 30", "got 0 and then none for 2 seconds");
        check("printf 'a\\377b\\n'", "got 0 and then");
        let none = Translate { command: vec!["no-such-translator".into()], seconds: 2 };
        assert!(none.ask(&texts(), dir.path(), &mut |_| {}).unwrap_err().to_string().contains("no-such-translator"));
    }
}
