//! A Python with pinned releases, made once in the cache directory.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Releases that every reference is made with.
pub const PINS: [&str; 6] =
    ["ranx==0.3.21", "numpy==2.4.6", "numba==0.68.1", "scikit-learn==1.9.1", "scipy==1.17.1", "pandas==3.1.1"];

/// The virtual environment of all references.
pub fn reference() -> PathBuf {
    let venv = cache().join("reference-venv");
    if !venv.join("ready").exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        run(Command::new(venv.join("bin/pip")).args(["install", "-q"]).args(PINS));
        std::fs::write(venv.join("ready"), "").unwrap();
    }
    venv
}

/// A directory with one release of a package and none of what it depends on.
pub fn alone(venv: &Path, package: &str, version: &str) -> PathBuf {
    let place = venv.join(format!("{package}-{version}"));
    if !place.join("ready").exists() {
        let mut pip = Command::new(venv.join("bin/pip"));
        pip.args(["install", "-q", "--no-deps", "--ignore-requires-python", "--upgrade", "--target"]);
        run(pip.arg(&place).arg(format!("{package}=={version}")));
        std::fs::write(place.join("ready"), "").unwrap();
    }
    place
}

/// What a script of this folder prints.
pub fn printed(venv: &Path, script: &str, arguments: &[PathBuf]) -> Vec<u8> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(script);
    let output = Command::new(venv.join("bin/python")).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Whether slow tests were asked for; says loudly if not.
pub fn slow(what: &str) -> bool {
    let asked = std::env::var("LINGXI_SLOW").as_deref() == Ok("1");
    if !asked {
        eprintln!("SKIPPED: set LINGXI_SLOW=1 to {what}");
    }
    asked
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/lingxi");
    std::env::var_os("LINGXI_CACHE").map_or_else(home, PathBuf::from)
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}
