//! Which snapshots can a shop go back to?
//!
//! `<cache>/snapshots/<store>/<id>/` holds a [`Card`] and, as hard links, every artefact that the snapshot is made of, so
//! that it reads back whole when the shop's files have changed and the shelf has moved on. `serving` names the one that
//! answers, also after a restart. A snapshot is put in place whole or not at all.

use crate::failure::UserError;
use crate::pipeline;
use crate::recipe::Recipe;
use crate::shelf::{Place, Shelf, remove, sync};
use crate::site::Site;
use crate::snapshot::Snapshot;
use crate::stages::arrivals::Arrivals;
use crate::stages::ingest;
use crate::stages::measure::Measured;
use anyhow::{Context as _, Result};
use lingxi_data::Fingerprint;
use lingxi_data::artefact::{Reader, Writer, write_atomically};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};

/// What a kept snapshot is; written last, so that a folder without it is none.
const CARD: &str = "snapshot.safetensors";

/// The file with the id of the snapshot that answers.
const SERVING: &str = "serving";

/// What is known of a kept snapshot without opening it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Its number in this shop, from 1.
    pub id: u64,
    /// When it was built, unix seconds.
    pub built: i64,
    /// Names data, configuration and code.
    pub fingerprint: Fingerprint,
    /// Names files, recipe, seed and code: a start with another order builds anew.
    pub order: Fingerprint,
    /// The last event of the store that it learned from.
    pub built_with: i64,
    /// The shop that it was built for.
    pub recipe: Recipe,
    /// Seed of every random choice.
    pub seed: u64,
    /// Where the read shop lies.
    pub shop: Place,
    /// All that it is made of.
    pub artefacts: Vec<Place>,
    /// Events that it learned from.
    pub events: u64,
    /// Goods that it knows.
    pub items: u64,
    /// The figure that it earned before it was published.
    pub value: Option<f64>,
}

/// A snapshot that was read back, ready to answer.
pub struct Opened {
    /// What it is.
    pub card: Card,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Its figures.
    pub measured: Measured,
}

/// The kept snapshots of one store.
#[derive(Clone, Debug)]
pub struct Kept {
    root: PathBuf,
}

impl Kept {
    /// Those of the shop whose events go into `store`.
    pub fn of(cache: &Path, store: &Path) -> Kept {
        let whole = std::path::absolute(store).unwrap_or_else(|_| store.to_path_buf());
        let stem = store.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = blake3::hash(whole.as_os_str().as_encoded_bytes()).to_hex();
        Kept { root: cache.join("snapshots").join(format!("{stem}-{}", &name[..8])) }
    }

    /// The folder that they lie in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The cards of all that read well, newest first.
    pub fn list(&self) -> Vec<Card> {
        let read = |id| match self.card(id) {
            Ok(card) => Some(card),
            Err(why) => {
                tracing::warn!("the kept snapshot {id} is passed over: {why:#}");
                None
            }
        };
        self.ids().into_iter().filter_map(read).collect()
    }

    /// The id of the snapshot that was chosen to answer.
    pub fn chosen(&self) -> Option<u64> {
        std::fs::read_to_string(self.root.join(SERVING)).ok()?.trim().parse().ok()
    }

