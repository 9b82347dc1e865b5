//! Epochs of LightGCN on pairs from a file, one for each line that comes in; what `bench/bench.py graph` measures.
//!
//! `cargo run --release -p lingxi-behaviour --example lightgcn -- FOLDER`
//!
//! `FOLDER/pairs.u32` holds shopper and item of each pair, little-endian; `FOLDER/lightgcn.json` the configuration. Each answer is
//! a line of JSON with the seconds and the mean loss of the epoch; at the end of the input the representations are
//! written to `FOLDER/vectors.f32`, shoppers first.

use lingxi_behaviour::graph::LightGcnConfig;
use lingxi_behaviour::graph::lightgcn::Epochs;
use lingxi_data::{Event, EventKind, Interactions, ItemId, Purpose, UserId};
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: lightgcn FOLDER, with pairs.u32 and lightgcn.json")?;
    let folder = Path::new(&folder);
    let config: LightGcnConfig = serde_json::from_slice(&std::fs::read(folder.join("lightgcn.json"))?)?;
    let bytes = std::fs::read(folder.join("pairs.u32"))?;
    let numbers: Vec<u32> = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let event =
        |pair: &[u32]| Event { user: UserId(pair[0]), item: ItemId(pair[1]), at: 0, kind: EventKind::Buy, value: 1.0 };
    let rows: Vec<Event> = numbers.chunks_exact(2).map(event).collect();
    let users = rows.iter().map(|e| e.user.0 + 1).max().unwrap_or(0) as usize;
    let items = rows.iter().map(|e| e.item.0 + 1).max().unwrap_or(0) as usize;
    let log = Interactions::from_events(rows, users, items)?;
    let epochs = Epochs::new(&config, &log.for_purpose(Purpose::Training))?;
    let mut lines = std::io::stdin().lock().lines();
    let mut begun = Instant::now();
    let vectors = epochs.run(1, &mut |loss| {
        if let Some(loss) = loss {
            println!("{}", serde_json::json!({ "seconds": begun.elapsed().as_secs_f64(), "loss": loss }));
        }
        let more = lines.next().is_some();
        begun = Instant::now();
        more
    });
    let bytes: Vec<u8> = vectors.iter().flat_map(|x| x.to_le_bytes()).collect();
    Ok(std::fs::write(folder.join("vectors.f32"), bytes)?)
}
