//! `lingxi ingest` as its users meet it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const RECIPE: &str =
    "name = \"shop\"\n[[data.events]]\npath = \"log.csv\"\nkind = \"buy\"\n[data.items]\npath = \"goods.csv\"\n";
const GOODS: &str = "item_id,title,category\na,Green tea,Drinks\nb,Black tea,Drinks\n";
const LOG: &str = "user_id,item_id,timestamp\nu1,a,1700000000\nu1,b,1700000100\nu2,a,soon\nu2,b,1700000200\nu3,a,1700000300\n\
                   u3,b,1700000400\nu4,a,1700000500\nu4,b,1700000600\nu5,a,1700000700\nu5,b,1700000800\nu6,b,1700000900\n";

fn write(dir: &Path, files: &[(&str, &str)]) {
    files.iter().for_each(|(name, text)| fs::write(dir.join(name), text).unwrap());
}

fn ingest(dir: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lingxi"));
    command.arg("ingest").arg("--recipe").arg(dir.join("shop.toml")).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn ingest_prints_guesses_and_what_it_dropped() {
    let temp = tempfile::tempdir().unwrap();
    write(temp.path(), &[("shop.toml", RECIPE), ("goods.csv", GOODS), ("log.csv", LOG)]);
    let output = ingest(temp.path(), &[]);
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(stdout.contains("user=user_id?"), "the guess is marked: {stdout}");
    assert!(stdout.contains("log.csv:4"), "the bad time is shown with file and line: {stdout}");
    assert!(stdout.contains("10 events of 6 shoppers on 2 goods in 1 categories"), "{stdout}");
}

#[test]
fn ingest_prints_one_json_line_and_writes_what_it_read() {
    let temp = tempfile::tempdir().unwrap();
    write(temp.path(), &[("shop.toml", RECIPE), ("goods.csv", GOODS), ("log.csv", LOG)]);
    let out = temp.path().join("out");
    let output = ingest(temp.path(), &["--json", "--out", &out.to_string_lossy()]);
    let line: serde_json::Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
    assert_eq!((&line["command"], &line["name"]), (&"ingest".into(), &"shop".into()));
    assert_eq!(line["result"]["events"], 10);
    assert!(text(&output.stderr).is_empty(), "--json shows no progress: {}", text(&output.stderr));
    let stored = lingxi_data::ingest::Ingested::load(&out).unwrap();
    assert_eq!(stored.interactions.len(), 10);
}

#[test]
fn what_a_person_got_wrong_exits_with_two_and_names_the_place() {
    let check = |recipe: &str, log: &str, expected: &str| {
        let temp = tempfile::tempdir().unwrap();
        write(temp.path(), &[("shop.toml", recipe), ("goods.csv", GOODS), ("log.csv", log)]);
        let output = ingest(temp.path(), &[]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        let error = stderr.split_once("error: ").map_or("", |(_, error)| error);
        assert!(error.contains(expected), "expected {expected:?} in {stderr}");
    };
    check("name = \"shop\"\n[[data.events]]\npath = \"log.csv\"\nkindd = \"buy\"\n", LOG, "line 4");
    check("name = \"shop\"\n[[data.events]]\npath = \"nowhere.csv\"\n", LOG, "nowhere.csv");
    check("name = \"shop\"\n", LOG, "data");
    check(RECIPE, "", "log.csv");
    check(RECIPE, "when,what\n1,2\n", "user");
}
