//! Times the small model for `bench/generate.py`: `generate_file MODEL.gguf FOLDER`.
//!
//! Each line on standard input is a JSON list of tokens and how many to write, `[[1, 2, 3], 64]`. The tokens are read, then as many
//! are written as greedily as ever; the answer is the seconds of both, what was written, and the logits before the first of it.
//! `FOLDER` keeps the matrices in Q8_0, in a file that other programs read too.

use lingxi_content::Generator;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder] = arguments.as_slice() else {
        return Err("expected MODEL.gguf FOLDER".into());
    };
    let start = Instant::now();
    let generator = Generator::load(Path::new(model), Path::new(folder))?;
    let (llama, seconds) = (generator.llama(), start.elapsed().as_secs_f64());
    eprintln!("matrices of {:.1} MB, opened in {seconds:.2} s", llama.bytes() as f64 / 1e6);
    for line in std::io::stdin().lock().lines() {
        let (tokens, most): (Vec<u32>, usize) = serde_json::from_str(&line?)?;
        let start = Instant::now();
        let mut past = llama.past();
        let mut vector = llama.read(&mut past, &tokens);
        let first = llama.logits(&vector);
        let read = start.elapsed().as_secs_f64();
        let (start, mut logits, mut written) = (Instant::now(), first.clone(), Vec::new());
        for _ in 0..most {
            let next = (0..logits.len()).fold(0, |best, at| if logits[at] > logits[best] { at } else { best });
            written.push(next);
            vector = llama.read(&mut past, &[next as u32]);
            logits = llama.logits(&vector);
        }
        let wrote = start.elapsed().as_secs_f64();
        println!("{}", serde_json::json!({"read": read, "wrote": wrote, "written": written, "logits": first}));
        std::io::stdout().flush()?;
    }
    Ok(())
}
