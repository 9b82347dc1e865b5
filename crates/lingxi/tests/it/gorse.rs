//! What Gorse's clients ask beyond a slate: categories, pages, write-back, sessions, lists, neighbours, and why.

use crate::shop::{NOW, Server};
use lingxi_decide::PolicyConfig;
use serde_json::{Value, json};

fn ids(server: &Server, path: &str) -> Vec<String> {
    let (status, _, body) = server.get(path);
    assert_eq!(status, 200, "{path}: {body}");
    named(&body)
}

/// The ids of an answer, which are texts or objects.
fn named(body: &Value) -> Vec<String> {
    let id = |entry: &Value| entry.as_str().or_else(|| entry["Id"].as_str()).unwrap().to_owned();
    body.as_array().unwrap().iter().map(id).collect()
}

#[test]
fn a_category_fills_the_slate_with_its_goods_and_its_propensities_are_exact() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with(&dir.path().join("s"), PolicyConfig::EpsilonGreedy { epsilon: 0.5 });
    for path in [
        "/api/recommend/shopper-0/soap?n=20",
        "/api/recommend/shopper-0?n=20&category=soap",
        "/api/recommend/shopper-0?n=20&category=house+%3E+soap",
    ] {
        let soaps = ids(&server, path);
        assert!(soaps.len() == 20 && soaps.iter().all(|id| id.starts_with("soap")), "{path}: {soaps:?}");
    }
    assert_eq!(ids(&server, "/api/recommend/shopper-0/house?n=60").len(), 40, "a step above holds both below");
    assert_eq!(ids(&server, "/api/recommend/shopper-0/so").len(), 0);
    assert_eq!(server.get("/api/recommend/shopper-0/soap?category=tea").0, 400);
    let (_, decision, places) = server.get("/api/recommend/shopper-0/soap?n=3&explain=true");
    let best = places.as_array().unwrap().iter().find(|place| place["Explored"] == json!(false));
    if let Some(best) = best {
        let propensity = best["Propensity"].as_f64().unwrap();
        assert!((0.5..0.53).contains(&propensity), "half, and its share among at most 20: {propensity}");
    }
    server.app.store().flush().unwrap();
    let logged = server.app.store().read(|r| r.decision(decision.unwrap())).unwrap().unwrap();
    assert!(logged.slots.iter().all(|slot| slot.item.starts_with("soap")));
}

#[test]
fn pages_of_a_slate_follow_each_other_and_only_what_is_shown_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let whole = server.slate("shopper-1", 12);
    let (_, decision, second) = server.get("/api/recommend/shopper-1?n=4&offset=4");
    assert_eq!(named(&second), whole[4..8]);
    server.app.store().flush().unwrap();
    let logged = server.app.store().read(|r| r.decision(decision.unwrap())).unwrap().unwrap();
    assert_eq!((logged.first, logged.slots.len()), (4, 4));
    assert_eq!(ids(&server, "/api/recommend/shopper-1?n=4&offset=900"), [""; 0]);
    assert_eq!(server.get("/api/recommend/shopper-1?offset=1001").0, 400);
    assert_eq!(ids(&server, "/api/recommend/shopper-1/?n=4"), whole[..4], "an empty category is none");
}

#[test]
fn what_is_written_back_is_not_shown_again_and_teaches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let server = Server::start(&path);
    let whole = server.slate("shopper-2", 12);
    let turn = "/api/recommend/shopper-2?n=4&write-back-type=read";
    assert_eq!(ids(&server, turn), whole[..4]);
    assert_eq!(ids(&server, turn), whole[4..8], "the scores are as before, the first four are away");
    assert_eq!(ids(&server, "/api/recommend/shopper-2?n=4&write-back-type=read&write-back-delay=1h30m"), whole[8..]);
    assert_eq!(server.slate("shopper-2", 4), whole[8..], "until the delay is over");
    assert_eq!(server.events(), 12);
    assert_eq!(server.get("/api/user/shopper-2/feedback/read").2.as_array().unwrap().len(), 10, "of twelve, n is 10");
    let why = server.get(&format!("/api/explain/shopper-2/{}", whole[0])).2;
    assert_eq!(why["KeptAway"], json!("shown before and put away"));
    drop(server);
    let server = Server::start(&path);
    assert_eq!(server.slate("shopper-2", 4), whole[8..], "after a restart");
    server.send("DELETE", &format!("/api/feedback/shopper-2/{}", whole[0]), "");
    assert_eq!(server.slate("shopper-2", 1), whole[..1], "erased, it may be shown again");
    for wrong in [
        "write-back-type=teleport",
        "write-back-type=rate",
        "write-back-delay=10m",
        "write-back-type=read&write-back-delay=-1h",
    ] {
        assert_eq!(server.get(&format!("/api/recommend/shopper-2?{wrong}")).0, 400, "{wrong}");
    }
}

