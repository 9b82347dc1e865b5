//! How does a shop make the encoder its own? A recipe names texts, what is known of them, and how the encoder learns it; out
//! comes a model directory and what it earns on texts that it has not seen.
//!
//! [`recipe`] is what people write, [`texts`] reads texts with classes or numbers, [`pairs`] judged pairs; [`translate`] asks a
//! person's own command for other wordings, [`wording`] adds them to training; [`run`] learns, measures and saves.

pub mod pairs;
pub mod recipe;
pub mod run;
pub mod texts;
pub mod translate;
pub mod wording;
