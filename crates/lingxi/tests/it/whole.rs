//! The program as a shop runs it: a recipe and files in, slates over HTTP, killed and started again.

use serde_json::{Value, json};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub const RECIPE: &str = r#"
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
[models.alignment]
[serve]
policy = { kind = "greedy" }
"#;

/// 120 shoppers who each buy 8 goods of one of three kinds; tea is bought most.
pub fn files(folder: &Path) {
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
pub struct Served {
    pub child: Child,
    /// Where it listens.
    pub address: String,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Served {
    /// Serves the shop in a folder.
    pub fn start(folder: &Path) -> Served {
        Served::with(folder, |_| ())
    }

    /// With further arguments or environment.
    pub fn with(folder: &Path, further: impl FnOnce(&mut Command)) -> Served {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lingxi"));
        command
            .args(["serve", "--recipe"])
            .arg(folder.join("recipe.toml"))
            .args(["--addr", "127.0.0.1:0", "--store"])
            .arg(folder.join("store.sqlite"))
            .env("LINGXI_CACHE", folder.join("cache"))
            .stdout(Stdio::piped());
        further(&mut command);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("http://")?.1.split([' ', '/', '\'']).next().map(str::to_owned));
        Served { child, address: address.expect("the address is printed before the program ends"), lines }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it answers that it is ready.
    pub fn is_alive(&self) -> bool {
        self.get("/health/ready")["status"] == "ready"
    }

    /// What a path answers.
    pub fn get(&self, path: &str) -> Value {
        let mut response = ureq::get(format!("http://{}{path}", self.address)).call().unwrap();
        serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        let mut response = ureq::post(format!("http://{}{path}", self.address)).send(body.to_string()).unwrap();
        serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Whether an item is in what a path answers.
    pub fn shows(&self, path: &str, item: &str) -> bool {
        self.get(path).to_string().contains(&format!("\"{item}\""))
    }

    pub fn buy(&self, user: &str, item: &str) {
        let row = json!([{"FeedbackType": "purchase", "UserId": user, "ItemId": item}]);
        assert_eq!(self.post("/api/feedback", &row), json!({"RowAffected": 1}));
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

/// Lets a shop in `folder` read its goods with the encoder of this machine's asset cache; false, and a word about it, if
/// there is none.
pub fn with_encoder(folder: &Path) -> bool {
    let here = lingxi::assets::cache::directory().unwrap().join("assets");
    if !here.join("all-MiniLM-L6-v2").is_dir() {
        println!("SKIPPED: the language model is not here; lingxi assets fetch all-MiniLM-L6-v2");
        return false;
    }
    std::fs::create_dir_all(folder.join("cache")).unwrap();
    std::os::unix::fs::symlink(here, folder.join("cache/assets")).unwrap();
    let path = folder.join("recipe.toml");
    let recipe = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, recipe.replace("encoder = \"\"", "encoder = \"all-MiniLM-L6-v2\"")).unwrap();
    true
}

/// The shop with its language model, serving; `None`, and a word about it, if the model is not here.
pub fn shop(folder: &Path) -> Option<Served> {
    files(folder);
    with_encoder(folder).then(|| Served::start(folder))
}

#[test]
fn a_new_item_is_found_like_others_and_recommended_as_soon_as_it_is_posted_and_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    if !with_encoder(dir.path()) {
        return;
    }
    let served = Served::start(dir.path());
    assert!(served.shows("/api/item-to-item/similar/bolt-7?n=59", "bolt-6"), "also before anything is new");
    let bolt =
        json!({"ItemId": "bolt-new", "IsHidden": false, "Comment": "bolt number 7, stainless", "Labels": {"size": 7}});
    assert_eq!(served.post("/api/item", &bolt), json!({"RowAffected": 1}));
    let everywhere = |served: &Served| {
        [
            served.shows("/api/search?q=stainless+bolt&n=3", "bolt-new"),
            served.shows("/api/item-to-item/similar/bolt-7?n=3", "bolt-new"),
            served.shows("/api/recommend/bolt-lover-1?n=12", "bolt-new"),
            served.shows("/api/item-to-item/similar/bolt-new?n=5", "bolt-7"),
        ]
    };
    assert_eq!(everywhere(&served), [true; 4]);
    assert!(!served.shows("/api/recommend/tea-lover-1?n=12", "bolt-new"), "who buys tea is not shown bolts");
    served.buy("newcomer", "bolt-4");
    let slate = served.get("/api/recommend/newcomer?n=20&explain=true");
    let place = slate
        .as_array()
        .unwrap()
        .iter()
        .find(|place| place["ItemId"] == "bolt-new")
        .expect("bolts for a buyer of bolts");
    let sum: f64 = place["Parts"].as_array().unwrap().iter().map(|part| part["value"].as_f64().unwrap()).sum();
    assert!((sum - place["Score"].as_f64().unwrap()).abs() < 1e-4, "{place}");
    let more =
        json!([{"ItemId": "tea-new", "Comment": "tea number 21"}, {"ItemId": "tea-0", "Comment": "Renamed tea"}]);
    assert_eq!(served.post("/api/items", &more), json!({"RowAffected": 2}));
    drop(served); // SIGKILL

    let served = Served::start(dir.path());
    assert_eq!(everywhere(&served), [true; 4], "what was acknowledged came back");
    assert_eq!(served.get("/api/item/tea-0")["Title"], json!("Renamed tea"));
    let hidden = json!({"ItemId": "bolt-new", "IsHidden": true, "Comment": "bolt number 7, stainless"});
    served.post("/api/item", &hidden);
    assert_eq!(everywhere(&served)[..3], [false; 3]);
    for wrong in [
        json!({"ItemId": "x"}),
        json!({"ItemId": "", "Comment": "a"}),
        json!({"ItemId": "x", "Comment": "a", "Prize": 1}),
        json!({"ItemId": "x", "Comment": "a", "Price": -1}),
        json!([]),
    ] {
        let refused = ureq::post(format!("http://{}/api/item", served.address)).send(wrong.to_string());
        assert!(matches!(refused, Err(ureq::Error::StatusCode(400))), "{wrong}: {refused:?}");
    }
}
