//! `lingxi ope` and `lingxi experiment` as a person calls them.

use crate::shop::Server;
use lingxi_decide::PolicyConfig;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

fn lingxi(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lingxi")).args(args).output().unwrap()
}

/// The JSON line of a command, with its shape checked.
fn line(args: &[&str]) -> Value {
    let output = lingxi(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(line["command"] == args[0] && line["name"].is_string() && line["result"].is_object(), "{line}");
    line
}

/// Expects exit code 2, the words, and a next step.
fn refused(args: &[&str], expected: &str) {
    let output = lingxi(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(expected), "{said}");
}

fn write(path: &Path, lines: impl IntoIterator<Item = String>) {
    let mut file = std::fs::File::create(path).unwrap();
    lines.into_iter().for_each(|line| writeln!(file, "{line}").unwrap());
}

/// Decisions of two places by an epsilon-greedy policy with 20 eligible items; explored places are clicked less.
fn decisions(path: &Path, n: usize) {
    let place = |decision: usize, place: usize| {
        let i = decision * 2 + place;
        let explored = i.is_multiple_of(5);
        let clicked = if explored { i.is_multiple_of(25) } else { i.is_multiple_of(4) };
        let share = 0.2 / 20.0;
        let propensity = (if explored { share } else { 0.8 + share }) as f32;
        format!(
            r#"{{"DecisionId":{decision},"Place":{place},"UserId":"u","ItemId":"i","Timestamp":"2026-01-01T00:00:00Z","Score":1.0,"Propensity":{propensity},"Explored":{explored},"Feedback":{},"Policy":"epsilon-greedy(0.2)/1","Snapshot":"s","Seed":"1"}}"#,
            if clicked { r#"["click"]"# } else { "[]" }
        )
    };
    write(path, (0..n).flat_map(|decision| (0..2).map(move |p| place(decision, p))));
}

#[test]
fn a_log_of_decisions_says_what_greedy_and_another_epsilon_would_have_earned() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("decisions.jsonl");
    decisions(&file, 3000);
    let file = file.to_str().unwrap();
    let greedy = line(&["ope", "--decisions", file]);
    let result = &greedy["result"];
    let chosen = result["chosen"].as_str().unwrap();
    let estimates = result["estimates"].as_array().unwrap();
    let value = estimates.iter().find(|e| e["estimator"] == chosen).unwrap()["value"].as_f64().unwrap();
    // Two places, each clicked in about a quarter where nothing was explored.
    assert!((value - 0.5).abs() < 0.05 && value > result["logged"]["value"].as_f64().unwrap(), "{result}");
    let buys = line(&["ope", "--decisions", file, "--reward", "buy"]);
    assert_eq!(buys["result"]["logged"]["value"], 0.0);
    // Uniform over twenty items is hardly ever what an epsilon of 0.2 did.
    let uniform = line(&["ope", "--decisions", file, "--policy", "uniform"]);
    assert!(
        uniform["result"]["refusal"].is_string() && uniform["result"]["estimates"] == serde_json::json!([]),
        "{uniform}"
    );
}

#[test]
fn what_a_server_decided_is_exported_and_evaluated() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with(&dir.path().join("store"), PolicyConfig::EpsilonGreedy { epsilon: 0.5 });
    for i in 0..400 {
        let user = format!("shopper-{}", i % 100);
        let slate = server.slate(&user, 2);
        if i % 100 < 50 {
            server.buy(&user, &slate[0]);
        }
    }
    server.app.store().flush().unwrap();
    let (file, at) = (dir.path().join("decisions.jsonl"), format!("http://{}", server.address()));
    let file = file.to_str().unwrap();
    line(&["export", "decisions", "--out", file, "--at", &at]);
    let greedy = line(&["ope", "--decisions", file, "--reward", "buy"]);
    let result = &greedy["result"];
    assert_eq!(result["overlap"]["rounds"], 400);
    assert!((result["logged"]["value"].as_f64().unwrap() - 0.5).abs() < 0.05, "{result}");
    // The best item stands in both places in about a quarter of the slates, each then four times as much worth.
    assert!((0.7..1.3).contains(&result["overlap"]["mean_weight"].as_f64().unwrap()), "{result}");
    assert!(result["chosen"].is_string() && result["estimates"].as_array().unwrap().len() == 3, "{result}");
}