#[test]
fn a_session_gets_goods_like_its_own_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let events = json!([
        {"FeedbackType": "view", "UserId": "", "ItemId": "bolt-3", "Timestamp": NOW},
        {"FeedbackType": "view", "ItemId": "not-known"},
    ]);
    let ask = |path: &str| server.send("POST", path, &events.to_string());
    let (status, body) = ask("/api/session/recommend?n=5");
    let near = named(&body);
    assert!(status == 200 && near.iter().all(|id| id.starts_with("bolt") && id != "bolt-3"), "{body}");
    assert!(body[0]["Score"].as_f64() >= body[1]["Score"].as_f64(), "{body}");
    assert_eq!(named(&ask("/api/session/recommend?n=3&offset=2").1), near[2..]);
    assert!(named(&ask("/api/session/recommend/tea?n=5").1).iter().all(|id| id.starts_with("tea")));
    assert_eq!(server.events(), 0);
    assert_eq!(server.send("POST", "/api/session/recommend", "[{}]").0, 400);
}

#[test]
fn lists_for_everybody_hold_what_is_popular_and_what_came_last() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let popular = ids(&server, "/api/popular?n=20");
    assert!(popular.iter().all(|id| id.starts_with("tea")), "tea is bought most: {popular:?}");
    assert_eq!(ids(&server, "/api/popular?n=3&offset=5"), popular[5..8]);
    assert_eq!(ids(&server, "/api/non-personalized/popular?n=20"), popular);
    assert!(ids(&server, "/api/popular/bolts?n=9").iter().all(|id| id.starts_with("bolt")));
    let mine = ids(&server, "/api/popular?n=20&user-id=shopper-0");
    assert!(mine.len() < 20 || mine != popular, "without what shopper 0 took");
    assert_eq!(ids(&server, "/api/latest?n=60").len(), 60, "all were taken first at some time");
    assert_eq!(ids(&server, "/api/non-personalized/latest/soap?n=60").len(), 20);
    assert_eq!(server.get("/api/non-personalized/best").0, 404);
    server.send("PATCH", &format!("/api/item/{}", popular[0]), r#"{"IsHidden": true}"#);
    assert_eq!(ids(&server, "/api/popular?n=3"), popular[1..4], "hidden ones are on no list");
    let categories = server.get("/api/dashboard/categories").2;
    assert_eq!(categories[0], json!({"Name": "drinks > tea", "Items": 20}));
}

#[test]
fn neighbours_are_found_under_the_old_names_too_within_a_category_and_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let near = ids(&server, "/api/item-to-item/similar/soap-4?n=9");
    assert_eq!(ids(&server, "/api/item/soap-4/neighbors?n=9"), near);
    assert_eq!(ids(&server, "/api/item/soap-4/neighbors?n=4&offset=5"), near[5..9]);
    assert!(ids(&server, "/api/item/soap-4/neighbors/tea?n=9").iter().all(|id| id.starts_with("tea")));
    assert_eq!(ids(&server, "/api/search?q=number&category=bolts&n=60").len(), 20);
    let like = server.get("/api/user-to-user/similar/shopper-2?n=30").2;
    let who = named(&like);
    assert!(
        who.iter().all(|id| id.strip_prefix("shopper-").unwrap().parse::<u32>().unwrap() % 5 == 2),
        "soap: {who:?}"
    );
    assert!(!who.contains(&"shopper-2".to_owned()) && like[0]["Score"].as_f64().unwrap() <= 1.000_001);
    assert_eq!(ids(&server, "/api/user/shopper-2/neighbors?n=3&offset=1"), who[1..4]);
    server.buy("newcomer", "bolt-3");
    assert_eq!(ids(&server, "/api/user/newcomer/neighbors?n=1").len(), 1, "who came after the build has neighbours");
    assert_eq!(ids(&server, "/api/user/nobody/neighbors").len(), 0);
    server.send("DELETE", &format!("/api/user/{}", who[0]), "");
    assert!(!ids(&server, "/api/user/shopper-2/neighbors?n=30").contains(&who[0]), "who was deleted is nobody's");
}

#[test]
fn an_item_is_explained_whether_it_is_shown_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let slate = server.slate("shopper-0", 5);
    let explain = |item: &str| server.get(&format!("/api/explain/shopper-0/{item}?n=5")).2;
    let shown = explain(&slate[1]);
    assert_eq!((&shown["Rank"], &shown["Place"], &shown["KeptAway"]), (&json!(2), &json!(2), &Value::Null));
    for item in [slate[0].as_str(), "bolt-3"] {
        let why = explain(item);
        let sum: f64 = why["Parts"].as_array().unwrap().iter().map(|part| part["value"].as_f64().unwrap()).sum();
        assert!((sum - why["Score"].as_f64().unwrap()).abs() < 1e-4, "{why}");
        assert!(!why["Reason"].as_str().unwrap().is_empty() && why["Candidates"] == 60, "{why}");
    }
    let far = explain("bolt-3");
    assert!(far["Place"].is_null() && far["Rank"].as_u64().unwrap() > 5 && far["KeptAway"].is_null(), "{far}");
    server.send("PATCH", "/api/item/bolt-3", r#"{"IsHidden": true}"#);
    assert_eq!(explain("bolt-3")["KeptAway"], json!("hidden by the shop"));
    assert_eq!(server.get("/api/explain/shopper-0/nothing").0, 404);
}

#[test]
fn the_version_header_of_gorse_asks_for_scores() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let url = format!("http://{}/api/recommend/shopper-0/?n=3&offset=0", server.address());
    let mut response = ureq::get(url).header("X-API-Version", "2").call().unwrap();
    let body: Value = serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap();
    assert_eq!(named(&body), server.slate("shopper-0", 3));
    assert!(body[0]["Score"].is_number());
}
