//! Assets from a wheel: pip fetches it, we open it as a zip and take the named members.
//!
//! pip knows the person's index, mirror, proxy and credentials, so it does the downloading (`pip download --no-deps
//! --only-binary=:all:`); nothing of the wheel is installed or run. A wheel that arrived stays in the cache until its
//! members are verified, so an interruption while unpacking costs no second download.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use zip::ZipArchive;

use super::cache::tree_size;
use super::error::{SourceError, source_io};
use super::manifest::{Asset, AssetFile, WheelSource};
use super::staging::Staging;
use crate::progress::{Progress, Stage, Unit};

/// How pip may be called, in the order in which to try.
const PIPS: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];

/// Fetches the wheel unless it is there already, and stages the missing files.
pub(super) fn deliver(
    wheel: &WheelSource,
    asset: &Asset,
    missing: &[&AssetFile],
    downloads: &Path,
    staging: &Staging,
    progress: &Progress,
) -> Result<(), SourceError> {
    let folder = downloads.join("pip").join(format!("{}-{}", wheel.package, wheel.version));
    let kept = find_wheel(&folder);
    let first = match &kept {
        Some(path) => unpack(path, wheel, asset, missing, staging, progress),
        None => Err(SourceError::Unavailable("no wheel kept".into())),
    };
    let result = first.or_else(|_| {
        fs::remove_dir_all(&folder).ok();
        let path = download(wheel, &folder, progress)?;
        unpack(&path, wheel, asset, missing, staging, progress)
    });
    fs::remove_dir_all(&folder).ok();
    result
}

fn find_wheel(folder: &Path) -> Option<PathBuf> {
    let paths = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    paths.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

/// Takes the missing files out of the zip; names, sizes and hashes come from the manifest, never from the zip.
fn unpack(
    path: &Path,
    wheel: &WheelSource,
    asset: &Asset,
    missing: &[&AssetFile],
    staging: &Staging,
    progress: &Progress,
) -> Result<(), SourceError> {
    let file = File::open(path).map_err(source_io(path))?;
    let not_a_zip = |error| SourceError::Unavailable(format!("{} is no wheel: {error}", path.display()));
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(not_a_zip)?;
    let total = missing.iter().map(|file| file.size).sum();
    let stage = progress.stage(&format!("unpack {}", asset.name), Some(total), Unit::Bytes);
    for file in missing {
        let name = format!("{}/{}", wheel.folder, file.path);
        let mut member =
            archive.by_name(&name).map_err(|error| SourceError::Unavailable(format!("member {name}: {error}")))?;
        staging.take_stream(file, &mut member, &stage)?;
    }
    stage.finish(&format!("from wheel {}=={}", wheel.package, wheel.version));
    Ok(())
}

/// Runs pip and shows how much has arrived by looking at the folder that it downloads into.
fn download(wheel: &WheelSource, folder: &Path, progress: &Progress) -> Result<PathBuf, SourceError> {
    let temporary = folder.join("tmp");
    fs::create_dir_all(&temporary).map_err(source_io(&temporary))?;
    let stage = progress.stage(&format!("download {}", wheel.package), Some(wheel.size), Unit::Bytes);
    let mut reasons = Vec::new();
    for pip in PIPS {
        let log = folder.join("pip.log");
        let status = match start(pip, wheel, folder, &temporary, &log) {
            Ok(running) => running.watch(folder, wheel.size, &stage).map_err(source_io(folder))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                reasons.push(format!("{} is not installed", pip[0]));
                continue;
            }
            Err(error) => return Err(source_io(Path::new(pip[0]))(error)),
        };
        let said = fs::read_to_string(&log).unwrap_or_default();
        if status.success() {
            let found = find_wheel(folder).ok_or_else(|| SourceError::Unavailable("pip left no wheel".into()))?;
            stage.set(wheel.size);
            stage.finish("with pip");
            return Ok(found);
        }
        if !said.contains("No module named pip") {
            return Err(SourceError::Unavailable(reason(&said)));
        }
        reasons.push(format!("{} has no pip", pip[0]));
    }
    Err(SourceError::Unavailable(format!("pip is needed: {}", reasons.join(", "))))
}

/// A running pip; it is killed if it is given up.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(pip: &[&str], wheel: &WheelSource, folder: &Path, temporary: &Path, log: &Path) -> std::io::Result<Running> {
    let log = File::create(log)?;
    let mut command = Command::new(pip[0]);
    command
        .args(&pip[1..])
        .args(["download", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"])
        // Verbose, so that the log says why an index could not be read.
        .args(["-vv", "--progress-bar", "off", "--dest"])
        .arg(folder)
        .arg(format!("{}=={}", wheel.package, wheel.version))
        .env("TMPDIR", temporary)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    // Fail soon without network, unless the person has said how patient to be.
    for (key, value) in [("PIP_RETRIES", "2"), ("PIP_DEFAULT_TIMEOUT", "15"), ("PIP_RESUME_RETRIES", "5")] {
        if std::env::var_os(key).is_none() {
            command.env(key, value);
        }
    }
    command.spawn().map(Running)
}

impl Running {
    /// Waits for the end; pip reports no bytes to a pipe, the growing file does.
    fn watch(mut self, folder: &Path, size: u64, stage: &Stage) -> std::io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            stage.set(tree_size(folder).min(size));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What pip complained about, in one line. An index out of reach makes pip say that no version exists; we say why.
fn reason(log: &str) -> String {
    let broken = log.lines().find_map(|line| line.trim().strip_prefix("Could not fetch URL "));
    if let Some((url, cause)) = broken.and_then(|broken| broken.split_once(": ")) {
        // "... (Caused by NewConnectionError('<... object at 0x7f>: Failed to ...: Connection refused')) - skipping"
        let cause = cause.trim_end_matches(" - skipping").trim_end_matches([')', '\'']);
        let cause = cause.rsplit_once(">: ").map_or(cause, |(_, cause)| cause);
        return format!("pip cannot read {url}: {cause}");
    }
    match log.lines().find_map(|line| line.strip_prefix("ERROR: ")) {
        Some(error) => format!("pip: {error}"),
        None => format!("pip: {}", log.lines().last().unwrap_or("failed without a word")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_out_of_reach_is_named_before_the_missing_package() {
        let log = "Looking in indexes: http://index.invalid\n  Could not fetch URL http://index.invalid/recbole/: \
                   connection error: HTTPConnectionPool(host='index.invalid', port=80): Max retries exceeded (Caused by \
                   NewConnectionError('<HTTPConnection object at 0x7f18>: Failed to connect: [Errno 111] Connection \
                   refused')) - skipping\nERROR: Could not find a version that satisfies recbole==1.2.1\n";
        assert_eq!(
            reason(log),
            "pip cannot read http://index.invalid/recbole/: Failed to connect: [Errno 111] Connection refused"
        );
    }

    #[test]
    fn otherwise_the_first_error_is_named() {
        assert_eq!(reason("Looking\nERROR: A\nERROR: B\n"), "pip: A");
        assert_eq!(reason("Traceback\nOSError: disk full"), "pip: OSError: disk full");
    }
}
