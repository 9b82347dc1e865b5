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
    // A layer behind pooling is one more part that must come back as it was.
    let recipe = |dir: &Path| {
        let path = recipe(dir, more);
        let text = std::fs::read_to_string(&path).unwrap();
        of(&path, &text.replace("[tuning]\n", "[tuning]\ndense = \"whitened\"\n"))
    };
    let expected = line(&command(&recipe(calm.path()), calm.path(), &whole).output().unwrap());
    let recipe = recipe(hurt.path());
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

fn of(file: &Path, text: &str) -> PathBuf {
    std::fs::write(file, text).unwrap();
    file.to_owned()
}

fn run(dir: &Path, cache: &Path, recipe: &str, more: &[&str]) -> Value {
    let recipe = of(&dir.join("recipe.toml"), recipe);
    line(&command(&recipe, dir, cache).args(more).output().unwrap())
}

#[test]
fn judged_pairs_are_learned_by_query_and_the_encoder_as_it_was_orders_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let Some(cache) = cache(dir.path()) else { return };
    let goods = [("tea", "green tea"), ("soap", "hand soap"), ("pen", "a pen to write"), ("cup", "a cup to drink")];
    let mut rows = "query\tproduct\tgrade\n".to_owned();
    for (kind, text) in goods {
        for (other, title) in goods {
            rows += &format!("{text}\ta box of {title}\t{}\n", if kind == other { 3 } else { 0 });
        }
    }
    of(&dir.path().join("pairs.tsv"), &rows);
    let recipe = "name = 'shelf'\nfolds = 2\n[pairs]\nfiles = ['pairs.tsv']\nquery = 'query'\nproduct = 'product'\n\
        grade = 'grade'\n[ranking]\nways = [0.5, 1.0]\nheld_out = 0.5\n[tuning]\nstrategy = { top = 1 }\n\
        head = { pairwise = {} }\n[tuning.training]\nepochs = 2\nbatch = 2\nlearning_rate = 1e-5\n";
    let said = run(dir.path(), &cache, recipe, &[]);
    let result = &said["result"];
    assert_eq!((&result["cases"], &result["split"]), (&4.into(), &"folds".into()), "{said}");
    assert!(result["metrics"]["ndcg@10"].as_f64().unwrap() > 0.9 && result["gained"]["cases"] == 4, "{said}");
    assert_eq!(said["others"][0]["model"], "the encoder as it was");
    assert!(Path::new(result["kept"][0].as_str().unwrap()).join("model.safetensors").is_file(), "{said}");
}

#[test]
fn judged_queries_search_the_whole_catalogue_and_the_order_of_the_judged_ones_stands_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(cache) = cache(dir.path()) else { return };
    let titles = ["green tea", "hand soap", "a pen to write", "a cup to drink"];
    // Nobody judged the second of each kind, which lies as near.
    let product = |(at, title): (usize, &&str)| format!("{at}\ta box of {title}\n1{at}\t{title}\n");
    let products: String = titles.iter().enumerate().map(product).collect();
    of(&dir.path().join("products.tsv"), &format!("id\ttitle\n{products}"));
    let judged: String = titles.iter().enumerate().map(|(at, title)| format!("{title}\t{at}\t1\n")).collect();
    of(&dir.path().join("judged.tsv"), &format!("query\tproduct\tgrade\n{judged}"));
    let recipe = "name = 'shelf'\nfolds = 2\n[pairs]\nfiles = ['judged.tsv']\nquery = 'query'\nproduct = 'product'\n\
        grade = 'grade'\nproducts = { path = 'products.tsv', id = 'id', text = ['title'] }\n[ranking]\nsearch = true\n\
        mined = 2\nways = [0.0, 1.0]\nheld_out = 0.5\n[tuning]\nstrategy = 'head'\ndense = 'identity'\n\
        head = { info_nce = {} }\n[tuning.training]\nepochs = 2\nbatch = 2\nlearning_rate = 1e-3\n";
    let said = run(dir.path(), &cache, recipe, &[]);
    let (result, others) = (&said["result"], &said["others"]);
    let figure = |of: &Value| of["metrics"]["ndcg@10"].as_f64().unwrap();
    assert!(result["protocol"].as_str().unwrap().contains("search of the whole catalogue"), "{said}");
    assert_eq!(others[0]["model"], "the encoder as it was", "{said}");
    // The unjudged twin comes first in the catalogue; among the judged alone the one product is found.
    assert!(figure(&others[0]) < 0.9 && figure(&others[2]) > 0.99, "{said}");
    assert!(others[1]["protocol"].as_str().unwrap().contains("judged for each query"), "{said}");
}

