//! Texts to vectors, and which of them mean the same: `cargo run --release -p lingxi-content --example encode -- MODEL_DIR TEXT TEXT ...`

use lingxi_content::{BertEncoder, Precision};
use lingxi_data::Encode;
use lingxi_kernels::dot;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (dir, texts) = arguments.split_first().ok_or("expected a model directory and some texts")?;
    let encoder = BertEncoder::load(Path::new(dir), Precision::F32)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = encoder.encode(&texts);
    for (a, text) in vectors.chunks(encoder.dim()).zip(&texts) {
        let row: Vec<String> = vectors.chunks(encoder.dim()).map(|b| format!("{:5.2}", dot(a, b))).collect();
        println!("{}  {text}", row.join(" "));
    }
    Ok(())
}
