//! A hundred kills while events and items come in.

use super::check::Check;
use super::child::{Served, Shop, agent, answer};
use super::writers::Writers;
use super::{READY_WITHIN, draw, slow};
use std::time::{Duration, Instant};

const SEED: &str = "kills during ingest";
const KILLS: u64 = 100;
const CLIENTS: u64 = 4;

#[test]
fn a_hundred_kills_during_ingest_lose_no_acknowledged_event_and_double_none() {
    if !slow("to kill the server a hundred times while it takes events in") {
        return;
    }
    let shop = Shop::new();
    let reads_goods = shop.reads_goods();
    shop.start().until_ready(); // Builds.
    let (begun, writers, mut check) = (Instant::now(), Writers::new(&shop, SEED), Check::new(SEED));
    let (mut slowest, mut early) = (Duration::ZERO, 0);
    let mut ready = |served: &mut Served| slowest = slowest.max(served.until_ready());
    let _served = std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let writers = &writers;
            scope.spawn(move || writers.post_events(client));
        }
        if reads_goods {
            scope.spawn(|| writers.post_items());
        }
        for kill in 0..KILLS {
            let mut served = shop.start();
            if kill % 5 == 4 {
                // In the middle of its start, when it reads back what the last kill left.
                early += 1;
                std::thread::sleep(Duration::from_millis(draw(SEED, kill, 300)));
            } else {
                ready(&mut served);
                check.run(&shop, &writers.acknowledged());
                std::thread::sleep(Duration::from_millis(draw(SEED, kill, 600)));
            }
            served.kill();
        }
        let mut served = shop.start();
        ready(&mut served);
        writers.stop();
        served
    });
    let acknowledged = writers.acknowledged();
    check.run(&shop, &acknowledged);
    let rows: usize = acknowledged.batches.values().sum();
    assert_eq!(check.batches.len(), acknowledged.batches.len(), "at the end everything was acknowledged");
    assert_eq!(over_http(&shop), rows, "GET /api/feedback pages through all of them");
    println!(
        "{KILLS} kills during ingest ({early} of them while it started) in {:.0} s: {} batches with {rows} events and {} \
         items acknowledged, {} requests cut off and sent again, {} checks: none lost, none doubled; ready after at most {} ms",
        begun.elapsed().as_secs_f64(),
        acknowledged.batches.len(),
        acknowledged.items.len(),
        acknowledged.again,
        check.runs,
        slowest.as_millis(),
    );
    assert!(slowest < READY_WITHIN, "ready after {slowest:?}");
    assert!(acknowledged.batches.len() > 1000 && acknowledged.again > 50, "the kills hit no traffic");
}

/// Counts all events by the API.
fn over_http(shop: &Shop) -> usize {
    let agent = agent(Duration::from_secs(30));
    let (mut cursor, mut rows) = (String::new(), 0);
    loop {
        let (_, page) = answer(agent.get(shop.url(&format!("/api/feedback?n=1000&cursor={cursor}"))).call()).unwrap();
        rows += page["Feedback"].as_array().unwrap().len();
        cursor = page["Cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            return rows;
        }
    }
}
