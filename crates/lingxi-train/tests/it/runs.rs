//! A run that is killed takes the steps of one that was not, and its curves can be read by the field's tools.

use lingxi_train::trainer::{State, go_on};
use lingxi_train::{Descent, Learner, Run, Schedule, Step, TrainerConfig, checkpoint, train_in};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Logistic regression on generated rows, with inputs left out at random, as a network would.
struct Regression {
    rows: Vec<[f32; 8]>,
    slow: Duration,
}

impl Regression {
    fn new(slow: Duration) -> Regression {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let row = |_| std::array::from_fn(|_| rng.random_range(-1.0f32..1.0));
        Regression { rows: (0..500).map(row).collect(), slow }
    }

    /// Loss and slope of one row.
    fn one(&self, w: &[f32], row: usize, kept: impl Fn(usize) -> bool) -> (f64, [f32; 8]) {
        let x = self.rows[row];
        let wanted = f32::from(u8::from(x[0] + 0.5 * x[1] * x[1] > x[2]));
        let seen: [f32; 8] = std::array::from_fn(|at| if kept(at) { x[at] } else { 0.0 });
        let score: f32 = seen.iter().zip(w).map(|(x, w)| x * w).sum();
        let p = 1.0 / (1.0 + (-score).exp());
        let right = if wanted > 0.5 { p } else { 1.0 - p };
        (-f64::from(right.max(1e-9)).ln(), seen.map(|x| (p - wanted) * x))
    }
}

impl Learner for Regression {
    fn examples(&self) -> usize {
        400
    }

    fn learn(&mut self, w: &[f32], batch: &[u32], seed: u64, gradient: &mut [f32]) -> f64 {
        std::thread::sleep(self.slow);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut loss = 0.0;
        for row in batch {
            let left_out = rng.random_range(0..16);
            let (one, slope) = self.one(w, *row as usize, |at| at != left_out);
            loss += one / batch.len() as f64;
            gradient.iter_mut().zip(slope).for_each(|(g, s)| *g += s / batch.len() as f32);
        }
        loss
    }

    fn check(&mut self, w: &[f32]) -> Option<f64> {
        Some((400..500).map(|row| self.one(w, row, |_| true).0).sum::<f64>() / 100.0)
    }
}

fn config() -> TrainerConfig {
    TrainerConfig {
        epochs: 12,
        batch: 16,
        accumulate: 2,
        learning_rate: 0.05,
        warm_up: 10,
        schedule: Schedule::Cosine,
        decay: 0.01,
        clip: Some(1.0),
        ..TrainerConfig::default()
    }
}

fn run_in(folder: &Path, slow: Duration, key: &str) -> Result<(Vec<f32>, Vec<Step>), lingxi_train::TrainError> {
    let mut steps = Vec::new();
    let run = Run { folder, key, every: 5, pause: 0.0, clock: &|| 1_700_000_000.5 };
    let mut learner = Regression::new(slow);
    let outcome = train_in(&run, &config(), &mut learner, vec![0.0; 8], 7, &mut |step| steps.push(step))?;
    Ok((outcome, steps))
}

fn losses(folder: &Path) -> Vec<(u64, f64)> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (line["step"].as_u64().unwrap(), line["loss"].as_f64().unwrap())
    };
    text.lines().map(line).collect()
}

