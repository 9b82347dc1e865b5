//! Takes one training step of SASRec for each line that it reads, and answers with its seconds: our side of
//! `bench/bench.py sequence`.
//!
//! `cargo run --release -p lingxi-behaviour --example step -- full|bce` on generated sequences: 10,000 items, 50 events each,
//! batches of 128, states of 64 numbers, two blocks of two heads, inner width 64, dropout 0.2.

use lingxi_behaviour::sequence::{Input, Loss, SequenceConfig, TrainerConfig, fit};
use lingxi_data::{Event, EventKind, Interactions, ItemId, Purpose, UserId};
use lingxi_train::{Course, Step};
use std::io::BufRead;
use std::time::Instant;

const ITEMS: usize = 10_000;
const SHOPPERS: usize = 1_280;
const LENGTH: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let loss = match std::env::args().nth(1).as_deref() {
        Some("full") => Loss::Full,
        Some("bce") => Loss::Bce,
        other => return Err(format!("expected full or bce, got {other:?}").into()),
    };
    // Every item occurs, in no order that could be learned quickly.
    let item = |user: usize, at: usize| ItemId(((user * (LENGTH + 1) + at) * 7_919 % ITEMS) as u32);
    let event = |user: usize, at: usize| Event {
        user: UserId(user as u32),
        item: item(user, at),
        at: at as i64,
        kind: EventKind::Buy,
        value: 1.0,
    };
    let rows = (0..SHOPPERS).flat_map(|user| (0..=LENGTH).map(move |at| event(user, at))).collect();
    let log = Interactions::from_events(rows, SHOPPERS, ITEMS)?;
    let training = TrainerConfig { epochs: 1_000_000, batch: 128, ..TrainerConfig::default() };
    let config = SequenceConfig {
        input: Input::Ids,
        dim: 64,
        layers: 2,
        heads: 2,
        inner: 64,
        length: LENGTH,
        dropout: 0.2,
        loss,
        held_out: 0.0,
        training,
        ..SequenceConfig::default()
    };
    let mut lines = std::io::stdin().lock().lines();
    let mut start = None;
    let mut answer = |step: Step| {
        if let Some(start) = start.take().map(|start: Instant| start.elapsed().as_secs_f64()) {
            println!("{}", serde_json::json!({"seconds": start, "loss": step.loss}));
        }
        if lines.next().is_none() {
            std::process::exit(0);
        }
        start = Some(Instant::now());
    };
    fit(&config, &log.for_purpose(Purpose::Training), None, 1, &mut Course::heard(&mut answer))?;
    Ok(())
}
