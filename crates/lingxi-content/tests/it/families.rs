//! The kin of BERT against `transformers`, with seeded random weights of a small configuration.

use lingxi_content::{BertEncoder, Precision};
use lingxi_data::Encode;
use lingxi_kernels::dot;
use std::path::{Path, PathBuf};
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

/// Directories of every family, with texts and what `transformers` makes of them.
fn made(python: PathBuf) -> (tempfile::TempDir, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/make_families.py");
    let out = Command::new(python).arg(script).arg(dir.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let texts = serde_json::from_slice(&std::fs::read(dir.path().join("texts.json")).unwrap()).unwrap();
    (dir, texts)
}

/// Every text's vector by `transformers` and by us is the same up to `least`.
fn agree(dir: &Path, texts: &[String], family: &str, precision: Precision, least: f32) {
    let bytes = std::fs::read(dir.join(format!("{family}.f32"))).unwrap();
    let want: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let encoder = BertEncoder::load(&dir.join(family), precision).unwrap();
    let got = encoder.encode(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(got.len(), want.len());
    let cosines = got.chunks(96).zip(want.chunks(96)).map(|(a, b)| dot(a, b));
    let worst = cosines.fold(f32::INFINITY, f32::min);
    println!("{family} {precision:?}: least cosine {worst}");
    assert!(worst >= least, "{family} in {precision:?}: cosine {worst}, expected at least {least}");
    // Random weights still tell texts apart: a constant would pass nothing above.
    assert!(dot(&want[..96], &want[96..192]) < 0.999);
}

#[test]
fn each_family_encodes_as_transformers_does_with_the_same_random_weights() {
    let Some(python) = python() else { return };
    let (dir, texts) = made(python);
    for family in ["bert", "roberta", "xlm-roberta", "mpnet"] {
        for (precision, least) in [(Precision::F32, 0.999_99), (Precision::Bf16, 0.999), (Precision::Int8, 0.99)] {
            agree(dir.path(), &texts, family, precision, least);
        }
    }
    #[cfg(feature = "candle")]
    for family in ["modernbert", "qwen3"] {
        agree(dir.path(), &texts, family, Precision::F32, 0.999_99);
        a_lack_is_named(&dir.path().join(family));
    }
}

/// A directory without one of its tensors, or with one of another shape, is refused by that tensor's name and the shape expected.
#[cfg(feature = "candle")]
fn a_lack_is_named(dir: &Path) {
    let path = dir.join("model.safetensors");
    let data = std::fs::read(&path).unwrap();
    let all = safetensors::SafeTensors::deserialize(&data).unwrap();
    let lost = all.names().into_iter().find(|name| name.contains("layers.1.mlp")).unwrap();
    let rest = |keep: &dyn Fn(&str) -> bool| {
        let kept = all.tensors().into_iter().filter(|(name, _)| keep(name));
        std::fs::write(&path, safetensors::serialize(kept, None).unwrap()).unwrap();
        BertEncoder::load(dir, Precision::F32).err().unwrap().to_string()
    };
    let said = rest(&|name| name != lost);
    let end = lost.rsplit_once("layers.").unwrap().1;
    assert!(said.contains(end) && said.contains("expected F32 [") && said.contains("no such tensor"), "{said}");
}
