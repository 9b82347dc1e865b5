//! What does this shopper want?
//!
//! Events and item vectors come in; fitted models that implement [`lingxi_data::Score`] go out. Each model is one honest
//! answer that can say exactly what each of its scores is made of, so a blend of them can too.
//!
//! In reading order: [`history`] weighs what a shopper did, [`popularity`] knows what many take, [`habit`] what one takes
//! again, [`item_model`] what is taken together, [`alignment`] what language says about behaviour (and so places shoppers
//! and goods never seen), [`graph`] what the web of shoppers and goods says, [`knowledge`] what is known of goods besides,
//! [`sequence`] what comes next after what was done last ([`agreement`] holds networks and language together), [`nearest`] what reads alike, [`trend`] what
//! is taken at the moment, [`blend`] adds them with weights chosen on validation, [`long_tail`] gives rare goods their share.
//! [`rating`] stands aside: it predicts the stars that a shopper would give and ranks nothing. [`conformance`] holds what every
//! model must obey.
//!
//! Every score is of a magnitude around one by the model's own constant, never by the candidates of one request, so that
//! constants can weigh models against each other.

pub mod agreement;
pub mod alignment;
pub mod blend;
pub mod conformance;
pub mod error;
pub mod graph;
pub mod habit;
pub mod history;
pub mod item_model;
pub mod knowledge;
pub mod long_tail;
pub mod nearest;
pub mod pairs;
pub mod popularity;
pub mod predict;
pub mod rating;
pub mod sequence;
pub mod trend;

pub use error::{BehaviourError, Result};
