//! Which words do two texts share that say something?
//!
//! The texts of a catalogue come in once per snapshot; for two of its items the shared words go out, the rarest first. A
//! word is a run of letters and digits, in lower case; Chinese and Japanese, written without spaces, are cut into pairs of
//! characters. A word that every fourth item has says nothing about any of them, nor does a bare number.

use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// A word that more than this share of the texts have is a stop-word.
const COMMON: f64 = 0.25;

/// In how many texts each word stands.
#[derive(Clone, Debug, Default)]
pub struct WordIndex {
    texts: usize,
    found_in: HashMap<Box<str>, u32>,
}

impl WordIndex {
    /// Counts the words of `texts`. Memory: about 60 bytes a distinct word.
    pub fn new(texts: &[String]) -> WordIndex {
        let count = |mut counts: HashMap<Box<str>, u32>, text: &String| {
            for word in words(text).into_iter().collect::<HashSet<_>>() {
                *counts.entry(word.into()).or_default() += 1;
            }
            counts
        };
        let add = |a: HashMap<Box<str>, u32>, b: HashMap<Box<str>, u32>| {
            let (mut most, least) = if a.len() < b.len() { (b, a) } else { (a, b) };
            least.into_iter().for_each(|(word, n)| *most.entry(word).or_default() += n);
            most
        };
        let found_in = texts.par_chunks(4096).map(|t| t.iter().fold(HashMap::new(), count)).reduce(HashMap::new, add);
        WordIndex { texts: texts.len(), found_in }
    }

    /// Inverse document frequency, `ln((1 + texts) / (1 + texts with the word))`; `None` for a stop-word, a number or a
    /// word of no text.
    pub fn weight(&self, word: &str) -> Option<f64> {
        let found_in = f64::from(*self.found_in.get(word)?);
        let texts = self.texts as f64;
        let says_nothing = found_in > (COMMON * texts).max(2.0) || word.chars().all(|c| c.is_numeric());
        (!says_nothing).then(|| ((1.0 + texts) / (1.0 + found_in)).ln())
    }

    /// At most `most` informative words that both texts have, the rarest first; ties as in `text`.
    pub fn shared(&self, text: &str, other: &str, most: usize) -> Vec<String> {
        let theirs: HashSet<String> = words(other).into_iter().collect();
        let mut seen = HashSet::new();
        let mut shared: Vec<(String, f64)> = words(text)
            .into_iter()
            .filter(|word| theirs.contains(word) && seen.insert(word.clone()))
            .filter_map(|word| self.weight(&word).map(|weight| (word, weight)))
            .collect();
        shared.sort_by(|a, b| b.1.total_cmp(&a.1));
        shared.into_iter().take(most).map(|(word, _)| word).collect()
    }
}

/// The words of a text in its order, in lower case; single Latin letters are left out.
fn words(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for run in text.split(|c: char| !c.is_alphanumeric()) {
        let letters: Vec<char> = run.chars().flat_map(char::to_lowercase).collect();
        for piece in letters.chunk_by(|a, b| without_spaces(*a) == without_spaces(*b)) {
            match piece {
                [] => {}
                [one] if !without_spaces(*one) => {}
                [first, ..] if without_spaces(*first) && piece.len() > 2 => {
                    all.extend(piece.windows(2).map(|pair| pair.iter().collect::<String>()));
                }
                _ => all.push(piece.iter().collect()),
            }
        }
    }
    all
}

/// Whether a character belongs to a script that writes no spaces: Han, Hiragana, Katakana.
fn without_spaces(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(texts: &[&str]) -> WordIndex {
        WordIndex::new(&texts.iter().map(|t| t.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn words_end_where_letters_do_and_chinese_is_cut_into_pairs() {
        assert_eq!(words("Kid's COLD-cereal, 14.5 oz"), ["kid", "cold", "cereal", "14", "oz"]);
        assert_eq!(words("有机牛奶 a 茶 Ökotee"), ["有机", "机牛", "牛奶", "茶", "ökotee"]);
        assert!(words(" \u{1f600} — ").is_empty());
    }

    #[test]
    fn shared_words_are_the_rarest_first_without_stop_words_and_numbers() {
        let mut texts = vec!["grocery cold cereal 500", "grocery cold cereal kids 500", "grocery cold drink"];
        texts.extend(["grocery bread", "grocery tea", "grocery rice", "grocery jam", "grocery salt"]);
        texts.extend(["grocery nuts", "grocery oil", "grocery pasta", "grocery soup"]);
        let index = index(&texts);
        assert_eq!(index.shared(texts[0], texts[1], 5), ["cereal", "cold"]);
        assert_eq!(index.shared(texts[0], texts[1], 1), ["cereal"]);
        assert!(index.shared(texts[3], texts[4], 5).is_empty());
        assert!(index.weight("grocery").is_none() && index.weight("never").is_none() && index.weight("500").is_none());
    }

    #[test]
    fn an_index_of_nothing_shares_nothing() {
        assert!(index(&[]).shared("milk", "milk", 3).is_empty());
    }
}
