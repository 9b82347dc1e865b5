//! What is taken back over HTTP: gone from the next slate, from every list, and after a restart.

use crate::shop::{NOW, Server, Shop};
use lingxi::store::{Erasure, Store, StoreOptions};
use lingxi_decide::PolicyConfig;
use serde_json::{Value, json};
use std::sync::Arc;

fn touched(n: usize) -> (u16, Value) {
    (200, json!({ "RowAffected": n }))
}

fn rows(server: &Server, path: &str) -> Vec<Value> {
    let (status, _, body) = server.get(path);
    assert_eq!(status, 200, "{path}: {body}");
    body.as_array().unwrap_or_else(|| body["Feedback"].as_array().unwrap()).clone()
}

#[test]
fn an_erased_event_changes_the_next_slate_and_stays_erased_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    let server = Server::start(&store);
    let unknown = server.slate("newcomer", 6);
    server.buy("newcomer", "bolt-3");
    server.buy("newcomer", "soap-3");
    let both = server.slate("newcomer", 6);
    server.buy("newcomer", "tea-3");
    assert_ne!(server.slate("newcomer", 6), both);
    assert_eq!(server.send("DELETE", "/api/feedback/buy/newcomer/tea-3", ""), touched(1));
    assert_eq!(server.slate("newcomer", 6), both, "as if it had never been");
    assert_eq!(server.send("DELETE", "/api/feedback/newcomer/bolt-3", ""), touched(1));
    assert_eq!(server.send("DELETE", "/api/feedback/newcomer/bolt-3", ""), touched(0));
    assert_eq!(server.send("DELETE", "/api/feedback/view/newcomer/soap-3", ""), touched(0), "it was bought");
    assert_eq!(rows(&server, "/api/user/newcomer/feedback").len(), 1);
    drop(server);
    let server = Server::start(&store);
    assert_eq!(server.send("DELETE", "/api/feedback/newcomer/soap-3", ""), touched(1));
    assert_eq!(server.slate("newcomer", 6), unknown);
    assert_eq!(server.events(), 0);
    server.buy("newcomer", "bolt-3");
    assert_ne!(server.slate("newcomer", 6), unknown, "what comes after an erasure counts, under a new number");
}

#[test]
fn what_the_log_says_can_be_erased_and_the_next_build_hears_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let server = Server::start(&path);
    let of_item = rows(&server, "/api/item/tea-1/feedback?n=1000").len();
    let mine = rows(&server, "/api/user/shopper-0/feedback/buy?n=100");
    assert_eq!(mine.len(), 8);
    let first = mine[0]["ItemId"].as_str().unwrap().to_owned();
    assert_eq!(rows(&server, &format!("/api/feedback/shopper-0/{first}")).len(), 1);
    assert_eq!(server.send("DELETE", &format!("/api/feedback/shopper-0/{first}"), ""), touched(1));
    assert_eq!(server.get(&format!("/api/feedback/buy/shopper-0/{first}")).0, 404);
    assert_eq!(rows(&server, "/api/user/shopper-0/feedback?n=100").len(), 7);
    assert_eq!(server.app.serving().history("shopper-0").rows().len(), 7);
    // Bought again it is there again, once.
    server.buy("shopper-0", &first);
    assert_eq!(rows(&server, &format!("/api/feedback/shopper-0/{first}")).len(), 1);
    assert_eq!(server.send("DELETE", "/api/user/shopper-5", ""), touched(1));
    assert_eq!(server.send("DELETE", "/api/user/shopper-5", "").0, 404);
    assert_eq!(server.slate("shopper-5", 6), server.slate("never-seen", 6));
    assert!(rows(&server, "/api/item/tea-1/feedback?n=1000").len() < of_item);
    // A snapshot that is put in its place hides the same; one that was built since hides nothing.
    let anew = || Arc::new(Shop::new(PolicyConfig::Greedy {}));
    server.app.publish(anew(), 0).unwrap();
    assert_eq!(server.app.serving().history("shopper-5").rows().len(), 0);
    server.app.publish(anew(), 99).unwrap();
    assert_eq!(server.app.serving().history("shopper-5").rows().len(), 8);
    drop(server);
    let server = Server::start(&path);
    assert_eq!(server.slate("shopper-5", 6), server.slate("never-seen", 6));
    let erased = server.app.store().read(|r| r.erased()).unwrap();
    let of = |user: &str| erased.iter().find(|e| e.what.user == user).map(|e| e.what.clone());
    assert_eq!(of("shopper-5"), Some(Erasure { user: "shopper-5".into(), item: None, kind: None }));
    assert_eq!(of("shopper-0").and_then(|what| what.item), Some(first));
}

