//! Shoppers over HTTP: what a shop says of them is kept, paged, changed and found.

use crate::shop::Server;
use serde_json::{Value, json};

fn all(server: &Server, path: &str) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, _, page) = server.get(&format!("{path}&cursor={cursor}"));
        assert_eq!(status, 200, "{page}");
        names.extend(page["Users"].as_array().unwrap().iter().map(|u| u["UserId"].as_str().unwrap().to_owned()));
        cursor = page["Cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            return names;
        }
    }
}

#[test]
fn a_shopper_is_kept_as_the_shop_says_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let server = Server::start(&path);
    let ann = json!({"UserId": "ann", "Labels": {"city": ["Jinan"], "age": 30}, "Comment": "c", "Subscribe": ["news"]});
    assert_eq!(server.send("POST", "/api/user", &ann.to_string()), (200, json!({"RowAffected": 1})));
    let more = json!([{"UserId": "bob", "Labels": ["a", "b"]}, {"UserId": "shopper-3", "Labels": null}]);
    assert_eq!(server.send("POST", "/api/users", &more.to_string()), (200, json!({"RowAffected": 2})));
    assert_eq!(server.send("PATCH", "/api/user/ann", r#"{"Comment": "new", "Labels": null}"#).0, 200);
    assert_eq!(server.send("PATCH", "/api/user/shopper-4", r#"{"Comment": "patched"}"#).0, 200);
    drop(server);
    let server = Server::start(&path);
    let (_, _, back) = server.get("/api/user/ann");
    assert_eq!((&back["Labels"], &back["Comment"]), (&ann["Labels"], &json!("new")));
    assert_eq!((&back["Subscribe"], &back["Events"]), (&json!(["news"]), &json!(0)));
    assert_eq!(server.get("/api/user/bob").2["Labels"], json!(["a", "b"]));
    assert_eq!(server.get("/api/user/shopper-3").2["Labels"], Value::Null, "POST replaces what the files say");
    let patched = server.get("/api/user/shopper-4").2;
    assert_eq!((&patched["Labels"]["taste"], &patched["Comment"]), (&json!("tea"), &json!("patched")));
    assert_eq!(server.get("/api/user/nobody").0, 404);
    assert_eq!(server.send("PATCH", "/api/user/nobody", "{}").0, 404);
}

#[test]
fn new_shoppers_come_after_those_of_the_snapshot_and_ids_are_searched() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let many: Vec<Value> = (0..7).map(|i| json!({"UserId": format!("Visitor-{i}")})).collect();
    server.send("POST", "/api/users", &json!(many).to_string());
    server.buy("only-acts", "tea-1");
    server.buy("shopper-1", "tea-1");
    server.send("DELETE", "/api/user/shopper-7", "");
    server.send("DELETE", "/api/user/Visitor-3", "");
    let names = all(&server, "/api/users?n=4");
    assert_eq!(names.len(), 149 + 6 + 1);
    assert_eq!((names[0].as_str(), names[149].as_str()), ("shopper-0", "Visitor-0"));
    assert_eq!(names.last().map(String::as_str), Some("only-acts"));
    let unique: std::collections::HashSet<&String> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    assert_eq!(all(&server, "/api/users?n=2&q=visit").len(), 6, "upper and lower case are the same");
    assert_eq!(
        all(&server, "/api/users?n=50&q=ER-14"),
        (140..150).fold(vec!["shopper-14".to_owned()], |mut v, i| {
            v.push(format!("shopper-{i}"));
            v
        })
    );
    for cursor in ["known:nobody", "old:ann", "x"] {
        assert_eq!(server.get(&format!("/api/users?cursor={cursor}")).0, 400);
    }
}

#[test]
fn a_malformed_shopper_is_refused_with_its_place_and_nothing_of_the_batch_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    for (bad, field) in [
        (json!({"UserId": ""}), "[1].UserId"),
        (json!({"UserId": "b", "Comment": "x".repeat(5000)}), "[1].Comment"),
        (json!({"UserId": "b", "Labels": ["x".repeat(20_000)]}), "[1].Labels"),
        (json!({"UserId": "b", "Subscribe": [""]}), "[1].Subscribe"),
        (json!({"UserId": "b", "Subscribe": vec!["a"; 101]}), "[1].Subscribe"),
        (json!({"UserId": "b", "Lables": 1}), "[1]"),
        (json!({"UserId": 7}), "[1]"),
        (json!(["b", null, null, null]), "[1]"),
        (json!(null), "[1]"),
    ] {
        let (status, answer) = server.send("POST", "/api/users", &json!([{"UserId": "fine"}, bad]).to_string());
        assert_eq!((status, answer["error"]["field"].as_str()), (400, Some(field)), "{answer}");
    }
    assert_eq!(server.get("/api/user/fine").0, 404);
    let too_many = vec![json!({"UserId": "a"}); 1001];
    assert_eq!(server.send("POST", "/api/users", &json!(too_many).to_string()).0, 400);
}
