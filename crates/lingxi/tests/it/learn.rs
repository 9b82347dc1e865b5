//! The policy learns while it serves: from what shoppers do, from what they leave, once, within two seconds; and it can be gone
//! back to.

use crate::whole::{self, Served};
use lingxi::learner::{Learner, Learning};
use lingxi::recipe::Recipe;
use lingxi::store::{Closing, Reader};
use lingxi_data::Interner;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// The shop of [`whole`] with a policy that learns, and that closes slates after so many seconds.
pub fn files(folder: &Path, wait_seconds: f64) {
    whole::files(folder);
    let minutes = wait_seconds / 60.0;
    let recipe = whole::RECIPE.replace(
        "policy = { kind = \"greedy\" }",
        &format!(
            "policy = {{ kind = \"thompson\" }}\n[serve.learn]\nwait_minutes = {minutes}\nkeep_minutes = {minutes}\nkeep = 100"
        ),
    );
    std::fs::write(folder.join("recipe.toml"), recipe).unwrap();
}

/// What a learner comes to that reads a store from its first lesson to its last.
pub fn replayed(folder: &Path, store: &Path, told: &Value) -> (u64, String) {
    let recipe = Recipe::read(&folder.join("recipe.toml")).unwrap();
    let until = Closing { up_to: told["UpTo"].as_u64().unwrap(), after: told["After"].as_i64().unwrap() };
    let reader = Reader::open(store).unwrap();
    let learner = Learner::replay(Learning::of(&recipe.serve), &reader, &Interner::default(), until).unwrap();
    (learner.lessons(), learner.fingerprint())
}

fn policy(shop: &Served) -> Value {
    shop.get("/api/policy")
}

/// Waits until the policy is as it should be; how long that took.
fn until(shop: &Served, what: &str, seconds: u64, is: impl Fn(&Value) -> bool) -> (Value, Duration) {
    let began = Instant::now();
    loop {
        let told = policy(shop);
        if is(&told) {
            return (told, began.elapsed());
        }
        assert!(began.elapsed() < Duration::from_secs(seconds), "{what}: {told}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn slate(shop: &Served, user: &str) -> Vec<String> {
    serde_json::from_value(shop.get(&format!("/api/recommend/{user}?n=10"))).unwrap()
}

fn buys(shop: &Served, user: &str, item: &str, key: &str) {
    let row = json!([{"FeedbackType": "buy", "UserId": user, "ItemId": item, "Key": key}]);
    assert!(shop.post("/api/feedback", &row)["RowAffected"].is_number());
}

#[test]
fn what_is_bought_is_learnt_within_two_seconds_and_what_is_left_when_nobody_waits_for_it_any_more() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path(), 3.0);
    let shop = Served::start(folder.path());
    assert_eq!((&policy(&shop)["Learns"], &policy(&shop)["Lessons"]), (&json!(true), &json!(0)));
    let shown = slate(&shop, "tea-lover-1");
    buys(&shop, "tea-lover-1", &shown[3], "first");
    let (told, took) = until(&shop, "one lesson", 5, |told| told["Lessons"] == 1);
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert!(told["Version"].as_str().unwrap().ends_with("@1"), "{told}");
    // Sent again it is no lesson; the nine that were left are.
    buys(&shop, "tea-lover-1", &shown[3], "first");
    buys(&shop, "tea-lover-1", &shown[3], "second");
    let (told, _) = until(&shop, "the slate is closed", 15, |told| told["Lessons"] == 10);
    assert_eq!((told["Curve"][0]["Slates"].as_u64(), told["Curve"][0]["Reward"].as_f64()), (Some(1), Some(1.0)));
    // Late is better than never.
    buys(&shop, "tea-lover-1", &shown[5], "late");
    until(&shop, "the late one counts", 5, |told| told["Lessons"] == 11);
    // What was not shown is nobody's doing.
    buys(&shop, "tea-lover-1", "bolt-19", "unasked");
    let after = shop.get("/api/dashboard/stats")["NewEvents"].as_i64().unwrap();
    let (told, _) = until(&shop, "it was heard", 5, |told| told["After"].as_i64() >= Some(after));
    assert_eq!(told["Lessons"], 11);
    assert_eq!(replayed(folder.path(), &folder.path().join("store.sqlite"), &told), fingerprint(&told));
}

