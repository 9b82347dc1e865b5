//! What happened, and what do we sell?
//!
//! Logs and a catalogue come in through [`ingest`]; [`Interactions`] and [`Catalog`] with dense ids go out, and every
//! other room speaks in the types of this crate. Nothing here knows a tensor, a socket or a clock: time and seeds are
//! arguments.
//!
//! In reading order: [`ids`] name things, [`interactions`] hold what happened, [`catalog`] what is sold, [`vectors`] what
//! the goods mean, [`decision`] what was shown and what came of it, [`stage`] the four traits of the way, [`split`] how
//! the past is divided into training, validation and test, [`ingest`] how files become all this, [`records`] how rows come in
//! and go out one by one.

pub mod artefact;
pub mod catalog;
pub mod decision;
pub mod error;
pub mod fingerprint;
pub mod ids;
pub mod ingest;
pub mod interactions;
pub mod records;
pub mod split;
pub mod stage;
pub mod text;
pub mod vectors;

pub use catalog::{Catalog, CategoryId};
pub use decision::{Decision, Feedback, Lesson, Slot};
pub use error::{DataError, InputError, Result};
pub use fingerprint::Fingerprint;
pub use ids::{Interner, ItemId, UserId};
pub use interactions::{Event, EventKind, Events, Interactions, Purpose, Rows, least_taken};
pub use stage::{Because, Context, Contribution, Encode, Policy, Recall, Score, Scored, Terms};
pub use vectors::{ItemVectors, Provenance};
