//! Each rule finds a breach when there is one, in the right line, and nothing where there is none.

use super::house::{Finding, House};
use super::rules::*;

/// A house of the given files.
fn house(files: &[(&str, &str)]) -> House {
    let mut house = House::default();
    files.iter().for_each(|(path, text)| house.add(path, (*text).to_owned()));
    house
}

/// The rule must find exactly this line in the bad house and nothing in the good one.
fn catches(rule: fn(&House) -> Vec<Finding>, bad: (&str, &str), line: usize, good: (&str, &str)) {
    let found = rule(&house(&[bad]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].path.as_str(), found[0].line), (bad.0, line), "{}", found[0]);
    assert_eq!(rule(&house(&[good])), []);
}

const EVAL: &str = "crates/lingxi-eval/src/lib.rs";
const DATA: &str = "crates/lingxi-data/src/ids.rs";

#[test]
fn async_outside_its_rooms_is_found() {
    let bad = (EVAL, "//! async\nasync fn f() {}\n");
    catches(async_outside_http_and_store, bad, 2, ("crates/lingxi/src/http/app.rs", "async fn f() { g().await }"));
    catches(async_traits, (EVAL, "#[async_trait]\ntrait T {}"), 1, (EVAL, "// async_trait\ntrait T {}"));
}

#[test]
fn a_clock_a_socket_or_http_in_data_is_found() {
    let rule = data_depends_on_the_world;
    catches(rule, (DATA, "fn f() {\n    Instant::now();\n}"), 2, (EVAL, "fn f() { Instant::now(); }"));
    catches(rule, (DATA, "use std::net::TcpStream;"), 1, (DATA, "// TcpStream"));
    let bad = ("crates/lingxi-data/Cargo.toml", "[dependencies]\ncsv = \"1\"\ntokio = \"1\"\n");
    catches(rule, bad, 3, ("crates/lingxi/Cargo.toml", bad.1));
    catches(wall_clocks, (EVAL, "let t = SystemTime::now();"), 1, ("crates/lingxi/src/live.rs", "SystemTime::now()"));
}

#[test]
fn a_tensor_library_or_datafusion_is_found() {
    let toml = "[package]\nname = \"x\"\n[dependencies]\ncandle-core = \"0.9\"\n";
    let behaviour = "crates/lingxi-behaviour/Cargo.toml";
    catches(tensor_libraries, ("crates/lingxi-decide/Cargo.toml", toml), 4, (behaviour, toml));
    let toml = "[dependencies]\ndatafusion = \"50\"\n";
    catches(datafusion, (behaviour, toml), 2, ("crates/lingxi-batch/Cargo.toml", toml));
    let toml = "[target.'cfg(unix)'.dependencies]\ndatafusion = \"50\"\n";
    catches(datafusion, (behaviour, toml), 2, (behaviour, "[dev-dependencies]\ndatafusion = \"50\"\n"));
}

#[test]
fn unsafe_is_found_in_tests_too() {
    let bad = (EVAL, "#[cfg(test)]\nmod tests {\n    fn f() { unsafe { g() } }\n}\n");
    catches(unsafe_outside_kernels, bad, 3, ("crates/lingxi-kernels/src/lib.rs", bad.1));
}

#[test]
fn a_dependency_on_a_sibling_or_an_unplanned_crate_is_found() {
    let on = |name: &str| format!("[dependencies]\nserde = \"1\"\n{name}.workspace = true\n");
    let rule = dependency_directions;
    let (behaviour, decide) = ("crates/lingxi-behaviour/Cargo.toml", "crates/lingxi-decide/Cargo.toml");
    catches(rule, (behaviour, &on("lingxi-content")), 3, (behaviour, &on("lingxi-train")));
    catches(rule, (decide, &on("lingxi-train")), 3, (decide, &on("lingxi-data")));
    catches(
        rule,
        ("crates/lingxi-new/Cargo.toml", &on("lingxi-data")),
        3,
        ("crates/lingxi/Cargo.toml", &on("lingxi-eval")),
    );
}

#[test]
fn a_module_name_that_says_nothing_is_found() {
    catches(empty_names, (EVAL, "//! x\nmod utils;"), 2, (EVAL, "mod utility_curve;"));
    catches(empty_names, ("crates/lingxi/src/helpers.rs", "fn f() {}"), 1, (EVAL, "fn helpers() {}"));
}

