//! Takes training steps of an encoder with a classification head and says the loss and seconds of each: our side of
//! `bench/bench.py finetune`.
//!
//! `cargo run --release -p lingxi-content --example finetune_step -- MODEL_DIR --strategy lora|full --ids FILE [--classes 150]
//! [--dropout 0.1] [--precision f32|bf16] [--steps 10] [--rate 2e-5] [--seed 1] [--wait]`; FILE holds
//! `{"ids": [[101, ...], ...], "labels": [3, ...]}`, one batch. With `--wait` each step waits for a line of input.

use lingxi_content::finetune::{Head, Lessons, Lora, Strategy, Task, Tuning, Tutor};
use lingxi_train::{AdamW, AdamWConfig, Learner, TrainerConfig};
use serde::Deserialize;
use std::io::BufRead;
use std::time::Instant;

#[derive(Deserialize)]
struct Batch {
    ids: Vec<Vec<u32>>,
    labels: Vec<u32>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, rest @ ..] = &args[..] else { return Err("expected the directory of a model".into()) };
    let value = |name: &str, default: &str| {
        let at = rest.iter().position(|arg| arg == name);
        at.and_then(|at| rest.get(at + 1)).cloned().unwrap_or_else(|| default.to_owned())
    };
    let strategy = match &value("--strategy", "lora")[..] {
        "lora" => Strategy::Lora(Lora::default()),
        "full" => Strategy::Full,
        "head" => Strategy::Head,
        other => return Err(format!("--strategy: expected lora, full or head, got {other}").into()),
    };
    let batch: Batch = serde_json::from_slice(&std::fs::read(value("--ids", ""))?)?;
    let classes = value("--classes", "150").parse()?;
    let tuning = Tuning {
        strategy,
        head: Head::Classification { smoothing: 0.0, scale: None },
        dropout: value("--dropout", "0.1").parse()?,
        precision: serde_json::from_value(value("--precision", "f32").into())?,
        tokens: 512,
        views: 1,
        agreement: 0.0,
        adversary: None,
        dense: None,
        training: TrainerConfig { batch: batch.ids.len(), ..TrainerConfig::default() },
    };
    let task = |labels| Task::Classes { labels, classes, teacher: None };
    let examples: Vec<u32> = (0..batch.ids.len() as u32).collect();
    let lessons = Lessons { texts: batch.ids, task: task(batch.labels) };
    let held = Lessons { texts: vec![], task: task(vec![]) };
    let seed = value("--seed", "1").parse()?;
    let mut tutor = Tutor::new(dir.as_ref(), &tuning, lessons, held, seed)?;
    let mut parameters = tutor.parameters();
    let config = AdamWConfig { learning_rate: value("--rate", "2e-5").parse()?, ..AdamWConfig::default() };
    let mut optimiser = AdamW::new(config, parameters.len());
    let mut gradient = vec![0.0; parameters.len()];
    let wait = rest.iter().any(|arg| arg == "--wait");
    let mut lines = std::io::stdin().lock().lines();
    for step in 1..=value("--steps", "10").parse::<u64>()? {
        if wait && lines.next().is_none() {
            break;
        }
        let started = Instant::now();
        gradient.fill(0.0);
        let loss = tutor.learn(&parameters, &examples, seed + step, &mut gradient);
        optimiser.step(&mut parameters, &gradient, 1.0);
        let seconds = started.elapsed().as_secs_f64();
        println!("{}", serde_json::json!({"step": step, "loss": loss, "seconds": seconds}));
    }
    Ok(())
}
