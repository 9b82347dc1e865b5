//! A reason in the model's own choice of words: which opening, which cause first, told how, joined by what.
//!
//! A [`Reason`] comes in, a sentence goes out. The model is shown the facts and writes; after each token only those may come
//! next with which some sentence of the grammar (`clauses`) goes on, whatever the model would rather say. So a title that gives orders can
//! change which true words are chosen, and nothing else.

use super::clauses::Grammar;
use crate::reasons::Reason;
use lingxi_content::generator::Generator;
use lingxi_content::wording::Wording;

/// Most tokens of a sentence; a few long titles fit.
const MOST: usize = 400;
const SYSTEM: &str =
    "You tell a shopper in one friendly sentence why an item was chosen for them. Use only the facts given.";

/// The reason for an item of this title; `None` if nothing speaks for it, or no sentence came to its end.
///
/// # Errors
/// Facts that are too long for the model.
pub fn phrase(generator: &Generator, title: &str, reason: &Reason) -> lingxi_content::Result<Option<String>> {
    let wording = generator.wording();
    let Some(mut walk) = Walk::of(wording, title, reason) else { return Ok(None) };
    let question = wording.question(SYSTEM, &walk.grammar.facts());
    generator.write_within(&question, MOST, &mut |written| Some(walk.next(written)), &mut |_| true)?;
    Ok(walk.sentence())
}

/// Where in a sentence we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Opening,
    /// Which clauses were told, one bit each.
    Clause(u32),
    Joint(u32),
    Ending,
    End,
}

/// One text that may be under way: its tokens, how many of them were written, and where it leads.
#[derive(Clone, Debug)]
struct Text {
    tokens: Vec<u32>,
    at: usize,
    to: Place,
}

/// All ways through a grammar that agree with what was written so far.
pub struct Walk<'a> {
    grammar: Grammar,
    wording: &'a Wording,
    open: Vec<Text>,
    /// Tokens that were taken in.
    taken: Vec<u32>,
    ended: bool,
}

impl<'a> Walk<'a> {
    /// The start of all sentences about an item of this title; `None` if nothing speaks for it.
    pub fn of(wording: &'a Wording, title: &str, reason: &Reason) -> Option<Walk<'a>> {
        let grammar = Grammar::of(title, &reason.parts, reason.explored)?;
        let mut walk = Walk { grammar, wording, open: Vec::new(), taken: Vec::new(), ended: false };
        walk.open = walk.texts(Place::Opening);
        Some(walk)
    }

    /// The texts that may come at a place.
    fn texts(&self, place: Place) -> Vec<Text> {
        let g = &self.grammar;
        let all = (1u32 << g.clauses.len()) - 1;
        let lead = |texts: &[String], to: Place| -> Vec<Text> {
            texts.iter().map(|text| Text { tokens: self.wording.tokens(text), at: 0, to }).collect()
        };
        match place {
            Place::Opening => lead(&g.openings, Place::Clause(0)),
            Place::Clause(told) => {
                let untold = g.clauses.iter().enumerate().filter(|(i, _)| told & 1 << i == 0);
                let to = |i: usize| match told | 1 << i {
                    told if told == all => Place::Ending,
                    told => Place::Joint(told),
                };
                untold.flat_map(|(i, ways)| lead(ways, to(i))).collect()
            }
            Place::Joint(told) => lead(&g.joints, Place::Clause(told)),
            Place::Ending => lead(&g.endings, Place::End),
            Place::End => Vec::new(),
        }
    }

    /// Takes in what was written so far and says which tokens may come next; none at the end.
    pub fn next(&mut self, written: &[u32]) -> Vec<u32> {
        for &token in &written[self.taken.len()..] {
            self.take(token);
        }
        let mut tokens: Vec<u32> = self.open.iter().map(|text| text.tokens[text.at]).collect();
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }

    fn take(&mut self, token: u32) {
        self.taken.push(token);
        let mut open = Vec::new();
        for mut text in std::mem::take(&mut self.open) {
            if text.tokens[text.at] != token {
                continue;
            }
            text.at += 1;
            if text.at < text.tokens.len() {
                open.push(text);
            } else if text.to == Place::End {
                self.ended = true;
            } else {
                open.extend(self.texts(text.to).into_iter().filter(|text| !text.tokens.is_empty()));
            }
        }
        self.open = if self.ended { Vec::new() } else { open };
    }

    /// What was written, if it is whole.
    pub fn sentence(&self) -> Option<String> {
        self.ended.then(|| self.wording.text(&self.taken))
    }
}
