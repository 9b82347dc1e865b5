//! What is sent and answered, in the shapes of OpenAI and of text-embeddings-inference.

use super::MAX_TEXTS;
use crate::http::error::{Answer, Refusal};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lingxi_content::BertEncoder;
use lingxi_data::Encode;
use serde::{Deserialize, Serialize};

/// One text or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
pub(super) enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    pub(super) fn texts(self, field: &str) -> Answer<Vec<String>> {
        let texts = match self {
            Texts::One(text) => vec![text],
            Texts::Many(texts) => texts,
        };
        checked(texts, field, 1)
    }
}

/// At least so many texts, none of them empty.
pub(super) fn checked(texts: Vec<String>, field: &str, least: usize) -> Answer<Vec<String>> {
    if !(least..=MAX_TEXTS).contains(&texts.len()) {
        let expected = format!("{least} to {MAX_TEXTS} texts");
        return Err(Refusal::input(field, expected, texts.len()).remedy("send them in several requests"));
    }
    match texts.iter().position(String::is_empty) {
        Some(at) => Err(Refusal::input(format!("{field}[{at}]"), "a text", "an empty one")),
        None => Ok(texts),
    }
}

/// The body of `/v1/embeddings`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbeddingsAsked {
    pub(super) input: Texts,
    model: Option<String>,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
    /// Whom it is for; not kept.
    #[serde(rename = "user")]
    _user: Option<String>,
}

/// What can be checked only with the model at hand.
pub(super) struct Check {
    model: Option<String>,
    dimensions: Option<usize>,
}

impl EmbeddingsAsked {
    /// Whether vectors are wanted as base64 of their bytes, as OpenAI's client asks for them.
    pub(super) fn base64(&self) -> Answer<bool> {
        match self.encoding_format.as_deref() {
            None | Some("float") => Ok(false),
            Some("base64") => Ok(true),
            Some(other) => Err(Refusal::input("encoding_format", "float or base64", other)),
        }
    }

    pub(super) fn checked(&self) -> Check {
        Check { model: self.model.clone(), dimensions: self.dimensions }
    }
}

impl Check {
    pub(super) fn fits(&self, encoder: &BertEncoder) -> Answer<()> {
        let ours = encoder.provenance().model.as_str();
        let short = ours.split(',').next().unwrap_or(ours);
        if let Some(model) = self.model.as_deref() {
            let name = model.rsplit('/').next().unwrap_or(model);
            if name != short && model != ours {
                return Err(Refusal::input("model", short, model));
            }
        }
        match self.dimensions {
            Some(n) if n != encoder.dim() => Err(Refusal::input("dimensions", encoder.dim().to_string(), n)),
            _ => Ok(()),
        }
    }
}

/// The body of `/embed`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Embed {
    pub(super) inputs: Texts,
    pub(super) normalize: Option<bool>,
    pub(super) truncate: Option<bool>,
}

/// The body of `/similarity`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Similarity {
    pub(super) inputs: Sentences,
    pub(super) parameters: Option<Parameters>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sentences {
    pub(super) source_sentence: String,
    pub(super) sentences: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    pub(super) truncate: Option<bool>,
}

/// The body of `/rerank`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rerank {
    pub(super) query: String,
    pub(super) texts: Vec<String>,
    /// Cosines as they are; otherwise from 0 to 1.
    #[serde(default)]
    pub(super) raw_scores: bool,
    #[serde(default)]
    pub(super) return_text: bool,
    pub(super) truncate: Option<bool>,
}

/// One place of a ranking.
#[derive(Serialize)]
pub struct Ranked {
    pub(super) index: usize,
    pub(super) score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
}

/// The answer of `/v1/embeddings`.
#[derive(Serialize)]
pub struct Embeddings {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

impl Embeddings {
    pub(super) fn new<'a>(model: &str, rows: impl Iterator<Item = &'a [f32]>, tokens: usize, base64: bool) -> Self {
        let vector = |row: &[f32]| match base64 {
            true => Vector::Base64(STANDARD.encode(row.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())),
            false => Vector::Float(row.to_vec()),
        };
        let one = |(index, row)| Embedding { object: "embedding", index, embedding: vector(row) };
        let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
        Embeddings { object: "list", data: rows.enumerate().map(one).collect(), model: model.to_owned(), usage }
    }
}
