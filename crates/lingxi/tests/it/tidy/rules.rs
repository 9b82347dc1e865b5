//! One function per invariant: the house comes in, every breach goes out.

use super::code::{line, words};
use super::find::{dependencies, depending, in_code, in_manifest, in_text, rooted, shipped_texts, structs, with_tests};
use super::house::{Finding, House, Source};

/// Which of our crates each crate may depend on. Adding a crate means deciding this first.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("lingxi-kernels", &[]),
    ("lingxi-data", &[]),
    ("lingxi-train", &["lingxi-kernels", "lingxi-data"]),
    ("lingxi-content", &["lingxi-kernels", "lingxi-data", "lingxi-train"]),
    ("lingxi-behaviour", &["lingxi-kernels", "lingxi-data", "lingxi-train"]),
    ("lingxi-decide", &["lingxi-kernels", "lingxi-data"]),
    ("lingxi-eval", &["lingxi-kernels", "lingxi-data", "lingxi-train"]),
    (
        "lingxi",
        &[
            "lingxi-kernels",
            "lingxi-data",
            "lingxi-train",
            "lingxi-content",
            "lingxi-behaviour",
            "lingxi-decide",
            "lingxi-eval",
        ],
    ),
];

/// Structs that read files which others write and may add keys to.
const FOREIGN: &[(&str, &str)] = &[("crates/lingxi-content/src/folder.rs", "Config")];

/// Crates that speak HTTP or run async code.
const WORLD: [&str; 9] = ["tokio", "axum", "hyper", "reqwest", "ureq", "hf-hub", "tower", "tower-http", "async-std"];
const TENSORS: [&str; 7] = ["candle", "candle-core", "candle-nn", "candle-transformers", "tch", "burn", "ort"];

/// Async outside the HTTP folder, the stores, and the command that starts the server.
pub fn async_outside_http_and_store(house: &House) -> Vec<Finding> {
    let allowed = ["crates/lingxi/src/http/", "crates/lingxi/src/store/", "crates/lingxi/src/commands/serve.rs"];
    let elsewhere = house.shipped().filter(|source| !allowed.iter().any(|place| source.path.starts_with(place)));
    in_code(elsewhere, &["async", ".await"], "async belongs to http and store")
}

/// `#[async_trait]`, anywhere.
pub fn async_traits(house: &House) -> Vec<Finding> {
    in_code(house.sources.iter(), &["async_trait"], "stages are synchronous")
}

/// Tensors, HTTP or clocks in `lingxi-data`, as code or as a dependency.
pub fn data_depends_on_the_world(house: &House) -> Vec<Finding> {
    let data = || house.shipped().filter(|source| source.krate == "lingxi-data");
    let clocks = ["SystemTime::now", "Instant::now", "Utc::now", "Zoned::now", "Timestamp::now"];
    let mut found = in_code(data(), &clocks, "time is an argument");
    found.extend(in_code(data(), &["TcpStream", "TcpListener", "UdpSocket"], "no sockets in lingxi-data"));
    let manifest = || house.manifests.iter().filter(|manifest| manifest.krate == "lingxi-data");
    found.extend(depending(manifest(), &WORLD, "no HTTP in lingxi-data"));
    found.extend(depending(manifest(), &TENSORS, "no tensors in lingxi-data"));
    found
}

/// The date and time of the machine, outside the app.
pub fn wall_clocks(house: &House) -> Vec<Finding> {
    let rooms = house.shipped().filter(|source| source.krate != "lingxi" && !source.krate.is_empty());
    in_code(rooms, &["SystemTime::now", "Utc::now", "Zoned::now", "Timestamp::now"], "time is an argument")
}

/// Tensor libraries where learned models do not live.
pub fn tensor_libraries(house: &House) -> Vec<Finding> {
    let rooms = ["lingxi-kernels", "lingxi-decide", "lingxi-eval"];
    let manifests = house.manifests.iter().filter(|manifest| rooms.contains(&manifest.krate.as_str()));
    depending(manifests, &TENSORS, "learned models live in lingxi-behaviour and arrive as Score")
}

/// `unsafe` outside `lingxi-kernels`, tests included.
pub fn unsafe_outside_kernels(house: &House) -> Vec<Finding> {
    let elsewhere = house.sources.iter().filter(|source| source.krate != "lingxi-kernels");
    let bare: Vec<Source> = elsewhere.map(with_tests).collect();
    in_code(bare.iter(), &["unsafe"], "unsafe lives in lingxi-kernels")
}

