//! How do time and memory grow with the number of goods? Trains one model on generated events and says seconds and peak memory.
//!
//! `cargo run --release -p lingxi-behaviour --example scale -- sequence|lightgcn|item ITEMS EVENTS`
//!
//! Shoppers have 20 events each; goods lie in groups, shoppers prefer some of them, and a few goods of each group are taken often. The
//! networks are trained for one pass over the events; the item model is fitted whole. The answer is a line of JSON.

use lingxi_behaviour::graph::train::Training;
use lingxi_behaviour::graph::{LightGcnConfig, lightgcn, loss};
use lingxi_behaviour::item_model::{self, ItemModelConfig};
use lingxi_behaviour::sequence::{self, Input, Loss, SequenceConfig, TrainerConfig};
use lingxi_data::{Event, EventKind, Events, Interactions, ItemId, Purpose, UserId};
use lingxi_train::{Course, Step};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

type Failure = Box<dyn std::error::Error>;

/// Events of a shopper.
const EACH: usize = 20;
/// Goods of a group.
const GROUP: usize = 200;

fn main() -> Result<(), Failure> {
    let usage = "usage: scale sequence|lightgcn|item ITEMS EVENTS";
    let mut args = std::env::args().skip(1);
    let model = args.next().ok_or(usage)?;
    let mut number = || args.next().and_then(|n| n.parse::<usize>().ok()).ok_or(usage);
    let (items, events) = (number()?, number()?);
    let log = generated(items.max(GROUP), events / EACH)?;
    let taught = log.for_purpose(Purpose::Training);
    let begun = Instant::now();
    match model.as_str() {
        "sequence" => train_sequence(&taught)?,
        "lightgcn" => train_lightgcn(&taught)?,
        "item" => drop(item_model::fit(&ItemModelConfig::default(), &taught, None, &mut |_, _| {})?),
        _ => return Err(usage.into()),
    }
    let seconds = begun.elapsed().as_secs_f64();
    let gigabytes = peak_memory().map(|bytes| bytes as f64 / 1e9);
    println!(
        "{}",
        serde_json::json!({ "model": model, "items": log.n_items(), "events": taught.len(), "shoppers": log.n_users(),
            "seconds": seconds, "peak_gb": gigabytes })
    );
    Ok(())
}

/// Attention over the last 20 events, 64 numbers, two blocks, softmax over 1,024 drawn items.
fn train_sequence(events: &Events<'_>) -> Result<(), Failure> {
    let config = SequenceConfig {
        input: Input::Ids,
        length: EACH,
        loss: Loss::Sampled { negatives: 1_024 },
        held_out: 0.001,
        training: TrainerConfig { epochs: 1, batch: 1_024, ..Default::default() },
        ..Default::default()
    };
    let begun = Instant::now();
    let mut say = |at: Step| {
        if at.step.is_multiple_of(50) {
            eprintln!("step {} of {}, loss {:.3}, {:.0} s", at.step, at.steps, at.loss, begun.elapsed().as_secs_f64());
        }
    };
    sequence::fit(&config, events, None, 1, &mut Course::heard(&mut say))?;
    Ok(())
}

/// 64 numbers, two layers; eight steps.
fn train_lightgcn(events: &Events<'_>) -> Result<(), Failure> {
    let batch = (events.len() / 8).clamp(1, 1 << 20);
    let training = Training { loss: loss::Loss::Bpr, epochs: 1, batch, held_out: 0.0, ..Default::default() };
    lightgcn::fit(&LightGcnConfig { training, ..Default::default() }, events, 1, &mut Course::heard(&mut |_| {}))?;
    Ok(())
}

fn generated(items: usize, shoppers: usize) -> Result<Interactions, Failure> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let groups = items / GROUP;
    let mut events = Vec::with_capacity(shoppers * EACH);
    for shopper in 0..shoppers {
        for at in 0..EACH {
            let liked = rng.random_bool(0.6);
            let group = if liked { (shopper * 7 + at % 3) % groups } else { rng.random_range(0..groups) };
            let place = (rng.random::<f64>().powi(3) * GROUP as f64) as usize;
            let (user, item) = (UserId(shopper as u32), ItemId((place * groups + group) as u32));
            events.push(Event { user, item, at: at as i64, kind: EventKind::Buy, value: 1.0 });
        }
    }
    Ok(Interactions::from_events(events, shoppers, items)?)
}

/// Peak resident memory of this process, bytes; `None` where the system does not say.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb * 1024)
}
