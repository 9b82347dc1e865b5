//! How does a shop learn while it serves?
//!
//! A build runs in a program of its own (`lingxi build`, at low priority), so that it takes neither memory nor a crash into
//! the one that serves. It tells how far it is, keeps a snapshot and ends; the snapshot is read back here and put in place
//! whole. Whoever serves may go back to any kept one.

use crate::failure::UserError;
use crate::kept::{Card, Kept, Opened};
use crate::progress::Beat;
use crate::recipe::{Rebuild, Recipe};
use crate::site::Site;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines of a failed build's complaints that are told.
const COMPLAINTS: usize = 8;

/// What is built, where.
#[derive(Clone, Debug)]
pub struct Order {
    /// The recipe's file.
    pub recipe: PathBuf,
    /// The folder that its paths start from.
    pub data: PathBuf,
    /// The store with what arrived.
    pub store: PathBuf,
}

/// Where snapshots are built while another one serves.
pub struct Workshop {
    order: Order,
    site: Site,
    kept: Kept,
    rebuild: Rebuild,
    state: Mutex<State>,
    placing: Mutex<()>,
}

#[derive(Default)]
struct State {
    serving: Option<u64>,
    running: Option<(Beat, Instant)>,
    last: Option<(Outcome, Instant)>,
    child: Option<Child>,
}

/// How the last build ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Why it failed; `None` if it serves.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// When it ended, unix seconds.
    pub finished: i64,
}

/// What there is to tell.
pub struct Told {
    /// The stage of a running build, and how long it runs.
    pub running: Option<(Beat, Duration)>,
    /// How the last one ended.
    pub last: Option<Outcome>,
    /// The kept snapshots, newest first.
    pub kept: Vec<Card>,
    /// Which of them answers.
    pub serving: Option<u64>,
    /// Hours between two builds.
    pub every_hours: Option<f64>,
}

/// The last line of `lingxi build --beats`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    /// Id of the snapshot that it kept.
    pub id: u64,
}

impl Workshop {
    /// For the shop of a recipe, of which the kept snapshot `serving` answers now.
    pub fn new(order: Order, recipe: &Recipe, site: Site, serving: u64) -> Workshop {
        let kept = Kept::of(&site.cache, &order.store);
        let state = State { serving: Some(serving), ..State::default() };
        Workshop { order, site, kept, rebuild: recipe.serve.rebuild, state: Mutex::new(state), placing: Mutex::new(()) }
    }

    /// What is kept, what runs, how the last one ended.
    pub fn told(&self) -> Told {
        let kept = self.kept.list();
        let state = self.state();
        Told {
            running: state.running.as_ref().map(|(beat, since)| (beat.clone(), since.elapsed())),
            last: state.last.as_ref().map(|(outcome, _)| outcome.clone()),
            kept,
            serving: state.serving,
            every_hours: self.rebuild.every_hours,
        }
    }

    /// Whether the recipe wants a build now: `since` is when the snapshot that answers was published.
    pub fn is_due(&self, since: Instant) -> bool {
        let Some(hours) = self.rebuild.every_hours else { return false };
        let state = self.state();
        let last = state.last.as_ref().map_or(since, |(_, at)| since.max(*at));
        state.running.is_none() && last.elapsed() >= Duration::from_secs_f64(hours * 3600.0)
    }

    /// Takes the place for a build; `false` if one is running. Whoever got it calls [`Workshop::build`].
    pub fn begin(&self) -> bool {
        let mut state = self.state();
        if state.running.is_some() {
            return false;
        }
        state.running = Some((Beat { stage: "start".into(), done: 0, total: None }, Instant::now()));
        true
    }

    /// Builds, keeps and reads back a snapshot, hands it to `publish`, and notes how that ended. Takes as long as a build
    /// does.
    pub fn build(&self, now: impl Fn() -> i64, publish: impl FnOnce(Opened) -> Result<()>) {
        let started = Instant::now();
        let done = self.run().and_then(|id| self.put_in_place(id, publish));
        if done.is_ok() {
            self.kept.prune(self.rebuild.keep);
        }
        let error = done.err().map(|why| crate::failure::judge(&why).lines.join("; "));
        if let Some(error) = &error {
            tracing::warn!("the build failed, the snapshot before goes on serving: {error}");
        }
        let mut state = self.state();
        state.running = None;
        state.last = Some((Outcome { error, took: started.elapsed(), finished: now() }, Instant::now()));
    }