#[test]
fn numbers_are_learned_on_folds_and_compared_with_their_mean() {
    let dir = tempfile::tempdir().unwrap();
    let Some(cache) = cache(dir.path()) else { return };
    let rows = (0..30).map(|i| format!("{} {i}\t{}\n", ["cheap pen", "dear watch"][i % 2], 100 + 900 * (i % 2)));
    of(&dir.path().join("prices.tsv"), &format!("text\tlabel\n{}", rows.collect::<String>()));
    let recipe = "name = 'prices'\nfolds = 3\n[data]\ntrain = ['prices.tsv']\nvalid_share = 0.2\n[tuning]\n\
        strategy = 'head'\nhead = 'regression'\n[tuning.training]\nepochs = 60\nbatch = 4\nlearning_rate = 3e-2\n\
        optimiser = 'sgd'\nmomentum = 0.5\n";
    let said = run(dir.path(), &cache, recipe, &[]);
    let error = |row: &Value| row["metrics"]["rmse"].as_f64().unwrap();
    assert_eq!(said["others"][0]["model"], "mean of training");
    assert!((400.0..500.0).contains(&error(&said["others"][0])) && error(&said["result"]) < 250.0, "{said}");
}

#[test]
fn texts_without_a_label_are_read_labelled_by_a_teacher_and_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let Some(cache) = cache(dir.path()) else { return };
    let more = "epochs = 4\nlearning_rate = 1e-3\n[pretrain]\nstrategy = { top = 1 }\n[pretrain.training]\nepochs = 1\nbatch = 4\n\
        [pseudo]\nthreshold = 0.5\n[active]\nrounds = 2\nbatch = 2\n";
    let path = recipe(dir.path(), more);
    let text = std::fs::read_to_string(&path).unwrap().replace("valid_share", "each = 4\nvalid_share");
    let said = run(dir.path(), &cache, &text, &[]);
    let others: Vec<&str> = said["others"].as_array().unwrap().iter().filter_map(|row| row["model"].as_str()).collect();
    for part in ["10 labels at random", "6 labels", "teacher"] {
        assert!(others.contains(&part), "{part} in {others:?}");
    }
    assert!(said["result"]["metrics"]["accuracy"].as_f64().unwrap() > 0.6, "{said}");
    // Where nobody knows the class, a person is asked.
    of(&dir.path().join("new.tsv"), "text\nwhere do I wash\nI am thirsty\nhello\n");
    let asking = text.replace("each = 4", "unlabelled = [\"new.tsv\"]").replace("[pseudo]\nthreshold = 0.5\n", "");
    let said = run(dir.path(), &cache, &asking, &[]);
    assert_eq!(said["result"]["to_label"].as_array().unwrap().len(), 2, "{said}");
}

#[test]
fn strategies_are_compared_each_in_a_process_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let Some(cache) = cache(dir.path()) else { return };
    let more = "epochs = 4\nlearning_rate = 1e-3\n[compare]\nepochs = 2\nthen = \"THEN\"\nstrategies = [{ strategy = \"head\", \
        learning_rate = 1e-3 }, { strategy = { prefix = { length = 2 } }, learning_rate = 1e-2 }]\n";
    let path = recipe(dir.path(), more);
    let text = std::fs::read_to_string(&path).unwrap();
    let then = of(&dir.path().join("then.toml"), &text.split("[compare]").next().unwrap().replace("drawer", "second"));
    let said = run(dir.path(), &cache, &text.replace("THEN", then.to_str().unwrap()), &["--strategies"]);
    let rows = said["others"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{said}");
    for row in rows {
        assert!(row["peak_bytes"].as_u64().unwrap() > 100_000_000 && row["trained"].as_u64().unwrap() > 0, "{row}");
        for figure in [&row["metrics"], &row["mistyped"]["metrics"], &row["then"]["second"]["metrics"]] {
            assert!(figure["accuracy"].as_f64().is_some(), "{row}");
        }
    }
    // A head alone leaves the encoder as it was, so nothing is forgotten.
    assert_eq!(rows[0]["then"]["first"]["metrics"]["accuracy"], rows[0]["metrics"]["accuracy"], "{said}");
}

#[test]
fn a_recipe_whose_parts_do_not_fit_is_refused_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let Some(cache) = cache(dir.path()) else { return };
    let text = std::fs::read_to_string(recipe(dir.path(), "epochs = 1\n")).unwrap();
    for (from, to, said) in [
        ("head = { classification = {} }", "head = 'regression'", "finite number"),
        ("{ classification = {} }", "{ pairwise = {} }", "files of judged pairs"),
        ("epochs = 1", "epochs = 1\n[active]\nbatch = 0", "active.batch"),
        ("epochs = 1", "epochs = 1\n[pseudo]\nthreshold = 2.0", "pseudo.threshold"),
        ("epochs = 1", "epochs = 1\nmomentum = 0.9", "training.momentum"),
        ("[data]", "folds = 1\n[data]", "folds"),
        ("[data]", "[ranking]\nways = []\n[data]", "ranking.ways"),
    ] {
        let recipe = of(&dir.path().join("recipe.toml"), &text.replace(from, to));
        let out = command(&recipe, dir.path(), &cache).output().unwrap();
        let err = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(2) && err.contains(said), "{said} in {err}");
    }
}
