//! How else might it have been said? A text and a seed come in, the text as a hurried or differently worded writer would have put it goes
//! out: words replaced by others of their kind, words left out, letters mistyped. For training on more than was written, and for asking
//! how accurate a model stays under typing noise. The same text, seed and number give the same answer.

use super::synonyms::Synonyms;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The keys of a keyboard, row by row; a key's neighbours are those beside it and the two below and above.
const KEYS: [&str; 3] = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];

/// How texts are reworded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Share of words that are replaced by a word of their kind, where one is known.
    pub synonyms: f64,
    /// Share of words that are left out; one always stays.
    pub drop: f64,
    /// Share of letters that are mistyped: swapped with the next, left out, doubled, or the key beside.
    pub typing: f64,
    /// Rewordings beside each text.
    pub copies: usize,
}

impl Default for Augment {
    fn default() -> Self {
        Augment { synonyms: 0.1, drop: 0.05, typing: 0.02, copies: 1 }
    }
}

impl Augment {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The key, what was expected and what came.
    pub fn check(&self) -> Result<(), String> {
        for (key, share) in [("synonyms", self.synonyms), ("drop", self.drop), ("typing", self.typing)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("{key}: expected a share from 0 to 1, got {share}"));
            }
        }
        if self.copies > 100 {
            return Err(format!("copies: expected at most 100, got {}", self.copies));
        }
        Ok(())
    }

    /// Another wording of `text`; `number` tells one from the next (of a text of a corpus, in an epoch).
    pub fn reword(&self, text: &str, synonyms: &Synonyms, seed: u64, number: u64) -> String {
        let mut rng = stream(seed, number);
        let mut words: Vec<&str> = text.split_whitespace().collect();
        drop_words(&mut words, self.drop, &mut rng);
        let replaced: Vec<String> = words
            .iter()
            .map(|word| match rng.random_bool(self.synonyms.clamp(0.0, 1.0)) {
                true => replace(word, synonyms, &mut rng),
                false => (*word).to_owned(),
            })
            .collect();
        mistype(&replaced.join(" "), self.typing, &mut rng)
    }
}

/// `text` with that share of its letters mistyped, and nothing else changed.
pub fn with_typing_noise(text: &str, share: f64, seed: u64, number: u64) -> String {
    mistype(text, share, &mut stream(seed, number))
}

fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

fn drop_words(words: &mut Vec<&str>, share: f64, rng: &mut ChaCha8Rng) {
    let Some(last) = words.len().checked_sub(1) else { return };
    let stays = words[rng.random_range(0..=last)];
    words.retain(|_| !rng.random_bool(share.clamp(0.0, 1.0)));
    if words.is_empty() {
        words.push(stays);
    }
}

/// A word of the same kind, with the marks around the old one and its capital.
fn replace(word: &str, synonyms: &Synonyms, rng: &mut ChaCha8Rng) -> String {
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    let others = synonyms.of(&bare.to_lowercase());
    if others.is_empty() || bare.is_empty() {
        return word.to_owned();
    }
    let other = &others[rng.random_range(0..others.len())];
    let capital = bare.chars().next().is_some_and(char::is_uppercase);
    let other = match capital {
        true => other.chars().take(1).flat_map(char::to_uppercase).chain(other.chars().skip(1)).collect(),
        false => other.clone(),
    };
    word.replacen(bare, &other, 1)
}

fn mistype(text: &str, share: f64, rng: &mut ChaCha8Rng) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if !letter.is_alphanumeric() || !rng.random_bool(share.clamp(0.0, 1.0)) {
            out.push(letter);
            continue;
        }
        match rng.random_range(0..4) {
            0 => {
                out.extend(letters.next_if(|next| next.is_alphanumeric()));
                out.push(letter);
            }
            1 => {}
            2 => out.extend([letter, letter]),
            _ => out.push(beside(letter, rng)),
        }
    }
    // A text of one letter that was left out is no text.
    if out.trim().is_empty() { text.to_owned() } else { out }
}