#[test]
fn a_log_that_cannot_be_asked_is_refused_with_a_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("d.jsonl");
    refused(&["ope"], "expected one log");
    refused(&["ope", "--decisions", "nowhere.jsonl"], "cannot read nowhere.jsonl");
    write(&file, ["{}".to_owned()]);
    refused(&["ope", "--decisions", file.to_str().unwrap()], "d.jsonl:1: expected a place of a decision");
    let place = r#"{"DecisionId":1,"Propensity":0.4,"Explored":true,"Feedback":[],"Policy":"softmax(0.1)/1"}"#;
    write(&file, [place.to_owned()]);
    let uniform = ["ope", "--decisions", file.to_str().unwrap(), "--policy", "uniform"];
    refused(&uniform, "does not tell how many items were eligible");
    refused(&["ope", "--synthetic", "--runs", "0"], "expected a run");
}

#[test]
fn made_up_logs_are_covered_and_the_rule_is_stated() {
    let line = line(&["ope", "--synthetic", "--runs", "24", "--rounds", "2000"]);
    let result = &line["result"];
    // At 95% fewer than 20 of 24 would happen once in 200 times.
    assert!(result["chosen"]["covered"].as_u64().unwrap() >= 20, "{result}");
    assert!(result["rule"].as_str().unwrap().contains("mean squared error"), "{result}");
}

#[test]
fn a_test_is_planned_dealt_and_analysed() {
    let plan = line(&["experiment", "plan", "--mean", "0.05", "--lift", "0.1", "--daily", "2000"]);
    assert_eq!(plan["result"]["one_look"]["shoppers"], 59_652);
    refused(&["experiment", "plan", "--mean", "0", "--lift", "0.1", "--daily", "2000"], "mean: expected");

    let dir = tempfile::tempdir().unwrap();
    let toml = dir.path().join("experiments.toml");
    let arms = r#"arms = [{ name = "control", weight = 1 }, { name = "new", weight = 1 }]"#;
    write(&toml, [format!("[[experiment]]\nname = \"explore\"\nlayer = \"ranking\"\n{arms}")]);
    let users: Vec<String> = (0..2000).map(|i| format!("u{i}")).collect();
    let mut args = vec!["experiment", "assign", "--experiments", toml.to_str().unwrap()];
    args.extend(users.iter().map(String::as_str));
    let dealt = line(&args);
    let rows = dir.path().join("rows.csv");
    let row = |(i, user): (usize, &Value)| {
        let (name, arm) = (user["user"].as_str().unwrap(), user["arms"]["explore"].as_str().unwrap());
        let before = (i * 7 % 11) as f64;
        let value = before + (i * 13 % 7) as f64 / 3.0 - if arm == "new" { 1.5 } else { 0.0 };
        format!("{name},{arm},{value},{before}")
    };
    let lines = dealt["result"]["users"].as_array().unwrap().iter().enumerate().map(row);
    // One more, seen in both arms.
    let crossed = ["x,control,1,1", "x,new,1,1"].map(str::to_owned);
    write(&rows, std::iter::once("user,arm,value,before".to_owned()).chain(lines).chain(crossed));
    let file = rows.to_str().unwrap();
    let analysis = line(&["experiment", "analyse", file, "--control", "control"]);
    let result = &analysis["result"];
    assert!(result["ratio"]["sound"] == true && result["crossed"] == 1, "{result}");
    let comparison = &result["comparisons"][0];
    assert_eq!(comparison["verdict"]["verdict"], "stop", "{comparison}");
    assert!((comparison["difference"].as_f64().unwrap() + 1.5).abs() < 0.15, "{comparison}");
    assert!(comparison["variance_saved"].as_f64().unwrap() > 0.5, "{comparison}");
    let tolerant = line(&["experiment", "analyse", file, "--control", "control", "--guard", "0.9"]);
    assert_eq!(tolerant["result"]["comparisons"][0]["verdict"]["verdict"], "continue");
    refused(&["experiment", "analyse", file, "--control", "old"], "expected one of the arms control, new");
    refused(&["experiment", "analyse", toml.to_str().unwrap()], "experiments.toml:1: expected a JSON object");
}

