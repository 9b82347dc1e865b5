//! A whole GGUF file of a small network with numbers from a seed, for everything that does not need real weights.

use std::collections::BTreeMap;

/// Width 64, inner width 96, two layers, four heads that share two of keys and values, 264 tokens.
pub const SIZES: [(&str, u32); 6] = [
    ("llama.block_count", 2),
    ("llama.embedding_length", 64),
    ("llama.feed_forward_length", 96),
    ("llama.attention.head_count", 4),
    ("llama.attention.head_count_kv", 2),
    ("llama.context_length", 700),
];
pub const VOCABULARY: usize = 264;

/// A file before it is written.
#[derive(Clone)]
pub struct Draft {
    /// Settings: type and bytes of the value.
    pub settings: BTreeMap<String, (u32, Vec<u8>)>,
    /// Shape, rows first, and f32.
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

pub fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn texts<'a>(all: impl ExactSizeIterator<Item = &'a str>) -> Vec<u8> {
    let mut out = [&8u32.to_le_bytes()[..], &(all.len() as u64).to_le_bytes()].concat();
    all.for_each(|one| out.extend(text(one)));
    out
}

/// The letters that GPT-2 writes bytes with, in the order of bytes.
fn letters() -> Vec<String> {
    let printable = |b: &u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut other = 256u32..;
    let letter = |b: u8| if printable(&b) { u32::from(b) } else { other.next().unwrap() };
    (0..=255u8).map(letter).map(|c| char::from_u32(c).unwrap().to_string()).collect()
}

impl Draft {
    pub fn new() -> Draft {
        let mut tokens = vec!["<|endoftext|>".to_owned(), "<|im_start|>".into(), "<|im_end|>".into()];
        tokens.extend(letters());
        tokens.extend(["he", "ll", "hell", "hello", "Ġhello"].map(str::to_owned));
        let kinds = tokens.iter().enumerate().map(|(i, _)| if i < 3 { 3u32 } else { 1 });
        let mut settings: BTreeMap<String, (u32, Vec<u8>)> =
            SIZES.iter().map(|(key, n)| ((*key).to_owned(), (4, n.to_le_bytes().to_vec()))).collect();
        for (key, said) in
            [("general.architecture", "llama"), ("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "smollm")]
        {
            settings.insert(key.into(), (8, text(said)));
        }
        settings.insert("llama.attention.layer_norm_rms_epsilon".into(), (6, 1e-5f32.to_le_bytes().to_vec()));
        settings.insert("llama.rope.freq_base".into(), (6, 10_000f32.to_le_bytes().to_vec()));
        settings.insert("tokenizer.ggml.tokens".into(), (9, texts(tokens.iter().map(String::as_str))));
        let merges = ["h e", "l l", "he ll", "hell o", "Ġ hello"];
        settings.insert("tokenizer.ggml.merges".into(), (9, texts(merges.iter().copied())));
        let kinds = [
            5u32.to_le_bytes().to_vec(),
            (tokens.len() as u64).to_le_bytes().to_vec(),
            kinds.flat_map(u32::to_le_bytes).collect(),
        ];
        settings.insert("tokenizer.ggml.token_type".into(), (9, kinds.concat()));
        settings.insert("tokenizer.ggml.eos_token_id".into(), (4, 2u32.to_le_bytes().to_vec()));
        let mut draft = Draft { settings, tensors: BTreeMap::new() };
        let (h, f, kv) = (64, 96, 32);
        draft.tensor("token_embd.weight", &[VOCABULARY, h], 1.0);
        draft.tensor("output_norm.weight", &[h], 0.0);
        for layer in 0..2 {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            for (part, shape) in [("attn_q", [h, h]), ("attn_k", [kv, h]), ("attn_v", [kv, h]), ("attn_output", [h, h])]
            {
                draft.tensor(&name(part), &shape, 0.25);
            }
            for (part, shape) in [("ffn_gate", [f, h]), ("ffn_up", [f, h]), ("ffn_down", [h, f])] {
                draft.tensor(&name(part), &shape, 0.25);
            }
            draft.tensor(&name("attn_norm"), &[h], 0.0);
            draft.tensor(&name("ffn_norm"), &[h], 0.0);
        }
        draft
    }

    /// Numbers of about `size`; around 1 for a norm.
    fn tensor(&mut self, name: &str, shape: &[usize], size: f32) {
        let mut state = name.bytes().fold(7u64, |state, b| state.wrapping_mul(31).wrapping_add(u64::from(b)));
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let numbers =
            (0..shape.iter().product()).map(|_| if shape.len() == 1 { 1.0 + 0.2 * next() } else { size * next() });
        self.tensors.insert(name.into(), (shape.to_vec(), numbers.collect()));
    }

    /// The bytes of the file, every tensor in f32.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = [&b"GGUF"[..], &3u32.to_le_bytes()].concat();
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.settings.len() as u64).to_le_bytes());
        for (key, (kind, value)) in &self.settings {
            out.extend(text(key));
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        let mut offset = 0u64;
        for (name, (shape, numbers)) in &self.tensors {
            out.extend(text(name));
            out.extend((shape.len() as u32).to_le_bytes());
            shape.iter().rev().for_each(|n| out.extend((*n as u64).to_le_bytes()));
            out.extend(0u32.to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += (4 * numbers.len()).next_multiple_of(32) as u64;
        }
        for (_, numbers) in self.tensors.values() {
            out.resize(out.len().next_multiple_of(32), 0);
            numbers.iter().for_each(|x| out.extend(x.to_le_bytes()));
        }
        out
    }
}
