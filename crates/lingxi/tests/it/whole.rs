//! The program as a shop runs it: a recipe and files in, slates over HTTP, killed and started again.

use serde_json::{Value, json};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const RECIPE: &str = r#"
name = "corner-shop"
[[data.events]]
path = "events.csv"
kind = "buy"
columns = { user = "who", item = "what", at = "when" }
[data.items]
path = "items.csv"
id = "id"
title = "title"
[content]
encoder = ""
[split]
by = "leave_one_out"
[models.popularity]
[[models.item]]
l2 = 5.0
history = { decay = 0.7 }
[serve]
policy = { kind = "greedy" }
"#;

/// 120 shoppers who each buy 8 goods of one of three kinds; tea is bought most.
fn files(folder: &Path) {
    let (mut events, mut items) = ("who,what,when\n".to_string(), "id,title\n".to_string());
    for (kind, share) in [("tea", 60), ("soap", 30), ("bolt", 30)] {
        (0..20).for_each(|i| writeln!(items, "{kind}-{i},{kind} number {i}").unwrap());
        for (u, step) in (0..share).flat_map(|u| (0..8).map(move |step| (u, step))) {
            let (item, at) = ((u + step * 3) % 20, 1_700_000_000 + step * 3600 + u * 7);
            writeln!(events, "{kind}-lover-{u},{kind}-{item},{at}").unwrap();
        }
    }
    std::fs::write(folder.join("events.csv"), events).unwrap();
    std::fs::write(folder.join("items.csv"), items).unwrap();
    std::fs::write(folder.join("recipe.toml"), RECIPE).unwrap();
}

/// The program, serving; killed when dropped.
struct Served {
    child: Child,
    address: String,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Served {
    fn start(folder: &Path) -> Served {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lingxi"))
            .args(["serve", "--recipe"])
            .arg(folder.join("recipe.toml"))
            .args(["--addr", "127.0.0.1:0", "--store"])
            .arg(folder.join("store.sqlite"))
            .env("LINGXI_CACHE", folder.join("cache"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("http://")?.1.split([' ', '/', '\'']).next().map(str::to_owned));
        Served { child, address: address.expect("the address is printed before the program ends"), lines }
    }

    fn get(&self, path: &str) -> Value {
        let mut response = ureq::get(format!("http://{}{path}", self.address)).call().unwrap();
        serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
    }

    fn buy(&self, user: &str, item: &str) {
        let row = json!([{"FeedbackType": "purchase", "UserId": user, "ItemId": item}]).to_string();
        let mut response = ureq::post(format!("http://{}/api/feedback", self.address)).send(row).unwrap();
        assert_eq!(response.body_mut().read_to_string().unwrap(), r#"{"RowAffected":1}"#);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_shop_serves_from_its_files_is_killed_and_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let served = Served::start(dir.path());
    let unknown = served.get("/api/recommend/nobody?n=5");
    assert!(unknown.as_array().unwrap().iter().all(|id| id.as_str().unwrap().starts_with("tea")), "{unknown}");
    served.buy("newcomer", "bolt-4");
    let personal = served.get("/api/recommend/newcomer?n=5");
    assert!(personal.as_array().unwrap().iter().all(|id| id.as_str().unwrap().starts_with("bolt")), "{personal}");
    for place in served.get("/api/recommend/soap-lover-3?n=5&explain=true").as_array().unwrap() {
        let parts = place["Parts"].as_array().unwrap();
        let sum: f64 = parts.iter().map(|part| part["value"].as_f64().unwrap()).sum();
        assert!((sum - place["Score"].as_f64().unwrap()).abs() < 1e-4, "{place}");
    }
    drop(served); // SIGKILL

    let mut served = Served::start(dir.path());
    assert_eq!(served.get("/api/recommend/newcomer?n=5"), personal, "what was acknowledged came back");
    served.buy("newcomer", "soap-2");
    assert_ne!(served.get("/api/recommend/newcomer?n=5"), personal, "a new event changes the next slate");
    let pid = served.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(served.child.wait().unwrap().code(), Some(0), "asked to stop, it stops cleanly");
    let last = served.lines.by_ref().map_while(Result::ok).last();
    assert!(last.is_some_and(|line| line.contains("stopped")));
}
