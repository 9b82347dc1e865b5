//! Fits the item model on pairs from a file, once for each line that comes in; what `bench/bench.py time-to-quality` measures.
//!
//! `cargo run --release -p lingxi-behaviour --example time_to_quality -- FOLDER`
//!
//! `FOLDER/pairs.u32` holds shopper and item of each pair, little-endian; `FOLDER/item.json` the configuration. Each answer is a line
//! of JSON with the seconds from pairs in memory to a model that scores; at the end of the input the best `LIST` goods of each
//! shopper, without those that they took, are written to `FOLDER/lists.u32`.

use lingxi_behaviour::item_model::{ItemModelConfig, fit};
use lingxi_data::{Context, Event, EventKind, Interactions, ItemId, Purpose, Score, UserId};
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

/// Goods a list.
const LIST: usize = 20;
/// Shoppers that are scored at once.
const CHUNK: u32 = 256;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: time_to_quality FOLDER, with pairs.u32 and item.json")?;
    let folder = Path::new(&folder);
    let config: ItemModelConfig = serde_json::from_slice(&std::fs::read(folder.join("item.json"))?)?;
    let bytes = std::fs::read(folder.join("pairs.u32"))?;
    let numbers: Vec<u32> = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let event =
        |pair: &[u32]| Event { user: UserId(pair[0]), item: ItemId(pair[1]), at: 0, kind: EventKind::Buy, value: 1.0 };
    let rows: Vec<Event> = numbers.chunks_exact(2).map(event).collect();
    let users = rows.iter().map(|e| e.user.0 + 1).max().unwrap_or(0);
    let items = rows.iter().map(|e| e.item.0 + 1).max().unwrap_or(0) as usize;
    let log = Interactions::from_events(rows, users as usize, items)?;
    let events = log.for_purpose(Purpose::Training);
    let mut last = None;
    for _ in std::io::stdin().lock().lines() {
        let begun = Instant::now();
        let model = fit(&config, &events, None, &mut |_, _| {})?;
        println!("{}", serde_json::json!({ "seconds": begun.elapsed().as_secs_f64() }));
        last = Some(model);
    }
    let model = last.ok_or("expected a line on stdin for each fit, got none")?;
    let mut lists = Vec::with_capacity(users as usize * LIST * 4);
    for start in (0..users).step_by(CHUNK as usize) {
        let shoppers: Vec<UserId> = (start..(start + CHUNK).min(users)).map(UserId).collect();
        let context = |user: &UserId| Context { user: Some(*user), history: events.of(*user), now: 0 };
        let contexts: Vec<Context<'_>> = shoppers.iter().map(context).collect();
        let mut scores = vec![0.0f32; contexts.len() * items];
        model.score_all(&contexts, &mut scores);
        for (row, context) in scores.chunks_mut(items).zip(&contexts) {
            context.history.items.iter().for_each(|item| row[item.index()] = f32::NEG_INFINITY);
            lists.extend(lingxi_kernels::top_k(row, LIST).iter().flat_map(|(item, _)| item.to_le_bytes()));
        }
    }
    Ok(std::fs::write(folder.join("lists.u32"), lists)?)
}