#[test]
fn unwrap_in_shipped_code_is_found() {
    catches(unwraps, (EVAL, "fn f() {\n  g().unwrap();\n}"), 2, (EVAL, "#[test]\nfn f() { g().unwrap(); }\n"));
    catches(unwraps, ("examples/a.rs", "g().unwrap()"), 1, ("crates/lingxi/tests/it/a.rs", "g().unwrap()"));
}

#[test]
fn unfinished_code_is_found() {
    catches(unfinished, (EVAL, "fn f() { todo!() }"), 1, (EVAL, "// todo! is not used"));
    catches(unfinished, (EVAL, "fn f() { err(\"not built yet\") }"), 1, (EVAL, "fn f() { err(\"not built\") }"));
}

#[test]
fn randomness_without_a_seed_is_found() {
    let good = (EVAL, "let rng = ChaCha8Rng::seed_from_u64(seed);");
    catches(hidden_randomness, (EVAL, "let mut rng = rand::rng();"), 1, good);
    catches(hidden_randomness, (EVAL, "let rng = ChaCha8Rng::from_os_rng();"), 1, good);
}

#[test]
fn a_config_that_swallows_keys_is_found() {
    let good = "#[derive(Deserialize)]\n#[serde(deny_unknown_fields)]\npub struct FitConfig {\n  k: u32,\n}\n";
    let bad = "#[derive(Debug, Deserialize)]\npub struct FitConfig {\n  k: u32,\n}\n";
    catches(lenient_configs, (EVAL, bad), 2, (EVAL, good));
    // A neighbour's attribute does not count.
    catches(lenient_configs, (EVAL, &format!("{good}{bad}")), 7, (EVAL, "pub struct FitConfig {\n  k: u32,\n}\n"));
}

#[test]
fn string_maps_and_generic_backends_are_found() {
    let bad = "pub struct FitConfig {\n  k: BTreeMap<String, f32>,\n}\n";
    catches(string_maps_in_configs, (EVAL, bad), 2, (EVAL, "pub struct Report {\n  k: BTreeMap<String, f32>,\n}\n"));
    catches(generic_backends, (EVAL, "pub fn f<B: Backend>(b: B) {}"), 1, (EVAL, "pub fn f(b: Backend) {}"));
}

#[test]
fn too_many_features_or_one_in_an_algorithm_are_found() {
    let path = "crates/lingxi-eval/Cargo.toml";
    let bad = "[package]\n[features]\ndefault = []\na = []\nb = []\nc = []\nd = []\n";
    catches(features, (path, bad), 2, (path, "[features]\ndefault = []\na = []\nb = []\nc = []\n"));
    catches(features, (EVAL, "#[cfg(feature = \"fast\")]\nfn f() {}"), 1, (EVAL, "#[cfg(unix)]\nfn f() {}"));
}

#[test]
fn a_second_or_absent_integration_binary_is_found() {
    let manifest = ("crates/lingxi-eval/Cargo.toml", "[package]\n");
    let main = ("crates/lingxi-eval/tests/it/main.rs", "");
    let part = ("crates/lingxi-eval/tests/it/deep/main.rs", "");
    assert_eq!(integration_binaries(&house(&[manifest, main, part])), []);
    assert_eq!(integration_binaries(&house(&[manifest])).len(), 1);
    let second = ("crates/lingxi-eval/tests/more.rs", "");
    assert_eq!(integration_binaries(&house(&[manifest, main, second])).len(), 1);
}

#[test]
fn paths_of_a_machine_and_registries_are_found() {
    catches(machine_paths, (EVAL, "// see\n// /home/me/x"), 2, (EVAL, "// https://x.org/home/me, a/tmp/b, $D/tmp/x"));
    catches(machine_paths, ("recipes/a.toml", "path = \"/work/x\""), 1, ("recipes/a.toml", "path = \"x\""));
    catches(registry_hosts, ("bench/bench.py", "url = 'https://pypi.org'"), 1, ("README.md", "from pypi.org"));
}

#[test]
fn a_page_that_is_absent_or_forgets_a_crate_is_found() {
    let page = |text: &'static str| ("ARCHITECTURE.md", text);
    let manifest = ("crates/lingxi-eval/Cargo.toml", "[package]\n");
    assert_eq!(architecture_names_crates(&house(&[manifest])).len(), 1);
    assert_eq!(architecture_names_crates(&house(&[manifest, page("lingxi-data")])).len(), 1);
    assert_eq!(architecture_names_crates(&house(&[manifest, page("lingxi-eval")])), []);
    assert_eq!(readmes(&house(&[("README.md", "")])).len(), 1);
    assert_eq!(readmes(&house(&[("README.md", ""), ("README.zh-CN.md", "")])), []);
}