/// Dependencies between our crates that the plan of the house does not have.
pub fn dependency_directions(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for manifest in &house.manifests {
        let allowed = MAY_DEPEND_ON.iter().find(|(krate, _)| *krate == manifest.krate).map(|(_, allowed)| *allowed);
        for name in dependencies(manifest).into_iter().filter(|name| name.starts_with("lingxi")) {
            if allowed.is_none_or(|allowed| !allowed.contains(&name.as_str())) {
                found.push(in_manifest(manifest, &name, format!("{} may not depend on {name}", manifest.krate)));
            }
        }
    }
    found
}

/// DataFusion, outside the batch program.
pub fn datafusion(house: &House) -> Vec<Finding> {
    let manifests = house.manifests.iter().filter(|manifest| manifest.krate != "lingxi-batch");
    depending(manifests, &["datafusion", "ballista"], "its build takes longer than all the rest")
}

/// Modules whose names say nothing.
pub fn empty_names(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &house.sources {
        for name in ["utils", "util", "common", "helpers", "helper", "manager", "misc"] {
            let file =
                source.path.ends_with(&format!("/{name}.rs")) || source.path.ends_with(&format!("/{name}/mod.rs"));
            let line_of_mod = words(&source.code, &format!("mod {name}")).next().map(|at| line(&source.code, at));
            if let Some(line) = line_of_mod.or(file.then_some(1)) {
                let what = format!("`{name}` does not say what lives there");
                found.push(Finding { path: source.path.clone(), line, what });
            }
        }
    }
    found
}

/// `.unwrap()` in code that ships.
pub fn unwraps(house: &House) -> Vec<Finding> {
    in_code(house.shipped(), &[".unwrap()", ".unwrap_err()"], "state the invariant with expect, or return the error")
}

/// Code that admits to be unfinished.
pub fn unfinished(house: &House) -> Vec<Finding> {
    let mut found = in_code(house.sources.iter(), &["todo!", "unimplemented!", "dbg!"], "finish it or leave it out");
    for source in house.shipped() {
        found.extend(in_text(
            &source.path,
            &source.text,
            &["not built yet", "FIXME", "XXX"],
            "finish it or leave it out",
        ));
    }
    found
}

/// The one command whose numbers nobody may foresee: it makes keys.
const SECRETS: &str = "crates/lingxi/src/commands/keys.rs";

/// Randomness that no seed controls, in code that ships.
pub fn hidden_randomness(house: &House) -> Vec<Finding> {
    let sources = [
        "thread_rng",
        "rand::rng",
        "rand::random",
        "from_os_rng",
        "try_from_os_rng",
        "from_entropy",
        "OsRng",
        "SysRng",
        "ThreadRng",
        "getrandom",
    ];
    in_code(house.shipped().filter(|source| source.path != SECRETS), &sources, "the seed is an argument")
}

/// Structs that people write in TOML and that would swallow a misspelt key.
pub fn lenient_configs(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in house.shipped() {
        for item in structs(&source.code) {
            let reads = words(item.attributes, "Deserialize").next().is_some();
            let foreign = FOREIGN.contains(&(source.path.as_str(), item.name));
            if reads
                && !foreign
                && (is_config(item.name) || written_by_people(&source.path))
                && !item.attributes.contains("deny_unknown_fields")
            {
                let what = format!("{} needs #[serde(deny_unknown_fields)]", item.name);
                found.push(Finding { path: source.path.clone(), line: line(&source.code, item.at), what });
            }
        }
    }
    found
}

/// Hyper-parameters kept under string keys.
pub fn string_maps_in_configs(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in house.shipped() {
        for item in structs(&source.code).into_iter().filter(|item| item.name.ends_with("Config")) {
            for map in ["Map<String, f32>", "Map<String, f64>", "Map<String, Value>", "Map<String, toml::Value>"] {
                if let Some(at) = item.body.find(map) {
                    let what = format!("{} keeps hyper-parameters in a {map}", item.name);
                    found.push(Finding {
                        path: source.path.clone(),
                        line: line(&source.code, item.body_at + at),
                        what,
                    });
                }
            }
        }
    }
    found
}

