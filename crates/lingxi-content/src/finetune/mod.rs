//! Making the encoder a shop's own: the network of [`crate::bert`] there and back, and what of it is trained.
//!
//! Texts and what is known of them come in, an encoder (and a head) that fits them better goes out. In reading order: [`strategy`]
//! says which parameters are trained and which small ones are added; [`places`] where each lies in one flat slice; [`network`]
//! goes forwards and back through a few texts at a time; [`head`] is what is learned of a text's vector, [`next`] of a shopper's past; [`tutor`] is the step
//! that [`lingxi_train::trainer`] asks for, [`whiten`] what a layer behind pooling begins as; [`tuned`] is what comes of it, saved and read again;
//! [`shrink`] makes smaller ones of it, [`masked`] lets the encoder read a shop's texts before. [`augment`] rewords
//! texts so that a model hears more than was written, [`synonyms`] knows which words stand for each other.

pub mod augment;
pub(crate) mod dense;
pub mod head;
pub mod masked;
pub(crate) mod network;
pub(crate) mod next;
pub(crate) mod places;
pub mod shrink;
pub mod strategy;
pub mod synonyms;
pub mod tuned;
pub mod tutor;
pub mod whiten;

pub use head::{Head, Pair, Task, Teacher, Visit};
pub use masked::Pretrain;
pub use strategy::{Lora, Matrix, Strategy};
pub use tuned::Tuned;
pub use tutor::{Lessons, Tuning, Tutor};
pub use whiten::Start;
