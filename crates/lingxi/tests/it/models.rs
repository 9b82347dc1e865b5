//! Every model that a recipe can name is fitted as a build fits it, and keeps the laws of a score; so does all that proposes candidates.

use crate::whole::{self, with_encoder};
use lingxi::assets::Cache;
use lingxi::fresh::{Fresh, FreshRecall, FreshScore, stock};
use lingxi::pipeline::{Read, read};
use lingxi::progress::Progress;
use lingxi::recipe::{Models, Recipe};
use lingxi::shelf::Shelf;
use lingxi::sight::NovelRecall;
use lingxi::site::Site;
use lingxi::stages::arrivals::Arrivals;
use lingxi::stages::fit::{Fitted, Lessons, fit};
use lingxi::stages::index::{index, recall};
use lingxi::stages::novel::novel;
use lingxi::store::NewItem;
use lingxi_behaviour::conformance::check_score;
use lingxi_data::{Context, Purpose, Score, UserId};
use lingxi_decide::conformance::check_recall;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

/// Each table of `[models]` with settings for a small shop.
const TABLES: [(&str, &str); 15] = [
    ("popularity", ""),
    ("habit", ""),
    ("item", "l2 = 5.0"),
    ("alignment", "dim = 8\nhidden = 16\nsteps = 20\nbatch = 64\nnegatives = 32"),
    ("sequence", "dim = 8\ninner = 16\nlength = 8\ntraining = { epochs = 2 }"),
    ("trend", ""),
    ("spectral", "rank = 8"),
    ("lightgcn", "dim = 8\ntraining = { epochs = 3 }"),
    ("gcn", "dim = 8\ntraining = { epochs = 3 }"),
    ("gat", "dim = 8\ntraining = { epochs = 3 }"),
    ("joint", "dim = 8\nepochs = 2"),
    ("knowledge", ""),
    ("embedding", "dim = 8\nepochs = 2"),
    (
        "predict",
        "leaves = [4]\ndims = 4\nmoments = { shown = [\"buy\"], wanted = [\"buy\"], step = [], horizon_hours = 1.0 }",
    ),
    ("rating", ""),
];
/// Those that need goods with text, and the one that predicts stars and ranks nothing, so that no recipe has it alone.
const READING: [&str; 2] = ["alignment", "joint"];
const SILENT: [&str; 1] = ["rating"];

/// A shop whose recipe names `tables` alone.
fn shop(folder: &Path, tables: &[(&str, &str)], encoder: &str) -> (Recipe, Site) {
    let bare = whole::RECIPE.split("[models.popularity]").next().unwrap();
    let mut text = bare.replace("encoder = \"\"", &format!("encoder = \"{encoder}\""));
    text = text.replace("title = \"title\"", "title = \"title\"\ntext = [\"title\"]\ncategory = [\"title\"]");
    for (name, settings) in tables {
        let table = if *name == "item" { "[[models.item]]".to_owned() } else { format!("[models.{name}]") };
        writeln!(text, "{table}\n{settings}").unwrap();
    }
    let recipe = Recipe::parse(&text, Path::new("recipe.toml")).unwrap();
    let site = Site {
        data: folder.to_path_buf(),
        cache: folder.join("cache"),
        shelf: Shelf::new(folder.join("cache/artefacts"), false),
        assets: Cache::from_env().unwrap(),
        progress: Progress::silent(),
        seed: 1,
    };
    (recipe, site)
}

/// The models of a recipe on all events of its shop.
fn fitted(recipe: &Recipe, read: &Read, site: &Site) -> Fitted {
    let lessons = Lessons {
        events: &read.shop.data.interactions,
        catalog: &read.shop.data.catalog,
        knowledge: &read.shop.data.knowledge,
        meaning: read.meaning.as_ref(),
        key: read.shop.place.key,
    };
    fit(&recipe.models, recipe.models.item.first(), None, lessons, site).unwrap()
}

/// Some shoppers, and somebody without a past.
fn contexts(read: &Read) -> Vec<Context<'_>> {
    let events = read.shop.data.interactions.for_purpose(Purpose::Training);
    let of = |user: u32| Context { user: Some(UserId(user)), history: events.of(UserId(user)), now: 1_700_100_000 };
    let nobody = Context { user: None, history: Default::default(), now: 1_700_100_000 };
    [0, 17, 60, 90, 119].map(of).into_iter().chain([nobody]).collect()
}

/// Ten minutes after every third purchase the same again: something comes of what is shown.
fn buy_again(folder: &Path) {
    let path = folder.join("events.csv");
    let mut events = std::fs::read_to_string(&path).unwrap();
    let again = |line: &str| {
        let (event, at) = line.rsplit_once(',').unwrap();
        format!("{event},{}\n", at.parse::<u64>().unwrap() + 600)
    };
    let more: String = events.lines().skip(1).step_by(3).map(again).collect();
    events.push_str(&more);
    std::fs::write(path, events).unwrap();
}

