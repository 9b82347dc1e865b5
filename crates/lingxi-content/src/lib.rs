//! What is this item?
//!
//! Catalogue text comes in, [`lingxi_data::ItemVectors`] go out: one vector per item, such that goods described alike lie
//! close together. The vectors are what makes a good that nobody bought yet comparable with one that everybody did.
//!
//! In reading order: [`folder`] reads and checks a Hugging Face model directory, [`family`] tells the kin of BERT apart, [`bert`] is the network on packed
//! sequences, [`encoder`] puts tokenizer, network and pooling together behind [`lingxi_data::Encode`], [`cache`] keeps
//! vectors by content so that a changed title encodes one item, [`catalogue`] encodes each distinct text once.

pub mod bert;
pub mod cache;
pub mod catalogue;
pub mod encoder;
pub mod error;
pub mod family;
pub mod folder;

pub use catalogue::{EncodeStats, encode_texts};
pub use encoder::{BertEncoder, Precision};
pub use error::{ContentError, Result};
/// On which instructions the kernels work, and whether `LINGXI_CPU` names some that there are.
pub use lingxi_kernels::cpu;
