//! The shop's files -> clean columns with dense ids.

use crate::progress::Unit;
use crate::recipe::Recipe;
use crate::shelf::{Place, Shelf};
use crate::site::Site;
use anyhow::{Context as _, Result};
use lingxi_data::Fingerprint;
use lingxi_data::ingest::{Ingested, Source, read};
use std::path::{Path, PathBuf};

const STAGE: &str = "ingest";

/// What came out of the files, and the fingerprint of files and description together.
pub struct Shop {
    /// Events, catalogue, shoppers, report.
    pub data: Ingested,
    /// Where it lies on the shelf; its key names files and description together.
    pub place: Place,
    /// Whether it came from the shelf.
    pub reused: bool,
}

/// Reads and cleans what the recipe names, or takes it from the shelf if neither files nor description changed.
///
/// # Errors
/// Those of [`read`], and files that cannot be opened.
pub fn ingest(recipe: &Recipe, site: &Site) -> Result<Shop> {
    let files = fingerprint_files(&recipe.data, &site.data)?;
    let key = Shelf::key(&[files], &recipe.data);
    let make = || {
        let stage = site.progress.stage("ingest", None, Unit::Of("rows"));
        let (mut before, mut file, mut rows) = (0, PathBuf::new(), 0);
        let data = read(&recipe.data, &site.data, &mut |p| {
            if p.path != file {
                (before, file) = (before + rows, p.path.to_path_buf());
            }
            rows = p.rows;
            stage.set(before + rows);
        })?;
        stage.finish(&format!("{} events kept", crate::report::count(data.interactions.len() as u64)));
        Ok(data)
    };
    let load = |folder: &Path| Ok(Ingested::load(folder)?);
    let (data, reused) = site.shelf.get(STAGE, key, load, make, |data, folder| Ok(data.save(folder)?))?;
    Ok(Shop { data, place: Place { stage: STAGE.into(), key }, reused })
}

/// A shop that was read before and lies on the shelf.
///
/// # Errors
/// If it does not.
pub fn reopen(place: &Place, site: &Site) -> Result<Shop> {
    let never = || anyhow::bail!("the shop {} is not on the shelf", place.key);
    let load = |folder: &Path| Ok(Ingested::load(folder)?);
    let (data, reused) = site.shelf.get(&place.stage, place.key, load, never, |_, _| Ok(()))?;
    Ok(Shop { data, place: place.clone(), reused })
}

/// Names what is built without reading any of it: the content of the files, the recipe, the seed and the code.
///
/// # Errors
/// Files that cannot be opened.
pub fn order(recipe: &Recipe, site: &Site) -> Result<Fingerprint> {
    Ok(Shelf::key(&[fingerprint_files(&recipe.data, &site.data)?], &(recipe, site.seed)))
}

/// The content of every file that the source names, in the order of the source.
fn fingerprint_files(source: &Source, base: &Path) -> Result<Fingerprint> {
    let events = source.events.iter().map(|f| &f.path);
    let items = source.items.iter().map(|f| &f.path);
    let users = source.users.iter().map(|f| &f.path);
    let knowledge = source.knowledge.iter().map(|f| &f.path);
    let mut hashes = Vec::new();
    for path in events.chain(items).chain(users).chain(knowledge) {
        let path = base.join(path);
        let unreadable = || {
            let message = format!("cannot read {}", path.display());
            crate::failure::UserError::new(message, "check the path in the recipe and the folder given with --data")
        };
        let mut hasher = blake3::Hasher::new();
        let file = std::fs::File::open(&path).map_err(|why| unreadable().because(why))?;
        hasher.update_reader(file).with_context(|| format!("cannot read {}", path.display()))?;
        hashes.push(hasher.finalize());
    }
    Ok(Fingerprint::of(hashes.iter().map(|h| h.as_bytes().as_slice())))
}
