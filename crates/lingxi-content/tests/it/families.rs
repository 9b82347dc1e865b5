//! The kin of BERT against `transformers`, with seeded random weights of a small configuration.

use lingxi_content::{BertEncoder, Precision};
use lingxi_data::Encode;
use lingxi_kernels::dot;
use std::path::PathBuf;
use std::process::Command;

/// The Python that `bench/bench.py` has made, with the pinned `transformers`.
pub fn python() -> Option<PathBuf> {
    if std::env::var_os("LINGXI_SLOW").is_none() {
        eprintln!("SKIPPED: set LINGXI_SLOW=1 to compare with PyTorch");
        return None;
    }
    let cache = std::env::var_os("LINGXI_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/lingxi")));
    let python = cache?.join("bench-venv/bin/python");
    assert!(python.exists(), "no {}; run python3 bench/bench.py encode once", python.display());
    Some(python)
}

#[test]
fn each_family_encodes_as_transformers_does_with_the_same_random_weights() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/make_families.py");
    let out = Command::new(python).arg(script).arg(dir.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(dir.path().join("texts.json")).unwrap()).unwrap();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for family in ["bert", "roberta", "xlm-roberta", "mpnet"] {
        let bytes = std::fs::read(dir.path().join(format!("{family}.f32"))).unwrap();
        let want: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        for (precision, least) in [(Precision::F32, 0.999_99), (Precision::Bf16, 0.999), (Precision::Int8, 0.99)] {
            let encoder = BertEncoder::load(&dir.path().join(family), precision).unwrap();
            let got = encoder.encode(&texts);
            assert_eq!(got.len(), want.len());
            let cosines = got.chunks(96).zip(want.chunks(96)).map(|(a, b)| dot(a, b));
            let worst = cosines.fold(f32::INFINITY, f32::min);
            println!("{family} {precision:?}: least cosine {worst}");
            assert!(worst >= least, "{family} in {precision:?}: cosine {worst}, expected at least {least}");
        }
        // Random weights still tell texts apart: a constant would pass nothing above.
        assert!(dot(&want[..96], &want[96..192]) < 0.999);
    }
}
