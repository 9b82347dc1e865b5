//! How much does the server take? Slow: run in release with `LINGXI_SLOW=1` and `--nocapture` to see the figures.

use crate::shop::Server;
use std::time::{Duration, Instant};

const CLIENTS: usize = 64;
const FOR: Duration = Duration::from_secs(5);

/// Asks from 64 threads at once for five seconds; `ask(client, round)` returns how much it got done.
fn hammer(name: &str, unit: &str, ask: impl Fn(usize, usize) -> usize + Sync) -> f64 {
    let started = Instant::now();
    let mut took: Vec<Duration> = Vec::new();
    let mut done = 0;
    std::thread::scope(|scope| {
        let ask = &ask;
        let clients = (0..CLIENTS).map(|client| {
            scope.spawn(move || {
                let (mut took, mut done) = (Vec::new(), 0);
                while started.elapsed() < FOR {
                    let begun = Instant::now();
                    done += ask(client, took.len());
                    took.push(begun.elapsed());
                }
                (took, done)
            })
        });
        for client in clients.collect::<Vec<_>>() {
            let (t, d) = client.join().unwrap();
            took.extend(t);
            done += d;
        }
    });
    took.sort_unstable();
    let per_second = done as f64 / started.elapsed().as_secs_f64();
    let at = |q: f64| took[((took.len() - 1) as f64 * q) as usize];
    println!("{name}: {per_second:.0} {unit} a second, p50 {:?}, p99 {:?}", at(0.5), at(0.99));
    per_second
}

#[test]
fn sixty_four_clients_share_syncs_and_no_event_is_refused() {
    if std::env::var_os("LINGXI_SLOW").is_none() {
        println!("SKIPPED: set LINGXI_SLOW=1 to measure the load that the server takes");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let post = |size: usize| {
        let server = &server;
        move |client: usize, round: usize| {
            let row = |i| serde_json::json!({"FeedbackType": "view", "UserId": format!("u{client}-{round}"), "ItemId": format!("tea-{i}")});
            let (status, body) =
                server.post(serde_json::json!((0..size).map(row).collect::<Vec<_>>()).to_string(), None);
            assert_eq!((status, body["RowAffected"].as_u64()), (200, Some(size as u64)));
            size
        }
    };
    let single = hammer("feedback, one event a request", "events", post(1));
    hammer("feedback, 100 events a request", "events", post(100));
    // So many at once are more than may wait for a slate: what counts is who is answered.
    hammer("recommend, n=10", "slates", |client, round| {
        usize::from(server.get(&format!("/api/recommend/u{client}-{}?n=10", round % 50)).0 == 200)
    });
    let counts = server.app.store().counts();
    let commits = counts.commits.load(std::sync::atomic::Ordering::Relaxed);
    println!("{commits} commits for {} events", server.events());
    assert!(single > 500.0, "a group commit must beat one sync for each event");
}
