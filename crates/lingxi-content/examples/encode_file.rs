//! Times the encoder for `bench/encode.py`: `encode_file MODEL_DIR TEXTS.json PRECISION VECTORS.f32`.
//!
//! Reads a list of texts, then for each line on standard input encodes all of them and answers with the seconds that it took
//! from strings to vectors. The vectors of the first time are written as little-endian f32.

use lingxi_content::BertEncoder;
use lingxi_data::Encode;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, texts, precision, vectors] = arguments.as_slice() else {
        return Err("expected MODEL_DIR TEXTS.json PRECISION VECTORS.f32".into());
    };
    let encoder = BertEncoder::load(Path::new(model), serde_json::from_value(precision.as_str().into())?)?;
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(texts)?)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    eprintln!("{precision}: matrices of {:.1} MB", encoder.matrix_bytes() as f64 / 1e6);
    let mut first = true;
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let found = encoder.encode(&texts);
        let seconds = start.elapsed().as_secs_f64();
        if std::mem::take(&mut first) {
            std::fs::write(vectors, found.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())?;
        }
        println!("{{\"seconds\":{seconds},\"texts\":{}}}", texts.len());
        std::io::stdout().flush()?;
    }
    Ok(())
}
