//! Full ranking of plain vectors, the fast way, on data of your own. Also our side of `bench/bench.py evaluate`.
//!
//! `evaluate_vectors FOLDER` reads from FOLDER `sequences.json` (one list of item numbers per shopper, in time order),
//! `users.f32` and `items.f32` (row-major little-endian floats). Each line on stdin then starts one evaluation,
//! leave-one-out with seen items masked, and prints its seconds and figures as one line of JSON.

use lingxi_data::split::{LeaveOneOut, leave_one_out};
use lingxi_data::{Event, EventKind, Interactions, ItemId, UserId};
use lingxi_eval::{EvalConfig, Goods, Mask, cases, evaluate_vectors};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

fn floats(path: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: evaluate_vectors FOLDER < one line per evaluation")?;
    let folder = Path::new(&folder);
    let sequences: Vec<Vec<u32>> = serde_json::from_slice(&std::fs::read(folder.join("sequences.json"))?)?;
    let (users, items) = (floats(&folder.join("users.f32"))?, floats(&folder.join("items.f32"))?);
    let d = users.len() / sequences.len();
    let event = |user: usize, at: usize, item: u32| Event {
        user: UserId(user as u32),
        item: ItemId(item),
        at: at as i64,
        kind: EventKind::Buy,
        value: 1.0,
    };
    let rows = sequences.iter().enumerate();
    let events = rows.flat_map(|(user, row)| row.iter().enumerate().map(move |(at, item)| event(user, at, *item)));
    let log = Interactions::from_events(events.collect(), sequences.len(), items.len() / d)?;
    let split = leave_one_out(&log, LeaveOneOut::default())?;
    let cases = cases(&split.test, &Mask::Seen);
    let queries: Vec<f32> = cases.iter().flat_map(|case| case.context.user).flat_map(|u| row(&users, u, d)).collect();
    let config = EvalConfig {
        protocol: "leave-one-out, seen items masked".into(),
        auc: false,
        resamples: 0,
        ..EvalConfig::default()
    };
    for _ in std::io::stdin().lines() {
        let start = Instant::now();
        let report = evaluate_vectors("vectors", &queries, &items, d, &cases, &Goods::default(), &config)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{}", serde_json::json!({"seconds": seconds, "cases": report.cases, "metrics": report.metrics}));
    }
    Ok(())
}

fn row(users: &[f32], user: UserId, d: usize) -> impl Iterator<Item = f32> + '_ {
    users[user.index() * d..(user.index() + 1) * d].iter().copied()
}
