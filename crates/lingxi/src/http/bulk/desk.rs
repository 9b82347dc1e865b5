//! Which imports wait, which one is taken in, and what became of the others?
//!
//! Each import is a pair of files in a folder beside the store: `7.rows` as it came and `7.json` that says what it is. It is
//! acknowledged once both are on disk. Those that are not finished wait again after a restart, and go through from their first
//! row: the rows' keys tell which are stored already.

use super::{MAX_WAITING, REMEMBERED, What, intake};
use crate::http::App;
use crate::http::error::{Answer, Refusal};
use axum::http::StatusCode;
use lingxi_data::artefact::write_atomically;
use lingxi_data::records::Form;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Others are before it.
    Waiting,
    /// Its rows are being taken in.
    Running,
    /// All rows were read.
    Done,
    /// It broke off; the rows before that place are stored.
    Failed,
}

/// A row that was not taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RefusedRow {
    /// Its number from 1: the line of JSON lines, the row of Parquet.
    pub row: u64,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
}

/// An import, as it is answered and kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Import {
    /// Its number.
    pub id: u64,
    /// What its rows are.
    pub what: What,
    /// How its body is written.
    pub format: Form,
    /// Row `n` has the idempotency key `key#n`.
    pub key: String,
    /// Hash of its body.
    pub hash: String,
    /// Length of its body.
    pub bytes: u64,
    /// When it came, unix seconds.
    pub created: i64,
    /// How far it is.
    pub stage: Stage,
    /// Share of the body that is read, 0 to 1.
    pub share: f32,
    /// Rows read.
    pub rows: u64,
    /// Rows stored.
    pub stored: u64,
    /// Rows whose key was stored before.
    pub duplicates: u64,
    /// Rows that were not taken.
    pub refused: u64,
    /// The first of those.
    pub refusals: Vec<RefusedRow>,
    /// Rows a second.
    pub rate: f64,
    /// Seconds that are left at this rate.
    pub seconds_left: Option<f64>,
    /// When it ended, unix seconds.
    pub finished: Option<i64>,
    /// Why it broke off.
    pub error: Option<String>,
}

impl Import {
    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Done | Stage::Failed)
    }
}

/// The imports, and the folder that they lie in.
pub struct Desk {
    folder: PathBuf,
    state: Mutex<Imports>,
}

#[derive(Default)]
struct Imports {
    last: u64,
    /// Bodies on their way in.
    arriving: usize,
    /// Whether a thread takes them in.
    working: bool,
    all: BTreeMap<u64, Import>,
}

/// A place in the queue for a body on its way in, given back when dropped.
pub struct Place<'a> {
    desk: &'a Desk,
    /// The import's number.
    pub id: u64,
    /// Where its body goes.
    pub rows: PathBuf,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        state.arriving -= 1;
        if !state.all.contains_key(&self.id) {
            // It may not be there yet, or not have come at all.
            let _ = std::fs::remove_file(&self.rows);
        }
    }
}

