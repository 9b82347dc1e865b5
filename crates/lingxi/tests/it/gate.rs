//! Who comes in: keys, what they open, and what is never written down.

use crate::shop::Server;
use crate::whole::{Served, files};
use lingxi::http::Gate;
use lingxi::keys::{Keys, Scope};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// Status, code of the refusal and header `Retry-After` of a request with a key.
fn ask(address: &str, method: &str, path: &str, key: Option<(&str, String)>) -> (u16, String, Option<String>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{address}{path}"));
    if let Some((header, key)) = key {
        request = request.header(header, key);
    }
    let mut response = agent.run(request.body("[]".to_owned()).unwrap()).unwrap();
    let wait = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let body = response.body_mut().read_to_string().unwrap();
    let json: Value = serde_json::from_str(&body).unwrap_or_default();
    (response.status().as_u16(), json["error"]["code"].as_str().unwrap_or_default().to_owned(), wait)
}

fn key(keys: &mut Keys, file: &Path, name: &str, scope: Scope, rate: Option<u32>) -> String {
    let key = keys.add(name, &[scope], rate, [name.as_bytes()[0]; 32], 0).unwrap();
    keys.write(file).unwrap();
    key
}

#[test]
fn a_server_with_keys_opens_to_each_what_its_scope_says_as_often_as_its_rate_says() {
    let dir = tempfile::tempdir().unwrap();
    let (server, file) = (Server::start(&dir.path().join("s")), dir.path().join("keys"));
    let mut keys = Keys::default();
    let (read, write) =
        (key(&mut keys, &file, "r", Scope::Read, None), key(&mut keys, &file, "w", Scope::Write, Some(3)));
    let admin = key(&mut keys, &file, "a", Scope::Admin, None);
    server.app.guard(Gate::new(file).unwrap());
    let at = server.address().to_string();
    let status = |method, path, key: Option<&str>| {
        let (status, code, _) = ask(&at, method, path, key.map(|key| ("x-api-key", key.to_owned())));
        (status, code)
    };
    for open in ["/", "/health/ready", "/page/app.js"] {
        assert_eq!(status("GET", open, None).0, 200, "{open}");
    }
    assert_eq!(status("GET", "/api/recommend/ann", None), (401, "no_key".into()));
    assert_eq!(status("GET", "/metrics", Some("lx_00")), (401, "wrong_key".into()));
    assert_eq!(status("GET", "/api/recommend/ann", Some(&read)).0, 200);
    assert_eq!(status("POST", "/api/feedback", Some(&read)), (403, "scope".into()));
    assert_eq!(status("GET", "/api/recommend/ann", Some(&write)), (403, "scope".into()));
    assert_eq!(status("POST", "/api/builds", Some(&write)), (403, "scope".into()));
    assert_eq!(status("POST", "/api/builds", Some(&admin)).0, 501, "it may, but this server builds nothing");
    assert_eq!(ask(&at, "GET", "/api/items", Some(("authorization", format!("Bearer {read}")))).0, 200);
    let answers: Vec<_> =
        (0..5).map(|_| ask(&at, "POST", "/api/feedback", Some(("x-api-key", write.clone())))).collect();
    assert!(answers.contains(&(429, "rate".into(), Some("1".into()))), "{answers:?}");
    assert_eq!(answers[0].0, 200);
}

#[test]
fn a_page_of_another_site_may_not_ask_a_server_without_keys() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    let at = server.address().to_string();
    let from = |header, value: &str| ask(&at, "POST", "/api/feedback", Some((header, value.to_owned()))).0;
    assert_eq!(from("sec-fetch-site", "cross-site"), 403);
    assert_eq!(from("sec-fetch-site", "same-origin"), 200);
    assert_eq!(from("host", "evil.example"), 403);
}

#[test]
fn a_key_is_never_written_to_the_log_and_without_one_no_server_is_open_to_the_network() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let store = dir.path().join("store.sqlite");
    let lingxi = |arguments: &[&str]| {
        let mut lingxi = Command::new(env!("CARGO_BIN_EXE_lingxi"));
        lingxi.args(arguments).arg("--store").arg(&store).env("LINGXI_CACHE", dir.path().join("cache"));
        lingxi.output().unwrap()
    };
    let recipe = dir.path().join("recipe.toml");
    let open = lingxi(&["serve", "--addr", "0.0.0.0:0", "--recipe", recipe.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&open.stderr);
    assert!(open.status.code() == Some(2) && said.contains("lingxi keys add"), "{said}");
    let made = lingxi(&["keys", "add", "shop", "--scopes", "read,write"]);
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(key.starts_with("lx_"), "{key}");
    let log = dir.path().join("log");
    let mut served = Served::with(dir.path(), |command| {
        command.arg("--keys").env("RUST_LOG", "trace").stderr(Stdio::from(std::fs::File::create(&log).unwrap()));
    });
    assert_eq!(ask(&served.address, "GET", "/api/items", None).0, 401);
    for (header, key) in [("x-api-key", key.clone()), ("authorization", format!("Bearer {key}"))] {
        assert_eq!(ask(&served.address, "GET", "/api/items", Some((header, key))).0, 200);
    }
    lingxi(&["keys", "remove", "shop"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(ask(&served.address, "GET", "/api/items", Some(("x-api-key", key.clone()))).0, 401);
    served.child.kill().unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.len() > 1000, "the log was on: {log}");
    assert!(!log.contains(&key[3..]), "a key was logged");
}