/// A key near that of `letter`; the letter itself where the keyboard has none.
fn beside(letter: char, rng: &mut ChaCha8Rng) -> char {
    let lower = letter.to_ascii_lowercase();
    let Some((row, at)) = KEYS.iter().enumerate().find_map(|(row, keys)| Some((row, keys.find(lower)?))) else {
        return letter;
    };
    let key = |row: usize, at: Option<usize>| KEYS.get(row)?.as_bytes().get(at?).map(|key| char::from(*key));
    // Each row lies half a key to the right of the one above.
    let below = [key(row + 1, at.checked_sub(1)), key(row + 1, Some(at))];
    let above = row.checked_sub(1).map_or([None; 2], |row| [key(row, Some(at)), key(row, Some(at + 1))]);
    let near = [key(row, at.checked_sub(1)), key(row, Some(at + 1))];
    let keys: Vec<char> = near.into_iter().chain(below).chain(above).flatten().collect();
    let chosen = keys[rng.random_range(0..keys.len())];
    if letter.is_ascii_uppercase() { chosen.to_ascii_uppercase() } else { chosen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn only(synonyms: f64, drop: f64, typing: f64) -> Augment {
        Augment { synonyms, drop, typing, copies: 1 }
    }

    #[test]
    fn a_word_gives_way_to_one_of_its_line_and_keeps_its_capital_and_marks() {
        let synonyms = Synonyms::of_lines("buy purchase\nphone\n").unwrap();
        let all = only(1.0, 0.0, 0.0);
        assert_eq!(all.reword("Buy, a (phone)!", &synonyms, 1, 0), "Purchase, a (phone)!");
        assert_eq!(all.reword("purchase", &synonyms, 1, 0), "buy");
    }

    #[test]
    fn as_many_letters_are_mistyped_as_asked() {
        let text = "abcdefghij ".repeat(500);
        let noisy = with_typing_noise(&text, 0.0, 1, 0);
        assert_eq!(noisy, text);
        // Doubling and leaving out balance; a key beside is always another letter.
        let beside_only = |seed: u64| beside('g', &mut stream(seed, 0));
        assert!((0..50).all(|seed| "fhvbty".contains(beside_only(seed))), "{}", beside_only(0));
        let changed = with_typing_noise(&text, 0.1, 1, 0);
        let words = text.split(' ').zip(changed.split(' ')).filter(|(a, b)| a != b).count();
        // A word of ten letters stays whole with 0.9^10 = 0.35, or a little more often (a letter swapped with its like).
        assert!((0.6..0.7).contains(&(words as f64 / 500.0)), "{words} of 500");
    }

    #[test]
    fn a_share_that_is_none_is_refused() {
        assert!(only(0.0, 1.5, 0.0).check().unwrap_err().contains("drop: expected a share from 0 to 1, got 1.5"));
        assert!(only(0.5, 0.5, 0.5).check().is_ok());
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_text_and_the_seed_decides_which(
            text in "\\PC{1,60}", a in 0.0..=1.0f64, b in 0.0..=1.0f64, c in 0.0..=1.0f64, number in 0u64..9,
        ) {
            let synonyms = Synonyms::of_lines("a b c\nx y").unwrap();
            let augment = only(a, b, c);
            let once = augment.reword(&text, &synonyms, 5, number);
            prop_assert_eq!(&once, &augment.reword(&text, &synonyms, 5, number));
            prop_assert!(text.trim().is_empty() || !once.trim().is_empty(), "{:?} of {:?}", once, text);
        }

        #[test]
        fn nothing_asked_changes_nothing_but_blanks(text in "\\PC{0,60}") {
            let same = only(0.0, 0.0, 0.0).reword(&text, &Synonyms::default(), 1, 1);
            let words: Vec<&str> = text.split_whitespace().collect();
            prop_assert_eq!(same, words.join(" "));
        }
    }
}
