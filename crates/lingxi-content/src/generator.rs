//! Tokenizer and network behind one door: a question in, an answer out, or how likely each of some answers is.
//!
//! Writing is greedy: the likeliest token each time, the lower number among equals, so that an answer is a function of its
//! question. [`Generator::write_within`] lets a caller say which tokens may come next.

use crate::error::{ContentError, Result};
use crate::gguf::Gguf;
use crate::llama::{Llama, Past};
use crate::wording::Wording;
use lingxi_data::Fingerprint;
use lingxi_kernels::log_sum_exp;
use std::path::Path;

/// Tokens of one pass of [`Generator::likelihoods`]: their logits are kept beside each other.
const TOGETHER: usize = 256;

/// A small language model that writes.
pub struct Generator {
    llama: Llama,
    wording: Wording,
    revision: Fingerprint,
}

/// A possible answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// The first token whose likelihood counts; those before it are given.
    pub from: usize,
}

impl Generator {
    /// Reads a GGUF file; its matrices are kept in Q8_0 in `folder`, so that it is requantised once.
    ///
    /// # Errors
    /// Names the setting or tensor that is missing or does not fit.
    pub fn load(file: &Path, folder: &Path) -> Result<Generator> {
        Generator::of(&Gguf::read_q8(file, folder)?)
    }

    /// Takes a file in Q8_0.
    ///
    /// # Errors
    /// As [`Generator::load`].
    pub fn of(file: &Gguf) -> Result<Generator> {
        let llama = Llama::of(file)?;
        let wording = Wording::of(file, llama.sizes().vocabulary)?;
        Ok(Generator { llama, wording, revision: Fingerprint::of([file.bytes()]) })
    }

    /// The network.
    pub fn llama(&self) -> &Llama {
        &self.llama
    }

    /// The tokenizer.
    pub fn wording(&self) -> &Wording {
        &self.wording
    }

    /// Fingerprint of everything that decides what is written.
    pub fn revision(&self) -> Fingerprint {
        self.revision
    }

    /// Whether so many tokens can be read and written.
    ///
    /// # Errors
    /// [`ContentError::Long`].
    pub fn fits(&self, tokens: usize) -> Result<()> {
        let most = self.llama.sizes().context;
        if tokens <= most { Ok(()) } else { Err(ContentError::Long { most, got: tokens }) }
    }

    /// Answers a question with at most `most` tokens; `each` is given every token and says whether to go on.
    ///
    /// # Errors
    /// An empty question, or one that leaves no room for the answer.
    pub fn write(&self, question: &[u32], most: usize, each: &mut dyn FnMut(u32) -> bool) -> Result<Vec<u32>> {
        self.write_within(question, most, &mut |_| None, each)
    }

    /// The same, where `allowed` is given what was written and says which tokens may come next: `None` is any, an empty list ends.
    ///
    /// # Errors
    /// As [`Generator::write`].
    pub fn write_within(
        &self,
        question: &[u32],
        most: usize,
        allowed: &mut dyn FnMut(&[u32]) -> Option<Vec<u32>>,
        each: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Vec<u32>> {
        self.fits(question.len().max(1) + most)?;
        let mut past = self.llama.past();
        let mut vector = self.begin(&mut past, question);
        let mut written = Vec::new();
        while written.len() < most {
            let next = match allowed(&written) {
                Some(some) if some.is_empty() => break,
                // What leaves no choice needs no logits.
                Some(some) if some.len() == 1 => some[0],
                some => likeliest(&self.llama.logits(&vector), some.as_deref()),
            };
            if self.wording.ends(next) || !each(next) {
                break;
            }
            written.push(next);
            if written.len() < most {
                vector = self.llama.read(&mut past, &[next]);
            }
        }
        Ok(written)
    }

    /// How likely each answer is to follow the question: the natural logarithm of the probability of the tokens that count. The
    /// question is read once, the answers beside each other.
    ///
    /// # Errors
    /// [`ContentError::Long`].
    pub fn likelihoods(&self, question: &[u32], answers: &[Answer]) -> Result<Vec<f32>> {
        let longest = answers.iter().map(|answer| answer.tokens.len()).max().unwrap_or(0);
        self.fits(question.len().max(1) + longest)?;
        let mut past = self.llama.past();
        let first = self.llama.logits(&self.begin(&mut past, question));
        let sum = log_sum_exp(&first);
        let begin = |answer: &Answer| match (answer.from, answer.tokens.first()) {
            (0, Some(token)) => first[*token as usize] - sum,
            _ => 0.0,
        };
        let mut found: Vec<f32> = answers.iter().map(begin).collect();
        // The last token of an answer foretells nothing that is asked for.
        let asked: Vec<usize> =
            (0..answers.len()).filter(|&i| answers[i].tokens.len() > answers[i].from.max(1)).collect();
        let (h, vocabulary) = (self.llama.sizes().width, self.llama.sizes().vocabulary);
        for part in parts(&asked, |&i| answers[i].tokens.len() - 1) {
            let fed = |i: usize| &answers[i].tokens[..answers[i].tokens.len() - 1];
            let vectors = self.llama.glance(&mut past, &part.iter().map(|&i| fed(i)).collect::<Vec<_>>());
            let mut rows = vectors.chunks_exact(h);
            let mut counted = Vec::new();
            for &i in part {
                let before = answers[i].from.max(1) - 1;
                counted.extend(rows.by_ref().take(fed(i).len()).skip(before).flatten());
            }
            let logits = self.llama.logits(&counted);
            let mut logits = logits.chunks_exact(vocabulary);
            for &i in part {
                for (token, row) in answers[i].tokens[answers[i].from.max(1)..].iter().zip(&mut logits) {
                    found[i] += row[*token as usize] - log_sum_exp(row);
                }
            }
        }
        Ok(found)
    }

    /// Reads the question; an empty one is the token that ends answers, after which a text begins.
    fn begin(&self, past: &mut Past, question: &[u32]) -> Vec<f32> {
        let nothing = [self.wording.end()];
        self.llama.read(past, if question.is_empty() { &nothing } else { question })
    }
}

/// Runs of at most [`TOGETHER`] tokens, or of one answer.
fn parts<T>(all: &[T], size: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut rest = all;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let n = rest.iter().take_while(|one| {
            sum += size(one);
            sum <= TOGETHER
        });
        let (part, more) = rest.split_at(n.count().max(1).min(rest.len()));
        rest = more;
        (!part.is_empty()).then_some(part)
    })
}

/// The largest of the allowed logits, the first among equals.
fn likeliest(logits: &[f32], allowed: Option<&[u32]>) -> u32 {
    let better = |best: u32, at: u32| if logits[at as usize] > logits[best as usize] { at } else { best };
    match allowed {
        Some(some) => some.iter().copied().fold(some[0], better),
        None => (0..logits.len() as u32).fold(0, better),
    }
}
