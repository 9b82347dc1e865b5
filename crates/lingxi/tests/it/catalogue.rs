//! What is sold and who buys, over HTTP: pages that end, an item that is taken away and comes back.

use crate::shop::Server;
use serde_json::{Value, json};

/// All pages of a list, each of `n` entries at most.
fn pages(server: &Server, path: &str, list: &str, n: usize) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, _, page) = server.get(&format!("{path}?n={n}&cursor={cursor}"));
        assert_eq!(status, 200, "{page}");
        let rows = page[list].as_array().unwrap();
        assert!(rows.len() <= n);
        all.extend(rows.clone());
        cursor = page["Cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            return all;
        }
    }
}

#[test]
fn the_catalogue_and_the_shoppers_come_in_pages_that_end() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let items = pages(&server, "/api/items", "Items", 7);
    assert_eq!(items.len(), 60);
    assert_eq!((&items[0]["ItemId"], &items[0]["Title"]), (&json!("tea-0"), &json!("tea number 0")));
    assert_eq!((&items[0]["IsHidden"], &items[0]["Price"]), (&json!(false), &Value::Null));
    let users = pages(&server, "/api/users", "Users", 64);
    assert_eq!(users.len(), 150);
    assert_eq!((&users[2]["Labels"]["taste"], &users[2]["Events"]), (&json!("soap"), &json!(8)));
    for path in ["/api/items?cursor=nowhere", "/api/users?cursor=nowhere", "/api/feedback?cursor=x", "/api/items?n=0"] {
        let (status, _, body) = server.get(path);
        assert!(status == 400 && body["error"]["field"].is_string(), "{path}: {body}");
    }
}

#[test]
fn what_a_shopper_did_is_told_newest_first_with_titles() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    server.buy("shopper-0", "soap-1");
    let (_, _, events) = server.get("/api/user/shopper-0/feedback?n=3");
    assert_eq!(events.as_array().unwrap().len(), 3);
    let newest = json!({"FeedbackType": "buy", "UserId": "shopper-0", "ItemId": "soap-1", "Title": "soap number 1",
        "Timestamp": "2023-11-14T22:13:20Z", "Value": 1.0});
    assert_eq!(events[0], newest);
    assert_eq!(server.get("/api/user/nobody/feedback").2, json!([]));
    server.buy("nobody", "tea-1");
    let arrived = pages(&server, "/api/feedback", "Feedback", 1);
    assert_eq!(arrived.iter().map(|e| e["UserId"].as_str().unwrap()).collect::<Vec<_>>(), ["nobody", "shopper-0"]);
}

#[test]
fn an_item_that_is_taken_away_appears_nowhere_from_the_next_request_on_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let server = Server::start(&path);
    let best = server.slate("shopper-0", 5).remove(0);
    let shown = |server: &Server| {
        let slate = server.slate("shopper-0", 60);
        let near = server.get("/api/item-to-item/similar/tea-7?n=59").2.to_string();
        let found = server.get("/api/search?q=number&n=60").2.to_string();
        let quoted = format!("\"{best}\"");
        [slate.contains(&best), near.contains(&quoted), found.contains(&quoted)]
    };
    let near = best != "tea-7";
    assert_eq!(shown(&server), [true, near, true]);
    let hide = |server: &Server, hidden: bool| {
        server.send("PATCH", &format!("/api/item/{best}"), &json!({ "IsHidden": hidden }).to_string())
    };
    assert_eq!(hide(&server, true), (200, json!({"RowAffected": 1})));
    assert_eq!(shown(&server), [false; 3]);
    assert_eq!(server.get(&format!("/api/item/{best}")).2["IsHidden"], json!(true));
    drop(server);
    let server = Server::start(&path);
    assert_eq!(shown(&server), [false; 3], "after a restart");
    hide(&server, false);
    assert_eq!(shown(&server), [true, near, true]);
    assert_eq!(server.send("DELETE", &format!("/api/item/{best}"), "").0, 200);
    assert_eq!(shown(&server), [false; 3]);
    assert_eq!(server.get(&format!("/api/item/{best}")).0, 404);
    assert_eq!(server.send("DELETE", &format!("/api/item/{best}"), "").0, 404);
    assert_eq!(pages(&server, "/api/items", "Items", 7).len(), 59);
    for (method, path, body) in [
        ("PATCH", "/api/item/tea-3", "{}"),
        ("PATCH", "/api/item/tea-3", r#"{"IsHiden":true}"#),
        ("PATCH", "/api/item/tea-3", "["),
    ] {
        let (status, answer) = server.send(method, path, body);
        assert!(status == 400 && answer["error"]["expected"].is_string(), "{body}: {answer}");
    }
}

#[test]
fn goods_that_are_too_large_or_cannot_be_read_are_refused_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let (status, answer) = server.send("POST", "/api/items", &" ".repeat((4 << 20) + 1));
    assert!(status == 413 && answer["error"]["code"] == "too_large", "{status} {answer}");
    // The shop of the tests has no language model to read new goods with.
    let (status, answer) = server.send("POST", "/api/item", r#"{"ItemId": "x", "Comment": "a new one"}"#);
    assert!(status == 501 && answer["error"]["remedy"].is_string(), "{status} {answer}");
    assert_eq!(server.get("/api/item/x").0, 404);
}

#[test]
fn the_dashboard_tells_the_numbers_of_the_moment_and_that_nothing_was_measured() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    server.slate("shopper-0", 5);
    let (_, _, stats) = server.get("/api/dashboard/stats");
    assert_eq!((&stats["Users"], &stats["Items"], &stats["Ready"]), (&json!(150), &json!(60), &json!(true)));
    assert!(stats["P99Ms"].as_f64().unwrap() > 0.0 && stats["Requests"].as_u64().unwrap() >= 1, "{stats}");
    assert_eq!(server.get("/api/dashboard/evaluation").0, 404);
}
