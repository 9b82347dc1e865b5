//! What a shopper cares for, over HTTP, and the knob that holds exploration back.

use crate::shop::Server;
use lingxi_decide::PolicyConfig;
use serde_json::Value;

fn interests(server: &Server, user: &str) -> Vec<(String, f64, f64, f64)> {
    let (status, _, rows) = server.get(&format!("/api/user/{user}/interests"));
    assert_eq!(status, 200, "{rows}");
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap();
    let row = |row: &Value| {
        let category = row["Category"].as_str().unwrap().to_owned();
        (category, number(row, "Low"), number(row, "Degree"), number(row, "High"))
    };
    rows.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn interests_add_up_follow_every_event_and_are_the_shops_own_for_a_stranger() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let of = |rows: &[(String, f64, f64, f64)], name: &str| {
        let row = rows.iter().find(|row| row.0 == name).expect("three categories");
        (row.2, row.3 - row.1)
    };
    let stranger = interests(&server, "nobody");
    assert!(stranger.iter().all(|row| (row.2 - 1.0 / 3.0).abs() < 1e-9), "{stranger:?}");
    let soap = interests(&server, "shopper-2");
    assert_eq!(soap[0].0, "house > soap", "the greatest first: {soap:?}");
    assert!((soap.iter().map(|row| row.2).sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(soap.iter().all(|row| row.1 <= row.2 && row.2 <= row.3), "{soap:?}");
    assert!(of(&soap, "house > soap").1 < of(&stranger, "house > soap").1, "who is known better is less uncertain");
    for item in ["bolt-1", "bolt-2", "bolt-3"] {
        let before = of(&interests(&server, "shopper-2"), "house > bolts").0;
        server.buy("shopper-2", item);
        assert!(of(&interests(&server, "shopper-2"), "house > bolts").0 > before, "each event counts at once");
    }
}

#[test]
fn the_knob_at_nothing_shows_the_best_only_and_the_log_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with(&dir.path().join("s"), PolicyConfig::EpsilonGreedy { epsilon: 1.0 });
    let ask = |explore: &str| server.get(&format!("/api/recommend/shopper-2?n=9&explain=true&explore={explore}")).2;
    let item = |place: &Value| place["ItemId"].as_str().unwrap().to_owned();
    let items = |slate: &Value| slate.as_array().unwrap().iter().map(item).collect::<Vec<_>>();
    let best = ask("0");
    assert_eq!(items(&best), items(&ask("0")), "nothing is left to chance");
    assert!(best.as_array().unwrap().iter().all(|place| place["Propensity"] == 1.0 && place["Explored"] == false));
    assert_ne!(items(&ask("1")), items(&best), "everything is");
    let half = ask("0.5");
    let propensity = |place: &Value| place["Propensity"].as_f64().unwrap();
    assert!(half.as_array().unwrap().iter().all(|place| propensity(place) < 1.0), "{half}");
    for wrong in ["2", "-1", "much", "NaN"] {
        let (status, _, told) = server.get(&format!("/api/recommend/shopper-2?explore={wrong}"));
        assert_eq!((status, told["error"]["field"].as_str()), (400, Some("explore")), "{told}");
    }
}
