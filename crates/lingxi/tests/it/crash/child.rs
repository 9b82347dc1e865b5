//! A small shop in a folder, and the real program that serves it: started, killed, started again on the same port.

use crate::whole;
use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use ureq::Body;
use ureq::http::Response;

/// A shop in a folder of its own.
pub struct Shop {
    folder: tempfile::TempDir,
    /// The store; elsewhere if a test says so.
    pub store: PathBuf,
    port: u16,
}

impl Shop {
    /// The shop of the test `whole`; it reads goods if the language model is here.
    pub fn new() -> Shop {
        let folder = tempfile::tempdir().unwrap();
        whole::files(folder.path());
        let store = folder.path().join("store.sqlite");
        Shop { folder, store, port: free_port() }
    }

    /// Lets it read goods that come after the build; false if the language model is not here.
    pub fn reads_goods(&self) -> bool {
        whole::with_encoder(self.folder.path())
    }

    /// Where its files lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it answers, dead or alive.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Starts the program.
    pub fn start(&self) -> Served {
        self.start_under(&[])
    }

    /// Starts the program on another port.
    pub fn start_at(&self, port: u16) -> Served {
        self.launch(&[], port)
    }

    /// Starts the program under another one, such as `strace`.
    pub fn start_under(&self, runner: &[&str]) -> Served {
        self.launch(runner, self.port)
    }

    fn launch(&self, runner: &[&str], port: u16) -> Served {
        let program = [env!("CARGO_BIN_EXE_lingxi"), "serve", "--recipe"];
        let words: Vec<&str> = runner.iter().copied().chain(program).collect();
        let started = Instant::now();
        let child = Command::new(words[0])
            .args(&words[1..])
            .arg(self.folder.path().join("recipe.toml"))
            .args(["--addr", &format!("127.0.0.1:{port}"), "--store"])
            .arg(&self.store)
            .env("LINGXI_CACHE", self.folder.path().join("cache"))
            .stdout(Stdio::null())
            .stderr(self.log())
            .spawn()
            .unwrap();
        Served { child, started, ready: format!("http://127.0.0.1:{port}/health/ready") }
    }

    /// Everything that the program wrote to stderr, over all starts.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    fn log(&self) -> std::fs::File {
        std::fs::File::options().create(true).append(true).open(self.folder.path().join("stderr")).unwrap()
    }
}

/// The program, serving; killed when dropped.
pub struct Served {
    child: Child,
    started: Instant,
    ready: String,
}

impl Served {
    /// Waits until it is ready and says how long that took from the start of the process.
    pub fn until_ready(&mut self) -> Duration {
        let agent = agent(Duration::from_secs(1));
        loop {
            if agent.get(&self.ready).call().is_ok_and(|answer| answer.status() == 200) {
                return self.started.elapsed();
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the program ended with {status} before it was ready");
            }
            assert!(self.started.elapsed() < Duration::from_secs(60), "not ready after a minute");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, or another signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end: the exit code.
    pub fn end(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that gives up after a while and takes every status for an answer.
pub fn agent(patience: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    config.http_status_as_error(false).timeout_global(Some(patience)).build().into()
}

/// Status and JSON of an answer.
pub fn answer(got: Result<Response<Body>, ureq::Error>) -> Result<(u16, Value), ureq::Error> {
    let mut response = got?;
    let body = response.body_mut().read_to_string()?;
    Ok((response.status().as_u16(), serde_json::from_str(&body).expect("every answer is JSON")))
}

/// Below the ports that the system gives to clients: a client that calls a dead server there might otherwise be given that
/// very port and talk to itself.
pub fn free_port() -> u16 {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| first + NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).find(free).unwrap()
}
