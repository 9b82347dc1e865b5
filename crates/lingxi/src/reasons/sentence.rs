//! A reason in one English sentence, or two.

use super::{By, Part};
use lingxi_data::EventKind;

/// The two strongest causes in the shopper's past, then the strongest other two; only what speaks for the item.
pub(super) fn sentence(parts: &[Part], explored: bool) -> String {
    let for_it = || parts.iter().filter(|part| part.value > 0.0);
    let past: Vec<String> = one_per_item(for_it()).iter().take(2).map(|part| from_past(part)).collect();
    let others: Vec<String> = for_it().filter_map(other).take(2).collect();
    let mut text = match (past.is_empty(), others.is_empty()) {
        (true, true) => "Nothing is known yet that speaks for it".to_string(),
        (false, true) => format!("Because {}", past.join(" and ")),
        (true, false) => capital(&others.join(" and ")),
        (false, false) => format!("Because {}; {}", past.join(" and "), others.join(" and ")),
    };
    text.push('.');
    if explored {
        text.push_str(" Shown to find out whether you like it.");
    }
    text
}

/// Parts with a past item, without those that only say again what a stronger one said of the same item.
fn one_per_item<'a>(parts: impl Iterator<Item = &'a Part>) -> Vec<&'a Part> {
    let mut told: Vec<&Part> = Vec::new();
    for part in parts.filter(|part| part.past.is_some()) {
        if told.iter().all(|t| t.past.as_ref().map(|p| &p.id) != part.past.as_ref().map(|p| &p.id)) {
            told.push(part);
        }
    }
    told
}

/// `you bought "Kids cereal" and 3 more like it (cold, cereal)`.
fn from_past(part: &Part) -> String {
    let Some(past) = &part.past else { return String::new() };
    let mut text = format!("you {} \"{}\"", did(past.kind), past.title);
    if past.more > 0 {
        text.push_str(&format!(" and {} more like it", past.more));
    }
    if !part.words.is_empty() {
        text.push_str(&format!(" ({})", part.words.join(", ")));
    }
    text
}

/// What a shopper did, in the past tense.
pub(crate) fn did(kind: EventKind) -> &'static str {
    match kind {
        EventKind::View => "looked at",
        EventKind::Click => "clicked on",
        EventKind::Cart => "put into the cart",
        EventKind::Buy => "bought",
        EventKind::Rate => "rated",
        EventKind::Search => "searched for",
        EventKind::Other => "chose",
    }
}

fn other(part: &Part) -> Option<String> {
    Some(match part.by {
        By::Repeat => "you took it before".into(),
        By::Popular => "many take it".into(),
        By::Trending => "many took it lately".into(),
        By::PopularInCategory => format!("many take it in {}", part.category.as_deref().unwrap_or("its category")),
        By::Resembles => format!("new, and much like \"{}\"", part.like.as_deref().unwrap_or("other goods")),
        By::BoughtTogether | By::SimilarMeaning | By::Baseline | By::Other => return None,
    })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reasons::Past;

    fn part(by: By, value: f32) -> Part {
        Part { by, past: None, words: Vec::new(), like: None, category: None, merged: 1, value }
    }

    fn past(by: By, title: &str, more: usize, words: &[&str], value: f32) -> Part {
        let past = Past { id: title.into(), title: title.into(), kind: EventKind::Buy, more };
        Part { past: Some(past), words: words.iter().map(|w| w.to_string()).collect(), ..part(by, value) }
    }

    #[test]
    fn a_sentence_names_past_goods_words_and_popularity() {
        let category = Part { category: Some("Dairy".into()), ..part(By::PopularInCategory, 0.2) };
        let parts = [
            past(By::BoughtTogether, "Kids cereal", 3, &["cold", "cereal"], 1.0),
            past(By::SimilarMeaning, "Kids cereal", 0, &["cold"], 0.9),
            past(By::SimilarMeaning, "Oat milk", 0, &[], 0.5),
            category,
        ];
        let expected = "Because you bought \"Kids cereal\" and 3 more like it (cold, cereal) and you bought \"Oat milk\"; \
                        many take it in Dairy.";
        assert_eq!(sentence(&parts, false), expected);
    }

    #[test]
    fn a_new_item_says_that_it_is_new_and_what_it_is_like() {
        let new = Part { like: Some("Oat milk".into()), ..part(By::Resembles, 0.4) };
        assert_eq!(sentence(&[new], false), "New, and much like \"Oat milk\".");
    }

    #[test]
    fn what_speaks_against_an_item_is_not_given_as_its_reason() {
        let parts = [past(By::BoughtTogether, "Tea", 0, &[], -2.0), part(By::Trending, 0.5), part(By::Other, 9.0)];
        assert_eq!(sentence(&parts, false), "Many took it lately.");
        assert_eq!(
            sentence(&parts[..1], true),
            "Nothing is known yet that speaks for it. Shown to find out whether you like it."
        );
    }
}
