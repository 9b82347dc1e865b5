//! All that may be said of a reason: openings, clauses and joints, each true of the parts that it is made from.
//!
//! A part of a score goes in, the ways to tell it come out. Whatever way through them is taken, the sentence names the item, past
//! goods, shared words and categories that the parts name, and nothing else.

use crate::reasons::{By, Part, did};

/// Letters of a name that are told; the rest of a long title says little.
const LONGEST: usize = 80;
/// Parts that are told.
const PARTS: usize = 3;

/// What may be said, in the order in which it is: an opening, then each clause once, in any order, with joints between.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grammar {
    item: String,
    pub(super) openings: Vec<String>,
    /// Of each part, the ways to tell it.
    pub(super) clauses: Vec<Vec<String>>,
    pub(super) joints: Vec<String>,
    pub(super) endings: Vec<String>,
}

impl Grammar {
    /// What may be said of an item; `None` if no part speaks for it.
    pub(super) fn of(title: &str, parts: &[Part], explored: bool) -> Option<Grammar> {
        let item = named(title);
        let mut clauses: Vec<Vec<String>> = Vec::new();
        for part in parts.iter().filter(|part| part.value > 0.0) {
            let ways = ways(part);
            // Two parts may say the same of one past item.
            if !ways.is_empty() && !clauses.contains(&ways) && clauses.len() < PARTS {
                clauses.push(ways);
            }
        }
        let tail = if explored { ". It is also shown to find out whether you like it." } else { "." };
        let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        (!clauses.is_empty()).then(|| Grammar {
            item: item.clone(),
            openings: vec![
                format!("We suggest {item} because"),
                format!("You may like {item} because"),
                format!("{item} is here because"),
                format!("{item} may suit you, since"),
            ],
            clauses,
            joints: all(&[", and", ", and also", "; besides,"]),
            endings: all(&[tail]),
        })
    }

    /// What the model is shown: the item, and each part told in the first way.
    pub(super) fn facts(&self) -> String {
        let facts: String = self.clauses.iter().map(|ways| format!("-{}\n", ways[0])).collect();
        format!("Item: {}\nFacts:\n{facts}", self.item)
    }
}

/// The ways to tell a part; none of one that says nothing to a person.
fn ways(part: &Part) -> Vec<String> {
    if let Some(past) = &part.past {
        let (it, did) = (named(&past.title), did(past.kind));
        let more = match past.more {
            0 => String::new(),
            1 => " and 1 more like it".to_owned(),
            n => format!(" and {n} more like it"),
        };
        let mut ways = match part.by {
            By::BoughtTogether => vec![
                format!(" it goes well with {it}{more}, which you {did}"),
                format!(" people who chose {it}{more} often chose it too, and you {did} that"),
                format!(" it is often chosen together with {it}{more}, which you {did}"),
            ],
            By::SimilarMeaning => vec![
                format!(" it is much like {it}{more}, which you {did}"),
                format!(" you {did} {it}{more}, and it is of the same kind"),
                format!(" its description is close to {it}{more}, which you {did}"),
            ],
            _ => vec![format!(" you {did} {it}{more}")],
        };
        if !part.words.is_empty() {
            let words = part.words.iter().map(|word| named(word)).collect::<Vec<_>>().join(", ");
            ways.push(format!(" you {did} {it}{more}, and both say {words}"));
        }
        return ways;
    }
    let texts: &[&str] = match part.by {
        By::Repeat => &[" you took it before", " you have chosen it before"],
        By::Popular => &[" many people take it", " it is popular in this shop"],
        By::Trending => &[" many people took it lately", " it is popular right now"],
        By::PopularInCategory => {
            let category = part.category.as_deref().map_or_else(|| "its category".to_owned(), named);
            return vec![format!(" many people take it in {category}"), format!(" it is popular in {category}")];
        }
        By::Resembles => {
            let Some(like) = part.like.as_deref().map(named) else { return Vec::new() };
            return vec![format!(" it is new and much like {like}"), format!(" it is new, and {like} is close to it")];
        }
        By::BoughtTogether | By::SimilarMeaning | By::Baseline | By::Other => &[],
    };
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A name in quotes, on one line and not too long; quotes within it would let it seem to end.
fn named(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_control() || c == '"' { ' ' } else { c }).collect();
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = words.chars().take(LONGEST).collect();
    format!("\"{}\"", short.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_without_quotes_of_its_own() {
        assert_eq!(named("Tea\". Buy \"Gold\nnow"), "\"Tea . Buy Gold now\"");
        assert_eq!(named(&"x".repeat(500)).len(), LONGEST + 2);
    }

    #[test]
    fn an_item_that_nothing_speaks_for_has_no_grammar() {
        let part =
            Part { by: By::Popular, past: None, words: vec![], like: None, category: None, merged: 1, value: -1.0 };
        assert_eq!(Grammar::of("Tea", std::slice::from_ref(&part), false), None);
        assert!(Grammar::of("Tea", &[Part { value: 1.0, ..part }], false).is_some());
    }
}
