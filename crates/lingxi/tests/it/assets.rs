//! Assets come whole and right, or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lingxi::assets::{AssetError, Cache, Manifest, State};
use lingxi::progress::Progress;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

const WORDS: &[u8] = b"one two three four five six seven eight nine ten";
const CONFIG: &[u8] = b"{\"dim\": 3}";

/// An asset `tiny` of two files with a wheel as its only source in the manifest, and an empty cache for it.
struct House {
    temp: tempfile::TempDir,
    manifest: Manifest,
}

impl House {
    fn new() -> Self {
        let text = format!(
            "[[asset]]\nname = \"tiny\"\nkind = \"data\"\nlicence = \"CC0\"\nnote = \"made here\"\n{}{}\
             [[asset.source]]\nwheel = {{ package = \"tiny\", version = \"1.0\", size = 1, folder = \"tiny/data\" }}\n",
            file_entry("words.txt", WORDS),
            file_entry("deep/config.json", CONFIG)
        );
        Self { temp: tempfile::tempdir().unwrap(), manifest: Manifest::parse(&text).unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// A cache with the local source directory `from`.
    fn cache(&self, from: Option<&str>) -> Cache {
        Cache::new(self.path("cache"), from.map(|name| self.path(name)), self.manifest.clone())
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// A wheel where an interrupted fetch would have left it, so that pip has nothing to do.
    fn keep_wheel(&self, members: &[(&str, &[u8])]) {
        write_zip(&self.path("cache/downloads/pip/tiny-1.0/tiny-1.0-py3-none-any.whl"), members);
    }

    fn place(&self) -> PathBuf {
        self.path("cache/assets/tiny")
    }

    fn state(&self) -> State {
        self.cache(None).verify(&self.manifest.assets[0], &Progress::silent())
    }
}

fn file_entry(path: &str, bytes: &[u8]) -> String {
    let sha256: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[asset.file]]\npath = \"{path}\"\nsize = {}\nsha256 = \"{sha256}\"\n", bytes.len())
}

fn write_zip(path: &Path, members: &[(&str, &[u8])]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn ensure(cache: &Cache) -> Result<PathBuf, AssetError> {
    cache.ensure("tiny", &Progress::silent())
}

/// Runs the program with an index and a hub that nobody can reach.
fn offline(cache: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lingxi"))
        .args(args)
        .env("LINGXI_CACHE", cache)
        .env("HF_HOME", cache.join("no-hub-cache"))
        .env("HF_ENDPOINT", "http://127.0.0.1:9")
        .env("PIP_INDEX_URL", "http://127.0.0.1:9")
        .env("PIP_RETRIES", "0")
        .env_remove("PIP_FIND_LINKS")
        .env_remove("LINGXI_ASSETS")
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn has_pip() -> bool {
    let found = Command::new("python3").args(["-m", "pip", "--version"]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: this test needs python3 with pip");
    }
    found
}

#[test]
fn a_local_directory_is_copied_and_placed_whole() {
    let house = House::new();
    house.write("from/tiny/words.txt", WORDS);
    house.write("from/tiny/deep/config.json", CONFIG);
    let place = ensure(&house.cache(Some("from"))).unwrap();
    assert_eq!(place, house.place());
    assert_eq!(fs::read(place.join("words.txt")).unwrap(), WORDS);
    assert_eq!(fs::read(place.join("deep/config.json")).unwrap(), CONFIG);
    assert_eq!(house.state(), State::Here);
    assert!(!house.path("cache/assets/.tiny.staging").exists());
}

#[test]
fn the_assets_own_folder_also_serves_as_local_directory() {
    let house = House::new();
    house.write("from/words.txt", WORDS);
    house.write("from/deep/config.json", CONFIG);
    assert!(ensure(&house.cache(Some("from"))).is_ok());
}

#[test]
fn a_wheel_gives_only_the_named_members_and_leaves_nothing_behind() {
    let house = House::new();
    house.keep_wheel(&[
        ("tiny/data/words.txt", WORDS),
        ("tiny/data/deep/config.json", CONFIG),
        ("tiny/__init__.py", b"raise SystemExit('must never run')"),
        ("../evil.txt", b"out of the cache"),
        ("tiny/data/../../../evil.txt", b"out of the cache"),
    ]);
    let place = ensure(&house.cache(None)).unwrap();
    let mut files: Vec<_> = walk(&house.path("")).into_iter().filter(|path| !path.contains("/.")).collect();
    files.sort();
    assert_eq!(files, ["cache/assets/tiny/deep/config.json", "cache/assets/tiny/words.txt"]);
    assert_eq!(fs::read(place.join("words.txt")).unwrap(), WORDS);
}

/// Paths of all files below `dir`, relative to it.
fn walk(dir: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.path().is_dir() {
            true => files.extend(walk(&entry.path()).into_iter().map(|below| format!("{name}/{below}"))),
            false => files.push(name),
        }
    }
    files
}

#[test]
fn a_file_with_other_bytes_is_refused_and_the_next_source_is_tried() {
    let house = House::new();
    let mut wrong = WORDS.to_vec();
    wrong[3] ^= 1;
    house.write("from/tiny/words.txt", &wrong);
    house.write("from/tiny/deep/config.json", CONFIG);
    house.keep_wheel(&[("tiny/data/words.txt", WORDS), ("tiny/data/deep/config.json", CONFIG)]);
    let cache = house.cache(Some("from"));
    let fetched = cache.fetch(&house.manifest.assets[0], &Progress::silent()).unwrap();
    assert_eq!(fetched.sources, ["wheel tiny==1.0"]);
    assert_eq!(fs::read(house.place().join("words.txt")).unwrap(), WORDS);
}

#[test]
fn when_all_sources_fail_the_error_says_why_for_each() {
    let house = House::new();
    house.write("from/tiny/words.txt", b"short");
    // No manifest source can answer: the wheel's package does not exist and pip is not asked twice.
    let manifest =
        Manifest { assets: vec![lingxi::assets::Asset { sources: vec![], ..house.manifest.assets[0].clone() }] };
    let error = Cache::new(house.path("cache"), Some(house.path("from")), manifest)
        .ensure("tiny", &Progress::silent())
        .unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot fetch tiny: no source had it\n  directory "), "{text}");
    assert!(text.contains("words.txt refused: expected 48 bytes, got 5 bytes"), "{text}");
    assert!(error.remedy().unwrap().contains("lingxi assets fetch tiny --from DIR"));
    assert!(!house.place().exists(), "nothing may be placed by half");
}

#[test]
fn a_copy_goes_on_where_it_stopped() {
    let house = House::new();
    let half = WORDS.len() / 2;
    house.write("cache/assets/.tiny.staging/words.txt.partial", &WORDS[..half]);
    // The first half of the source is spoilt: only a copy that goes on from the middle can come out right.
    let mut spoilt = WORDS.to_vec();
    spoilt[..half].fill(b'x');
    house.write("from/tiny/words.txt", &spoilt);
    house.write("from/tiny/deep/config.json", CONFIG);
    let place = ensure(&house.cache(Some("from"))).unwrap();
    assert_eq!(fs::read(place.join("words.txt")).unwrap(), WORDS);
}

#[test]
fn a_wrong_beginning_is_copied_again_from_the_start() {
    let house = House::new();
    house.write("cache/assets/.tiny.staging/words.txt.partial", b"of another version");
    house.write("from/tiny/words.txt", WORDS);
    house.write("from/tiny/deep/config.json", CONFIG);
    let place = ensure(&house.cache(Some("from"))).unwrap();
    assert_eq!(fs::read(place.join("words.txt")).unwrap(), WORDS);
}

#[test]
fn an_interrupted_fetch_is_missing_and_not_half_there() {
    let house = House::new();
    house.write("cache/assets/.tiny.staging/words.txt", WORDS);
    house.write("cache/assets/.tiny.staging/deep/config.json.partial", &CONFIG[..2]);
    assert_eq!(house.state(), State::Missing { staged: WORDS.len() as u64 + 2 });
    // What is staged and right is not fetched again: the source lacks it.
    house.write("from/tiny/deep/config.json", CONFIG);
    assert!(ensure(&house.cache(Some("from"))).is_ok());
}

#[test]
fn a_changed_byte_is_found_and_only_that_file_is_fetched_again() {
    let house = House::new();
    house.write("from/tiny/words.txt", WORDS);
    house.write("from/tiny/deep/config.json", CONFIG);
    let place = ensure(&house.cache(Some("from"))).unwrap();
    let words = place.join("words.txt");
    let mut changed = WORDS.to_vec();
    changed[0] ^= 1;
    let before = fs::metadata(&words).unwrap().modified().unwrap();
    fs::write(&words, &changed).unwrap();
    // Even with size and time put back, verification hashes and finds it.
    File::options().write(true).open(&words).unwrap().set_modified(before).unwrap();
    let State::Damaged(wrong) = house.state() else { panic!("expected damage") };
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].starts_with("words.txt: expected sha256 "), "{wrong:?}");
    fs::remove_file(house.path("from/tiny/deep/config.json")).unwrap();
    ensure(&house.cache(Some("from"))).unwrap();
    assert_eq!(house.state(), State::Here);
    assert_eq!(fs::read(&words).unwrap(), WORDS);
}

