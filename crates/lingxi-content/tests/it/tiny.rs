//! A whole model directory of a few hundred numbers, for everything that does not need real weights.

use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// Width 4, two heads, one layer, eight word pieces.
pub fn shapes() -> BTreeMap<String, Vec<usize>> {
    let layer = |part: &str| format!("encoder.layer.0.{part}");
    let mut all = BTreeMap::from([
        ("embeddings.word_embeddings.weight".to_string(), vec![8, 4]),
        ("embeddings.position_embeddings.weight".to_string(), vec![6, 4]),
        ("embeddings.token_type_embeddings.weight".to_string(), vec![2, 4]),
    ]);
    let linear = [
        ("attention.self.query", 4, 4),
        ("attention.self.key", 4, 4),
        ("attention.self.value", 4, 4),
        ("attention.output.dense", 4, 4),
        ("intermediate.dense", 6, 4),
        ("output.dense", 4, 6),
    ];
    for (name, out, input) in linear {
        all.insert(layer(&format!("{name}.weight")), vec![out, input]);
        all.insert(layer(&format!("{name}.bias")), vec![out]);
    }
    for name in ["embeddings.LayerNorm".to_string(), layer("attention.output.LayerNorm"), layer("output.LayerNorm")] {
        all.insert(format!("{name}.weight"), vec![4]);
        all.insert(format!("{name}.bias"), vec![4]);
    }
    all
}

/// Writes the tensors with numbers that depend on their place.
pub fn write_weights(dir: &Path, shapes: &BTreeMap<String, Vec<usize>>) {
    let data: Vec<Vec<u8>> = shapes
        .iter()
        .map(|(name, shape)| {
            let number = |i: usize| ((i * 31 + name.len() * 17) as f32 * 0.7).sin();
            (0..shape.iter().product()).flat_map(|i| number(i).to_le_bytes()).collect()
        })
        .collect();
    let views: Vec<(&String, TensorView<'_>)> = shapes
        .iter()
        .zip(&data)
        .map(|((name, shape), bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()))
        .collect();
    std::fs::write(dir.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Writes the whole directory.
pub fn write(dir: &Path) {
    let config = r#"{"model_type":"bert","hidden_act":"gelu","hidden_size":4,"intermediate_size":6,"layer_norm_eps":1e-12,
        "max_position_embeddings":6,"num_attention_heads":2,"num_hidden_layers":1,"type_vocab_size":2,"vocab_size":8}"#;
    let tokenizer = r###"{"version":"1.0","truncation":null,"padding":null,
        "added_tokens":[{"id":0,"special":true,"content":"[PAD]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false}],
        "normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},
        "pre_tokenizer":{"type":"BertPreTokenizer"},
        "post_processor":{"type":"TemplateProcessing",
            "single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}}],
            "pair":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],
            "special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]},"[SEP]":{"id":"[SEP]","ids":[3],"tokens":["[SEP]"]}}},
        "decoder":null,
        "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,
            "vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"milk":4,"bread":5,"red":6,"wine":7}}}"###;
    std::fs::create_dir_all(dir.join("1_Pooling")).unwrap();
    std::fs::write(dir.join("config.json"), config).unwrap();
    std::fs::write(dir.join("tokenizer.json"), tokenizer).unwrap();
    std::fs::write(dir.join("sentence_bert_config.json"), r#"{"max_seq_length":6,"do_lower_case":false}"#).unwrap();
    let pooling = r#"{"word_embedding_dimension":4,"pooling_mode_mean_tokens":true}"#;
    std::fs::write(dir.join("1_Pooling/config.json"), pooling).unwrap();
    write_weights(dir, &shapes());
}
