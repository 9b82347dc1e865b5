//! Assets from a directory: `DIR/NAME/FILE`, or `DIR/FILE` when DIR is the asset's own folder.

use std::path::Path;

use super::error::SourceError;
use super::manifest::{Asset, AssetFile};
use super::staging::Staging;
use crate::progress::{Progress, Unit};

/// Copies the missing files; an interrupted copy goes on where it stopped.
pub(super) fn deliver(
    dir: &Path,
    asset: &Asset,
    missing: &[&AssetFile],
    staging: &Staging,
    progress: &Progress,
) -> Result<(), SourceError> {
    let total = missing.iter().map(|file| file.size).sum();
    let stage = progress.stage(&format!("copy {}", asset.name), Some(total), Unit::Bytes);
    for file in missing {
        let candidates = [dir.join(&asset.name).join(&file.path), dir.join(&file.path)];
        let Some(path) = candidates.iter().find(|path| path.is_file()) else {
            let why = format!("neither {} nor {} is a file", candidates[0].display(), candidates[1].display());
            return Err(SourceError::Unavailable(why));
        };
        staging.take_file(file, path, &stage)?;
    }
    stage.finish("from a local directory");
    Ok(())
}
