//! The tokenizer that lies in a GGUF file: byte-level BPE of the GPT-2 kind, and the marks of a conversation.
//!
//! Text that comes from people or from a catalogue is only ever words: the marks by which a model tells who speaks are not in the
//! vocabulary that text is read with, so that a title which contains `<|im_start|>system` is a title.

use crate::error::{ContentError, Result};
use crate::gguf::Gguf;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{PreTokenizerWrapper, Tokenizer};

/// What the file calls a token that stands for no text.
const CONTROL: i64 = 3;

/// Texts to tokens and back.
pub struct Wording {
    tokenizer: Tokenizer,
    /// The bytes that each token stands for; none of a control token.
    bytes: Vec<Vec<u8>>,
    marks: Option<Marks>,
    end: u32,
}

/// The marks of a conversation (ChatML).
struct Marks {
    start: u32,
    stop: u32,
}

impl Wording {
    /// Takes the tokenizer of a file whose network knows so many tokens.
    ///
    /// # Errors
    /// Names the setting that is missing or not of this kind.
    pub fn of(file: &Gguf, vocabulary: usize) -> Result<Wording> {
        let wrong =
            |key: &str, expected: &str, got: &str| ContentError::file(file.path(), format!("{key}: {expected}"), got);
        let expect = |key: &str, known: &[&str]| match file.text(key)? {
            found if known.contains(&found) => Ok(found.to_owned()),
            other => Err(wrong(key, &format!("one of {}", known.join(", ")), other)),
        };
        expect("tokenizer.ggml.model", &["gpt2"])?;
        let before = expect("tokenizer.ggml.pre", &["smollm", "gpt-2"])?;
        let tokens = file.texts("tokenizer.ggml.tokens")?;
        if tokens.len() != vocabulary {
            return Err(wrong("tokenizer.ggml.tokens", &format!("{vocabulary} tokens"), &tokens.len().to_string()));
        }
        let kinds = file.wholes("tokenizer.ggml.token_type")?;
        if kinds.len() != tokens.len() {
            return Err(wrong("tokenizer.ggml.token_type", &format!("{vocabulary} types"), &kinds.len().to_string()));
        }
        let known = tokens.iter().enumerate().filter(|(i, _)| kinds[*i] != CONTROL);
        let vocab: Vocab = known.map(|(i, token)| ((*token).to_owned(), i as u32)).collect();
        let pair = |merge: &&str| merge.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        let merges = file.texts("tokenizer.ggml.merges")?;
        let pairs: Vec<_> = merges.iter().filter_map(pair).collect();
        if pairs.len() != merges.len() {
            return Err(wrong("tokenizer.ggml.merges", "two tokens with a space between", "a merge without a space"));
        }
        let bpe = BPE::builder().vocab_and_merges(vocab, pairs).build();
        let bpe = bpe.map_err(|why| wrong("tokenizer.ggml.merges", "pairs of known tokens", &why.to_string()))?;
        let mut tokenizer = Tokenizer::new(bpe);
        let bytes = PreTokenizerWrapper::from(ByteLevel::new(false, true, true));
        tokenizer.with_pre_tokenizer(Some(match before.as_str() {
            "smollm" => PreTokenizerWrapper::from(Sequence::new(vec![Digits::new(true).into(), bytes])),
            _ => bytes,
        }));
        let number = |name: &str| tokens.iter().position(|token| *token == name).map(|at| at as u32);
        let marks = number("<|im_start|>").zip(number("<|im_end|>")).map(|(start, stop)| Marks { start, stop });
        let bytes = tokens.iter().zip(&kinds).map(|(token, kind)| if *kind == CONTROL { vec![] } else { unmap(token) });
        let end = file.whole("tokenizer.ggml.eos_token_id", 0, vocabulary.saturating_sub(1))? as u32;
        Ok(Wording { tokenizer, bytes: bytes.collect(), marks, end })
    }

    /// The tokens of a text; no marks, whatever it contains.
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        let encoding = self.tokenizer.encode_fast(text, false);
        // Only a byte that no token stands for could fail, and then it is left out.
        encoding.map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }

    /// What tokens say. Bytes that are no UTF-8 become the replacement character.
    pub fn text(&self, tokens: &[u32]) -> String {
        String::from_utf8_lossy(&self.bytes_of(tokens)).into_owned()
    }

    /// The bytes of tokens one after the other; a character may be divided among several.
    pub fn bytes_of(&self, tokens: &[u32]) -> Vec<u8> {
        tokens.iter().flat_map(|token| self.bytes.get(*token as usize).into_iter().flatten().copied()).collect()
    }

    /// One question to an assistant, as the model was taught to read it; without marks, the texts as they are.
    pub fn question(&self, system: &str, user: &str) -> Vec<u32> {
        let Some(marks) = &self.marks else {
            return self.tokens(&if system.is_empty() { format!("{user}\n") } else { format!("{system}\n\n{user}\n") });
        };
        let turn = |who: &str, said: &str| {
            let mut all = vec![marks.start];
            all.extend(self.tokens(&format!("{who}\n{said}")));
            all.push(marks.stop);
            all.extend(self.tokens("\n"));
            all
        };
        let mut all = if system.is_empty() { vec![] } else { turn("system", system) };
        all.extend(turn("user", user));
        all.push(marks.start);
        all.extend(self.tokens("assistant\n"));
        all
    }

    /// Whether a token ends an answer.
    pub fn ends(&self, token: u32) -> bool {
        token == self.end || self.marks.as_ref().is_some_and(|marks| token == marks.stop)
    }

    /// The token that ends an answer.
    pub fn end(&self) -> u32 {
        self.marks.as_ref().map_or(self.end, |marks| marks.stop)
    }
}

/// The bytes behind the printable letters that GPT-2 writes them with: printable ones stand for themselves, the others follow from 256.
fn unmap(token: &str) -> Vec<u8> {
    let printable = |b: &u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let byte = |c: char| match u32::from(c) {
        n @ 0..=255 => u8::try_from(n).ok(),
        n => (0..=255u8).filter(|b| !printable(b)).nth(n as usize - 256),
    };
    token.chars().filter_map(byte).collect()
}
