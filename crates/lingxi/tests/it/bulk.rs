//! A whole shop goes out and comes in: what is exported can be imported, what is wrong is told row by row, and nothing is
//! stored twice or lost on the way.

use crate::shop::{NOW, Server};
use crate::whole::{self, Served};
use lingxi::fresh;
use lingxi::http::{Engine, Front};
use lingxi::live::Known;
use lingxi::pipeline::{Ask, Made};
use lingxi::reasons::Reason;
use lingxi::store::NewItem;
use lingxi_data::{
    Catalog, CategoryId, Context, Event, EventKind, Fingerprint, Interactions, Interner, ItemId, Purpose, Slot, UserId,
};
use lingxi_decide::{KeptAway, Standing};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A catalogue and a log, and new goods beside them: all that export and import ask of an engine.
struct Warehouse {
    users: Interner,
    catalog: Catalog,
    log: Arc<Interactions>,
    front: Front,
}

impl Warehouse {
    fn empty() -> Warehouse {
        let log = Interactions::from_events(Vec::new(), 0, 0).unwrap();
        let (users, catalog) = (Interner::default(), Catalog::of_ids(Interner::default()));
        Warehouse { users, catalog, log: Arc::new(log), front: Front::default() }
    }

    /// 300 goods with texts, prices and categories, some of them without; 2,000 events of 40 shoppers.
    fn full() -> Warehouse {
        let ids: Interner = (0..300).map(|i| format!("good-{i:03} 茶")).collect();
        let mut catalog = Catalog::of_ids(ids);
        for i in 0..300 {
            catalog.titles[i] = format!("good number {i}");
            catalog.texts[i] = format!("good number {i} of \"quality\" {}", i % 7);
            catalog.category[i] = (i % 3 > 0).then(|| {
                let path = format!("goods > kind {}", i % 5);
                CategoryId(catalog.categories.intern(&path).unwrap())
            });
            catalog.price[i] = if i % 4 == 0 { f32::NAN } else { 0.1 + i as f32 / 3.0 };
        }
        let users: Interner = (0..40).map(|u| format!("shopper-{u}")).collect();
        let event = |i: u32| Event {
            user: UserId(i % 40),
            item: ItemId(i * 7 % 300),
            at: NOW - 1_000_000 + i64::from(i),
            kind: if i.is_multiple_of(9) { EventKind::Rate } else { EventKind::ALL[i as usize % 4] },
            value: if i.is_multiple_of(9) { -0.5 } else { 1.0 + (i % 3) as f32 / 10.0 },
        };
        let log = Interactions::from_events((0..2000).map(event).collect(), 40, 300).unwrap();
        Warehouse { users, catalog, log: Arc::new(log), front: Front::default() }
    }
}

impl Engine for Warehouse {
    fn known(&self) -> Known<'_> {
        Known { users: &self.users, items: &self.catalog.ids, log: self.log.for_purpose(Purpose::Serving) }
    }
    fn catalog(&self) -> &Catalog {
        &self.catalog
    }
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of([b"warehouse".as_slice()])
    }
    fn front(&self) -> &Front {
        &self.front
    }
    fn labels(&self, _: UserId) -> Vec<(&str, &str)> {
        vec![("size", "7")]
    }
    fn policy(&self) -> &dyn lingxi_data::Policy {
        unreachable!("no slate is asked for")
    }

    fn learning(&self) -> Option<lingxi::learner::Learning> {
        None
    }

    fn recommend(&self, _: &Ask<'_>) -> Made {
        unreachable!("nobody asks a warehouse for a slate")
    }
    fn consider(&self, _: &Ask<'_>, _: ItemId) -> Option<Standing> {
        unreachable!("nor for a place in one")
    }
    fn reason(&self, _: &Context<'_>, _: &Slot, _: &[KeptAway]) -> Reason {
        unreachable!("nor for reasons")
    }
    fn similar(&self, _: ItemId, _: usize) -> Vec<(ItemId, f32)> {
        Vec::new()
    }
    fn search(&self, _: &str, _: usize) -> Option<Vec<(ItemId, f32)>> {
        None
    }
    fn interests(&self, _: lingxi_data::Rows<'_>, _: i64, _: usize) -> Vec<lingxi_decide::Degree> {
        Vec::new()
    }

    fn reads_goods(&self) -> bool {
        true
    }
    fn with_goods(&self, goods: &[NewItem]) -> Option<Arc<dyn Engine>> {
        let catalog = fresh::stock(&self.catalog, goods);
        Some(Arc::new(Warehouse { users: self.users.clone(), catalog, log: self.log.clone(), front: Front::default() }))
    }
}