    /// Chooses the snapshot that answers after the next start.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn choose(&self, id: u64) -> Result<()> {
        write_atomically(&self.root.join(SERVING), format!("{id}\n").as_bytes())
            .context("cannot note which snapshot serves")?;
        Ok(File::open(&self.root)?.sync_all()?)
    }

    /// Builds a snapshot from the shop's files and what arrived since, keeps it, and gives it back as it reads from disk.
    /// `now` is the time, unix seconds.
    ///
    /// # Errors
    /// Those of [`pipeline::build`], and whatever the file system says.
    pub fn build(&self, recipe: &Recipe, arrivals: &Arrivals, now: i64, site: &Site) -> Result<Opened> {
        let order = ingest::order(recipe, site)?;
        let shop = pipeline::build(recipe, arrivals, site)?.0.built.shop.place.clone();
        // Read back before it is kept: what is not whole is never published, and only what is needed is kept.
        let shelf = Shelf::sealed(site.shelf.root());
        let (snapshot, measured) = pipeline::reopen(recipe, &shop, &Site { shelf: shelf.clone(), ..site.clone() })
            .context("the build does not read back")?;
        let data = &snapshot.built.shop.data;
        let card = Card {
            id: 0,
            built: now,
            fingerprint: snapshot.fingerprint(),
            order,
            built_with: arrivals.up_to,
            recipe: recipe.clone(),
            seed: site.seed,
            artefacts: shelf.used(),
            events: data.interactions.len() as u64,
            items: data.catalog.len() as u64,
            value: measured.result.metrics.get(&recipe.evaluate.main).copied(),
            shop,
        };
        let card = self.keep(&shelf, card)?;
        Ok(Opened { card, snapshot, measured })
    }

    /// Reads a snapshot back. Nothing is fitted: what is missing or spoilt is an error.
    ///
    /// # Errors
    /// There is none of this id, it is spoilt, or another version of the program made it.
    pub fn open(&self, id: u64, site: &Site) -> Result<Opened> {
        let card = self.card(id)?;
        let site = Site { shelf: Shelf::sealed(self.folder(id)), seed: card.seed, ..site.clone() };
        let failed = || {
            let message = format!("the kept snapshot {id} cannot be read back");
            UserError::new(
                message,
                "choose another (lingxi snapshots list), or build a new one (lingxi snapshots build)",
            )
        };
        let (snapshot, measured) =
            pipeline::reopen(&card.recipe, &card.shop, &site).map_err(|why| failed().because(why))?;
        Ok(Opened { card, snapshot, measured })
    }

    /// Reads back the snapshot that was chosen; if it is spoilt, the newest one that is not. `None` if there is none that
    /// was built to this order.
    pub fn last_good(&self, order: Fingerprint, site: &Site) -> Option<Opened> {
        let mut cards: Vec<Card> = self.list().into_iter().filter(|card| card.order == order).collect();
        // Stable: the rest stays newest first.
        let chosen = self.chosen();
        cards.sort_by_key(|card| Some(card.id) != chosen);
        cards.into_iter().find_map(|card| match self.open(card.id, site) {
            Ok(opened) => Some(opened),
            Err(why) => {
                tracing::warn!("{why:#}; trying the one before");
                None
            }
        })
    }

    /// Keeps the snapshot whose artefacts lie on `shelf`; `card.id` is given here. Returns the card as it was written.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn keep(&self, shelf: &Shelf, mut card: Card) -> Result<Card> {
        std::fs::create_dir_all(&self.root).with_context(|| format!("cannot create {}", self.root.display()))?;
        let beside = self.root.join(format!("{}.tmp", std::process::id()));
        remove(&beside)?;
        let inside = Shelf::sealed(&beside);
        for place in &card.artefacts {
            link(&shelf.folder(place), &inside.folder(place))
                .with_context(|| format!("cannot keep the {}", place.stage))?;
        }
        card.id = self.ids().first().map_or(1, |newest| newest + 1);
        Writer::default().write(&beside.join(CARD), &card)?;
        sync(&beside)?;
        while let Err(why) = std::fs::rename(&beside, self.folder(card.id)) {
            // Another build may have taken the number meanwhile: a folder that is not empty is never replaced.
            if !self.folder(card.id).exists() {
                return Err(why).with_context(|| format!("cannot place a snapshot in {}", self.root.display()));
            }
            card.id += 1;
            Writer::default().write(&beside.join(CARD), &card)?;
        }
        File::open(&self.root)?.sync_all()?;
        Ok(card)
    }

    /// Deletes all but the newest `most`, never the chosen one, and what killed builds left behind.
    pub fn prune(&self, most: usize) {
        let chosen = self.chosen();
        let surplus = self.ids().into_iter().filter(|id| Some(*id) != chosen).skip(most.max(1));
        let unfinished = std::fs::read_dir(&self.root).into_iter().flatten().flatten().map(|entry| entry.path());
        let unfinished = unfinished.filter(|path| path.extension().is_some_and(|e| e == "tmp"));
        for path in surplus.map(|id| self.folder(id)).chain(unfinished) {
            // What cannot be deleted now is tried again after the next build.
            let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        }
    }

    fn card(&self, id: u64) -> Result<Card> {
        let path = self.folder(id).join(CARD);
        if !path.exists() {
            let message = format!("there is no kept snapshot {id}");
            return Err(UserError::new(message, "lingxi snapshots list shows those that there are").into());
        }
        let card: Card = Reader::open(&path)?.meta()?;
        anyhow::ensure!(card.id == id, "{}: expected the card of {id}, got that of {}", path.display(), card.id);
        Ok(card)
    }

    /// Newest first.
    fn ids(&self) -> Vec<u64> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let mut ids: Vec<u64> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids
    }

    fn folder(&self, id: u64) -> PathBuf {
        self.root.join(id.to_string())
    }
}

/// The same files in another folder, without a second copy of their bytes where the file system can do that.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let beside = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link(&entry.path(), &beside)?;
            continue;
        }
        if std::fs::hard_link(entry.path(), &beside).is_err() {
            std::fs::copy(entry.path(), &beside)?;
        }
    }
    Ok(())
}
