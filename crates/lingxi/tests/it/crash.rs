//! The program is killed, starved of disk and told to stop, while real clients write to it: what was acknowledged is there,
//! once, and the next start is ready within five seconds.
//!
//! Slow: run with `LINGXI_SLOW=1` and `--nocapture` to see the counts. Everything random comes from the seeds below; what
//! the scheduler adds is its own.

mod check;
mod child;
mod disk;
mod ingest;
mod learn;
mod placed;
mod publish;
mod stop;
mod syncs;
mod writers;

use std::time::Duration;

/// From the start of the process to a first `/health/ready` that says so.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// Whether the slow suites are asked for; a word about it if they are not.
fn slow(what: &str) -> bool {
    let asked = std::env::var_os("LINGXI_SLOW").is_some();
    if !asked {
        println!("SKIPPED: set LINGXI_SLOW=1 {what}");
    }
    asked
}

/// The `n`-th number below `below` of the stream `seed`.
fn draw(seed: &str, n: u64, below: u64) -> u64 {
    let hash = blake3::hash(format!("{seed} {n}").as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()) % below
}
