//! Reads a Hugging Face model directory and checks it before anything is computed: `config.json`, `model.safetensors`,
//! `tokenizer.json`, `sentence_bert_config.json`, `1_Pooling/config.json`, and where `modules.json` names a `Dense`, that.

use crate::error::{ContentError, Result};
use crate::family::Family;
use crate::projection::{self, Projection};
use lingxi_data::Fingerprint;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use tokenizers::{Tokenizer, TruncationParams};

/// The part of `config.json` that the network needs. The file is not ours, so unknown keys are allowed.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// `bert` or one of its kin.
    #[serde(rename = "model_type", deserialize_with = "family")]
    pub family: Family,
    /// `gelu`.
    pub hidden_act: String,
    /// Width of a token vector.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Added to the variance by layer norm.
    pub layer_norm_eps: f32,
    /// Longest sequence that has position vectors.
    pub max_position_embeddings: usize,
    /// Heads of attention.
    pub num_attention_heads: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Kinds of segments.
    #[serde(default)]
    pub type_vocab_size: usize,
    /// The id of padding.
    #[serde(default = "one")]
    pub pad_token_id: usize,
    /// Kinds of distances, of MPNet.
    #[serde(default = "buckets")]
    pub relative_attention_num_buckets: usize,
    /// Known word pieces.
    pub vocab_size: usize,
    /// `absolute`.
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
}

impl Config {
    /// The row of a text's first token in the table of positions.
    pub fn first_position(&self) -> usize {
        self.family.first_position(self.pad_token_id)
    }
}

fn family<'de, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Family, D::Error> {
    let name = String::deserialize(from)?;
    let unknown = || serde::de::Error::custom(format!("model_type {name}, expected {}", Family::MODEL_TYPES));
    Family::of(&name).ok_or_else(unknown)
}

fn one() -> usize {
    1
}

fn buckets() -> usize {
    32
}

fn absolute() -> String {
    "absolute".into()
}

/// How the token vectors of a text become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean, special tokens included.
    Mean,
    /// The vector of the first token.
    Cls,
    /// The vector of the last token.
    Last,
}

impl Pooling {
    /// Its name in a provenance.
    pub fn name(self) -> &'static str {
        match self {
            Pooling::Mean => "mean",
            Pooling::Cls => "cls",
            Pooling::Last => "last",
        }
    }
}

#[derive(Deserialize)]
struct PoolingFile {
    word_embedding_dimension: usize,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
}

#[derive(Deserialize)]
struct SentenceFile {
    max_seq_length: usize,
}

/// A checked model directory.
pub struct Folder {
    /// Shapes of the network.
    pub config: Config,
    /// From tokens to a text.
    pub pooling: Pooling,
    /// What is done to a pooled vector, and its parameters.
    pub projection: Option<(Projection, Vec<f32>)>,
    /// Cuts texts to the model's length; pads nothing.
    pub tokenizer: Tokenizer,
    /// The weights, not yet taken apart.
    pub weights: Weights,
    /// Fingerprint of everything that decides what a text's vector is.
    pub revision: Fingerprint,
}

impl Folder {
    /// Reads `dir`.
    ///
    /// # Errors
    /// Names the file or setting that is missing or does not fit.
    pub fn read(dir: &Path) -> Result<Folder> {
        let (path, text) = bytes(dir, "config.json")?;
        let config: Config = json(&path, &text)?;
        check_config(&path, &config)?;
        let places = config.max_position_embeddings - config.first_position();
        let sizes = Sizes { hidden: config.hidden_size, vocab: config.vocab_size, places };
        let Beside { pooling, projection, tokenizer, path, weights, revision } = beside(dir, &text, sizes)?;
        let weights = Weights::of(path, weights, config.family.prefix());
        Ok(Folder { pooling, projection, tokenizer, weights, config, revision })
    }
}

