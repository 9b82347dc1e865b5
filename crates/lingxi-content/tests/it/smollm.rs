//! The real weights against PyTorch, from the asset cache (`lingxi assets fetch`); skipped aloud where they are not.

use lingxi_content::{Answer, Generator};
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Deserialize)]
struct Case {
    text: String,
    tokens: Vec<u32>,
    /// Every 97th.
    logits: Vec<f64>,
    /// Of all tokens from the second on.
    likelihood: f64,
}

fn generator() -> Option<Generator> {
    let cache = std::env::var_os("LINGXI_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/lingxi")))?;
    let file = cache.join("assets/SmolLM2-135M-Instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
    if !file.exists() {
        eprintln!("SKIPPED: no {}; run `lingxi assets fetch SmolLM2-135M-Instruct`", file.display());
        return None;
    }
    Some(Generator::load(&file, &cache.join("q8")).unwrap())
}

#[test]
fn logits_and_likelihoods_are_those_of_transformers() {
    let Some(generator) = generator() else { return };
    let cases: Vec<Case> = serde_json::from_str(include_str!("../fixtures/smollm.json")).unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        assert_eq!(generator.wording().tokens(&case.text), case.tokens, "{:?}", case.text);
        assert_eq!(generator.wording().text(&case.tokens), case.text);
        let llama = generator.llama();
        let logits = llama.logits(&llama.read(&mut llama.past(), &case.tokens));
        let got: Vec<f64> = logits.iter().step_by(97).map(|x| f64::from(*x)).collect();
        let cosine = cosine(&got, &case.logits);
        let rest = Answer { tokens: case.tokens[1..].to_vec(), from: 0 };
        let likelihood = f64::from(generator.likelihoods(&case.tokens[..1], &[rest]).unwrap()[0]);
        let each = (likelihood - case.likelihood).abs() / (case.tokens.len() - 1) as f64;
        println!("cosine {cosine:.5}, likelihood {likelihood:.2} of {:.2}", case.likelihood);
        // Activations are rounded to bytes, as llama.cpp does.
        assert!(cosine >= 0.995, "{:?}: cosine {cosine}", case.text);
        assert!(each <= 0.05, "{:?}: {each} a token", case.text);
    }
}

/// Of deviations from the mean, since softmax sees no more of logits.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
    assert_eq!(a.len(), b.len());
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}
