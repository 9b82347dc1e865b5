//! `lingxi predict` as a person types it.

use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

const RECIPE: &str = r#"
name = "corner-shop"
[views]
shop = "SHOP"
[views.moments]
horizon_hours = 2.0
[predict]
leaves = [4]
[predict.network]
experts = 2
hidden = 8
tower = 4
copies = 1
training = { epochs = 6, batch = 64, learning_rate = 5e-3 }
"#;

const SHOP: &str = "name = \"corner-shop\"\n[[data.events]]\npath = \"events.csv\"\n[content]\nencoder = \"\"\n";

/// A shop in which an item that was put into the cart is likely to be bought within the hour, and otherwise seldom.
fn shop(folder: &Path) {
    let mut events = String::from("user,item,timestamp,kind\n");
    let mut draw = 12_345u64;
    let mut random = |n: u64| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draw >> 33) % n
    };
    for visit in 0..1_500u64 {
        let (user, item, at) = (random(60), random(25), 1_700_000_000 + visit * 600);
        let carted = random(3) == 0;
        writeln!(events, "u{user},i{item},{},{}", at, if carted { "cart" } else { "view" }).unwrap();
        writeln!(events, "u{user},i{item},{},view", at + 60).unwrap();
        if random(10) < if carted { 7 } else { 1 } {
            writeln!(events, "u{user},i{item},{},buy", at + 120).unwrap();
        }
    }
    std::fs::write(folder.join("events.csv"), events).unwrap();
    std::fs::write(folder.join("shop.toml"), SHOP).unwrap();
    let recipe = RECIPE.replace("SHOP", folder.join("shop.toml").to_str().unwrap());
    std::fs::write(folder.join("predict.toml"), recipe).unwrap();
}

fn predict(folder: &Path, recipe: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lingxi"));
    command.arg("predict").arg("--recipe").arg(folder.join(recipe)).arg("--data").arg(folder).args(more);
    command.env("LINGXI_CACHE", folder.join("cache")).output().unwrap()
}

fn line(out: &Output) -> Value {
    let text = String::from_utf8_lossy(&out.stdout);
    let said = String::from_utf8_lossy(&out.stderr);
    serde_json::from_str(text.lines().last().unwrap_or_else(|| panic!("{said}"))).unwrap()
}

#[test]
fn a_shop_of_any_files_is_foretold_with_intervals_and_a_calibration_error_and_the_rows_can_be_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path());
    let out = folder.path().join("rows");
    let first = line(&predict(folder.path(), "predict.toml", &["--json", "--export", out.to_str().unwrap()]));
    assert_eq!((&first["command"], &first["name"]), (&"predict".into(), &"corner-shop".into()));
    let result = &first["result"];
    let number =
        |path: &str| result.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {result}"));
    assert!(number("/metrics/auc") > 0.7 && number("/interval/auc/0") > 0.6, "{result}");
    assert!(number("/interval/log_loss/0") < number("/metrics/log_loss"));
    assert!(number("/metrics/calibration_error") < 0.1 && number("/rows/test/came") > 10.0, "{result}");
    let mut models: Vec<&str> =
        first["others"].as_array().unwrap().iter().map(|row| row["model"].as_str().unwrap()).collect();
    models.push(result["model"].as_str().unwrap());
    models.sort_unstable();
    assert_eq!(models, ["boosted", "esmm", "logistic", "mean", "mmoe"]);

    let rows = std::fs::read_to_string(out.join("rows.csv")).unwrap();
    let header = rows.lines().next().unwrap();
    assert!(header.starts_with("part,shopper,came,ours,ours_logistic") && header.ends_with("alike_cart"), "{header}");
    let of = |part: &str| rows.lines().filter(|row| row.starts_with(part)).count() as f64;
    assert_eq!(
        ["train", "valid", "test"].map(of),
        ["train", "valid", "test"].map(|part| number(&format!("/rows/{part}/rows")))
    );

    let mut again = line(&predict(folder.path(), "predict.toml", &["--json"]));
    for key in ["seconds", "fit_seconds"] {
        again["result"][key] = result[key].clone();
    }
    assert_eq!(again["result"], *result, "the same seed foretells the same");
}

#[test]
fn what_cannot_be_foretold_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path());
    let refused = |recipe: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(folder.path().join("predict.toml")).unwrap();
        assert!(text.contains(from), "the case must change something");
        std::fs::write(folder.path().join(recipe), text.replace(from, to)).unwrap();
        let out = predict(folder.path(), recipe, &[]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{said}");
        said
    };
    let nothing = refused("a.toml", "horizon_hours = 2.0", "wanted = [\"rate\"]");
    assert!(
        nothing.contains("teach nothing") && nothing.contains("came true") && nothing.contains("try:"),
        "{nothing}"
    );
    assert!(refused("b.toml", "[views.moments]", "facts = \"nowhere.kg\"\n[views.moments]").contains("nowhere.kg"));
    assert!(refused("c.toml", "leaves = [4]", "leafs = 4").contains("leafs"));
    let out = Command::new(env!("CARGO_BIN_EXE_lingxi")).args(["predict", "weather"]).output().unwrap();
    assert!(out.status.code() == Some(2) && String::from_utf8_lossy(&out.stderr).contains("retailrocket"));
}

#[test]
fn purchases_after_views_of_a_real_log_are_foretold_well_and_calibrated() {
    let data = std::env::var_os("LINGXI_DATA").filter(|_| std::env::var_os("LINGXI_SLOW").is_some());
    let Some(data) = data else {
        eprintln!("SKIPPED: set LINGXI_SLOW=1 and LINGXI_DATA to foretell purchases of RetailRocket");
        return;
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_lingxi"));
    let found = line(&command.args(["predict", "retailrocket", "--json", "--data"]).arg(data).output().unwrap());
    let number = |path: &str| found.pointer(path).and_then(Value::as_f64).unwrap();
    assert!(number("/result/interval/auc/0") > 0.7, "{found}");
    let model = |name: &str| found["others"].as_array().unwrap().iter().find(|row| row["model"] == name).cloned();
    let regression = model("logistic").unwrap();
    assert!(number("/result/metrics/log_loss") < regression["metrics"]["log_loss"].as_f64().unwrap());
}
