//! `lingxi finetune` as a person types it, with the real encoder: skipped aloud where its weights are not.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Assets as they are, everything that is made in a folder of the test.
fn cache(of: &Path) -> Option<PathBuf> {
    let real = std::env::var_os("LINGXI_CACHE").map(PathBuf::from);
    let real = real.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/lingxi")))?;
    let model = real.join("assets/all-MiniLM-L6-v2");
    if !model.is_dir() {
        println!("SKIPPED: no {}; run `lingxi assets fetch all-MiniLM-L6-v2`", model.display());
        return None;
    }
    let cache = of.join("cache");
    std::fs::create_dir_all(cache.join("assets")).unwrap();
    std::os::unix::fs::symlink(&model, cache.join("assets/all-MiniLM-L6-v2")).unwrap();
    Some(cache)
}

fn recipe(dir: &Path, more: &str) -> PathBuf {
    let kinds = [
        ("tea", ["green tea", "black tea", "a cup of oolong", "tea leaves"]),
        ("soap", ["hand soap", "soap bar", "wash my hands", "bath foam"]),
    ];
    let rows = |prefix: &str| -> String {
        kinds.iter().flat_map(|(kind, texts)| texts.iter().map(move |t| format!("{prefix} {t}\t{kind}\n"))).collect()
    };
    std::fs::write(
        dir.join("train.tsv"),
        format!("text\tlabel\n{}{}{}", rows("buy"), rows("where is"), rows("price of")),
    )
    .unwrap();
    std::fs::write(dir.join("test.tsv"), format!("text\tlabel\n{}", rows("do you have"))).unwrap();
    let path = dir.join("recipe.toml");
    let text = format!(
        "name = \"drawer\"\n[data]\ntrain = [\"train.tsv\"]\ntest = [\"test.tsv\"]\nvalid_share = 0.25\n[tuning]\n\
         strategy = {{ lora = {{}} }}\nhead = {{ classification = {{}} }}\n[tuning.training]\nbatch = 4\n{more}"
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn command(recipe: &Path, data: &Path, cache: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lingxi"));
    command.arg("finetune").arg("--json").arg("--recipe").arg(recipe).arg("--data").arg(data);
    command.env("LINGXI_CACHE", cache);
    command
}

fn line(out: &Output) -> Value {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(out.stdout.split(|b| *b == b'\n').rfind(|line| !line.is_empty()).unwrap()).unwrap()
}

/// The losses of the run in a cache, by step.
fn losses(cache: &Path) -> Vec<f64> {
    let folder = std::fs::read_dir(cache.join("tuned")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64().unwrap()).collect()
}

#[test]
fn a_drawer_of_texts_is_learned_measured_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let Some(cache) = cache(dir.path()) else { return };
    let recipe = recipe(dir.path(), "epochs = 12\nlearning_rate = 1e-3\n[distil]\nlayers = [0, 3]\n[prune]\n");
    let first = line(&command(&recipe, dir.path(), &cache).output().unwrap());
    let result = &first["result"];
    assert_eq!(result["cases"], 8, "{first}");
    assert!(result["metrics"]["accuracy"].as_f64().unwrap() > 0.6, "{first}");
    assert!(result["seconds"].as_f64().unwrap() > 0.0 && result["trained"].as_u64().unwrap() > 10_000, "{first}");
    let others: Vec<&str> =
        first["others"].as_array().unwrap().iter().filter_map(|row| row["model"].as_str()).collect();
    for part in ["mistyped", "student of 2 layers", "2 heads a layer silenced", "30% of weights zero", "in bytes"] {
        assert!(others.iter().any(|name| name.contains(part)), "{part} in {others:?}");
    }
    let in_bytes = first["others"].as_array().unwrap().iter().find(|row| row["model"] == "LoRA, in bytes").unwrap();
    assert!(in_bytes["matrix_bytes"].as_f64().unwrap() < 0.3 * result["matrix_bytes"].as_f64().unwrap(), "{first}");
    // Asked again, it is read back and says the same.
    let again = line(&command(&recipe, dir.path(), &cache).output().unwrap());
    assert_eq!(again["result"]["seconds"], 0.0);
    assert_eq!(again["result"]["metrics"], result["metrics"]);
}

#[test]
fn a_run_that_is_killed_goes_on_and_takes_the_steps_of_one_that_was_not() {
    let (calm, hurt) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (Some(whole), Some(cut)) = (cache(calm.path()), cache(hurt.path())) else { return };
    let more = "epochs = 40\nlearning_rate = 1e-4\npatience = 100\n";
    let expected = line(&command(&recipe(calm.path(), more), calm.path(), &whole).output().unwrap());
    let recipe = recipe(hurt.path(), more);
    let mut child = command(&recipe, hurt.path(), &cut).stdout(Stdio::null()).spawn().unwrap();
    let (until, tuned) = (Instant::now() + Duration::from_secs(60), cut.join("tuned"));
    let begun = || {
        tuned.is_dir()
            && std::fs::read_dir(&tuned).unwrap().flatten().any(|f| f.path().join("checkpoint.safetensors").exists())
    };
    while !begun() {
        assert!(Instant::now() < until, "no checkpoint within a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let got = line(&command(&recipe, hurt.path(), &cut).output().unwrap());
    let (want, have) = (losses(&whole), losses(&cut));
    assert_eq!(want.len(), have.len());
    for (step, (want, have)) in want.iter().zip(&have).enumerate() {
        assert!((want - have).abs() < 1e-5, "step {}: {want} and {have}", step + 1);
    }
    assert_eq!(got["result"]["metrics"], expected["result"]["metrics"]);
}

#[test]
fn a_recipe_that_cannot_be_learned_is_refused_with_the_key_and_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let Some(cache) = cache(dir.path()) else { return };
    for (more, said) in [
        ("epochs = 0\n", &["training.epochs", "at least 1"][..]),
        ("epoch = 3\n", &["epoch", "unknown field"]),
        ("[distil]\nlayers = [9]\n", &["distil.layers", "0 to 5"]),
        ("[wording]\nsynonyms = \"nowhere.txt\"\naugment = {}\n", &["nowhere.txt"]),
    ] {
        let recipe = recipe(dir.path(), &format!("learning_rate = 1e-4\n{more}"));
        let mut text = std::fs::read_to_string(&recipe).unwrap();
        if !more.contains("epochs") {
            text = text.replace("batch = 4", "batch = 4\nepochs = 1");
        }
        std::fs::write(&recipe, text).unwrap();
        let out = command(&recipe, dir.path(), &cache).output().unwrap();
        let err = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{more}: {err}");
        said.iter().for_each(|said| assert!(err.contains(said), "{said} in {err}"));
    }
    let out = command(Path::new("nowhere"), dir.path(), &cache).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stderr).contains("clinc150"));
}
