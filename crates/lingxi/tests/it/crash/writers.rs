//! Clients that write without pause, send again what was not acknowledged, and log what was.
//!
//! A batch is named after its client and its number: its shopper has that name, its rows are the first goods of the
//! catalogue, so that every event is told from every other. The log has a line before each change of an item, and after
//! everything that was acknowledged.

use super::child::{Shop, agent, answer};
use super::draw;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Most rows in a batch: all goods of the shop once.
const MOST: u64 = 60;

/// Beside the shop's files.
const LOG: &str = "acknowledged.log";

/// The clients of one shop.
pub struct Writers<'a> {
    shop: &'a Shop,
    seed: &'a str,
    log: Mutex<File>,
    stop: AtomicBool,
}

/// What a log says.
#[derive(Default)]
pub struct Acknowledged {
    /// Rows of each batch.
    pub batches: BTreeMap<String, usize>,
    /// For each item the states that it may be in: the last acknowledged one, and one that was asked for since.
    pub items: BTreeMap<String, Vec<String>>,
    /// For each item all states that were asked for, in their order.
    pub asked: BTreeMap<String, Vec<String>>,
    /// Requests that were sent again.
    pub again: usize,
}

impl Acknowledged {
    /// What the log of a shop's clients says by now.
    pub fn read(shop: &Shop) -> Acknowledged {
        let mut all = Acknowledged::default();
        for line in std::fs::read_to_string(shop.folder().join(LOG)).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["batch", name, rows] => drop(all.batches.insert(name.into(), rows.parse().unwrap())),
                // An item that was never acknowledged may not be there yet.
                ["ask", item, state] => {
                    all.asked.entry(item.into()).or_default().push(state.into());
                    all.items.entry(item.into()).or_insert_with(|| vec!["deleted".into()]).push(state.into());
                }
                ["item", item, state] => drop(all.items.insert(item.into(), vec![state.into()])),
                ["again"] => all.again += 1,
                _ => panic!("a line of the log is cut: {line:?}"),
            }
        }
        all
    }
}

impl<'a> Writers<'a> {
    /// Clients with a log beside the shop's files.
    pub fn new(shop: &'a Shop, seed: &'a str) -> Writers<'a> {
        let log = File::create(shop.folder().join(LOG)).unwrap();
        Writers { shop, seed, log: Mutex::new(log), stop: AtomicBool::new(false) }
    }

    /// Ends the clients as soon as each has its last answer.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// What was acknowledged up to now.
    pub fn acknowledged(&self) -> Acknowledged {
        Acknowledged::read(self.shop)
    }

    /// One client that posts events until it is told to stop: single ones, and batches of any size.
    pub fn post_events(&self, client: u64) {
        let agent = agent(Duration::from_secs(10));
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let name = format!("c{client}-{number}");
            let rows = rows_of(self.seed, &name);
            let row = |i| json!({"FeedbackType": "view", "UserId": name, "ItemId": good(i)});
            let body = json!((0..rows).map(row).collect::<Vec<_>>()).to_string();
            let stored = self.until_acknowledged(|| {
                let request = agent.post(self.shop.url("/api/feedback")).header("idempotency-key", &name);
                answer(request.send(&body))
            });
            let stored = stored["RowAffected"].as_u64().unwrap();
            assert!(stored == rows || stored == 0, "{name}: {stored} of {rows} rows were new");
            self.write(&format!("batch {name} {rows}"));
        }
    }

    /// One client that posts items, hides every second and deletes every third.
    pub fn post_items(&self) {
        let agent = agent(Duration::from_secs(10));
        for number in 0.. {
            let item = format!("new-{number}");
            let path = self.shop.url(&format!("/api/item/{item}"));
            let body = json!({"ItemId": item, "Comment": format!("tea number {number}")}).to_string();
            self.change(&item, "shown", || answer(agent.post(self.shop.url("/api/item")).send(&body)));
            if number % 2 == 0 {
                let hide = || answer(agent.patch(&path).send(json!({"IsHidden": true}).to_string()));
                self.change(&item, "hidden", hide);
            }
            if number % 3 == 0 {
                // Sent again it finds nothing more to delete.
                let gone = |(status, body)| (if status == 404 { 200 } else { status }, body);
                self.change(&item, "deleted", || answer(agent.delete(&path).call()).map(gone));
            }
            // Each item is read by the language model at every start.
            for _ in 0..60 {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn change(&self, item: &str, state: &str, send: impl Fn() -> Result<(u16, Value), ureq::Error>) {
        self.write(&format!("ask {item} {state}"));
        self.until_acknowledged(send);
        self.write(&format!("item {item} {state}"));
    }

    fn until_acknowledged(&self, send: impl Fn() -> Result<(u16, Value), ureq::Error>) -> Value {
        for time in 0.. {
            match send() {
                Ok((200, body)) => return body,
                Ok((status, body)) if status < 500 => panic!("{status} {body}"),
                _ => {}
            }
            if time == 0 {
                self.write("again");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        unreachable!("it goes on until there is an answer")
    }

    fn write(&self, line: &str) {
        // In one write: a reader of the log sees whole lines only.
        self.log.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// Rows of a batch: every second one is a single event.
pub fn rows_of(seed: &str, batch: &str) -> u64 {
    let (client, number) = batch[1..].split_once('-').unwrap();
    let (client, number): (u64, u64) = (client.parse().unwrap(), number.parse().unwrap());
    if number % 2 == 0 { 1 } else { 1 + draw(seed, client << 32 | number, MOST) }
}

/// The `i`-th item of the catalogue.
pub fn good(i: u64) -> String {
    format!("{}-{}", ["tea", "soap", "bolt"][i as usize / 20], i % 20)
}