impl Desk {
    /// What lies in `folder`, which need not be there yet.
    pub fn open(folder: PathBuf) -> Desk {
        let mut imports = Imports::default();
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            let Some(number) = number.filter(|_| path.extension().is_some_and(|end| end == "json")) else { continue };
            imports.last = imports.last.max(number);
            match read(&path) {
                Ok(import) => drop(imports.all.insert(number, import)),
                Err(why) => tracing::warn!("{} is left aside: {why}", path.display()),
            }
        }
        let desk = Desk { folder, state: Mutex::new(imports) };
        desk.sweep();
        desk
    }

    /// Takes a place in the queue.
    pub fn place(&self) -> Answer<Place<'_>> {
        let mut state = self.state();
        let waiting = state.all.values().filter(|import| import.stage == Stage::Waiting).count();
        if waiting + state.arriving >= MAX_WAITING {
            let message = format!("{MAX_WAITING} imports wait already");
            return Err(Refusal::too_many("imports_full", message)
                .remedy("send it again when one of them is done; GET /api/imports tells"));
        }
        std::fs::create_dir_all(&self.folder).map_err(Refusal::internal)?;
        state.arriving += 1;
        state.last += 1;
        let id = state.last;
        Ok(Place { desk: self, id, rows: self.rows_of(id) })
    }

    /// Takes an import whose body lies in its place; from here on it is not lost. The same again while the first is not over
    /// is the first; another body under its key may come only if the first lacked something, to mend it.
    pub fn accept(&self, place: Place<'_>, import: Import) -> Answer<Import> {
        let mut state = self.state();
        let with_key = |other: &&Import| other.key == import.key && other.what == import.what;
        if let Some(other) = state.all.values().rev().find(with_key) {
            let lacks = other.is_over() && (other.refused > 0 || other.stage == Stage::Failed);
            if other.hash != import.hash && !lacks {
                let message = format!("import {} had the key {:?} and another body", other.id, import.key);
                let same = Refusal::new(StatusCode::CONFLICT, "key_reused", message);
                drop(state);
                return Err(same.remedy("send the same body under one key, or another body under a new key"));
            }
            if !other.is_over() {
                let other = other.clone();
                drop(state);
                return Ok(other);
            }
        }
        self.keep(&import).map_err(Refusal::internal)?;
        state.all.insert(import.id, import.clone());
        drop(state);
        drop(place);
        Ok(import)
    }

    /// An import by its number.
    pub fn get(&self, id: u64) -> Option<Import> {
        self.state().all.get(&id).cloned()
    }

    /// All that are remembered, the newest first.
    pub fn all(&self) -> Vec<Import> {
        self.state().all.values().rev().cloned().collect()
    }

    /// Changes what is told of an import.
    pub fn tell(&self, id: u64, change: impl FnOnce(&mut Import)) {
        if let Some(import) = self.state().all.get_mut(&id) {
            change(import);
        }
    }

    /// Starts the thread that takes imports in, if there is something to do and it does not run.
    pub fn work_through(app: &App) {
        let desk = &app.bulk.desk;
        let mut state = desk.state();
        if state.working || state.all.values().all(Import::is_over) {
            return;
        }
        let worker = app.clone();
        let started = std::thread::Builder::new().name("lingxi-import".into()).spawn(move || work(&worker));
        match started {
            Ok(_) => state.working = true,
            Err(why) => tracing::error!("imports wait for the next start: {why}"),
        }
    }

    /// The oldest import that is not over; `None` also lets the thread go.
    fn next(&self, stopping: bool) -> Option<Import> {
        let mut state = self.state();
        let next = state.all.values_mut().find(|import| !import.is_over() && !stopping);
        let next = next.map(|import| {
            import.stage = Stage::Running;
            import.clone()
        });
        state.working = next.is_some();
        next
    }

    /// Notes how an import ended and lets go of its body.
    fn close(&self, id: u64, at: i64, broken: Option<String>) {
        self.tell(id, |import| {
            import.stage = if broken.is_some() { Stage::Failed } else { Stage::Done };
            (import.seconds_left, import.finished, import.error) = (None, Some(at), broken);
        });
        let Some(import) = self.get(id) else { return };
        // If this is lost the import goes through again and stores nothing twice.
        if let Err(why) = self.keep(&import) {
            tracing::warn!("import {id} will go through again after a restart: {why}");
        }
        self.sweep();
    }

    /// Writes what an import is, so that it survives the loss of power.
    fn keep(&self, import: &Import) -> io::Result<()> {
        write_atomically(&self.folder.join(format!("{}.json", import.id)), &serde_json::to_vec(import)?)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Deletes bodies that are not needed and imports that are long over.
    fn sweep(&self) {
        let mut state = self.state();
        let over: Vec<u64> = state.all.values().filter(|import| import.is_over()).map(|import| import.id).collect();
        let (forgotten, _) = over.split_at(over.len().saturating_sub(REMEMBERED));
        for id in forgotten {
            state.all.remove(id);
            let _ = std::fs::remove_file(self.folder.join(format!("{id}.json")));
        }
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            let arriving = state.arriving > 0 && number.is_none_or(|n| !state.all.contains_key(&n));
            let wanted = number.and_then(|n| state.all.get(&n)).is_some_and(|import| !import.is_over());
            if path.extension().is_some_and(|end| end == "rows") && !wanted && !arriving {
                // One that cannot be deleted now is tried again when the next import ends.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn rows_of(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{id}.rows"))
    }

    fn state(&self) -> MutexGuard<'_, Imports> {
        // Whole data: each change under the lock is a single field or entry.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Import> {
    let mut import: Import = serde_json::from_slice(&std::fs::read(path)?)?;
    if !import.is_over() {
        import.stage = Stage::Waiting;
    }
    Ok(import)
}

/// Takes in one import after the other until none is left or the server stops.
fn work(app: &App) {
    let desk = &app.bulk.desk;
    while let Some(import) = desk.next(app.is_stopping()) {
        match intake::take_in(app, desk, &import, &desk.rows_of(import.id)) {
            Ok(intake::End::Read) => desk.close(import.id, app.now(), None),
            Ok(intake::End::Stopped) => desk.tell(import.id, |import| import.stage = Stage::Waiting),
            Err(why) => desk.close(import.id, app.now(), Some(why)),
        }
    }
}