#[test]
fn every_model_that_a_recipe_can_name_keeps_the_laws_of_a_score_and_recall_those_of_a_recall() {
    let all = serde_json::to_value(Models::default()).unwrap();
    let known: Vec<&String> = all.as_object().unwrap().keys().collect();
    let missing: Vec<_> = known.iter().filter(|key| !TABLES.iter().any(|(name, _)| name == *key)).collect();
    assert!(missing.is_empty(), "models.{missing:?}: write their settings in TABLES, so that the laws are checked");
    assert_eq!(TABLES.len(), known.len(), "a table that no recipe can name: {known:?}");
    let dir = tempfile::tempdir().unwrap();
    whole::files(dir.path());
    buy_again(dir.path());
    let encoder = if with_encoder(dir.path()) { "all-MiniLM-L6-v2" } else { "" };
    for table in TABLES.iter().filter(|(name, _)| !SILENT.contains(name)) {
        if encoder.is_empty() && READING.contains(&table.0) {
            println!("SKIPPED: models.{} reads text", table.0);
            continue;
        }
        let (recipe, site) = shop(dir.path(), &[*table], encoder);
        let read = read(&recipe, &Arrivals::default(), &site).unwrap();
        let rows = fitted(&recipe, &read, &site).rows();
        assert!(!rows.is_empty(), "models.{}: no model", table.0);
        for row in rows {
            check_score(row.model.as_ref(), &contexts(&read)).unwrap_or_else(|law| panic!("models.{}: {law}", table.0));
        }
    }
    // A network whose items are also what is known of them: another model than without.
    let fed = format!("knowledge = true\n{}", TABLES[4].1);
    let states = ["", "knowledge"].map(|known| {
        let sequence = if known.is_empty() { TABLES[4] } else { ("sequence", fed.as_str()) };
        let (recipe, site) = shop(dir.path(), &[sequence, TABLES[12]], encoder);
        let read = read(&recipe, &Arrivals::default(), &site).unwrap();
        let model = fitted(&recipe, &read, &site).sequence.expect("the recipe names it");
        check_score(model.as_ref(), &contexts(&read)).unwrap_or_else(|law| panic!("sequence and {known:?}: {law}"));
        let mut scores = vec![0.0; read.shop.data.catalog.len()];
        model.score_all(&contexts(&read)[..1], &mut scores);
        scores
    });
    assert_ne!(states[0], states[1], "knowledge reaches the network");
    let (mut recipe, site) = shop(dir.path(), &TABLES[..4], encoder);
    (recipe.serve.novel.places, recipe.serve.novel.clusters) = (1, 6);
    let read = read(&recipe, &Arrivals::default(), &site).unwrap();
    let fitted = fitted(&recipe, &read, &site);
    let indexes = index(read.meaning.as_ref(), &fitted, read.shop.place.key, &site).unwrap();
    let found = Arc::new(recall(&fitted, &indexes, read.meaning.as_ref().map(|m| &m.vectors)));
    let n = read.shop.data.catalog.len();
    for context in contexts(&read) {
        check_recall(found.as_ref(), &context, n).unwrap();
    }
    let (Some(meaning), Some(by_meaning)) = (&read.meaning, &indexes.meaning) else {
        return println!("SKIPPED: goods that come after a build are read");
    };
    let came = NewItem { id: "new".into(), title: "tea number 100".into(), ..NewItem::default() };
    let stocked = stock(&read.shop.data.catalog, &[came]);
    let fresh = Arc::new(Fresh::place(&stocked, n, &Fresh::default(), &meaning.newcomers, by_meaning));
    let score = FreshScore { known: fitted.rows().remove(0).model, fresh: fresh.clone() };
    check_score(&score, &contexts(&read)).unwrap();
    let with_new = FreshRecall { known: found.clone(), fresh };
    let new = novel(&recipe, &read.shop, Some(meaning), &fitted, read.shop.place.key, &site).unwrap().unwrap();
    let with_interests = NovelRecall { known: found, new };
    for context in contexts(&read) {
        check_recall(&with_new, &context, n + 1).unwrap();
        check_recall(&with_interests, &context, n).unwrap();
    }
}

#[test]
fn every_score_and_recall_of_the_workspace_is_called_by_a_suite() {
    const SUITES: [(&str, &str); 3] = [
        ("lingxi-behaviour", "tests/it/conformance.rs"),
        ("lingxi-decide", "tests/it/recall.rs"),
        ("lingxi", "tests/it/models.rs"),
    ];
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let suite = |(name, path): (&str, &str)| std::fs::read_to_string(crates.join(name).join(path)).unwrap();
    let suites: String = SUITES.map(suite).concat();
    let mut unheard = Vec::new();
    let mut folders = vec![crates.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && !["tests", "examples", "target"].iter().any(|left| name == *left) {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                let types = code.lines().filter_map(|line| {
                    let rest = line.trim_start().strip_prefix("impl Score for ");
                    rest.or_else(|| line.trim_start().strip_prefix("impl Recall for "))?.split(['<', ' ']).next()
                });
                let of = |of: &str| format!("{of} in {}", path.display());
                unheard.extend(types.filter(|of| !suites.contains(of)).map(of));
            }
        }
    }
    // What a simulation plays with, which serves nobody.
    unheard.retain(|of| !of.contains("simulate"));
    assert!(unheard.is_empty(), "no conformance suite names {unheard:?}");
}
