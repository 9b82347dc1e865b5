//! `phrase=true`: a reason in the small model's own words, for who asks for it. Nobody else waits for a model: a sentence takes
//! tenths of a second, a slate thousandths.

use super::engine::Engine;
use super::error::{Answer, Refusal};
use crate::generate::phrase::phrase;
use crate::reasons::Reason;
use lingxi_content::Generator;

/// Most reasons of one request.
pub(super) const MOST: usize = 5;

/// The model, if it was asked for `n` reasons.
pub(super) fn writer(engine: &dyn Engine, asked: bool, n: usize) -> Answer<Option<&Generator>> {
    if !asked {
        return Ok(None);
    }
    if n > MOST {
        return Err(Refusal::input("n", format!("at most {MOST} with phrase=true"), n)
            .remedy("ask for fewer, or without phrase"));
    }
    let none = || Refusal::input("phrase", "false: this shop's recipe has no model that phrases", "true");
    engine
        .writer()
        .map(Some)
        .ok_or_else(|| none().remedy("set generate.model and generate.phrase in the recipe, and build"))
}

/// The reason in its words; null if nothing speaks for the item.
pub(super) fn phrased(writer: &Generator, title: &str, reason: &Reason) -> Option<String> {
    phrase(writer, title, reason).unwrap_or_else(|why| {
        tracing::warn!("a reason was not phrased: {why}");
        None
    })
}
