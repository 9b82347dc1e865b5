//! `lingxi simulate` as a person types it.

use crate::whole::files;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn simulate(args: &[&str], data: &Path) -> Output {
    let program = env!("CARGO_BIN_EXE_lingxi");
    Command::new(program).arg("simulate").args(args).arg("--data").arg(data).output().unwrap()
}

#[test]
fn goods_without_text_have_no_interests_to_find_and_the_message_says_so() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let recipe = folder.path().join("recipe.toml");
    let out = simulate(&["corner-shop", "--recipe", recipe.to_str().unwrap()], folder.path());
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("no text") && said.contains("encoder"), "{said}");
}

#[test]
fn an_unknown_shop_or_an_absurd_number_is_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let absurd = [&["scientific", "--decisions", "0"], &["scientific", "--places", "1000"]];
    let unknown = &["scientific", "--policies", "magic"];
    let no_policy = &["scientific", "--policy", "{\"kind\":\"magic\"}"];
    for args in absurd.iter().map(|args| &args[..]).chain([&["nowhere"][..], unknown, no_policy]) {
        let out = simulate(args, folder.path());
        assert_eq!(out.status.code(), Some(2), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn policies_are_compared_on_a_real_log_with_intervals_and_curves() {
    let data = std::env::var_os("LINGXI_DATA").map(|data| Path::new(&data).to_owned());
    let Some(data) = data.filter(|_| std::env::var_os("LINGXI_SLOW").is_some()) else {
        eprintln!("SKIPPED: set LINGXI_SLOW=1 and LINGXI_DATA to play policies against simulated shoppers");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("curves.svg");
    let args = ["scientific", "--decisions", "2000", "--shoppers", "300", "--json", "--svg", svg.to_str().unwrap()];
    let out = simulate(&args, &data);
    let text = String::from_utf8_lossy(&out.stdout);
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&line["command"], &line["name"]), (&"simulate".into(), &"scientific".into()));
    let arms: Vec<&Value> = line["others"].as_array().unwrap().iter().filter(|row| row["kind"] == "policy").collect();
    let reward = |name: &str| {
        let arm = arms.iter().find(|arm| arm["model"] == name).unwrap();
        assert!(!arm["curve"].as_array().unwrap().is_empty());
        arm["interval"]["reward"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert!(reward("greedy")[0] > reward("random")[1], "the score must be worth something");
    assert!(std::fs::read_to_string(svg).unwrap().ends_with("</svg>\n"));
}

#[test]
fn fairness_is_measured_as_what_it_costs_and_degrees_of_interest_as_what_came_of_them() {
    let data = std::env::var_os("LINGXI_DATA").map(|data| Path::new(&data).to_owned());
    let Some(data) = data.filter(|_| std::env::var_os("LINGXI_SLOW").is_some()) else {
        eprintln!("SKIPPED: set LINGXI_SLOW=1 and LINGXI_DATA to measure what fairness costs");
        return;
    };
    let out = simulate(&["scientific", "--tradeoff", "--decisions", "4000", "--shoppers", "300", "--json"], &data);
    let text = String::from_utf8_lossy(&out.stdout);
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let others = line["others"].as_array().unwrap();
    let gap = |name: &str| {
        let arm = others.iter().find(|row| row["model"] == name).unwrap();
        assert_eq!(arm["base"], "lin-ucb");
        arm["metrics"]["seller_gap"].as_f64().unwrap()
    };
    let gaps = ["lin-ucb", "lin-ucb + sellers 0.5", "lin-ucb + sellers 2"].map(gap);
    assert!(gaps[0] > gaps[1] && gaps[1] > gaps[2], "{gaps:?}");
    let interests = others.iter().find(|row| row["kind"] == "interests").unwrap();
    let number = |path: &str| interests.pointer(path).unwrap().as_f64().unwrap();
    assert!(number("/metrics/degrees/error") < number("/metrics/shares/error"), "{interests}");
    assert!(number("/metrics/log_likelihood/0") > number("/metrics/log_likelihood/1"), "{interests}");
}
