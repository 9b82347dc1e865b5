//! `lingxi generate`: a question in, the small model's answer out, token by token, with its speed.

use crate::assets::{Cache, cache};
use crate::cli::GenerateArgs;
use crate::failure::UserError;
use crate::generate;
use crate::progress::Progress;
use crate::report::{ResultLine, say};
use serde::Serialize;
use std::io::Write;
use std::time::Instant;

/// Most tokens that may be asked for.
const MOST: usize = 4096;

/// The answer, and how long it took.
#[derive(Serialize)]
struct Said {
    text: String,
    question_tokens: usize,
    answer_tokens: usize,
    /// Tokens of the question read in a second, the first of the answer chosen.
    question_per_second: f64,
    /// Tokens of the answer written in a second, from the second on.
    answer_per_second: f64,
}

/// Answers `lingxi generate`.
///
/// # Errors
/// A model that cannot be had, a question that is too long.
pub fn run(args: &GenerateArgs) -> anyhow::Result<()> {
    if !(1..=MOST).contains(&args.tokens) {
        let message = format!("--tokens: expected 1 to {MOST}, got {}", args.tokens);
        return Err(UserError::new(message, "ask for fewer").into());
    }
    let progress = Progress::new(args.json);
    let generator = generate::open(&args.model, &Cache::from_env()?, &cache::directory()?, &progress)?;
    let wording = generator.wording();
    let question =
        if args.plain { wording.tokens(&args.question) } else { wording.question(&args.system, &args.question) };
    let started = Instant::now();
    let (mut first, mut shown) = (None, Shown::default());
    let written = generator.write(&question, args.tokens, &mut |token| {
        first.get_or_insert_with(|| started.elapsed());
        args.json || shown.add(&wording.bytes_of(&[token])).is_ok()
    })?;
    let read = first.unwrap_or_else(|| started.elapsed()).as_secs_f64();
    let wrote = started.elapsed().as_secs_f64() - read;
    let said = Said {
        text: wording.text(&written),
        question_tokens: question.len(),
        answer_tokens: written.len(),
        question_per_second: question.len() as f64 / read,
        answer_per_second: if written.len() > 1 { (written.len() - 1) as f64 / wrote } else { 0.0 },
    };
    if args.json {
        return ResultLine::new("generate", Some(&args.model), said).print();
    }
    say("")?;
    progress.note(&format!(
        "read {} tokens, {:.0} a second; wrote {}, {:.0} a second",
        said.question_tokens, said.question_per_second, said.answer_tokens, said.answer_per_second
    ));
    Ok(())
}

/// What was written goes out as soon as its characters are whole.
#[derive(Default)]
struct Shown(Vec<u8>);

impl Shown {
    fn add(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.extend(bytes);
        let whole = match std::str::from_utf8(&self.0) {
            Ok(text) => text.len(),
            Err(cut) if cut.error_len().is_none() => cut.valid_up_to(),
            Err(_) => self.0.len(),
        };
        let mut out = std::io::stdout().lock();
        out.write_all(String::from_utf8_lossy(&self.0[..whole]).as_bytes())?;
        self.0.drain(..whole);
        out.flush()
    }
}