/// Status and bytes of a request.
fn ask(address: &str, method: &str, path: &str, key: Option<&str>, body: &[u8]) -> (u16, Vec<u8>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{address}{path}"));
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let mut answer = match method {
        "GET" => agent.run(request.body(()).unwrap()).unwrap(),
        _ => agent.run(request.body(body.to_vec()).unwrap()).unwrap(),
    };
    (answer.status().as_u16(), answer.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap())
}

fn export(address: &str, what: &str, format: &str) -> Vec<u8> {
    let (status, bytes) = ask(address, "GET", &format!("/api/export/{what}?format={format}"), None, b"");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    bytes
}

/// Sends an import and waits until it is over.
fn import(address: &str, what: &str, format: &str, key: Option<&str>, body: &[u8]) -> Value {
    let path = format!("/api/import/{what}?format={format}");
    let (status, answer) = ask(address, "POST", &path, key, body);
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(status, 202, "{text}");
    finished(address, serde_json::from_str::<Value>(&text).unwrap()["Id"].as_u64().unwrap())
}

fn finished(address: &str, id: u64) -> Value {
    let begun = Instant::now();
    loop {
        let (status, answer) = ask(address, "GET", &format!("/api/imports/{id}"), None, b"");
        let import: Value = serde_json::from_slice(&answer).unwrap();
        if status == 200 && !import["Finished"].is_null() {
            return import;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{import}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let mut lines: Vec<&str> = std::str::from_utf8(bytes).unwrap().lines().collect();
    lines.sort_unstable();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_exported_imports_into_an_empty_shop_and_exports_the_same_again_in_both_forms() {
    let dir = tempfile::tempdir().unwrap();
    let full = Server::of(&dir.path().join("full"), Arc::new(Warehouse::full()));
    let from = full.address().to_string();
    let since = json!([
        {"FeedbackType": "buy", "UserId": "newcomer", "ItemId": "good-001 茶", "Comment": "a \"gift\"", "Timestamp": NOW},
        {"FeedbackType": "rate", "UserId": "shopper-3", "ItemId": "not yet sold", "Value": 4.5, "Timestamp": NOW},
    ]);
    assert_eq!(full.post(since.to_string(), None).0, 200);
    full.send("PATCH", "/api/item/good-005%20%E8%8C%B6", r#"{"IsHidden": true}"#);
    full.send("DELETE", "/api/item/good-006%20%E8%8C%B6", "");
    let (events, items) = (export(&from, "events", "jsonl"), export(&from, "items", "jsonl"));
    assert_eq!((lines(&events).len(), lines(&items).len()), (2002, 299), "the deleted item is left out");
    assert!(lines(&items).iter().any(|item| item["ItemId"] == "good-005 茶" && item["IsHidden"] == true));

    for format in ["jsonl", "parquet"] {
        let empty = Server::of(&dir.path().join(format), Arc::new(Warehouse::empty()));
        let to = empty.address().to_string();
        let done = import(&to, "items", format, None, &export(&from, "items", format));
        assert_eq!(
            (&done["Stored"], &done["Refused"], &done["Error"]),
            (&json!(299), &json!(0), &Value::Null),
            "{done}"
        );
        let done = import(&to, "events", format, None, &export(&from, "events", format));
        assert_eq!((&done["Stored"], &done["Refused"]), (&json!(2002), &json!(0)), "{done}");
        assert!(export(&to, "events", "jsonl") == events, "{format}: the same events in the same order");
        let (back, expected) = (lines(&export(&to, "items", "jsonl")), lines(&items));
        let differ: Vec<_> = back.iter().zip(&expected).filter(|(a, b)| a != b).take(2).collect();
        assert!(differ.is_empty() && back.len() == expected.len(), "{format}: {differ:#?}");
        let again = import(&to, "events", format, None, &export(&from, "events", format));
        assert_eq!((&again["Stored"], &again["Duplicates"]), (&json!(0), &json!(2002)), "sent twice, stored once");
        assert_eq!(empty.events(), 2002);
    }
}

#[test]
fn shoppers_and_decisions_are_exported_with_what_came_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let address = server.address().to_string();
    let slate = server.slate("shopper-1", 5);
    server.buy("shopper-1", &slate[2]);
    server.buy("newcomer", "tea-1");
    server.app.store().flush().unwrap();
    let places = lines(&export(&address, "decisions", "jsonl"));
    assert_eq!(places.iter().map(|place| place["ItemId"].as_str().unwrap()).collect::<Vec<_>>(), slate, "{places:#?}");
    assert_eq!(places[2]["Feedback"], json!(["buy"]));
    assert!(places.iter().all(|place| place["Propensity"] == 1.0 && place["UserId"] == "shopper-1"));
    let users = lines(&export(&address, "users", "jsonl"));
    assert_eq!(users.len(), 151, "150 of the log and one who came since");
    for what in ["users", "decisions"] {
        let parquet = export(&address, what, "parquet");
        assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"), "{what}");
    }
}

#[test]
fn rows_that_are_refused_are_told_with_number_and_reason_and_the_others_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let address = server.address().to_string();
    let mut body = String::new();
    for i in 0..100 {
        match i % 4 {
            0 => writeln!(body, "{{\"FeedbackType\":\"teleport\",\"UserId\":\"u{i}\",\"ItemId\":\"tea-1\"}}").unwrap(),
            _ => writeln!(body, "{{\"FeedbackType\":\"view\",\"UserId\":\"u{i}\",\"ItemId\":\"tea-1\"}}").unwrap(),
        }
    }
    body.push_str("not json at all");
    let done = import(&address, "events", "jsonl", Some("monday"), body.as_bytes());
    let counts = ["Rows", "Stored", "Duplicates", "Refused"].map(|field| done[field].as_u64().unwrap());
    assert_eq!((counts, done["Stage"].as_str()), ([101, 75, 0, 26], Some("Done")), "{done}");
    let refusals = done["Refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 20, "the first are told");
    assert_eq!(refusals[1]["Row"], 5);
    assert!(refusals[1]["Message"].as_str().unwrap().contains("teleport"), "{}", refusals[1]);
    assert_eq!(server.events(), 75);

    let mended = body.replace("teleport", "view").replace("not json at all", "");
    let done = import(&address, "events", "jsonl", Some("monday"), mended.as_bytes());
    assert_eq!((&done["Stored"], &done["Duplicates"]), (&json!(25), &json!(75)), "the mended rows alone: {done}");
    let (status, answer) = ask(&address, "POST", "/api/import/events", Some("monday"), b"{\"other\": 1}");
    assert_eq!((status, code(&answer)), (409, "key_reused".into()), "another body under a key that is complete");

    let check = |path: &str, body: &[u8], expected: u16| {
        let (status, answer) = ask(&address, "POST", path, None, body);
        assert_eq!(status, expected, "{path}: {}", String::from_utf8_lossy(&answer));
        assert!(!code(&answer).is_empty());
    };
    check("/api/import/users", b"{}", 404);
    check("/api/import/events?format=xml", b"{}", 400);
    check("/api/import/events?n=1", b"{}", 400);
    check("/api/import/events", b"", 400);
    check("/api/import/items", b"{}", 501);
    let (status, _) = ask(&address, "GET", "/api/imports/99", None, b"");
    assert_eq!(status, 404);
    let broken = import(&address, "events", "parquet", None, b"PAR1 and nothing PAR1");
    assert_eq!(broken["Stage"], "Failed", "{broken}");
    assert!(broken["Error"].as_str().is_some_and(|why| why.contains("Parquet") && !why.contains("store.imports")));
    let listed: Value = serde_json::from_slice(&ask(&address, "GET", "/api/imports", None, b"").1).unwrap();
    assert_eq!(listed["Imports"].as_array().unwrap().len(), 3, "newest first: {listed}");
    let left = std::fs::read_dir(dir.path().join("store.imports")).unwrap().filter_map(Result::ok);
    assert_eq!(left.filter(|entry| entry.path().extension().is_some_and(|end| end == "rows")).count(), 0);
}

fn code(answer: &[u8]) -> String {
    let json: Value = serde_json::from_slice(answer).unwrap();
    json["error"]["code"].as_str().unwrap().to_owned()
}

#[test]
fn one_import_more_than_may_wait_is_refused_and_a_place_comes_free_when_a_sender_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let address = server.address().to_string();
    let stalled = || {
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = "POST /api/import/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{}";
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let mut waiting: Vec<TcpStream> = (0..4).map(|_| stalled()).collect();
    // Each has its place before anybody else asks for one.
    let begun = Instant::now();
    let arrived = || {
        std::fs::read_dir(dir.path().join("store.imports")).map_or(0, |folder| {
            folder.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "rows")).count()
        })
    };
    while arrived() < 4 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{} of 4 have a place", arrived());
        std::thread::sleep(Duration::from_millis(5));
    }
    let refused = |expected: u16| {
        let begun = Instant::now();
        loop {
            let (status, answer) = ask(&address, "POST", "/api/import/events", None, b"{\"no\": 1}");
            if status == expected {
                return answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{status}: {}", String::from_utf8_lossy(&answer));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    assert_eq!(code(&refused(429)), "imports_full");
    let huge = "POST /api/import/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n";
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(huge.as_bytes()).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 413", "refused before it is sent");
    drop(waiting.pop());
    refused(202);
}

#[test]
fn an_import_that_is_killed_half_way_goes_on_after_the_start_and_the_command_finds_its_rows_known() {
    let dir = tempfile::tempdir().unwrap();
    whole::files(dir.path());
    let rows = 60_000;
    let mut body = String::new();
    for i in 0..rows {
        writeln!(
            body,
            "{{\"FeedbackType\":\"view\",\"UserId\":\"u{}\",\"ItemId\":\"tea-{}\",\"Timestamp\":{}}}",
            i % 500,
            i % 20,
            1_700_000_000 + i
        )
        .unwrap();
    }
    let file = dir.path().join("events.jsonl");
    std::fs::write(&file, &body).unwrap();
    let served = Served::start(dir.path());
    let (status, answer) = ask(&served.address, "POST", "/api/import/events", None, body.as_bytes());
    assert_eq!(status, 202, "{}", String::from_utf8_lossy(&answer));
    let half = loop {
        let import = served.get("/api/imports/1");
        let stored = import["Stored"].as_u64().unwrap();
        assert!(import["Finished"].is_null(), "too fast to be killed half-way: {import}");
        if stored > 2000 {
            break stored;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    drop(served); // SIGKILL

    let served = Served::start(dir.path());
    let done = finished(&served.address, 1);
    let (stored, known) = (done["Stored"].as_u64().unwrap(), done["Duplicates"].as_u64().unwrap());
    println!("killed after {half} rows; after the start {known} were known and {stored} stored");
    assert!(stored + known == rows && known >= half && stored > 0, "{done}");

    let lingxi = |args: &[&str]| {
        let at = format!("http://{}", served.address);
        let run = Command::new(env!("CARGO_BIN_EXE_lingxi")).args(args).args(["--at", &at, "--json"]).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        serde_json::from_slice::<Value>(&run.stdout).unwrap()["result"].clone()
    };
    let again = lingxi(&["import", "events", file.to_str().unwrap()]);
    assert_eq!((&again["Stored"], &again["Duplicates"]), (&json!(0), &json!(rows)), "{again}");
    let out = dir.path().join("out.jsonl");
    let exported = lingxi(&["export", "events", "--out", out.to_str().unwrap()]);
    let logged = 120 * 8;
    assert_eq!(exported["rows"], json!(rows + logged));
    assert_eq!(std::fs::read_to_string(&out).unwrap().lines().count() as u64, rows + logged);
    check_refusals(&served.address, dir.path());
}

/// What the commands say where there is something to put right.
fn check_refusals(address: &str, folder: &Path) {
    let wrong = folder.join("wrong.jsonl");
    std::fs::write(
        &wrong,
        "{\"FeedbackType\":\"view\",\"UserId\":\"a\",\"ItemId\":\"tea-1\"}\n{\"FeedbackType\":\"view\"}\n",
    )
    .unwrap();
    let check = |args: &[&str], expected: &[&str]| {
        let run = Command::new(env!("CARGO_BIN_EXE_lingxi")).args(args).output().unwrap();
        let said = String::from_utf8(run.stderr).unwrap() + &String::from_utf8(run.stdout).unwrap();
        assert_eq!(run.status.code(), Some(2), "{said}");
        assert!(expected.iter().all(|part| said.contains(part)), "{said}");
    };
    let (at, wrong) = (format!("http://{address}"), wrong.to_str().unwrap());
    check(&["import", "events", wrong, "--at", &at], &["1 of 2 rows were refused", "row 2", "UserId"]);
    check(&["import", "items", wrong, "--at", &at], &["no_language_model", "encoder"]);
    check(&["import", "events", "nowhere.jsonl", "--at", &at], &["cannot read nowhere.jsonl"]);
    check(&["export", "events", "--out", wrong, "--at", "http://127.0.0.1:9"], &["nothing answers", "lingxi serve"]);
}
