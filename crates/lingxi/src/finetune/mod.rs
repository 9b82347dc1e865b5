//! How does a shop make the encoder its own? A recipe names texts, what is known of them, and how the encoder learns it; out
//! comes a model directory and what it earns on texts that it has not seen.
//!
//! [`recipe`] is what people write, [`texts`] reads texts with classes or numbers, [`pairs`] judged pairs; [`translate`] asks a
//! person's own command for other wordings, [`wording`] adds them to training; [`learn`] learns one encoder and keeps it. Before that, [`pretrain`] lets it read, and [`fewer`] finds more labels. What is asked
//! of it depends on the head: [`classes`], [`numbers`], [`ranked`]; [`run`] is the way to all three.
//! [`compare`] tries the ways of learning one beside the other.

pub mod classes;
pub mod compare;
pub mod fewer;
pub mod learn;
pub mod numbers;
pub mod pairs;
pub mod pretrain;
pub mod ranked;
pub mod recipe;
pub mod run;
pub mod texts;
pub mod translate;
pub mod wording;
