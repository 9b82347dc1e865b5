//! How far is it?
//!
//! A stage of work says its name, its total and how much is done; out comes a bar with rate and remaining time on a
//! terminal, one line at the end of the stage when stderr is a file or a pipe, and nothing at all with `--json`.
//! Everything goes to stderr, so that stdout stays what other programs read.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::report::{count, duration};

/// Work shorter than this shows no bar: a bar that flashes past tells nobody anything.
const QUIET: Duration = Duration::from_millis(400);

/// Where progress goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Silent,
    Lines,
    Bars,
    /// One JSON line a [`BEAT`] on stdout, for the program that started this one.
    Beats,
}

/// How far a stage is, for another program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beat {
    /// Name of the stage.
    pub stage: String,
    /// Things finished.
    pub done: u64,
    /// Of how many, if that is known.
    pub total: Option<u64>,
}

/// Time between two lines of [`Stage::say`].
const WORD: Duration = Duration::from_secs(10);

/// Time between two lines of [`Mode::Beats`].
const BEAT: Duration = Duration::from_millis(200);

/// What a stage counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, shown as MiB.
    Bytes,
    /// Things with a plural name: `rows`, `texts`, `shoppers`.
    Of(&'static str),
}

/// Starts stages. Cheap to copy and to hand down.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    mode: Mode,
}

impl Progress {
    /// Bars on a terminal, lines elsewhere, silence when `quiet` (with `--json`).
    pub fn new(quiet: bool) -> Self {
        let mode = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Mode::Silent,
            (false, true) => Mode::Bars,
            (false, false) => Mode::Lines,
        };
        Self { mode }
    }

    /// JSON lines on stdout, each a [`Beat`].
    pub fn beats() -> Self {
        Self { mode: Mode::Beats }
    }

    /// Shows nothing, for tests and library use.
    pub fn silent() -> Self {
        Self { mode: Mode::Silent }
    }

    /// Starts a stage. `total` is `None` while nobody knows how much there is.
    pub fn stage(&self, name: &str, total: Option<u64>, unit: Unit) -> Stage {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        bar.set_style(style(total.is_some(), unit));
        bar.set_prefix(name.to_owned());
        let (shown, told) = (AtomicBool::new(false), AtomicU64::new(0));
        let stage = Stage { bar, shown, told, name: name.to_owned(), mode: self.mode, unit, started: Instant::now() };
        if self.mode == Mode::Beats {
            stage.tell();
        }
        stage
    }

    /// One line between stages, such as what is being waited for.
    pub fn note(&self, line: &str) {
        if matches!(self.mode, Mode::Lines | Mode::Bars) {
            tell(line);
        }
    }
}

/// One stage under way; the bar goes when it is dropped, [`Stage::finish`] also leaves a line.
#[derive(Debug)]
pub struct Stage {
    bar: ProgressBar,
    shown: AtomicBool,
    /// Milliseconds after the start at which the last beat or word was told.
    told: AtomicU64,
    name: String,
    mode: Mode,
    unit: Unit,
    started: Instant,
}