/// The sizes of a network that the files beside it must fit.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Width of a token vector.
    pub hidden: usize,
    /// Known word pieces.
    pub vocab: usize,
    /// Longest sequence.
    pub places: usize,
}

/// What lies beside a network's configuration, the same for every family.
pub(crate) struct Beside {
    pub pooling: Pooling,
    pub projection: Option<(Projection, Vec<f32>)>,
    pub tokenizer: Tokenizer,
    /// Where the weights are, and the file itself.
    pub path: PathBuf,
    pub weights: Vec<u8>,
    pub revision: Fingerprint,
}

/// Reads what lies beside `config.json`, whose bytes are `text`.
pub(crate) fn beside(dir: &Path, text: &[u8], sizes: Sizes) -> Result<Beside> {
    let (path, pool) = bytes(dir, "1_Pooling/config.json")?;
    let pooling = check_pooling(&path, &json(&path, &pool)?, sizes)?;
    let (path, sentence) = bytes(dir, "sentence_bert_config.json")?;
    let max_tokens = json::<SentenceFile>(&path, &sentence)?.max_seq_length;
    if !(2..=sizes.places).contains(&max_tokens) {
        let expected = format!("2 to {} (max_position_embeddings)", sizes.places);
        return Err(setting(&path, "max_seq_length", expected, max_tokens));
    }
    let (path, words) = bytes(dir, "tokenizer.json")?;
    let tokenizer = tokenizer(&path, &words, sizes, max_tokens)?;
    let (path, weights) = bytes(dir, "model.safetensors")?;
    let last = projection::read(dir, sizes.hidden)?;
    let sources = last.iter().flat_map(|last| &last.sources).map(Vec::as_slice);
    let revision = Fingerprint::of([text, &pool, &sentence, &words, &weights].into_iter().chain(sources));
    let projection = last.map(|last| (last.shape, last.parameters));
    Ok(Beside { pooling, projection, tokenizer, path, weights, revision })
}

pub(crate) fn bytes(dir: &Path, name: &str) -> Result<(PathBuf, Vec<u8>)> {
    let path = dir.join(name);
    let data = std::fs::read(&path).map_err(|e| ContentError::file(&path, "a readable file", e))?;
    Ok((path, data))
}

pub(crate) fn json<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|e| ContentError::file(path, "the settings of a sentence encoder", e))
}

pub(crate) fn setting(
    path: &Path,
    field: &'static str,
    expected: impl Into<String>,
    got: impl ToString,
) -> ContentError {
    ContentError::Setting { path: path.to_path_buf(), field, expected: expected.into(), got: got.to_string() }
}

fn check_config(path: &Path, c: &Config) -> Result<()> {
    let words =
        [("hidden_act", &c.hidden_act, "gelu"), ("position_embedding_type", &c.position_embedding_type, "absolute")];
    if let Some((field, got, expected)) = words.into_iter().find(|(_, got, expected)| got != expected) {
        return Err(setting(path, field, expected, got));
    }
    let sizes = [
        ("hidden_size", c.hidden_size),
        ("intermediate_size", c.intermediate_size),
        ("num_attention_heads", c.num_attention_heads),
        ("type_vocab_size", if c.family.has_types() { c.type_vocab_size } else { 1 }),
        ("relative_attention_num_buckets", c.relative_attention_num_buckets / 4),
        ("max_position_embeddings", c.max_position_embeddings.saturating_sub(c.first_position())),
    ];
    if let Some((field, got)) = sizes.into_iter().find(|(_, size)| !(1..=1 << 20).contains(size)) {
        return Err(setting(path, field, "1 to 1048576", got));
    }
    if !c.hidden_size.is_multiple_of(c.num_attention_heads) {
        return Err(setting(
            path,
            "num_attention_heads",
            format!("a divisor of {}", c.hidden_size),
            c.num_attention_heads,
        ));
    }
    Ok(())
}

