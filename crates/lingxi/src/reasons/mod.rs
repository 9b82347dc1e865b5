//! Why this item? In parts that add up to its score, and in a sentence.
//!
//! A place of a slate comes in; a [`Reason`] goes out: which of the shopper's past goods, which words and which rule brought
//! the item there. Nothing is invented afterwards: every part is a sum of what the models themselves say their score is
//! made of ([`Score::contributions`]), and the values of the parts add up to the score within rounding.
//!
//! `words` finds what two texts share, `parts` makes a handful of parts of hundreds of contributions, `sentence` tells
//! them.

mod parts;
mod sentence;
mod words;

pub(crate) use sentence::did;
pub use words::WordIndex;

use lingxi_data::{Catalog, Context, EventKind, ItemId, Score, Slot};
use lingxi_decide::{KeptAway, Repeats, Rules};
use parts::{Cause, Group};
use serde::Serialize;
use std::collections::BTreeMap;

/// At most so many shared words are named.
const WORDS: usize = 3;

/// Why an item has its place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// External id of the item.
    pub item: String,
    /// The score that it was ranked by.
    pub score: f32,
    /// What the score is made of, the largest first; the values add up to the score.
    pub parts: Vec<Part>,
    /// Rules of the shop that had a hand in it, in words.
    pub rules: Vec<String>,
    /// Whether the policy explored here.
    pub explored: bool,
    /// All this for a person.
    pub sentence: String,
}

/// One part of a score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// What brought it.
    pub by: By,
    /// The past item that counts most in it, if it comes from the shopper's past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub past: Option<Past>,
    /// Informative words that the past item and this one share, the rarest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// The title of the known item that a new one is most like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// The category in which it is popular, without its parents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// How many smaller parts were added up in it.
    #[serde(skip_serializing_if = "is_one")]
    pub merged: usize,
    /// How much of the score.
    pub value: f32,
}

fn is_one(n: &usize) -> bool {
    *n == 1
}

/// An item of the shopper's past.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Past {
    /// Its external id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What the shopper did with it last.
    pub kind: EventKind,
    /// How many more past goods of its category count in the same part.
    pub more: usize,
}

/// What brings a part of a score; [`lingxi_data::Because`] without its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Others who took the past item took this one too.
    BoughtTogether,
    /// Its description is close to the past item's.
    SimilarMeaning,
    /// The shopper took it before.
    Repeat,
    /// Many take it.
    Popular,
    /// Many took it lately.
    Trending,
    /// Many take it in a category that the shopper likes.
    PopularInCategory,
    /// It is new, and known goods that it is like speak for it.
    Resembles,
    /// A constant of a model.
    Baseline,
    /// Smaller parts together.
    Other,
}

/// What reasons are made of; a snapshot owns it all.
#[derive(Clone, Copy)]
pub struct Witness<'a> {
    /// Titles, texts, categories.
    pub catalog: &'a Catalog,
    /// The words of the catalogue's texts.
    pub words: &'a WordIndex,
    /// The model that scored the slate.
    pub score: &'a dyn Score,
    /// The rules under which it was chosen.
    pub rules: &'a Rules,
}

impl Witness<'_> {
    /// The reason for one place of a slate; `kept_away` as [`lingxi_decide::Slate`] says, empty if it was not kept.
    pub fn explain(&self, context: &Context<'_>, slot: &Slot, kept_away: &[KeptAway]) -> Reason {
        let groups = parts::group(&self.score.contributions(context, slot.item), self.catalog);
        let parts: Vec<Part> = groups.iter().map(|group| self.part(group, slot.item)).collect();
        Reason {
            item: self.catalog.ids.name(slot.item.0).unwrap_or_default().to_string(),
            score: slot.score,
            rules: self.rules_said(context, slot, kept_away),
            explored: slot.explored,
            sentence: sentence::sentence(&parts, slot.explored),
            parts,
        }
    }

    fn part(&self, group: &Group, item: ItemId) -> Part {
        let by = match group.cause {
            Cause::BoughtTogether(_) => By::BoughtTogether,
            Cause::SimilarMeaning(_) => By::SimilarMeaning,
            Cause::Repeat => By::Repeat,
            Cause::Popular => By::Popular,
            Cause::Trending => By::Trending,
            Cause::PopularInCategory(_) => By::PopularInCategory,
            Cause::Resembles => By::Resembles,
            Cause::Baseline => By::Baseline,
            Cause::Other => By::Other,
        };
        let category = match group.cause {
            Cause::PopularInCategory(category) => self.catalog.categories.name(category.0),
            _ => None,
        };
        let leader = group.past.first();
        Part {
            by,
            past: leader
                .filter(|_| by != By::Resembles)
                .map(|(past, kind)| self.past(*past, *kind, group.past.len() - 1)),
            like: leader.filter(|_| by == By::Resembles).map(|(known, _)| self.catalog.label(*known).to_string()),
            words: leader.map_or_else(Vec::new, |(past, _)| self.shared_words(item, *past)),
            category: category.map(|path| path.rsplit(" > ").next().unwrap_or(path).to_string()),
            merged: group.merged,
            value: group.value as f32,
        }
    }

    fn past(&self, item: ItemId, kind: EventKind, more: usize) -> Past {
        let id = self.catalog.ids.name(item.0).unwrap_or_default().to_string();
        Past { id, title: self.catalog.label(item).to_string(), kind, more }
    }

    fn shared_words(&self, item: ItemId, past: ItemId) -> Vec<String> {
        let text = |item: ItemId| self.catalog.texts.get(item.index()).map_or("", String::as_str);
        if item == past { Vec::new() } else { self.words.shared(text(item), text(past), WORDS) }
    }

    /// What the rules did: let a past item come again, keep better ones away.
    fn rules_said(&self, context: &Context<'_>, slot: &Slot, kept_away: &[KeptAway]) -> Vec<String> {
        let mut said = Vec::new();
        if context.history.items.contains(&slot.item) {
            match self.rules.config().repeats {
                Repeats::Wanted {} => said.push("repeats are wanted".to_string()),
                Repeats::After { days } => said.push(format!("may come again after {days} days")),
                Repeats::Never {} => {}
            }
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for kept in kept_away.iter().filter(|kept| kept.score > slot.score) {
            *counts.entry(kept.rule.to_string()).or_default() += 1;
        }
        said.extend(counts.into_iter().map(|(rule, n)| format!("{n} with a higher score kept away: {rule}")));
        said
    }
}
