//! `lingxi tune` as a person calls it: trials on validation, a kill in the middle, the winner as a recipe.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const RECIPE: &str = r#"name = "corner"
[[data.events]]
path = "events.csv"
kind = "buy"
columns = { user = "who", item = "what", at = "when" }
[content]
encoder = ""
[split]
by = "leave_one_out"
[models]
popularity = {}
item = [{ l2 = 1000.0, history = { decay = 1.0 } }]
[search]
method = "METHOD"
trials = 40
[search.space]
"models.item.0.l2" = { from = 0.1, to = 1000, scale = "log" }
"models.item.0.history.decay" = { from = 0.1, to = 1.0 }
"blend.k" = { choice = [10] }
"#;

/// Shoppers who walk along the goods, one after the other: what comes next depends on what came last.
fn shop(folder: &Path, method: &str) -> String {
    let walk = |user: usize| {
        (0..10).map(move |step| {
            let item = (user * 7 + step + user * step % 3) % 40;
            format!("u{user},i{item},{}\n", 1_700_000_000 + step * 3600 + user)
        })
    };
    let events: String = std::iter::once("who,what,when\n".to_owned()).chain((0..120).flat_map(walk)).collect();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("events.csv"), events).unwrap();
    let recipe = folder.join("corner.toml");
    std::fs::write(&recipe, RECIPE.replace("METHOD", method)).unwrap();
    recipe.to_str().unwrap().to_owned()
}

fn command(cache: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lingxi"));
    command.args(args).env("LINGXI_CACHE", cache);
    command
}

fn line(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// What does not depend on the clock.
fn trials(line: &Value) -> Vec<(Value, Value, Value)> {
    let row = |of: &Value| (of["trial"].clone(), of["values"].clone(), of["metrics"].clone());
    std::iter::once(&line["result"]).chain(line["others"].as_array().unwrap()).map(row).collect()
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[test]
fn a_search_that_is_killed_goes_on_and_its_winner_is_a_recipe_that_does_better() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let (killed, whole) = (dir.path().join("killed"), dir.path().join("whole"));
    let (recipe, same) = (shop(&killed, "tpe"), shop(&whole, "tpe"));
    let mut child = command(&cache, &["tune", &recipe, "--json"]).stdout(Stdio::null()).spawn().unwrap();
    let (kept, started) = (killed.join("corner.trials.jsonl"), Instant::now());
    while lines(&kept) < 4 && started.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = lines(&kept);
    assert!((4..41).contains(&before), "killed after {before} lines");
    let after = line(&command(&cache, &["tune", &recipe, "--json"]).output().unwrap());
    assert_eq!(lines(&kept), 41);
    let never = line(&command(&cache, &["tune", &same, "--json"]).output().unwrap());
    assert_eq!(trials(&after), trials(&never));

    let best = never["result"]["metrics"]["ndcg@10"].as_f64().unwrap();
    assert!(trials(&never).windows(2).all(|pair| pair[0].2["ndcg@10"].as_f64() >= pair[1].2["ndcg@10"].as_f64()));
    assert_eq!((&never["result"]["split"], never["others"].as_array().unwrap().len()), (&Value::from("valid"), 39));
    // The winner is a recipe: on the test part, which nothing has seen, it does better than where the search began.
    let winner = never["result"]["recipe"].as_str().unwrap();
    let measure = |recipe: &str| {
        let data = whole.to_str().unwrap();
        let output = command(&cache, &["evaluate", "--recipe", recipe, "--data", data, "--json"]).output().unwrap();
        line(&output)["result"]["metrics"]["ndcg@10"].as_f64().unwrap()
    };
    let (tuned, written) = (measure(winner), measure(&same));
    println!("best on validation {best:.4}; on test {tuned:.4}, as written {written:.4}");
    assert!(tuned > written, "{tuned} tuned, {written} as written");
    assert!(!std::fs::read_to_string(winner).unwrap().contains("[search"));
}

#[test]
fn halving_gives_most_settings_a_share_of_the_shoppers_and_the_best_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = shop(dir.path(), "halving");
    let cache = dir.path().join("cache");
    let output = command(&cache, &["tune", &recipe, "--trials", "9"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("ndcg@10"), "{said} {}", String::from_utf8_lossy(&output.stderr));
    let kept = std::fs::read_to_string(dir.path().join("corner.trials.jsonl")).unwrap();
    let of = |share: &str| kept.lines().filter(|line| line.contains(&format!("\"share\":{share}"))).count();
    assert_eq!((of("0.1111111111111111}"), of("0.3333333333333333}"), of("1.0}")), (9, 3, 1), "{kept}");
}

#[test]
fn a_search_that_does_not_fit_its_recipe_is_refused_before_anything_is_tried() {
    let dir = tempfile::tempdir().unwrap();
    let (recipe, cache) = (shop(dir.path(), "random"), dir.path().join("cache"));
    let refused = |from: &str, to: &str, expected: &str| {
        let text = RECIPE.replace("METHOD", "random");
        assert!(text.contains(from));
        std::fs::write(&recipe, text.replace(from, to)).unwrap();
        let output = command(&cache, &["tune", &recipe]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(expected), "{expected} in {said}");
        assert!(!dir.path().join("corner.trials.jsonl").exists());
    };
    refused("item.0.l2\"", "item.0.l3\"", "unknown field `l3`");
    refused("item.0.l2\"", "item.1.l2\"", "expected a place below 1 in this list, got \"1\"");
    refused(
        "models.item.0.l2\" = { from = 0.1, to = 1000",
        "evaluate.valid_share\" = { from = 0.1, to = 0.2",
        "expected settings of models and blend",
    );
    refused("from = 0.1, to = 1000", "from = 10, to = 1", "expected from below to");
    refused("trials = 40", "trials = 0", "search.trials: expected 1 to 10000, got 0");
    refused("\"random\"", "\"grid\"", "unknown variant `grid`");
    let output = command(&cache, &["tune", &recipe, "--data", "/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
