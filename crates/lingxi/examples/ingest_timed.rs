//! Reads a shop's files again for every line on stdin and answers with a line of JSON: seconds, rows read, what was kept.
//! `cargo run --release --example ingest_timed -- source.toml data_dir`

use lingxi_data::{Purpose, ingest};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, description, base] = args.as_slice() else {
        return Err("usage: ingest_timed SOURCE.toml DATA_DIR".into());
    };
    let source = ingest::Source::from_toml(&std::fs::read_to_string(description)?, Path::new(description))?;
    for _ in std::io::stdin().lines() {
        let start = Instant::now();
        let data = ingest::read(&source, Path::new(base), &mut |_| {})?;
        let seconds = start.elapsed().as_secs_f64();
        let rows = data.report.files.iter().map(|file| file.read).sum::<u64>();
        let (users, items) = (data.users.len(), data.catalog.len());
        let events = data.interactions.for_purpose(Purpose::Training).len();
        println!(
            r#"{{"seconds":{seconds},"rows":{rows},"events":{events},"users":{users},"items":{items},"peak_mb":{}}}"#,
            peak_mb()
        );
    }
    Ok(())
}

/// The most memory that this process ever held, where the system says so.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|kb| kb.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kb| kb / 1024)
}
