//! The stages of a build, one file each. A stage takes plain values, keeps its artefact on the shelf under the fingerprint
//! of all that it depends on, and says what it did. `pipeline` calls them by name.
//!
//! In reading order: [`ingest`] reads the files, [`arrivals`] adds what came since, [`encode`] reads the goods, [`divide`] splits the past, [`fit`] learns,
//! [`choose`] weighs the models on validation, [`measure`] measures on test, [`cost`] times a request, [`folds`] joins the figures of folds, [`index`] makes goods findable,
//! [`interests`] says how much a shopper's past tells of each category, [`novel`] which interests goods have and which follows which,
//! [`told`] the same as a language model has it. Beside them, [`web`] fits the models of graph and knowledge for [`fit`], [`worth`] the
//! chance that something comes of showing an item, [`learn`] trains those that learn in steps where a killed build can go on, and
//! [`cold`] measures goods that nobody took.

pub mod arrivals;
pub mod choose;
pub mod cold;
pub mod cost;
pub mod divide;
pub mod encode;
pub mod fit;
pub mod folds;
pub mod index;
pub mod ingest;
pub mod interests;
pub mod learn;
pub mod measure;
pub mod novel;
pub mod told;
pub mod tune;
pub mod web;
pub mod worth;