/// The run that is killed, in a process of its own: it trains only if it is told where.
#[test]
fn a_run_in_a_process_of_its_own() {
    match std::env::var_os("LINGXI_KILLED_RUN") {
        Some(folder) => drop(run_in(&PathBuf::from(folder), Duration::from_millis(4), "toy").unwrap()),
        None => eprintln!("this test is the process that the next one kills"),
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_takes_the_steps_of_one_that_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let (expected, _) = run_in(&whole, Duration::ZERO, "toy").unwrap();
    let mut kills = 0;
    for wait in [60, 120, 180, 90] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "runs::a_run_in_a_process_of_its_own", "--nocapture"])
            .env("LINGXI_KILLED_RUN", &killed)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Killed only after it has kept something new.
        let kept = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
        let before = kept(&killed.join("checkpoint.safetensors"));
        while kept(&killed.join("checkpoint.safetensors")) == before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(wait));
        // On Unix this is SIGKILL.
        child.kill().unwrap();
        kills += usize::from(!child.wait().unwrap().success());
    }
    assert!(kills >= 2, "the run was over before it could be killed more than {kills} times");
    let (got, steps) = run_in(&killed, Duration::ZERO, "toy").unwrap();
    assert!(steps.len() < losses(&whole).len(), "the last part began at the first step");
    assert_eq!(got, expected, "the parameters");
    let (a, b) = (losses(&whole), losses(&killed));
    assert_eq!(a.len(), b.len(), "steps in the log");
    for ((step, whole), (same, killed)) in a.iter().zip(&b) {
        assert!(step == same && (whole - killed).abs() <= 1e-5, "step {step}: {whole} and {killed}");
    }
    assert!(a.last().unwrap().1 < 0.8 * a[0].1, "the loss fell from {} to {}", a[0].1, a.last().unwrap().1);
}

#[test]
fn either_optimiser_goes_on_from_its_checkpoint_and_learns() {
    for optimiser in [Descent::AdamW, Descent::Sgd] {
        let dir = tempfile::tempdir().unwrap();
        let (config, path) = (TrainerConfig { optimiser, ..config() }, dir.path().join("checkpoint.safetensors"));
        let mut kept = false;
        let mut whole = State::new(&config, vec![0.0; 8]);
        let mut losses = Vec::new();
        go_on(&config, &mut Regression::new(Duration::ZERO), &mut whole, 7, &mut |step, state| {
            losses.push(step.loss);
            if step.step == 20 {
                kept = checkpoint::save(state, "toy", &path).is_ok();
            }
        });
        assert!(kept && losses.last().unwrap() < &(0.9 * losses[0]), "{optimiser:?}: {losses:?}");
        let mut state = checkpoint::load(&config, 8, "toy", &path).unwrap().unwrap();
        go_on(&config, &mut Regression::new(Duration::ZERO), &mut state, 7, &mut |_, _| {});
        assert_eq!(state.parameters, whole.parameters, "{optimiser:?}");
    }
}

#[test]
fn a_checkpoint_of_another_run_or_a_damaged_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    run_in(dir.path(), Duration::ZERO, "toy").unwrap();
    let why = run_in(dir.path(), Duration::ZERO, "other").unwrap_err().to_string();
    assert!(why.contains("other") && why.contains("toy") && why.contains("delete it"), "{why}");
    let path = dir.path().join("checkpoint.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(run_in(dir.path(), Duration::ZERO, "toy").unwrap_err().to_string().contains("checkpoint"));
}

#[test]
fn tensorboard_reads_the_curves() {
    let cache = std::env::var_os("LINGXI_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/lingxi");
    let python = cache.unwrap_or_else(home).join("bench-venv/bin/python");
    if !python.exists() {
        eprintln!("SKIPPED: no {}; any command of bench/bench.py makes it", python.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    run_in(dir.path(), Duration::ZERO, "toy").unwrap();
    let script = "import sys, json\n\
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n\
        a = EventAccumulator(sys.argv[1]).Reload()\n\
        print(json.dumps({t: [[e.step, e.value, e.wall_time] for e in a.Scalars(t)] for t in a.Tags()['scalars']}))";
    let out = Command::new(python).args(["-c", script]).arg(dir.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let read: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let written = losses(dir.path());
    let curve = read["loss"].as_array().unwrap();
    assert_eq!(curve.len(), written.len());
    for (point, (step, loss)) in curve.iter().zip(written) {
        assert_eq!((point[0].as_u64(), point[2].as_f64()), (Some(step), Some(1_700_000_000.5)));
        assert!((point[1].as_f64().unwrap() - loss).abs() < 1e-6, "step {step}: {point} and {loss}");
    }
    assert_eq!(read["held_out"].as_array().unwrap().len(), 12, "one held-out figure a pass");
}
