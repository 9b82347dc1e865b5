//! Is what was acknowledged there, once and whole? In the store, and in what the next requests know.

use super::child::{Shop, agent, answer};
use super::writers::{Acknowledged, good, rows_of};
use lingxi::store::{Reader, StoredEvent};
use std::collections::HashMap;
use std::time::Duration;

/// What was found in the store so far.
pub struct Check {
    seed: &'static str,
    /// Shoppers of batches, with their rows.
    pub batches: HashMap<String, usize>,
    /// Shoppers with one event each that the clients did not post.
    pub others: Vec<String>,
    /// How often it was looked.
    pub runs: usize,
    events: i64,
    last: i64,
}

impl Check {
    /// Nothing was found yet.
    pub fn new(seed: &'static str) -> Check {
        Check { seed, batches: HashMap::new(), others: Vec::new(), runs: 0, events: 0, last: 0 }
    }

    /// Everything acknowledged is there, once and whole, in the store and in what shoppers are known by.
    pub fn run(&mut self, shop: &Shop, acknowledged: &Acknowledged) {
        let kept = rusqlite::Connection::open(&shop.store).unwrap();
        let kept =
            kept.query_row("SELECT count(*) FROM events WHERE seq <= ?", [self.last], |row| row.get::<_, i64>(0));
        assert_eq!(kept.unwrap(), self.events, "what was there before the kill");
        let reader = Reader::open(&shop.store).unwrap();
        let from = self.last;
        let add = |stored: StoredEvent| {
            (self.last, self.events) = (stored.seq, self.events + 1);
            if self.others.contains(&stored.event.user) {
                return;
            }
            let place = self.batches.entry(stored.event.user.clone()).or_default();
            assert_eq!(stored.event.item, good(*place as u64), "{} out of order or doubled", stored.event.user);
            *place += 1;
        };
        reader.events_after(from, add).unwrap();
        for (name, rows) in &self.batches {
            assert_eq!(*rows as u64, rows_of(self.seed, name), "{name} was stored in part or twice");
        }
        let lost: Vec<_> = acknowledged.batches.keys().filter(|name| !self.batches.contains_key(*name)).collect();
        assert!(lost.is_empty(), "{} acknowledged batches are lost: {lost:?}", lost.len());
        self.runs += 1;
        check_live(shop, acknowledged);
    }
}

/// Shoppers and items are known to the requests that follow.
fn check_live(shop: &Shop, acknowledged: &Acknowledged) {
    let agent = agent(Duration::from_secs(10));
    let get = |path: &str| answer(agent.get(shop.url(path)).call()).expect("the server answers");
    for (name, rows) in acknowledged.batches.iter().rev().step_by(acknowledged.batches.len() / 8 + 1) {
        let (status, history) = get(&format!("/api/user/{name}/feedback?n=100"));
        assert_eq!((status, history.as_array().map(Vec::len)), (200, Some(*rows)), "{name}: {history}");
    }
    for (item, states) in &acknowledged.items {
        let state = match get(&format!("/api/item/{item}")) {
            (404, _) => "deleted",
            (_, body) if body["IsHidden"] == true => "hidden",
            (_, body) => body["ItemId"].as_str().map_or("unreadable", |_| "shown"),
        };
        // The clients go on meanwhile: it may also be in a state that was asked for since the log was read.
        let asked = acknowledged.asked.get(item).map_or(0, Vec::len);
        let since = || Acknowledged::read(shop).asked[item][asked..].iter().any(|s| s == state);
        let fits = states.iter().any(|s| s == state) || since();
        assert!(fits, "{item} is {state}, and should be one of {states:?}");
    }
    let (_, slate) = get("/api/recommend/tea-lover-1?n=100");
    for item in slate.as_array().unwrap() {
        let states = acknowledged.items.get(item.as_str().unwrap());
        assert!(states.is_none_or(|states| states.iter().any(|s| s == "shown")), "{item} is shown, {states:?}");
    }
}
