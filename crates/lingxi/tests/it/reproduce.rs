//! `lingxi reproduce` with several seeds and without each part, on a shop whose next good depends on the last one.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const RECIPE: &str = r#"name = "walk"
[[data.events]]
path = "events.csv"
kind = "buy"
columns = { user = "who", item = "what", at = "when" }
[content]
encoder = ""
[split]
by = "leave_one_out"
[evaluate]
masks = ["seen", "nothing"]
[models]
popularity = {}
item = [{ l2 = 1.0, history = { decay = 0.3 } }]
"#;

const PARTS: &str = r#"
[[ablation]]
name = "no recency"
set = { "models.item.0.history.decay" = 1.0 }
[[ablation]]
name = "popularity alone"
without = ["item"]
"#;

fn shop(folder: &Path, parts: &str) {
    let walk = |user: usize| {
        (0..10).map(move |step| format!("u{user},i{},{}\n", (user * 7 + step) % 40, 1_700_000_000 + step * 3600))
    };
    let events: String = std::iter::once("who,what,when\n".to_owned()).chain((0..120).flat_map(walk)).collect();
    std::fs::write(folder.join("events.csv"), events).unwrap();
    std::fs::write(folder.join("walk.toml"), format!("{RECIPE}{parts}")).unwrap();
}

fn reproduce(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lingxi"));
    command.args(["reproduce", "walk", "--recipe"]).arg(folder.join("walk.toml")).arg("--data").arg(folder).args(more);
    command.env("LINGXI_CACHE", folder.join("cache")).output().unwrap()
}

fn line(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn main_figure(report: &Value) -> f64 {
    report["metrics"]["ndcg@10"].as_f64().unwrap()
}

#[test]
fn what_a_part_gives_is_the_whole_less_what_is_left_under_every_protocol() {
    let dir = tempfile::tempdir().unwrap();
    shop(dir.path(), PARTS);
    let line = line(&reproduce(dir.path(), &["--ablation", "--json"]));
    let left = line["others"].as_array().unwrap();
    let names: Vec<&str> = left.iter().map(|row| row["left"].as_str().unwrap()).collect();
    assert_eq!(names, ["no recency", "no recency", "popularity alone", "popularity alone"]);
    for (row, whole) in left.iter().step_by(2).map(|row| (row, main_figure(&line["result"]))) {
        let lost = row["lost"]["difference"].as_f64().unwrap();
        assert!((lost - (whole - main_figure(&row["result"]))).abs() < 1e-9, "{row}");
    }
    let popular = &left[2]["lost"];
    assert!(popular["interval"][0].as_f64().unwrap() > 0.0, "popularity knows nothing of a walk: {popular}");
    assert!(left[2]["result"]["protocol"].as_str().unwrap().contains("seen"));
    assert!(left[3]["result"]["protocol"].as_str().unwrap().contains("nothing masked"));
    let table = reproduce(dir.path(), &["--ablation"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("popularity alone"));
}

#[test]
fn several_seeds_give_their_mean_and_each_seed_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    shop(dir.path(), "");
    let line = line(&reproduce(dir.path(), &["--seeds", "3", "--seed", "4", "--json"]));
    let each: Vec<f64> = line["others"].as_array().unwrap().iter().map(main_figure).collect();
    assert!((main_figure(&line["result"]) - each.iter().sum::<f64>() / 3.0).abs() < 1e-12);
    assert_eq!(line["result"]["seeds"], serde_json::json!([4, 5, 6]));
    assert!(line["result"]["spread"]["ndcg@10"].is_number());
}

#[test]
fn parts_are_asked_for_only_where_the_recipe_names_them() {
    let dir = tempfile::tempdir().unwrap();
    shop(dir.path(), "");
    let output = reproduce(dir.path(), &["--ablation"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("[[ablation]]") && said.contains("try:"), "{said}");
    shop(dir.path(), "[[ablation]]\nname = \"x\"\nwithout = [\"itme\"]\n");
    let output = reproduce(dir.path(), &["--ablation"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("expected a model, got \"itme\""));
}
