//! The endpoints, over real sockets: what a shopper does changes what they see, and wrong input is refused whole.

use crate::shop::{CURSED, NOW, Server, Shop};
use lingxi_decide::PolicyConfig;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// How many of the ids are of a kind.
fn of_kind(kind: &str, ids: &[String]) -> usize {
    ids.iter().filter(|id| id.starts_with(kind)).count()
}

#[test]
fn a_new_event_changes_the_next_slate_of_its_shopper_only() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let (mine, others) = (server.slate("shopper-0", 8), server.slate("shopper-1", 8));
    assert_eq!(of_kind("tea", &mine), 8, "shopper 0 buys tea: {mine:?}");
    for item in ["soap-1", "soap-2", "soap-3"] {
        server.buy("shopper-0", item);
    }
    let after = server.slate("shopper-0", 8);
    assert!(of_kind("soap", &after) > 0, "{after:?}");
    assert_eq!(server.slate("shopper-1", 8), others);
}

#[test]
fn a_shopper_with_one_event_gets_a_personal_slate_and_an_unknown_one_the_popular_goods() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let unknown = server.slate("never-seen", 6);
    assert_eq!((unknown.len(), of_kind("tea", &unknown)), (6, 6), "tea is bought most: {unknown:?}");
    assert_eq!(server.slate("%E8%8C%B6%2F%3F", 6), unknown, "any text may be a shopper's id");
    server.buy("newcomer", "bolt-3");
    let personal = server.slate("newcomer", 6);
    assert!(of_kind("bolt", &personal) >= 5, "{personal:?}");
}

#[test]
fn an_explained_slate_has_exact_propensities_and_parts_that_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with(&dir.path().join("s"), PolicyConfig::EpsilonGreedy { epsilon: 0.3 });
    let (status, decision, places) = server.get("/api/recommend/shopper-2?n=12&explain=true");
    let places = places.as_array().unwrap();
    assert_eq!((status, places.len()), (200, 12));
    for place in places {
        let parts = place["Parts"].as_array().unwrap();
        let sum: f64 = parts.iter().map(|part| part["value"].as_f64().unwrap()).sum();
        assert!((sum - place["Score"].as_f64().unwrap()).abs() < 1e-4, "{place}");
        let propensity = place["Propensity"].as_f64().unwrap();
        assert!(propensity > 0.0 && propensity <= 1.0 && place["Explored"].is_boolean(), "{place}");
        assert!(!place["Reason"].as_str().unwrap().is_empty() && place["Title"].as_str().unwrap().contains("number"));
    }
    server.app.store().flush().unwrap();
    let logged = server.app.store().read(|r| r.decision(decision.unwrap())).unwrap().expect("logged");
    assert_eq!((logged.user.as_str(), logged.at), ("shopper-2", NOW));
    for (slot, place) in logged.slots.iter().zip(places) {
        assert_eq!(slot.item, place["ItemId"].as_str().unwrap());
        assert!((f64::from(slot.propensity) - place["Propensity"].as_f64().unwrap()).abs() < 1e-6);
    }
}

#[test]
fn feedback_on_a_shown_item_joins_its_decision() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let (_, decision, ids) = server.get("/api/recommend/shopper-3?n=4");
    server.buy("shopper-3", ids[2].as_str().unwrap());
    let joined = server.app.store().read(|r| r.feedback_of(decision.unwrap())).unwrap();
    assert_eq!(
        joined.iter().map(|j| (j.place, j.event.event.item.as_str())).collect::<Vec<_>>(),
        [(2, ids[2].as_str().unwrap())]
    );
}

#[test]
fn events_outlive_the_server_and_come_back_into_the_slates() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("s");
    let server = Server::start(&store);
    server.buy("newcomer", "soap-5");
    let before = server.slate("newcomer", 6);
    drop(server);
    let log = std::fs::metadata(store.with_extension("-wal")).map_or(0, |m| m.len());
    assert_eq!(log, 0, "a clean stop moves the log into the database");
    assert_eq!(Server::start(&store).slate("newcomer", 6), before);
}

