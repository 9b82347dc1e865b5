//! How does a whole shop come in and go out? `GET /api/export/{what}` and `POST /api/import/{what}`, as JSON lines or Parquet.
//!
//! An export is streamed from one thread through a bounded channel ([`export`], row by row in [`rows`]). An import is first
//! written beside the store and answered with its number ([`upload`]), then waits its turn and is taken in, one at a time, by
//! the checks that single requests pass too ([`desk`], [`intake`]); `GET /api/imports/{id}` tells how far it is.

mod desk;
mod export;
mod intake;
mod rows;
mod upload;

pub use export::export;
pub use upload::{import, imports, progress};

use super::error::{Answer, Refusal};
use super::params::Query;
use axum::http::StatusCode;
use desk::Desk;
use lingxi_data::records::Form;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Longest body of an import, in bytes.
const MAX_IMPORT: u64 = 4 << 30;

/// Imports that may wait or be on their way in while one is taken in.
const MAX_WAITING: usize = 4;

/// Finished imports that are remembered.
const REMEMBERED: usize = 100;

/// Exports that may be under way.
const MAX_EXPORTS: usize = 2;

/// Pieces of a body that may lie between the thread and the connection, each of about 64 KiB.
const PIECES: usize = 8;

/// How long either side may keep the other waiting for a piece of a body.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// What bulk import and export hold between requests.
pub struct Bulk {
    desk: Desk,
    exports: Arc<Semaphore>,
}

impl Bulk {
    /// What lies beside the store at `store`: imports that a killed process did not finish wait again.
    pub fn open(store: &Path) -> Bulk {
        let mut folder = store.as_os_str().to_owned();
        folder.push(".imports");
        Bulk { desk: Desk::open(folder.into()), exports: Arc::new(Semaphore::new(MAX_EXPORTS)) }
    }

    /// Goes on with the imports that wait.
    pub fn resume(app: &super::App) {
        Desk::work_through(app);
    }
}

/// The rows that can be exported, and some of them imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// What shoppers did.
    Events,
    /// What is sold.
    Items,
    /// Who there is.
    Users,
    /// What was shown.
    Decisions,
}

impl What {
    const ALL: [What; 4] = [What::Events, What::Items, What::Users, What::Decisions];

    /// The name, as in the address.
    pub fn name(self) -> &'static str {
        match self {
            What::Events => "events",
            What::Items => "items",
            What::Users => "users",
            What::Decisions => "decisions",
        }
    }

    /// Back from its name, if it is one of `known`.
    fn parse(known: &[What], name: &str) -> Answer<What> {
        known.iter().find(|what| what.name() == name).copied().ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|what| what.name()).collect();
            let message = format!("there is no {name:?} here; there are {}", names.join(", "));
            Refusal::new(StatusCode::NOT_FOUND, "not_found", message).remedy("name one of these in the address")
        })
    }
}

/// The parameter `format`, JSON lines if absent.
fn form(query: Query) -> Answer<Form> {
    let query = query.only(&["format"])?;
    let Some(name) = query.get("format") else { return Ok(Form::Jsonl) };
    Form::parse(name).ok_or_else(|| Refusal::input("format", "jsonl or parquet", name))
}
