//! What is this item?
//!
//! Catalogue text comes in, [`lingxi_data::ItemVectors`] go out: one vector per item, such that goods described alike lie
//! close together. The vectors are what makes a good that nobody bought yet comparable with one that everybody did.
//!
//! In reading order: [`folder`] reads and checks a Hugging Face model directory, [`family`] tells the kin of BERT apart, [`bert`] is the network on packed
//! sequences, [`projection`] what may come behind pooling, [`encoder`] puts tokenizer, network and pooling together behind [`lingxi_data::Encode`], [`cache`] keeps
//! vectors by content so that a changed title encodes one item, [`catalogue`] encodes each distinct text once.
//!
//! [`finetune`] makes the encoder a shop's own.
//!
//! Beside it a small model that writes: [`gguf`] reads its file, [`wording`] is its tokenizer, [`llama`] its network,
//! [`generator`] puts them together: how likely is an answer, and what is one? [`labels`]: which of a closed list fits a text?
//!

pub mod bert;
#[cfg(feature = "candle")]
mod beyond;
pub mod cache;
pub mod catalogue;
pub mod encoder;
pub mod error;
pub mod family;
pub mod finetune;
pub mod folder;
pub mod generator;
pub mod gguf;
pub mod labels;
pub mod llama;
pub mod projection;
pub mod wording;

pub use catalogue::{EncodeStats, encode_texts};
pub use encoder::{BertEncoder, Precision};
pub use error::{ContentError, Result};
pub use generator::{Answer, Generator};
pub use labels::{Labels, Template};
/// On which instructions the kernels work, and whether `LINGXI_CPU` names some that there are.
pub use lingxi_kernels::cpu;
