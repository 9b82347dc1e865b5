//! The real weights against PyTorch, from the asset cache (`lingxi assets fetch`); skipped aloud where they are not.

use lingxi_content::finetune::synonyms::Synonyms;
use lingxi_content::folder::Folder;
use lingxi_content::{BertEncoder, Precision, encode_texts};
use lingxi_data::{Encode, ItemId};
use lingxi_kernels::dot;
use std::path::PathBuf;

fn encoder() -> Option<BertEncoder> {
    at(Precision::F32)
}

fn at(precision: Precision) -> Option<BertEncoder> {
    Some(BertEncoder::load(&folder()?, precision).unwrap())
}

fn folder() -> Option<PathBuf> {
    let cache = std::env::var_os("LINGXI_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/lingxi")));
    let dir = cache?.join("assets/all-MiniLM-L6-v2");
    if !dir.is_dir() {
        eprintln!("SKIPPED: no {}; run `lingxi assets fetch all-MiniLM-L6-v2`", dir.display());
        return None;
    }
    Some(dir)
}

#[test]
fn words_whose_vectors_lie_close_stand_for_each_other_and_only_those_of_the_texts_are_asked() {
    let Some(dir) = folder() else { return };
    let texts = ["Buy a Phone!", "please"];
    let near = Synonyms::near(&Folder::read(&dir).unwrap(), texts.into_iter(), 5, 0.55).unwrap();
    println!("buy: {:?}, phone: {:?}", near.of("buy"), near.of("phone"));
    assert_eq!(near.of("buy")[..3], ["buying", "purchase", "bought"]);
    assert_eq!(near.of("phone"), ["phones", "telephone", "smartphone"]);
    // Nothing is as near as that to "please", and nobody asked about "card".
    assert!(near.of("please").is_empty() && near.of("card").is_empty());
}

/// 50 texts and PyTorch's vectors `[50,384]`, made by `fixtures/make_minilm.py`.
fn fixture() -> (Vec<String>, Vec<f32>) {
    let texts: Vec<String> = serde_json::from_str(include_str!("../fixtures/minilm.json")).unwrap();
    let (numbers, rest) = include_bytes!("../fixtures/minilm.f32").as_chunks::<4>();
    assert!(rest.is_empty() && texts.len() == 50);
    (texts, numbers.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

#[test]
fn fifty_texts_of_all_kinds_are_encoded_as_pytorch_does() {
    let Some(encoder) = encoder() else { return };
    let (texts, want) = fixture();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let got = encoder.encode(&texts);
    assert_eq!(got.len(), want.len());
    let mut worst = 1f32;
    for ((got, want), text) in got.chunks(384).zip(want.chunks(384)).zip(&texts) {
        let cosine = dot(got, want);
        assert!((dot(got, got) - 1.0).abs() < 1e-5);
        assert!(cosine >= 0.9999, "{text:?}: cosine {cosine}");
        worst = worst.min(cosine);
    }
    println!("worst cosine {worst}");
}

#[test]
fn fewer_digits_keep_their_cosine_and_name_their_vectors() {
    let (texts, want) = fixture();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut names = Vec::new();
    for (precision, least) in [(Precision::F32, 0.9999), (Precision::Bf16, 0.9995), (Precision::Int8, 0.99)] {
        let Some(encoder) = at(precision) else { return };
        let got = encoder.encode(&texts);
        let worst = got.chunks(384).zip(want.chunks(384)).map(|(a, b)| dot(a, b)).fold(f32::INFINITY, f32::min);
        println!("{precision:?}: least cosine {worst}, matrices of {} bytes", encoder.matrix_bytes());
        assert!(worst >= least, "{precision:?}: {worst}");
        names.push((encoder.provenance().clone(), encoder.revision()));
    }
    // Vectors of different precision are different vectors: neither the cache nor a catalogue mixes them.
    for (i, (provenance, revision)) in names.iter().enumerate() {
        assert!(names[..i].iter().all(|(p, r)| p != provenance && r != revision));
    }
}

#[test]
fn a_batch_equals_its_texts_one_by_one() {
    let Some(encoder) = encoder() else { return };
    let (texts, _) = fixture();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (together, text) in encoder.encode(&texts).chunks(384).zip(&texts) {
        let alone = encoder.encode(&[text]);
        let apart = together.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(apart < 1e-5, "{text:?}: {apart} apart");
    }
    assert!(encoder.encode(&[]).is_empty());
}

#[test]
fn texts_are_cut_to_256_tokens_with_the_special_ones() {
    let Some(encoder) = encoder() else { return };
    let tokens = encoder.tokens(&"milk ".repeat(400));
    assert_eq!((tokens.len(), tokens[0], tokens[255]), (256, 101, 102));
    assert_eq!(encoder.tokens(""), [101, 102]);
}

#[test]
fn a_changed_title_encodes_exactly_one_item() {
    let Some(encoder) = encoder() else { return };
    let (mut texts, want) = fixture();
    let dir = tempfile::tempdir().unwrap();
    let (vectors, stats) = encode_texts(&encoder, &texts, dir.path(), &mut |_, _| ()).unwrap();
    // Empty, a blank, white space, control characters.
    assert_eq!(vectors.present().iter().filter(|p| !**p).count(), 4);
    assert_eq!(stats.encoded, 46);
    assert!(dot(vectors.get(ItemId(9)).unwrap(), &want[9 * 384..10 * 384]) >= 0.9999);
    texts[9] = "oat milk".into();
    let (changed, stats) = encode_texts(&encoder, &texts, dir.path(), &mut |_, _| ()).unwrap();
    assert_eq!((stats.encoded, stats.cached), (1, 45));
    assert_ne!(changed.get(ItemId(9)), vectors.get(ItemId(9)));
    assert_eq!(changed.get(ItemId(10)), vectors.get(ItemId(10)));
}