    /// Reads a kept snapshot back, hands it to `publish`, and chooses it for the next start.
    ///
    /// # Errors
    /// There is no such snapshot, it is spoilt, or it could not be published; the one before goes on serving.
    pub fn put_in_place(&self, id: u64, publish: impl FnOnce(Opened) -> Result<()>) -> Result<()> {
        // One at a time: what answers now and what was chosen for the next start must be the same.
        let _alone = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        publish(self.kept.open(id, &self.site)?)?;
        self.kept.choose(id)?;
        self.state().serving = Some(id);
        Ok(())
    }

    /// Ends a running build: nothing of it is kept.
    pub fn stop(&self) {
        if let Some(child) = &mut self.state().child {
            let _ = child.kill();
        }
    }

    /// Runs the program that builds; returns the id of what it kept.
    fn run(&self) -> Result<u64> {
        let mut child = self.command().spawn().or_else(|_| self.plain().spawn()).context("cannot start a build")?;
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        self.state().child = Some(child);
        let complaints = std::thread::spawn(move || last_lines(err));
        let mut finished = None;
        for line in BufReader::new(out).lines() {
            let line = line.context("the build's words were lost")?;
            if let Ok(beat) = serde_json::from_str::<Beat>(&line) {
                if let Some((last, _)) = &mut self.state().running {
                    *last = beat;
                }
            } else if let Ok(Finished { id }) = serde_json::from_str(&line) {
                finished = Some(id);
            }
        }
        let mut child = self.state().child.take().expect("put there above");
        let status = child.wait().context("the build was lost")?;
        let complaints = complaints.join().unwrap_or_default();
        match finished {
            Some(id) if status.success() => Ok(id),
            _ => {
                let message = format!("the build ended with {status}: {}", complaints.trim());
                Err(UserError::new(message, "mend what it says, then lingxi snapshots build").into())
            }
        }
    }

    /// The build at low priority: whoever asks for a slate goes first.
    fn command(&self) -> Command {
        let mut command = Command::new("nice");
        command.args(["-n", "10"]).arg(program());
        self.with_arguments(command)
    }

    fn plain(&self) -> Command {
        self.with_arguments(Command::new(program()))
    }

    fn with_arguments(&self, mut command: Command) -> Command {
        command.arg("build").arg("--recipe").arg(&self.order.recipe).arg("--data").arg(&self.order.data);
        command.arg("--store").arg(&self.order.store).args(["--seed", &self.site.seed.to_string(), "--beats"]);
        // Its input is a pipe that nobody writes to: when it closes, we are gone, and so is who asked for the build.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        self.stop();
    }
}

/// This program.
fn program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("lingxi"))
}

fn last_lines(from: impl Read) -> String {
    let mut last = VecDeque::new();
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        if last.len() == COMPLAINTS {
            last.pop_front();
        }
        last.push_back(line);
    }
    Vec::from(last).join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    fn workshop(every_hours: Option<f64>) -> Workshop {
        let mut recipe = Recipe::built_in("ml-100k").expect("it comes with the program");
        recipe.serve.rebuild.every_hours = every_hours;
        let site = Site::new(PathBuf::new(), 1, Progress::silent(), false).expect("there is a cache");
        let order = Order { recipe: "no.toml".into(), data: "no".into(), store: "no.sqlite".into() };
        Workshop::new(order, &recipe, site, 1)
    }

    #[test]
    fn a_build_is_due_when_its_hours_are_over_and_none_is_running() {
        let ago = |hours: u64| Instant::now().checked_sub(Duration::from_secs(3600 * hours)).expect("booted long ago");
        assert!(!workshop(None).is_due(ago(1)), "nobody asked for builds");
        let every_half = workshop(Some(0.5));
        assert!(every_half.is_due(ago(1)));
        assert!(!every_half.is_due(Instant::now()), "just published");
        assert!(every_half.begin() && !every_half.begin(), "one at a time");
        assert!(!every_half.is_due(ago(1)), "one is running");
        every_half.build(|| 7, |_| unreachable!("there is no such recipe"));
        let last = every_half.told().last.expect("it ended");
        assert!(last.error.is_some_and(|why| !why.is_empty()) && last.finished == 7);
        assert!(!every_half.is_due(ago(1)), "one that failed is not tried again at once");
    }
}
