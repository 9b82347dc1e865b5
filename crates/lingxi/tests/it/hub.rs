//! Assets from a hub on this machine: a pinned revision, a connection that breaks, and one that says nothing.
//!
//! The hub's client takes its address from the environment, so each test runs itself again as a child with its own.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lingxi::assets::{Cache, Manifest};
use lingxi::progress::Progress;
use sha2::{Digest, Sha256};

const REVISION: &str = "0123456789012345678901234567890123456789";
const CHILD: &str = "LINGXI_TEST_HUB_CHILD";

/// What the hub serves: long enough that half of it is worth keeping.
fn weights() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn manifest() -> Manifest {
    let sha256: String = Sha256::digest(weights()).iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        "[[asset]]\nname = \"tiny\"\nkind = \"model\"\nlicence = \"CC0\"\nnote = \"made here\"\n\
         [[asset.file]]\npath = \"deep/weights.bin\"\nsize = {}\nsha256 = \"{sha256}\"\n\
         [[asset.source]]\nhub = {{ repo = \"owner/tiny\", revision = \"{REVISION}\" }}\n",
        weights().len()
    );
    Manifest::parse(&text).unwrap()
}

/// Answers range requests as the hub does; the first `broken` downloads stop in the middle.
fn serve(broken: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let bytes_sent = Arc::new(AtomicUsize::new(0));
    let sent = bytes_sent.clone();
    std::thread::spawn(move || {
        let mut left = broken;
        for stream in listener.incoming().flatten() {
            answer(stream, &mut left, &sent);
        }
    });
    (address, bytes_sent)
}

/// Answers one request and closes the connection.
fn answer(mut stream: TcpStream, broken: &mut usize, sent: &AtomicUsize) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    assert!(request.contains(&format!("/owner/tiny/resolve/{REVISION}/deep/weights.bin ")), "{request}");
    let range = headers.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let (first, last) = range.as_deref().and_then(|range| range.split_once('-')).unwrap();
    let all = weights();
    let first: usize = first.parse().unwrap();
    let last: usize = last.parse().unwrap_or(all.len() - 1);
    let mut body = &all[first..=last];
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{last}/{}\r\n\
         ETag: \"abc\"\r\nX-Repo-Commit: {REVISION}\r\nConnection: close\r\n\r\n",
        body.len(),
        all.len()
    );
    if *broken > 0 && body.len() > 1 {
        *broken -= 1;
        body = &body[..body.len() / 2];
    }
    sent.fetch_add(body.len(), Ordering::Relaxed);
    // The client may have left; that is its choice.
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok();
}

/// Runs [`child_that_fetches`] with a cache in `dir` and the hub at `endpoint`.
fn fetch_in_child(dir: &Path, endpoint: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hub::child_that_fetches", "--nocapture"])
        .env(CHILD, dir)
        .env("HF_ENDPOINT", endpoint)
        .env("HF_HOME", dir.join("no-hub-cache"))
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("http_proxy")
        .env_remove("HTTP_PROXY")
        .env_remove("all_proxy")
        .env_remove("ALL_PROXY")
        .output()
        .unwrap()
}

#[test]
fn child_that_fetches() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let cache = Cache::new(dir.into(), None, manifest());
    match cache.ensure("tiny", &Progress::silent()) {
        Ok(place) => assert_eq!(std::fs::read(place.join("deep/weights.bin")).unwrap(), weights()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_file_comes_from_the_hub_at_the_pinned_revision() {
    let temp = tempfile::tempdir().unwrap();
    let (endpoint, _) = serve(0);
    let output = fetch_in_child(temp.path(), &endpoint);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!temp.path().join("downloads/hub/tiny").exists(), "the download is not kept twice");
}

#[test]
fn a_download_that_breaks_goes_on_where_it_stopped() {
    let temp = tempfile::tempdir().unwrap();
    let (endpoint, sent) = serve(2);
    let output = fetch_in_child(temp.path(), &endpoint);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Each metadata request costs one byte; the file itself must have been sent once in all.
    assert!(sent.load(Ordering::Relaxed) <= weights().len() + 8, "{} bytes sent", sent.load(Ordering::Relaxed));
}

#[test]
fn a_hub_that_says_nothing_is_given_up() {
    if std::env::var_os("LINGXI_SLOW").is_none() {
        eprintln!("SKIPPED: set LINGXI_SLOW=1 to wait ten seconds for a hub that says nothing");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let started = std::time::Instant::now();
    let output = fetch_in_child(temp.path(), &format!("http://{}", silent.local_addr().unwrap()));
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("no answer within 10 s"), "{text}");
    assert!(started.elapsed().as_secs() < 15);
}