fn fingerprint(told: &Value) -> (u64, String) {
    (told["Lessons"].as_u64().unwrap(), told["Fingerprint"].as_str().unwrap().to_owned())
}

#[test]
fn a_kept_policy_comes_back_with_one_command_and_after_every_start() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path(), 1.0);
    let shop = Served::start(folder.path());
    let round = |shop: &Served, at: usize| {
        let user = format!("soap-lover-{}", at % 20);
        let shown = slate(shop, &user);
        buys(shop, &user, &shown[at % 10], &format!("round {at}"));
    };
    (0..10).for_each(|at| round(&shop, at));
    until(&shop, "all is learnt", 15, |told| told["Lessons"] == 100);
    let command = |words: &[&str], address: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lingxi"));
        let done = command.arg("policy").args(words).args(["--at", &format!("http://{address}")]).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap())
    };
    assert_eq!(command(&["keep"], &shop.address).0, Some(0));
    let good = policy(&shop);
    let id = good["Kept"][0]["Id"].to_string();
    assert_eq!(good["Kept"][0]["Lessons"], 100, "{good}");
    (10..20).for_each(|at| round(&shop, at));
    until(&shop, "more is learnt", 15, |told| told["Lessons"] == 200);
    let (code, said) = command(&["use", &id], &shop.address);
    assert!(code == Some(0) && said.contains("@100 answers") && said.contains(&format!("gone back to {id}")), "{said}");
    assert_eq!(policy(&shop)["Version"], good["Version"]);
    // It stays so, and what comes from now on is learnt.
    drop(shop);
    let shop = Served::start(folder.path());
    assert_eq!(policy(&shop)["Version"], good["Version"]);
    round(&shop, 20);
    until(&shop, "it learns on", 15, |told| told["Lessons"] == 110);
    // Wrong numbers are refused in words.
    let (code, said) = command(&["use", "999"], &shop.address);
    assert!(code != Some(0) && said.contains("policy 999 is not kept"), "{said}");
}

#[test]
fn a_policy_that_does_not_learn_says_so() {
    let folder = tempfile::tempdir().unwrap();
    whole::files(folder.path());
    let shop = Served::start(folder.path());
    let told = policy(&shop);
    assert_eq!((&told["Learns"], told["Version"].as_str()), (&json!(false), Some("greedy/1")));
}

#[test]
fn what_was_learnt_goes_on_over_a_build_and_a_policy_of_another_kind_begins_with_all_that_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path(), 1.0);
    let shop = Served::start(folder.path());
    for at in 0..5 {
        let user = format!("tea-lover-{at}");
        let shown = slate(&shop, &user);
        buys(&shop, &user, &shown[at], &format!("{at}"));
    }
    let (before, _) = until(&shop, "all is learnt", 15, |told| told["Lessons"] == 50);
    shop.post("/api/builds", &json!({}));
    let began = Instant::now();
    while shop.get("/api/builds")["Kept"].as_array().unwrap().len() < 2 || !shop.get("/api/builds")["Running"].is_null()
    {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(fingerprint(&policy(&shop)), fingerprint(&before));
    let shown = slate(&shop, "soap-lover-1");
    buys(&shop, "soap-lover-1", &shown[0], "after the build");
    until(&shop, "it learns on", 5, |told| told["Lessons"].as_u64() > Some(50));
    drop(shop);
    let recipe = std::fs::read_to_string(folder.path().join("recipe.toml")).unwrap();
    std::fs::write(folder.path().join("recipe.toml"), recipe.replace("\"thompson\"", "\"ucb\"")).unwrap();
    let shop = Served::start(folder.path());
    let (told, _) = until(&shop, "it reads the store", 15, |told| told["Lessons"] == 60);
    assert!(told["Version"].as_str().unwrap().starts_with("ucb("), "{told}");
}
