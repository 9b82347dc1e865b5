//! Each distinct text goes through the model once, and never again while the cache holds it.

use crate::tiny;
use lingxi_content::{BertEncoder, EncodeStats, Precision, encode_texts};
use lingxi_data::ItemId;
use std::path::{Path, PathBuf};

fn encode(encoder: &BertEncoder, texts: &[&str], cache: &Path) -> (lingxi_data::ItemVectors, EncodeStats) {
    let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
    encode_texts(encoder, &texts, cache, &mut |_, _| ()).unwrap()
}

struct Tiny {
    dir: tempfile::TempDir,
    encoder: BertEncoder,
}

impl Tiny {
    fn new() -> Tiny {
        let dir = tempfile::tempdir().unwrap();
        tiny::write(dir.path());
        let encoder = BertEncoder::load(dir.path(), Precision::F32).unwrap();
        Tiny { dir, encoder }
    }
    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }
    fn cache_file(&self) -> PathBuf {
        let files = std::fs::read_dir(self.cache()).unwrap().map(|e| e.unwrap().path());
        files.filter(|p| p.extension().is_some_and(|e| e == "vectors")).collect::<Vec<_>>().remove(0)
    }
}

const TEXTS: [&str; 6] = ["milk", "red wine", "milk", "", " \t\u{1}", "bread"];

#[test]
fn equal_texts_are_encoded_once_and_texts_that_say_nothing_are_absent() {
    let tiny = Tiny::new();
    let (vectors, stats) = encode(&tiny.encoder, &TEXTS, &tiny.cache());
    // [CLS] and [SEP] around one, two and one word.
    assert_eq!(stats, EncodeStats { distinct: 3, encoded: 3, cached: 0, tokens: 3 + 4 + 3, damaged: 0 });
    assert_eq!(vectors.present(), [true, true, true, false, false, true]);
    assert_eq!(vectors.get(ItemId(0)), vectors.get(ItemId(2)));
    assert_ne!(vectors.get(ItemId(0)), vectors.get(ItemId(5)));
    assert!(vectors.data()[3 * 4..5 * 4].iter().all(|x| *x == 0.0));
    assert_eq!(vectors.provenance(), tiny.encoder.provenance());
}

#[test]
fn a_changed_title_encodes_one_item_and_the_rest_comes_back_bit_for_bit() {
    let tiny = Tiny::new();
    let (first, _) = encode(&tiny.encoder, &TEXTS, &tiny.cache());
    let (again, stats) = encode(&tiny.encoder, &TEXTS, &tiny.cache());
    assert_eq!((stats.encoded, stats.cached), (0, 3));
    assert_eq!(first, again);
    let mut texts = TEXTS;
    texts[5] = "red bread";
    let (changed, stats) = encode(&tiny.encoder, &texts, &tiny.cache());
    assert_eq!((stats.encoded, stats.cached), (1, 2));
    assert_eq!(changed.get(ItemId(1)), first.get(ItemId(1)));
}

#[test]
fn another_model_does_not_read_the_vectors_of_the_first() {
    let tiny = Tiny::new();
    encode(&tiny.encoder, &TEXTS, &tiny.cache());
    let path = tiny.dir.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let other = BertEncoder::load(tiny.dir.path(), Precision::F32).unwrap();
    assert_eq!(encode(&other, &TEXTS, &tiny.cache()).1.encoded, 3);
}

#[test]
fn a_torn_tail_or_a_flipped_bit_costs_one_record_and_is_counted() {
    let tiny = Tiny::new();
    let (whole, _) = encode(&tiny.encoder, &TEXTS, &tiny.cache());
    let path = tiny.cache_file();
    let bytes = std::fs::read(&path).unwrap();
    let mut flipped = bytes.clone();
    flipped[16 + 20] ^= 1;
    for broken in [&bytes[..bytes.len() - 7], &flipped] {
        std::fs::write(&path, broken).unwrap();
        let (vectors, stats) = encode(&tiny.encoder, &TEXTS, &tiny.cache());
        assert_eq!((stats.encoded, stats.cached, stats.damaged), (1, 2, 1));
        assert_eq!(vectors, whole);
        assert_eq!(std::fs::read(&path).unwrap().len(), bytes.len());
    }
    for foreign in [b"something else entirely".as_slice(), b"", b"lingxi"] {
        std::fs::write(&path, foreign).unwrap();
        assert_eq!(encode(&tiny.encoder, &TEXTS, &tiny.cache()).0, whole);
    }
}

#[test]
fn progress_starts_with_what_the_cache_has_and_ends_with_all() {
    let tiny = Tiny::new();
    encode(&tiny.encoder, &["milk"], &tiny.cache());
    let mut heard = Vec::new();
    let texts = TEXTS.map(String::from);
    encode_texts(&tiny.encoder, &texts, &tiny.cache(), &mut |done, total| heard.push((done, total))).unwrap();
    assert_eq!((heard[0], heard[heard.len() - 1]), ((1, 3), (3, 3)));
}

#[test]
fn a_cache_directory_that_cannot_be_made_is_an_error_with_its_path() {
    let tiny = Tiny::new();
    let file = tiny.dir.path().join("config.json");
    let error = encode_texts(&tiny.encoder, &[], &file.join("below"), &mut |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("below"), "{error}");
}