#[test]
fn a_present_asset_needs_no_source_and_is_not_hashed_again() {
    let house = House::new();
    house.write("cache/assets/tiny/words.txt", WORDS);
    house.write("cache/assets/tiny/deep/config.json", CONFIG);
    // Unpacked by hand: the first look hashes and leaves the stamp, the second believes the stamp.
    assert!(ensure(&house.cache(None)).is_ok());
    let stamp = house.place().join(".verified.json");
    let written = fs::metadata(&stamp).unwrap().modified().unwrap();
    assert!(ensure(&house.cache(None)).is_ok());
    assert_eq!(fs::metadata(&stamp).unwrap().modified().unwrap(), written);
}

#[test]
fn two_fetches_at_once_take_turns_and_both_succeed() {
    let house = House::new();
    house.write("from/tiny/words.txt", WORDS);
    house.write("from/tiny/deep/config.json", CONFIG);
    let fetch = || house.cache(Some("from")).fetch(&house.manifest.assets[0], &Progress::silent()).unwrap();
    let delivered: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| fetch().sources.len())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(delivered.iter().sum::<usize>(), 1, "one fetched, the others found it: {delivered:?}");
    assert_eq!(house.state(), State::Here);
}

#[test]
fn without_network_the_program_exits_with_two_and_names_each_source() {
    let temp = tempfile::tempdir().unwrap();
    let output = offline(temp.path(), &["assets", "fetch", "all-MiniLM-L6-v2"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for expected in ["error: cannot fetch all-MiniLM-L6-v2", "Hugging Face ", "Connection refused", "wheel ", "  try: "]
    {
        assert!(text.contains(expected), "expected {expected:?} in {text}");
    }
    assert!(!temp.path().join("assets/all-MiniLM-L6-v2").exists());
}

#[test]
fn the_hub_is_not_asked_when_it_is_set_offline() {
    let temp = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lingxi"))
        .args(["assets", "fetch", "all-MiniLM-L6-v2"])
        .env("LINGXI_CACHE", temp.path())
        .env("HF_HOME", temp.path().join("no-hub-cache"))
        .env("HF_HUB_OFFLINE", "1")
        .env("PIP_NO_INDEX", "1")
        .env_remove("PIP_FIND_LINKS")
        .env_remove("LINGXI_ASSETS")
        .output()
        .unwrap();
    assert!(stderr(&output).contains("HF_HUB_OFFLINE is set"), "{}", stderr(&output));
}

#[test]
fn a_wheel_that_pip_brings_with_other_bytes_is_refused() {
    if !has_pip() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let members: [(&str, &[u8]); 4] = [
        ("recbole/dataset_example/ml-100k/ml-100k.inter", b"user_id:token\n"),
        ("recbole-1.2.1.dist-info/METADATA", b"Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n"),
        (
            "recbole-1.2.1.dist-info/WHEEL",
            b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        ("recbole-1.2.1.dist-info/RECORD", b""),
    ];
    write_zip(&temp.path().join("links/recbole-1.2.1-py3-none-any.whl"), &members);
    let output = Command::new(env!("CARGO_BIN_EXE_lingxi"))
        .args(["assets", "fetch", "ml-100k"])
        .env("LINGXI_CACHE", temp.path().join("cache"))
        .env("PIP_NO_INDEX", "1")
        .env("PIP_FIND_LINKS", temp.path().join("links"))
        .env_remove("LINGXI_ASSETS")
        .output()
        .unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("ml-100k.inter refused: expected 1979230 bytes, got 14 bytes"), "{text}");
    assert!(!temp.path().join("cache/assets/ml-100k").exists());
}

#[test]
fn list_prints_one_json_line_with_every_asset() {
    let temp = tempfile::tempdir().unwrap();
    let output = offline(temp.path(), &["assets", "list", "--json"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let line: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&line["command"], &line["name"]), (&"assets".into(), &"list".into()));
    let assets = line["result"]["assets"].as_array().unwrap();
    assert_eq!(assets.len(), Manifest::built_in().unwrap().assets.len());
    assert!(assets.iter().all(|asset| asset["state"] == "missing" && !asset["licence"].as_str().unwrap().is_empty()));
}

#[test]
fn verify_names_a_missing_asset_only_when_it_was_asked_for() {
    let temp = tempfile::tempdir().unwrap();
    assert_eq!(offline(temp.path(), &["assets", "verify"]).status.code(), Some(0));
    let named = offline(temp.path(), &["assets", "verify", "ml-100k"]);
    assert_eq!(named.status.code(), Some(2));
    assert!(stderr(&named).contains("try: lingxi assets fetch ml-100k"), "{}", stderr(&named));
}

#[test]
fn a_real_fetch_into_an_empty_cache_survives_a_kill() {
    if std::env::var_os("LINGXI_SLOW").is_none() {
        eprintln!("SKIPPED: set LINGXI_SLOW=1 to fetch 90 MB from the real sources");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let place = temp.path().join("assets/all-MiniLM-L6-v2");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lingxi"));
    command.args(["assets", "fetch", "all-MiniLM-L6-v2"]).env("LINGXI_CACHE", temp.path()).env_remove("LINGXI_ASSETS");
    for milliseconds in [300, 900, 1800] {
        let mut child = command.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        // Either not there or complete, never between.
        assert!(!place.exists() || place.join(".verified.json").exists());
    }
    assert!(command.status().unwrap().success());
    let verify = offline(temp.path(), &["assets", "verify", "all-MiniLM-L6-v2"]);
    assert_eq!(verify.status.code(), Some(0), "{}", stderr(&verify));
}