/// Type parameters for backends and distances in public items.
pub fn generic_backends(house: &House) -> Vec<Finding> {
    let bounds = [": Backend>", ": Backend,", ": Distance>", ": Distance,", ": Metric>", ": Metric,"];
    in_code(house.shipped(), &bounds, "an enum or dyn, not a type parameter across a crate boundary")
}

/// More than three features, or one that switches inside an algorithm.
pub fn features(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for manifest in &house.manifests {
        let features = manifest.toml.get("features").and_then(|features| features.as_table());
        let count = features.map_or(0, |features| features.keys().filter(|name| *name != "default").count());
        if count > 3 {
            found.push(in_manifest(manifest, "[features]", format!("{count} features, at most 3")));
        }
    }
    let rooms = ["lingxi-data", "lingxi-behaviour", "lingxi-decide", "lingxi-eval"];
    let algorithms = house.shipped().filter(|source| rooms.contains(&source.krate.as_str()));
    found.extend(in_code(algorithms, &["cfg(feature"], "no feature inside an algorithm"));
    found
}

/// Crates with another number of integration binaries than one.
pub fn integration_binaries(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for manifest in &house.manifests {
        let folder = format!("crates/{}/tests/", manifest.krate);
        let mains: Vec<_> = house.sources.iter().filter_map(|source| source.path.strip_prefix(&folder)).collect();
        let binary =
            |path: &&&str| !path.contains('/') || (path.matches('/').count() == 1 && path.ends_with("/main.rs"));
        let binaries: Vec<_> = mains.iter().filter(binary).collect();
        if binaries != [&"it/main.rs"] {
            let what = format!("expected tests/it/main.rs as the only integration binary, got {binaries:?}");
            found.push(in_manifest(manifest, "[package]", what));
        }
    }
    found
}

/// Paths that exist on one machine only, in anything but tests.
pub fn machine_paths(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in shipped_texts(house) {
        for folder in ["/work/", "/root/", "/home/", "/tmp/", "/Users/"] {
            for at in rooted(text, folder) {
                let what = format!("{folder} is somebody's machine");
                found.push(Finding { path: path.to_owned(), line: line(text, at), what });
            }
        }
    }
    found
}

/// Package registries by name, outside prose: the person's own client knows which to use.
pub fn registry_hosts(house: &House) -> Vec<Finding> {
    let hosts = ["pypi.org", "pythonhosted.org", "crates.io", "npmjs.org", "npmjs.com", "huggingface.co"];
    let files = shipped_texts(house).into_iter().filter(|(path, _)| !path.ends_with(".md"));
    files.flat_map(|(path, text)| in_text(path, text, &hosts, "the client's own setting decides the host")).collect()
}

/// Crates that ARCHITECTURE.md does not mention.
pub fn architecture_names_crates(house: &House) -> Vec<Finding> {
    let Some(page) = house.pages.iter().find(|page| page.path == "ARCHITECTURE.md") else {
        return vec![absent("ARCHITECTURE.md")];
    };
    let unnamed = house.manifests.iter().filter(|manifest| {
        let name = manifest.krate.as_str();
        // `lingxi` alone stands in every other name: ask for its folder.
        let name = if name == "lingxi" { "crates/lingxi/" } else { name };
        !page.text.contains(name)
    });
    let missing = unnamed.map(|manifest| Finding {
        path: page.path.clone(),
        line: 1,
        what: format!("{} is not named", manifest.krate),
    });
    missing.collect()
}

/// A README without its twin.
pub fn readmes(house: &House) -> Vec<Finding> {
    let there = |name: &str| house.pages.iter().any(|page| page.path == name);
    ["README.md", "README.zh-CN.md"].into_iter().filter(|name| !there(name)).map(absent).collect()
}

fn absent(name: &str) -> Finding {
    Finding { path: name.to_owned(), line: 1, what: "expected this file".to_owned() }
}

/// Files whose every struct describes what people write.
fn written_by_people(path: &str) -> bool {
    ["/recipe.rs", "/config.rs", "/ingest/source.rs", "/ingest/clean.rs", "/assets/manifest.rs"]
        .iter()
        .any(|end| path.ends_with(end))
}

fn is_config(name: &str) -> bool {
    ["Config", "Recipe", "Manifest", "Settings", "Section", "Rules"].iter().any(|end| name.ends_with(end))
}