#[test]
fn a_deleted_shopper_leaves_nothing_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let server = Server::start(&path);
    server.send("POST", "/api/user", r#"{"UserId": "ann-to-forget", "Comment": "secret remark"}"#);
    let slate = server.slate("ann-to-forget", 5);
    server.buy("ann-to-forget", &slate[1]);
    server.buy("bob", "tea-1");
    let decided = server.get("/api/recommend/ann-to-forget?n=3").1.unwrap();
    assert_eq!(server.send("DELETE", "/api/user/ann-to-forget", ""), touched(1));
    assert_eq!(server.get("/api/user/ann-to-forget").0, 404);
    assert!(server.app.store().read(|r| r.decision(decided)).unwrap().is_none());
    assert_eq!(server.events(), 1, "those of others stay");
    drop(server);
    // Only the id is left, which says that they are gone.
    let bytes = std::fs::read(&path).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds("secret remark"), "the remark still lies in the file");
    let server = Server::start(&path);
    assert_eq!(server.get("/api/user/ann-to-forget").0, 404);
    server.buy("ann-to-forget", "tea-2");
    assert_eq!(server.get("/api/user/ann-to-forget").0, 200, "who comes back is known again");
}

#[test]
fn put_replaces_the_event_of_the_same_type_shopper_and_item_and_keys_still_work() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let rate = |value: f64| json!([{"FeedbackType": "rate", "UserId": "ann", "ItemId": "tea-1", "Value": value}]);
    let put = |body: &Value| server.send("PUT", "/api/feedback", &body.to_string());
    assert_eq!(put(&rate(2.0)), touched(1));
    assert_eq!(put(&rate(5.0)), touched(1));
    assert_eq!(server.post(rate(3.0).to_string(), None), touched(1), "POST adds");
    assert_eq!(rows(&server, "/api/feedback/ann/tea-1").len(), 2);
    let twice = json!([rate(1.0)[0], rate(4.0)[0]]);
    assert_eq!(put(&twice), touched(2));
    let left = rows(&server, "/api/feedback/ann/tea-1");
    assert_eq!((left.len(), &left[0]["Value"]), (1, &json!(4.0)), "the last of a batch holds");
    assert_eq!(server.app.serving().history("ann").rows().values, [4.0]);
    // In the log, too.
    let mine = rows(&server, "/api/user/shopper-1/feedback?n=1").remove(0);
    let item = mine["ItemId"].as_str().unwrap();
    put(&json!([{"FeedbackType": "buy", "UserId": "shopper-1", "ItemId": item, "Value": 3, "Timestamp": NOW}]));
    let now = rows(&server, &format!("/api/feedback/buy/shopper-1/{item}").replace("/buy", ""));
    assert_eq!((now.len(), &now[0]["Value"]), (1, &json!(3.0)));
    // A key that was stored is neither stored again nor does it erase, also once its event is gone.
    let keyed = json!([{"FeedbackType": "buy", "UserId": "bob", "ItemId": "tea-1", "Key": "order-1"}]);
    assert_eq!(put(&keyed), touched(1));
    assert_eq!(put(&keyed), touched(0));
    assert_eq!(rows(&server, "/api/feedback/bob/tea-1").len(), 1);
    server.send("DELETE", "/api/feedback/bob/tea-1", "");
    assert_eq!(put(&keyed), touched(0));
    assert_eq!(server.post(keyed.to_string(), None), touched(0), "sent again it does not come back");
}

#[test]
fn feedback_is_listed_by_type_and_by_item_in_pages_that_end() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let row = |kind: &str, i: usize| json!({"FeedbackType": kind, "UserId": format!("u{i}"), "ItemId": "new-one"});
    let batch: Vec<Value> = (0..10).map(|i| row(if i % 2 == 0 { "view" } else { "cart" }, i)).collect();
    assert_eq!(server.post(json!(batch).to_string(), None), touched(10));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, _, page) = server.get(&format!("/api/feedback/read?n=2&cursor={cursor}"));
        seen.extend(page["Feedback"].as_array().unwrap().iter().map(|e| e["UserId"].as_str().unwrap().to_owned()));
        cursor = page["Cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["u8", "u6", "u4", "u2", "u0"], "newest first; \"read\" is understood");
    assert_eq!(rows(&server, "/api/item/new-one/feedback").len(), 10, "also of an item that waits for the next build");
    assert_eq!(rows(&server, "/api/item/new-one/feedback/cart").len(), 5);
    assert_eq!(server.get("/api/feedback/teleport").0, 400);
}

#[test]
fn a_number_is_never_given_twice_even_if_its_event_was_erased() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let server = Server::start(&path);
    (1..4).for_each(|i| server.buy("ann", &format!("tea-{i}")));
    server.send("DELETE", "/api/feedback/ann/tea-3", "");
    drop(server);
    let store = Store::open(&path, StoreOptions::default()).unwrap();
    let event = lingxi::store::NewEvent {
        user: "ann".into(),
        item: "tea-4".into(),
        kind: lingxi_data::EventKind::Buy,
        value: 1.0,
        at: NOW,
        comment: None,
        key: None,
    };
    assert_eq!(store.append(vec![event]).unwrap().events[0].seq, 4);
}
