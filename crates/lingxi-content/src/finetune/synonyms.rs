//! Which words may stand for each other? Those of one line of a person's file, or those that lie close together in the word vectors that
//! the encoder itself was trained with: no list is needed, and what it knows as alike is what it is asked to bear.

use crate::error::{ContentError, Result};
use crate::folder::Folder;
use lingxi_kernels::top_k_dot;
use std::collections::{BTreeMap, BTreeSet};

/// Most words of one line of a file, and most neighbours of a word.
const MOST: usize = 100;
/// Most lines of a file.
const MOST_LINES: usize = 1_000_000;

/// For each word those that may stand for it, in lower case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Synonyms {
    of: BTreeMap<String, Vec<String>>,
}

impl Synonyms {
    /// Reads lines of words that may replace each other, separated by blanks or commas; a word of several lines has the words of all.
    /// `#` begins a remark.
    ///
    /// # Errors
    /// The line that is too long, with what was expected.
    pub fn of_lines(text: &str) -> std::result::Result<Synonyms, String> {
        let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().to_lowercase();
            let words: BTreeSet<&str> =
                line.split([' ', '\t', ',']).map(str::trim).filter(|word| !word.is_empty()).collect();
            if words.len() > MOST || number >= MOST_LINES {
                let expected = format!("at most {MOST} words in each of at most {MOST_LINES} lines");
                return Err(format!("line {}: expected {expected}, got {} words", number + 1, words.len()));
            }
            for word in &words {
                let others = words.iter().filter(|other| *other != word).map(|other| (*other).to_owned());
                of.entry((*word).to_owned()).or_default().extend(others);
            }
        }
        of.values_mut().for_each(|others| {
            others.sort_unstable();
            others.dedup();
        });
        of.retain(|_, others| !others.is_empty());
        Ok(Synonyms { of })
    }

    /// For each word of `texts` that is one piece of the encoder's vocabulary, the at most `k` other such words whose vectors have at
    /// least the cosine `least` with its own.
    ///
    /// # Errors
    /// [`ContentError`] if the folder's weights cannot be read.
    pub fn near<'a>(
        folder: &Folder,
        texts: impl Iterator<Item = &'a str>,
        k: usize,
        least: f32,
    ) -> std::result::Result<Synonyms, ContentError> {
        let (words, vectors) = whole_words(folder)?;
        let width = folder.config.hidden_size;
        let place: BTreeMap<&str, usize> = words.iter().enumerate().map(|(i, word)| (word.as_str(), i)).collect();
        let lower: BTreeSet<String> = texts.flat_map(str::split_whitespace).map(bare).collect();
        let asked: Vec<usize> = lower.iter().filter_map(|word| place.get(word.as_str()).copied()).collect();
        let queries: Vec<f32> = asked.iter().flat_map(|i| &vectors[i * width..(i + 1) * width]).copied().collect();
        let itself: Vec<[u32; 1]> = asked.iter().map(|i| [*i as u32]).collect();
        let exclude: Vec<&[u32]> = itself.iter().map(<[u32; 1]>::as_slice).collect();
        let found = top_k_dot(&queries, &vectors, width, k.min(MOST), &exclude);
        let of = |(i, near): (&usize, Vec<(u32, f32)>)| {
            let close = near.into_iter().filter(|(_, cosine)| *cosine >= least);
            (words[*i].clone(), close.map(|(other, _)| words[other as usize].clone()).collect::<Vec<_>>())
        };
        let of = asked.iter().zip(found).map(of).filter(|(_, near)| !near.is_empty()).collect();
        Ok(Synonyms { of })
    }

    /// The words that may stand for `word` (in lower case).
    pub fn of(&self, word: &str) -> &[String] {
        self.of.get(word).map_or(&[], Vec::as_slice)
    }

    /// Words that have others.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether no word has others.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

/// A word without the marks around it, in lower case.
fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

/// The words of three letters or more that are one piece of the vocabulary, and their vectors at length 1.
fn whole_words(folder: &Folder) -> Result<(Vec<String>, Vec<f32>)> {
    let config = &folder.config;
    let table =
        folder.weights.open()?.take("embeddings.word_embeddings.weight", &[config.vocab_size, config.hidden_size])?;
    let vocabulary: BTreeMap<String, u32> = folder.tokenizer.get_vocab(false).into_iter().collect();
    // Vocabularies of sentence pieces mark where a word begins; those of word pieces mark where one goes on.
    let marks = ['\u{2581}', '\u{120}'];
    let marked = vocabulary.keys().filter(|token| token.starts_with(marks)).count() > vocabulary.len() / 10;
    let word_of = |token: &str| {
        let word = if marked { token.strip_prefix(marks)? } else { token };
        let whole = word.chars().count() >= 3 && word.chars().all(char::is_lowercase);
        whole.then(|| word.to_owned())
    };
    let (mut words, mut vectors) = (Vec::new(), Vec::new());
    for (token, id) in &vocabulary {
        let row = *id as usize * config.hidden_size;
        let (Some(word), Some(vector)) = (word_of(token), table.get(row..row + config.hidden_size)) else { continue };
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        words.push(word);
        vectors.extend(vector.iter().map(|x| x / length));
    }
    Ok((words, vectors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_one_line_stand_for_each_other_and_remarks_for_nothing() {
        let synonyms = Synonyms::of_lines("Buy, purchase order # verbs\n\nlonely\nbuy get\n").unwrap();
        assert_eq!(synonyms.of("buy"), ["get", "order", "purchase"]);
        assert_eq!(synonyms.of("get"), ["buy"]);
        assert!(synonyms.of("lonely").is_empty() && synonyms.of("verbs").is_empty());
        let long: String = (0..200).map(|i| format!("w{i} ")).collect();
        assert!(
            Synonyms::of_lines(&format!("a b\n{long}")).unwrap_err().starts_with("line 2: expected at most 100 words")
        );
    }
}