#[test]
fn an_event_on_an_unknown_item_is_kept_for_the_next_build() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let before = server.slate("shopper-4", 5);
    server.buy("shopper-4", "brand-new");
    assert_eq!((server.events(), server.slate("shopper-4", 5)), (1, before));
    let (_, _, metrics) = server.get("/metrics");
    assert!(metrics.as_str().unwrap().contains("lingxi_events_on_unknown_items_total 1"), "{metrics}");
}

#[test]
fn a_batch_sent_again_with_its_key_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let batch = json!([
        {"FeedbackType": "view", "UserId": "ann", "ItemId": "tea-1", "Timestamp": "2023-11-14T00:00:00Z"},
        {"FeedbackType": "star", "UserId": "ann", "ItemId": "tea-2", "Timestamp": 1_699_920_000, "Comment": "nice"},
    ]);
    assert_eq!(server.post(batch.to_string(), Some("order-1")), (200, json!({"RowAffected": 2})));
    assert_eq!(server.post(batch.to_string(), Some("order-1")), (200, json!({"RowAffected": 0})));
    assert_eq!(server.events(), 2);
    assert_eq!(server.post("[]", None), (200, json!({"RowAffected": 0})));
}

#[test]
fn a_new_snapshot_is_published_whole_with_what_happened_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    server.buy("newcomer", "soap-5");
    let before = server.slate("newcomer", 6);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..40).for_each(|i| server.buy("busy", &format!("bolt-{}", i % 20))));
        for _ in 0..10 {
            server.app.publish(Arc::new(Shop::new(PolicyConfig::Greedy {})), 0).unwrap();
        }
    });
    assert_eq!(server.slate("newcomer", 6), before);
    assert_eq!(server.app.serving().history("busy").rows().len(), 40, "every event once, whichever snapshot took it");
    server.app.publish(Arc::new(Shop::new(PolicyConfig::Greedy {})), 41).unwrap();
    assert_eq!(server.app.serving().history("busy").rows().len(), 0, "this snapshot was built with all events");
}

/// A refusal has the one shape, and names `field`.
fn check_refusal(got: (u16, Value), status: u16, field: Option<&str>) {
    let error = &got.1["error"];
    assert_eq!((got.0, error["field"].as_str()), (status, field), "{got:?}");
    let mut keys: Vec<&str> = error.as_object().expect("an error object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["code", "expected", "field", "got", "message", "remedy"]);
    assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{got:?}");
}

#[test]
fn malformed_feedback_is_refused_with_its_place_and_nothing_of_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let row = |user: Value| json!({"FeedbackType": "buy", "UserId": user, "ItemId": "tea-1"});
    let mut batch: Vec<Value> = (0..50).map(|i| row(json!(format!("u{i}")))).collect();
    batch.push(row(json!(7)));
    check_refusal(server.post(json!(batch).to_string(), None), 400, Some("[50].UserId"));
    check_refusal(server.post(json!([row(json!("x".repeat(513)))]).to_string(), None), 400, Some("[0].UserId"));
    check_refusal(server.post(json!(vec![row(json!("a")); 10_001]).to_string(), None), 400, Some("body"));
    let time = json!([{"FeedbackType": "buy", "UserId": "a", "ItemId": "b", "Timestamp": "31/12/2023"}]);
    check_refusal(server.post(time.to_string(), None), 400, Some("[0].Timestamp"));
    for body in [&b""[..], b"{}", b"[NaN]", b"nul", b"[\"\xff\xfe\"]", "[".repeat(9000).as_bytes()] {
        check_refusal(server.post(body, None), 400, Some("body"));
    }
    check_refusal(server.post("[]", Some("")), 400, Some("Idempotency-Key"));
    check_refusal(server.post(vec![b' '; (4 << 20) + 1], None), 413, None);
    assert_eq!(server.events(), 0);
}

