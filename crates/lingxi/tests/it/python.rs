//! A Python with pinned releases from PyPI, for the tests that talk to the server as other programs do.

use std::path::PathBuf;
use std::process::Command;

/// Whether slow tests run; if not, says what is skipped.
pub fn slow(what: &str) -> bool {
    let slow = std::env::var("LINGXI_SLOW").as_deref() == Ok("1");
    if !slow {
        eprintln!("SKIPPED: set LINGXI_SLOW=1 to {what}");
    }
    slow
}

/// The programs of a virtual environment that holds `pins`, made once in the cache directory.
pub fn with(name: &str, pins: &[&str]) -> PathBuf {
    let venv = lingxi::assets::cache::directory().unwrap().join(format!("{name}-venv"));
    let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    let ready = venv.join(pins.join("+"));
    if !ready.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        run(Command::new(venv.join("bin/pip")).args(["install", "-q"]).args(pins));
        std::fs::write(ready, "").unwrap();
    }
    venv.join("bin")
}
