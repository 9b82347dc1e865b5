//! A wrong or partial model directory is refused with the name of what is wrong.

use crate::tiny;
use lingxi_content::{BertEncoder, Precision};
use std::path::Path;

/// Writes a tiny model, lets `spoil` change it, and returns the message of loading it.
fn message(spoil: impl FnOnce(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(dir.path());
    spoil(dir.path());
    match BertEncoder::load(dir.path(), Precision::F32) {
        Ok(_) => "loaded".into(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check(spoil: impl FnOnce(&Path), words: &[&str]) {
    let message = message(spoil);
    for word in words {
        assert!(message.contains(word), "expected {word:?} in: {message}");
    }
}

fn replace(file: &'static str, from: &'static str, to: &'static str) -> impl FnOnce(&Path) {
    move |dir| {
        let text = std::fs::read_to_string(dir.join(file)).unwrap();
        assert!(text.contains(from));
        std::fs::write(dir.join(file), text.replace(from, to)).unwrap();
    }
}

#[test]
fn a_whole_directory_loads() {
    assert_eq!(message(|_| ()), "loaded");
}

#[test]
fn every_missing_file_is_named() {
    for file in
        ["config.json", "model.safetensors", "tokenizer.json", "sentence_bert_config.json", "1_Pooling/config.json"]
    {
        check(|dir| std::fs::remove_file(dir.join(file)).unwrap(), &[file, "fetch the model again"]);
    }
}

#[test]
fn every_missing_or_misshapen_tensor_is_named_with_the_shape_that_fits() {
    for (name, shape) in tiny::shapes() {
        let without = |dir: &Path| {
            let mut shapes = tiny::shapes();
            shapes.remove(&name);
            tiny::write_weights(dir, &shapes);
        };
        check(without, &[&name, &format!("{shape:?}"), "no such tensor"]);
        let wider = |dir: &Path| {
            let mut shapes = tiny::shapes();
            shapes.get_mut(&name).unwrap()[0] += 1;
            tiny::write_weights(dir, &shapes);
        };
        check(wider, &[&name, &format!("{shape:?}")]);
    }
}

#[test]
fn settings_that_are_not_implemented_are_refused() {
    check(replace("config.json", "\"gelu\"", "\"relu\""), &["hidden_act", "gelu", "relu"]);
    check(replace("config.json", "\"bert\"", "\"gpt2\""), &["model_type", "gpt2"]);
    check(replace("config.json", "\"num_attention_heads\":2", "\"num_attention_heads\":3"), &["num_attention_heads"]);
    check(replace("config.json", "\"num_attention_heads\":2", "\"num_attention_heads\":0"), &["num_attention_heads"]);
    check(replace("config.json", "\"hidden_size\":4,", ""), &["config.json", "hidden_size"]);
    check(replace("config.json", "{", "["), &["config.json"]);
    check(replace("sentence_bert_config.json", ":6", ":7"), &["max_seq_length", "2 to 6", "7"]);
    check(replace("sentence_bert_config.json", ":6", ":1"), &["max_seq_length"]);
    check(replace("1_Pooling/config.json", "mean_tokens", "max_tokens"), &["pooling_mode"]);
    check(replace("1_Pooling/config.json", ":4", ":5"), &["word_embedding_dimension", "4", "5"]);
    check(replace("tokenizer.json", "\"[UNK]\":1,", ""), &["tokenizer.json"]);
    check(replace("tokenizer.json", "\"wine\":7", "\"wine\":7,\"beer\":8"), &["vocab", "8", "9"]);
    check(replace("config.json", "\"vocab_size\":8", "\"vocab_size\":9"), &["word_embeddings", "[9, 4]", "[8, 4]"]);
}

#[test]
fn weights_cut_short_are_refused() {
    let cut = |dir: &Path| {
        let path = dir.join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    };
    check(cut, &["model.safetensors", "safetensors"]);
}