#[test]
fn malformed_addresses_are_refused_in_the_same_shape() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let check = |path: &str, status: u16, field: Option<&str>| {
        let (got, _, body) = server.get(path);
        check_refusal((got, body), status, field);
    };
    for n in ["0", "1001", "-1", "x", "1.5", "", "99999999999999999999"] {
        check(&format!("/api/recommend/shopper-1?n={n}"), 400, Some("n"));
    }
    check("/api/recommend/shopper-1?n=3&n=4", 400, Some("n"));
    check("/api/recommend/shopper-1?m=3", 400, Some("query"));
    check("/api/recommend/shopper-1?explain=maybe", 400, Some("explain"));
    check("/api/recommend/%FF", 400, Some("path"));
    check(&format!("/api/recommend/{}", "x".repeat(513)), 400, Some("user"));
    check("/api/recommend/a%00b", 400, Some("user"));
    check("/api/item-to-item/similar/no-such-item", 404, None);
    check("/api/search", 400, Some("q"));
    check("/api/search?q=%20", 400, Some("q"));
    check("/api/search?q=%FF", 400, Some("q"));
    check("/api/nothing", 404, None);
    check_refusal(server.send("DELETE", "/api/search", ""), 405, None);
}

#[test]
fn a_panic_in_the_engine_is_an_answer_and_not_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let (status, _, body) = server.get(&format!("/api/item-to-item/similar/{CURSED}"));
    check_refusal((status, body.clone()), 500, None);
    assert!(!body.to_string().contains("cursed"), "the cause stays in the log");
    assert_eq!(server.get("/health/ready").0, 200);
}

#[test]
fn neighbours_and_search_answer_as_gorse_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let (status, _, near) = server.get("/api/item-to-item/similar/soap-4?n=3");
    let near = near.as_array().unwrap();
    assert_eq!((status, near.len()), (200, 3));
    assert!(near.iter().all(|i| i["Id"].as_str().unwrap().starts_with("soap") && i["Score"].is_number()), "{near:?}");
    let (_, _, found) = server.get("/api/search?q=bolt+number%207&n=5");
    assert_eq!(found[0]["Id"], "bolt-7");
}

#[test]
fn metrics_count_by_route_and_not_by_address() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    server.slate("shopper-1", 3);
    server.slate("shopper-2", 3);
    server.get("/wp-admin.php");
    assert_eq!(server.get("/health/live").2, json!({"status": "live"}));
    server.app.store().flush().unwrap();
    let (_, _, text) = server.get("/metrics");
    let text = text.as_str().unwrap();
    for expected in [
        r#"lingxi_http_requests_total{path="/api/recommend/{user}",method="GET",status="200"} 2"#,
        r#"lingxi_http_requests_total{path="unmatched",method="GET",status="404"} 1"#,
        r#"lingxi_http_request_seconds_count{path="/api/recommend/{user}"} 2"#,
        r#"lingxi_http_request_seconds_bucket{path="/api/recommend/{user}",le="10"} 2"#,
        "lingxi_decisions_total 2",
        "lingxi_store_queue 0",
    ] {
        assert!(text.contains(expected), "expected {expected} in\n{text}");
    }
    assert!(!text.contains("shopper-1") && !text.contains("wp-admin"));
}

#[test]
fn bytes_that_are_no_request_do_not_stop_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    for junk in
        [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET /\xff HTTP/1.1\r\n\r\n", b"POST /api/feedback HTTP/1.1\r\n"]
    {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.write_all(junk).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(server.get("/health/ready").0, 200);
}

#[test]
fn a_head_that_does_not_end_is_refused_and_the_server_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nx-long: ").unwrap();
    // The server may hang up before all is written.
    let _ = socket.write_all(&vec![b'a'; 200_000]);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(server.get("/health/ready").0, 200);
}
