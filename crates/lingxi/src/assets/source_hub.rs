//! Assets from the Hugging Face Hub, at a pinned revision.
//!
//! Honours `HF_ENDPOINT` (a mirror), `HF_HUB_OFFLINE`, `HF_HOME` (files that other programs have already downloaded) and
//! the token that the hub's own client keeps. The client has no time limits, so it works in a thread of its own
//! and is given up when it says nothing for a while: without network, the next source must get its turn soon.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Repo, RepoType};

use super::error::SourceError;
use super::manifest::{Asset, AssetFile, HubSource};
use super::staging::Staging;
use crate::progress::{Progress, Stage, Unit};

/// How long to wait for the first byte of a file.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// How long a download may stand still.
const STALL: Duration = Duration::from_secs(30);

/// Downloads the missing files; an interrupted download goes on where it stopped.
pub(super) fn deliver(
    hub: &HubSource,
    asset: &Asset,
    missing: &[&AssetFile],
    downloads: &Path,
    staging: &Staging,
    progress: &Progress,
) -> Result<(), SourceError> {
    let total = missing.iter().map(|file| file.size).sum();
    let stage = progress.stage(&format!("download {}", asset.name), Some(total), Unit::Bytes);
    let folder = downloads.join("hub").join(&asset.name);
    let mut before = 0;
    for file in missing {
        let path = match shared_copy(hub, file) {
            Some(path) => path,
            None if offline() => {
                return Err(unavailable("HF_HUB_OFFLINE is set and the hub's own cache lacks the file"));
            }
            None => download(hub, &file.path, &folder, before, &stage)?,
        };
        let quiet = Progress::silent().stage("", None, Unit::Bytes);
        if let Err(error) = staging.take_file(file, &path, &quiet) {
            // Wrong bytes must not be found again by the next attempt.
            fs::remove_dir_all(&folder).ok();
            return Err(error);
        }
        before += file.size;
        stage.set(before);
    }
    fs::remove_dir_all(&folder).ok();
    stage.finish("from the Hugging Face Hub");
    Ok(())
}

/// A file that another program has already downloaded into the hub's own cache.
fn shared_copy(hub: &HubSource, file: &AssetFile) -> Option<PathBuf> {
    let path = hf_hub::Cache::from_env().repo(repo(hub)).pointer_path(&hub.revision).join(&file.path);
    path.is_file().then_some(path)
}

fn offline() -> bool {
    let value = std::env::var("HF_HUB_OFFLINE").unwrap_or_default().to_lowercase();
    ["1", "true", "yes", "on"].contains(&value.as_str())
}

fn repo(hub: &HubSource) -> Repo {
    Repo::with_revision(hub.repo.clone(), RepoType::Model, hub.revision.clone())
}

/// What the downloading thread says.
enum News {
    Bytes(u64),
    Done(Result<PathBuf, String>),
}

/// Downloads one file below `folder`; `before` bytes of the stage were done by earlier files.
fn download(hub: &HubSource, file: &str, folder: &Path, before: u64, stage: &Stage) -> Result<PathBuf, SourceError> {
    fs::create_dir_all(folder).map_err(super::error::source_io(folder))?;
    let (sender, news) = mpsc::channel();
    let (repo, name, folder) = (repo(hub), file.to_owned(), folder.to_path_buf());
    std::thread::spawn(move || {
        let teller = Teller { sender: sender.clone() };
        let result = ApiBuilder::from_env()
            .with_cache_dir(folder)
            .with_retries(2)
            .with_progress(false)
            .build()
            .and_then(|api| api.repo(repo).download_with_progress(&name, teller));
        sender.send(News::Done(result.map_err(|error| error.to_string()))).ok();
    });
    let (mut done, mut patience) = (0, FIRST_BYTE);
    loop {
        match news.recv_timeout(patience) {
            Ok(News::Bytes(n)) => {
                done += n;
                patience = STALL;
                stage.set(before + done);
            }
            Ok(News::Done(result)) => return result.map_err(|why| unavailable(&format!("{file}: {why}"))),
            Err(RecvTimeoutError::Timeout) => {
                return Err(unavailable(&format!("{file}: no answer within {} s", patience.as_secs())));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(unavailable(&format!("{file}: the hub client stopped"))),
        }
    }
}

/// Passes the client's progress on to the waiting thread.
struct Teller {
    sender: Sender<News>,
}

impl hf_hub::api::Progress for Teller {
    fn init(&mut self, _size: usize, _filename: &str) {}

    fn update(&mut self, size: usize) {
        self.sender.send(News::Bytes(size as u64)).ok();
    }

    fn finish(&mut self) {}
}

fn unavailable(why: &str) -> SourceError {
    SourceError::Unavailable(why.to_owned())
}
