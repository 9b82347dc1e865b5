//! A shop that learns while it serves: builds in the background, kept snapshots, the way back.

use crate::whole::{Served, files};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until no build runs and tells how it is.
fn settled(served: &Served) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let told = served.get("/api/builds");
        if told["Running"].is_null() {
            return told;
        }
        assert!(Instant::now() < until, "still building: {told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Builds and tells how that ended.
fn built(served: &Served) -> Value {
    assert_eq!(served.post("/api/builds", &json!({})), json!({"Status": "started"}));
    let told = settled(served);
    assert_eq!(told["Last"]["Ok"], true, "{told}");
    told
}

fn fingerprint(served: &Served) -> String {
    served.get("/health/ready")["snapshot"].as_str().unwrap().to_owned()
}

/// The folder with the kept snapshots of a shop.
fn snapshots(folder: &Path) -> PathBuf {
    let mut shops = std::fs::read_dir(folder.join("cache/snapshots")).unwrap();
    shops.next().unwrap().unwrap().path()
}

#[test]
fn a_build_learns_what_arrived_is_put_in_place_whole_and_can_be_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let served = Served::start(dir.path());
    let first = fingerprint(&served);
    let default = served.get("/api/recommend/nobody?n=3");
    assert!(default[0].as_str().unwrap().starts_with("tea"), "tea is bought most: {default}");
    for who in 0..80 {
        let rows: Vec<Value> = (0..10)
            .map(|i| json!({"FeedbackType": "buy", "UserId": format!("new-{who}"), "ItemId": format!("bolt-{i}")}))
            .collect();
        served.post("/api/feedback", &json!(rows));
    }
    assert_eq!(served.get("/api/recommend/nobody?n=3"), default, "nothing was learned yet");

    let told = built(&served);
    let second = fingerprint(&served);
    assert_ne!(first, second);
    assert_eq!(told["Kept"][0]["Events"].as_u64(), told["Kept"][1]["Events"].as_u64().map(|before| before + 800));
    assert_eq!((&told["Kept"][0]["Serving"], &told["Kept"][1]["Serving"]), (&json!(true), &json!(false)));
    let learned = served.get("/api/recommend/nobody?n=3");
    assert!(learned[0].as_str().unwrap().starts_with("bolt"), "now bolts are: {learned}");
    // What a shopper did is counted once, in the log or since.
    assert_eq!(served.get("/api/user/new-7/feedback?n=100").as_array().unwrap().len(), 10);

    let run = |arguments: &[&str]| {
        let mut lingxi = Command::new(env!("CARGO_BIN_EXE_lingxi"));
        lingxi.arg("snapshots").args(arguments).args(["--at", &format!("http://{}", served.address)]).output().unwrap()
    };
    assert!(run(&["use", "1"]).status.success());
    assert_eq!((fingerprint(&served), served.get("/api/recommend/nobody?n=3")), (first.clone(), default.clone()));
    assert_eq!(served.get("/api/user/new-7/feedback?n=100").as_array().unwrap().len(), 10, "replayed, not lost");
    let refused = run(&["use", "77"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("snapshot 77 is not kept"));
    drop(served); // SIGKILL

    let served = Served::start(dir.path());
    assert_eq!(fingerprint(&served), first, "who went back stays there after a restart");
    served.post("/api/builds/2/publish", &json!({}));
    assert_eq!((fingerprint(&served), served.get("/api/recommend/nobody?n=3")), (second, learned));
}

#[test]
fn a_spoilt_snapshot_is_passed_over_at_the_start_and_refused_while_serving() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let served = Served::start(dir.path());
    let first = fingerprint(&served);
    served.buy("somebody", "tea-3");
    built(&served);
    drop(served);
    let spoil = |file: &Path| {
        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        // A new file: the old one may be linked from the shelf, where it is whole.
        std::fs::remove_file(file).unwrap();
        std::fs::write(file, bytes).unwrap();
    };
    let model = |id: &str| {
        let stage = snapshots(dir.path()).join(id).join("item-model");
        std::fs::read_dir(stage).unwrap().next().unwrap().unwrap().path().join("model.safetensors")
    };
    spoil(&model("2"));
    let served = Served::start(dir.path());
    assert_eq!(fingerprint(&served), first, "the one before is whole");
    let refused = ureq::post(format!("http://{}/api/builds/2/publish", served.address)).send("");
    assert!(matches!(refused, Err(ureq::Error::StatusCode(409))), "{refused:?}");
    assert_eq!(fingerprint(&served), first);
}

#[test]
fn a_build_that_fails_says_why_and_the_snapshot_before_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let served = Served::start(dir.path());
    let first = fingerprint(&served);
    std::fs::write(dir.path().join("events.csv"), "who,what\n").unwrap();
    served.post("/api/builds", &json!({}));
    let told = settled(&served);
    let why = told["Last"]["Error"].as_str().unwrap_or_default();
    assert!(why.contains("events.csv"), "{told}");
    assert_eq!((fingerprint(&served), told["Kept"].as_array().unwrap().len()), (first, 1));
}

#[test]
fn a_shop_that_wants_builds_by_the_clock_learns_by_itself_and_answers_meanwhile() {
    if std::env::var_os("LINGXI_SLOW").is_none() {
        println!("SKIPPED: set LINGXI_SLOW=1 to wait a minute and a half for the clock");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let recipe = dir.path().join("recipe.toml");
    let text = std::fs::read_to_string(&recipe).unwrap() + "\n[serve.rebuild]\nevery_hours = 0.017\n";
    std::fs::write(&recipe, text).unwrap();
    let served = Served::start(dir.path());
    let (first, started) = (fingerprint(&served), Instant::now());
    served.buy("somebody", "tea-3");
    let (mut asked, mut longest) = (0, Duration::ZERO);
    while fingerprint(&served) == first {
        assert!(started.elapsed() < Duration::from_secs(150), "no build came: {}", served.get("/api/builds"));
        let since = Instant::now();
        assert_eq!(served.get("/api/recommend/tea-lover-3?n=5").as_array().unwrap().len(), 5);
        longest = longest.max(since.elapsed());
        asked += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    let told = settled(&served);
    assert_eq!((&told["Last"]["Ok"], told["Kept"].as_array().unwrap().len()), (&json!(true), 2), "{told}");
    let waited = started.elapsed();
    println!("learned by the clock after {waited:.0?}; {asked} slates meanwhile, the slowest in {longest:.1?}");
}