fn check_pooling(path: &Path, file: &PoolingFile, sizes: Sizes) -> Result<Pooling> {
    if file.word_embedding_dimension != sizes.hidden {
        let (expected, got) = (sizes.hidden.to_string(), file.word_embedding_dimension);
        return Err(setting(path, "word_embedding_dimension", expected, got));
    }
    let others = file.pooling_mode_max_tokens || file.pooling_mode_mean_sqrt_len_tokens;
    match (file.pooling_mode_mean_tokens, file.pooling_mode_cls_token, file.pooling_mode_lasttoken, others) {
        (true, false, false, false) => Ok(Pooling::Mean),
        (false, true, false, false) => Ok(Pooling::Cls),
        (false, false, true, false) => Ok(Pooling::Last),
        _ => Err(setting(path, "pooling_mode", "exactly one of mean_tokens, cls_token, lasttoken", "another choice")),
    }
}

/// The file may come with the padding and truncation of its training; ours are the model's length and none.
fn tokenizer(path: &Path, text: &[u8], sizes: Sizes, max_tokens: usize) -> Result<Tokenizer> {
    let wrong = |e| ContentError::file(path, "a tokenizer", e);
    let mut tokenizer = Tokenizer::from_bytes(text).map_err(wrong)?;
    let cut = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(cut)).map_err(wrong)?;
    tokenizer.with_padding(None);
    if tokenizer.get_vocab_size(true) > sizes.vocab {
        return Err(setting(
            path,
            "vocab",
            format!("at most {} (vocab_size)", sizes.vocab),
            tokenizer.get_vocab_size(true),
        ));
    }
    // A word that no vocabulary has: without an unknown token every later text could fail.
    tokenizer.encode_fast("qzx".repeat(100), true).map_err(wrong)?;
    Ok(tokenizer)
}

/// The tensors of `model.safetensors`.
pub struct Weights {
    path: PathBuf,
    data: Vec<u8>,
    prefix: &'static str,
}

impl Weights {
    /// Tensors whose names may begin with `prefix`.
    pub(crate) fn of(path: PathBuf, data: Vec<u8>, prefix: &'static str) -> Weights {
        Weights { path, data, prefix }
    }

    /// What the file held.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.data
    }

    /// Takes one f32 tensor of exactly this shape after another: `weights.open()?.take("a.b", &[2, 3])?`.
    ///
    /// # Errors
    /// [`ContentError::File`] if the file is no safetensors file.
    pub fn open(&self) -> Result<OpenWeights<'_>> {
        let tensors = SafeTensors::deserialize(&self.data)
            .map_err(|e| ContentError::file(&self.path, "a safetensors file", e))?;
        // Saved from a model with a head, all names carry the name of the part.
        let saved = tensors.tensor(&format!("{}embeddings.word_embeddings.weight", self.prefix)).is_ok();
        let prefix = if saved { self.prefix } else { "" };
        Ok(OpenWeights { path: &self.path, tensors, prefix })
    }
}

/// Weights ready to be taken by name.
pub struct OpenWeights<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
    prefix: &'static str,
}

impl OpenWeights<'_> {
    /// Copies tensor `name`, row-major.
    ///
    /// # Errors
    /// [`ContentError::Tensor`] names it and the expected shape.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = format!("{}{name}", self.prefix);
        let fail = |name: String, got: String| ContentError::Tensor {
            path: self.path.to_path_buf(),
            name,
            expected: shape.to_vec(),
            got,
        };
        let Ok(view) = self.tensors.tensor(&name) else {
            return Err(fail(name, "no such tensor".into()));
        };
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(fail(name, format!("{:?} {:?}", view.dtype(), view.shape())));
        }
        let (numbers, _) = view.data().as_chunks::<4>();
        let data: Vec<f32> = numbers.iter().map(|b| f32::from_le_bytes(*b)).collect();
        match data.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(fail(name, format!("{} at {at}", data[at]))),
            None => Ok(data),
        }
    }
}
