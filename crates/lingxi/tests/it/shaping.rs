//! What the shop wants beyond the best scores reaches the slates of a real server, with its propensities, and is explained.

use crate::whole::{self, Served};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// The shop of [`whole`] with brands and groups of shoppers, and this under `[serve]`.
fn files(folder: &Path, serve: &str) {
    whole::files(folder);
    let items = std::fs::read_to_string(folder.join("items.csv")).unwrap();
    let brand = |(at, line): (usize, &str)| match at {
        0 => format!("{line},brand\n"),
        at => format!("{line},{}\n", ["acme", "bolt & co"][usize::from(at % 5 == 0)]),
    };
    std::fs::write(folder.join("items.csv"), items.lines().enumerate().map(brand).collect::<String>()).unwrap();
    let users: String = (0..30).map(|u| format!("tea-lover-{u},{}\n", ["young", "old"][u % 2])).collect();
    std::fs::write(folder.join("users.csv"), format!("who,age\n{users}")).unwrap();
    let recipe = whole::RECIPE
        .replace("title = \"title\"", "title = \"title\"\nattributes = [\"brand\"]\n[data.users]\npath = \"users.csv\"\nid = \"who\"\nattributes = [\"age\"]")
        .replace("policy = { kind = \"greedy\" }", serve);
    std::fs::write(folder.join("recipe.toml"), recipe).unwrap();
}

fn explained(shop: &Served, user: &str) -> Vec<Value> {
    let Value::Array(places) = shop.get(&format!("/api/recommend/{user}?n=10&explain=true")) else { unreachable!() };
    places
}

#[test]
fn boosts_and_shares_of_sellers_move_goods_and_every_place_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let serve = "policy = { kind = \"softmax\", temperature = 0.01 }\n[serve.rerank]\nboosts = [{ items = [\"bolt-7\"], by = 50.0 }]\n\
                 diversity = { kind = \"mmr\", strength = 0.1 }\nsellers = { attribute = \"brand\", strength = 10.0, target = \"equal\" }";
    files(folder.path(), serve);
    let shop = Served::start(folder.path());
    let first = explained(&shop, "tea-lover-1");
    assert_eq!(first[0]["ItemId"], "bolt-7", "{first:?}");
    assert_eq!((&first[0]["Moves"][0]["cause"], first[0]["Moves"][0]["by"].as_f64()), (&"boost".into(), Some(50.0)));
    assert!(first[0]["Rules"].to_string().contains("boosted by the shop (+50.00)"), "{}", first[0]);
    assert!(first.iter().all(|place| (0.0..=1.0).contains(&place["Propensity"].as_f64().unwrap())));
    // A fifth of the goods are of the small brand; after a while it has half of what is seen.
    let mut shown: HashMap<String, f64> = HashMap::new();
    let count = |shop: &Served, shown: &mut HashMap<String, f64>, rounds: usize| {
        for at in 0..rounds {
            for (place, item) in explained(shop, &format!("tea-lover-{}", at % 30)).iter().enumerate() {
                let number: usize = item["ItemId"].as_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
                let kind = item["ItemId"].as_str().unwrap().split('-').next().unwrap();
                let line = 1 + number + 20 * ["tea", "soap", "bolt"].iter().position(|k| *k == kind).unwrap();
                *shown.entry(["acme", "bolt"][usize::from(line.is_multiple_of(5))].into()).or_default() +=
                    1.0 / (place as f64 + 2.0).log2();
            }
        }
    };
    count(&shop, &mut shown, 60);
    let share = shown["bolt"] / (shown["bolt"] + shown["acme"]);
    assert!((0.4..0.6).contains(&share), "{share}");
    // What was shown is remembered after a crash: the shares go on where they were.
    drop(shop);
    let shop = Served::start(folder.path());
    let mut after = HashMap::new();
    count(&shop, &mut after, 4);
    let share = after["bolt"] / (after["bolt"] + after["acme"]);
    assert!((0.3..0.7).contains(&share), "{share}");
}

#[test]
fn what_does_not_fit_the_shop_is_refused_before_it_serves() {
    for (serve, said) in [
        ("[serve.rerank]\nsellers = { attribute = \"maker\", strength = 1.0 }", "(columns: brand)"),
        ("[serve.rerank]\ngroups = { by = \"income\", strength = 1.0 }", "(columns: age)"),
        ("[serve.rerank]\ndiversity = { kind = \"mmr\", strength = -1.0 }", "serve.rerank"),
        ("[serve.learn]\nwait_minutes = 0.0", "learn.wait_minutes"),
        ("[serve.novel]\nplaces = 2", "name an encoder under [content]"),
        ("policy = { kind = \"thompson\", draws = 0 }", "draws"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        files(folder.path(), serve);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lingxi"));
        let command =
            command.args(["serve", "--addr", "127.0.0.1:0", "--recipe"]).arg(folder.path().join("recipe.toml"));
        let done = command.env("LINGXI_CACHE", folder.path().join("cache")).output().unwrap();
        let words = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code() == Some(2) && words.contains(said), "{serve}: {words}");
    }
}

#[test]
fn places_are_kept_for_interests_that_are_new_to_a_shopper_and_none_where_nobody_explores() {
    let folder = tempfile::tempdir().unwrap();
    files(
        folder.path(),
        "policy = { kind = \"lin-ucb\" }\ncandidates = 60\n[serve.novel]\nplaces = 2\nclusters = 3\nguard = 0.0",
    );
    if !whole::with_encoder(folder.path()) {
        return;
    }
    let shop = Served::start(folder.path());
    let kind = |place: &Value| place["ItemId"].as_str().unwrap().split('-').next().unwrap().to_owned();
    let slate = explained(&shop, "soap-lover-3");
    let new: Vec<usize> = (0..10).filter(|at| slate[*at]["Explores"] == "new_interest").collect();
    assert_eq!(new, [4, 9], "{slate:?}");
    assert!(new.iter().all(|at| kind(&slate[*at]) != "soap" && slate[*at]["Propensity"].as_f64() < Some(1.0)));
    let Value::Array(quiet) = shop.get("/api/recommend/soap-lover-3?n=10&explain=true&explore=0") else {
        unreachable!()
    };
    assert!(quiet.iter().all(|place| place["Explores"].is_null() && place["Propensity"] == 1.0), "{quiet:?}");
    assert!(shop.get("/api/policy")["Version"].as_str().unwrap().contains("new(2)"));
}
