//! How does the language model learn from a shop's own texts?
//!
//! [`augment`] rewords texts so that a model hears more than was written.

pub mod augment;
pub mod synonyms;