#[test]
fn a_test_of_nothing_is_called_no_more_often_than_promised() {
    let line = line(&["experiment", "aa", "--runs", "60", "--users", "1500"]);
    for called in line["result"]["called"].as_array().unwrap() {
        assert!(called["always_valid"].as_u64().unwrap() <= 9 && called["peeked"].as_u64().unwrap() >= 6, "{called}");
    }
    refused(&["experiment", "aa", "--users", "10"], "800 shoppers");
}

#[test]
fn the_effect_of_being_recommended_is_read_from_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log.csv");
    // Shoppers with liking 1 are recommended three times in four and buy more anyway; being recommended adds 2.
    let row = |i: usize| {
        let liking = i % 2;
        let treated = usize::from(if liking == 1 { i % 8 != 1 } else { i.is_multiple_of(8) });
        format!(
            "{treated},{},{liking},{}",
            3 * liking + 2 * treated + i % 3,
            if i.is_multiple_of(3) { "new" } else { "old" }
        )
    };
    write(&file, std::iter::once("treated,outcome,liking,group".to_owned()).chain((0..2400).map(row)));
    let line = line(&["experiment", "effect", file.to_str().unwrap()]);
    let average = &line["result"]["average"];
    assert!((average["effect"]["value"].as_f64().unwrap() - 2.0).abs() < 0.1, "{average}");
    assert!(average["naive"].as_f64().unwrap() > 3.0, "{average}");
    assert_eq!(line["result"]["groups"].as_array().unwrap().len(), 2);
    refused(&["experiment", "effect", "nowhere.csv"], "cannot read nowhere.csv");
}

#[test]
fn the_published_open_bandit_table_is_reproduced_within_its_spread() {
    if std::env::var("LINGXI_SLOW").as_deref() != Ok("1") {
        eprintln!("SKIPPED: set LINGXI_SLOW=1 to fetch the Open Bandit sample and reproduce its table");
        return;
    }
    let line = line(&["ope", "--data", "obp"]);
    assert_eq!(line["result"]["within_published"], true, "{line}");
    let others = line["others"].as_array().unwrap();
    assert_eq!(others.iter().filter(|row| row["kind"] == "published").count(), 7);
    // Our policy by replay beside the shop's: the uniform log had 38 clicks, Thompson's own 42.
    let replay = others.iter().find(|row| row["kind"] == "replay").unwrap();
    assert_eq!(replay["uniform"]["value"], 0.0038);
    assert_eq!(replay["thompson"]["value"], 0.0042);
    let interval: Vec<f64> = replay["bootstrap"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    let value = replay["ours"]["value"].as_f64().unwrap();
    assert!(interval[0] < value && value < interval[1] && replay["refusal"].is_null(), "{replay}");
    assert!((0.9..1.1).contains(&replay["overlap"]["mean_weight"].as_f64().unwrap()), "{replay}");
}

#[test]
fn chances_of_ones_own_are_evaluated_on_the_open_bandit_log() {
    if std::env::var("LINGXI_SLOW").as_deref() != Ok("1") {
        eprintln!("SKIPPED: set LINGXI_SLOW=1 to fetch the Open Bandit sample and evaluate a policy on it");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("uniform.csv");
    let cells = (1..=3).flat_map(|position| (0..80).map(move |item| format!("{position},{item},0.0125")));
    write(&file, std::iter::once("position,item,chance".to_owned()).chain(cells));
    let file = file.to_str().unwrap();
    // The log is of the uniform policy: it is worth what it earned, 38 clicks in 10,000.
    let line = line(&["ope", "--data", "obp", "--chances", file]);
    let estimates = line["result"]["estimates"].as_array().unwrap();
    let snips = estimates.iter().find(|estimate| estimate["estimator"] == "snips").unwrap();
    assert!((snips["value"].as_f64().unwrap() - 0.0038).abs() < 1e-9, "{snips}");
    write(Path::new(file), ["position,item,chance".to_owned(), "4,0,1".to_owned()]);
    refused(&["ope", "--data", "obp", "--chances", file], "position 4, item 0");
}