impl Stage {
    /// `done` things are finished, counted from the start of the stage.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
        let late = self.mode == Mode::Bars && self.started.elapsed() > QUIET;
        if late && !self.shown.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        if self.mode == Mode::Beats {
            let now = self.started.elapsed().as_millis() as u64;
            if now >= self.told.load(Ordering::Relaxed) + BEAT.as_millis() as u64 {
                self.told.store(now, Ordering::Relaxed);
                self.tell();
            }
        }
    }

    /// Tells the program that started this one; if it has left, there is nobody to tell.
    fn tell(&self) {
        let beat = Beat { stage: self.name.clone(), done: self.bar.position(), total: self.bar.length() };
        let _ = crate::report::say(&serde_json::to_string(&beat).expect("plain data serialises"));
    }

    /// What else there is to say of the work, such as a loss: beside the bar, or on a line of its own now and then where there is
    /// none.
    pub fn say(&self, word: &str) {
        match self.mode {
            Mode::Bars => self.bar.set_message(format!("  {word}")),
            Mode::Lines => {
                let now = self.started.elapsed().as_millis() as u64;
                if now >= self.told.load(Ordering::Relaxed) + WORD.as_millis() as u64 {
                    self.told.store(now, Ordering::Relaxed);
                    tell(&self.under_way(word));
                }
            }
            Mode::Silent | Mode::Beats => {}
        }
    }

    /// How far it is, and how long it may yet take.
    fn under_way(&self, word: &str) -> String {
        let Some(total) = self.bar.length() else { return format!("{:<28} {word}", self.name) };
        let left = duration(self.bar.eta().as_secs_f64());
        format!("{:<28} {} of {}  {word}  {left} left", self.name, count(self.bar.position()), count(total))
    }

    /// `more` things are finished.
    pub fn add(&self, more: u64) {
        self.set(self.bar.position() + more);
    }

    /// The total became known, or changed.
    pub fn set_total(&self, total: u64) {
        if self.bar.length().is_none() {
            self.bar.set_style(style(true, self.unit));
        }
        self.bar.set_length(total);
    }

    /// Things finished so far.
    pub fn done(&self) -> u64 {
        self.bar.position()
    }

    /// Ends the stage with one line: name, amount, time, and `note` where there is something to say.
    pub fn finish(self, note: &str) {
        self.bar.finish_and_clear();
        if matches!(self.mode, Mode::Lines | Mode::Bars) {
            tell(&closing_line(&self.name, self.bar.position(), self.unit, self.started.elapsed(), note));
        }
    }
}

/// Nobody to tell (a closed terminal, a full disk) is no reason to stop the work, as `eprintln!` would.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(known: bool, unit: Unit) -> ProgressStyle {
    let amount = match unit {
        Unit::Bytes if known => "{bytes}/{total_bytes}  {bytes_per_sec}".to_owned(),
        Unit::Bytes => "{bytes}  {bytes_per_sec}".to_owned(),
        Unit::Of(name) if known => format!("{{human_pos}}/{{human_len}} {name}  {{per_sec}}"),
        Unit::Of(name) => format!("{{human_pos}} {name}  {{per_sec}}"),
    };
    let template = match known {
        true => format!("{{prefix:<28}} [{{bar:24}}] {amount}  {{eta}} left{{msg}}"),
        false => format!("{{prefix:<28}} {{spinner}} {amount}  {{elapsed}}"),
    };
    ProgressStyle::with_template(&template).expect("the templates above are valid").progress_chars("=> ")
}

fn closing_line(name: &str, done: u64, unit: Unit, took: Duration, note: &str) -> String {
    let amount = match (done, unit) {
        (0, _) => String::new(),
        (_, Unit::Bytes) => format!("{}  ", HumanBytes(done)),
        (_, Unit::Of(what)) => format!("{} {what}  ", count(done)),
    };
    let line = format!("{name:<28} {amount}{}", duration(took.as_secs_f64()));
    if note.is_empty() { line } else { format!("{line}  {note}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_line_says_name_amount_time_and_note() {
        let took = Duration::from_millis(2500);
        assert_eq!(
            closing_line("encode", 12_345, Unit::Of("texts"), took, "3 cached"),
            format!("{:<28} 12,345 texts  2.5 s  3 cached", "encode")
        );
        assert_eq!(closing_line("fetch", 1 << 20, Unit::Bytes, took, ""), format!("{:<28} 1.00 MiB  2.5 s", "fetch"));
        assert_eq!(closing_line("wait", 0, Unit::Bytes, took, ""), format!("{:<28} 2.5 s", "wait"));
    }

    #[test]
    fn work_under_way_says_its_loss_and_the_time_that_is_left() {
        let stage = Progress { mode: Mode::Lines }.stage("sequence", None, Unit::Of("steps"));
        stage.set_total(2_000);
        stage.set(500);
        let line = stage.under_way("loss 7.1234");
        assert!(line.contains("500 of 2,000  loss 7.1234") && line.ends_with(" left"), "{line}");
    }

    #[test]
    fn a_stage_counts_in_every_mode() {
        for mode in [Mode::Silent, Mode::Lines, Mode::Bars, Mode::Beats] {
            let stage = Progress { mode }.stage("count", Some(10), Unit::Of("rows"));
            stage.set(3);
            stage.add(4);
            stage.say("loss 1.0");
            assert_eq!(stage.done(), 7, "{mode:?}");
        }
    }
}
