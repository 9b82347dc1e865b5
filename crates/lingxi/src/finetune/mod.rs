//! How does a shop make the language model its own? What a recipe of `lingxi finetune` reads.
//!
//! [`texts`] reads texts with classes or numbers, [`pairs`] judged pairs; [`translate`] asks a person's own command for other wordings.

pub mod pairs;
pub mod texts;
pub mod translate;
