//! Vectors of any texts, from the encoder that reads the goods: `POST /v1/embeddings` in OpenAI's shape; `POST /embed`,
//! `/similarity` and `/rerank` in those of Hugging Face's text-embeddings-inference.
//!
//! Texts of many requests are encoded together ([`batches`]). Vectors have length 1; a score is a cosine. Texts beyond the
//! model's length are cut, unless `truncate` is false: then they are refused.

mod batches;
mod shapes;

pub use batches::Batches;

use super::app::App;
use super::error::{Answer, Refusal};
use super::params::{Body, Query, read};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lingxi_content::BertEncoder;
use lingxi_kernels::dot;
use shapes::{Embed, Embeddings, EmbeddingsAsked, Ranked, Rerank, Similarity};
use std::sync::Arc;

/// Texts and tokens of one request, and characters of a text.
pub(in crate::http) const MAX_TEXTS: usize = 2048;
const MAX_TOKENS: usize = 32_768;

/// What was made of the texts of a request.
struct Encoded {
    encoder: Arc<BertEncoder>,
    /// Row-major.
    vectors: Vec<f32>,
    tokens: usize,
}

impl Encoded {
    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.vectors.chunks_exact(lingxi_data::Encode::dim(&*self.encoder))
    }

    /// The cosine of the first text and each other.
    fn cosines(&self) -> Vec<f32> {
        let first: Vec<f32> = self.rows().next().unwrap_or_default().to_vec();
        self.rows().skip(1).map(|row| dot(&first, row)).collect()
    }
}

/// `POST /v1/embeddings`.
pub async fn openai(State(app): State<App>, query: Query, Body(body): Body) -> Answer<Json<Embeddings>> {
    query.only(&[])?;
    let asked: EmbeddingsAsked = read(&body, "an object with input, a text or a list of texts")?;
    let (base64, check) = (asked.base64()?, asked.checked());
    let texts = asked.input.texts("input")?;
    let encoded = encode(&app, texts, true, move |encoder| check.fits(encoder)).await?;
    Ok(Json(Embeddings::new(&encoded.encoder.provenance().model, encoded.rows(), encoded.tokens, base64)))
}

/// `POST /embed`.
pub async fn embed(State(app): State<App>, query: Query, Body(body): Body) -> Answer<Json<Vec<Vec<f32>>>> {
    query.only(&[])?;
    let asked: Embed = read(&body, "an object with inputs, a text or a list of texts")?;
    if asked.normalize == Some(false) {
        return Err(Refusal::input("normalize", "true: vectors have length 1", "false"));
    }
    let texts = asked.inputs.texts("inputs")?;
    let encoded = encode(&app, texts, asked.truncate.unwrap_or(true), |_| Ok(())).await?;
    Ok(Json(encoded.rows().map(<[f32]>::to_vec).collect()))
}

/// `POST /similarity`.
pub async fn similarity(State(app): State<App>, query: Query, Body(body): Body) -> Answer<Json<Vec<f32>>> {
    query.only(&[])?;
    let asked: Similarity = read(&body, "an object with inputs: source_sentence and sentences")?;
    let truncate = asked.parameters.and_then(|parameters| parameters.truncate).unwrap_or(true);
    let mut texts = vec![asked.inputs.source_sentence];
    texts.extend(asked.inputs.sentences);
    let texts = shapes::checked(texts, "inputs", 2)?;
    Ok(Json(encode(&app, texts, truncate, |_| Ok(())).await?.cosines()))
}

/// `POST /rerank`: by the nearness of vectors; the best first.
pub async fn rerank(State(app): State<App>, query: Query, Body(body): Body) -> Answer<Json<Vec<Ranked>>> {
    query.only(&[])?;
    let asked: Rerank = read(&body, "an object with query and texts")?;
    let mut texts = vec![asked.query];
    texts.extend(asked.texts.iter().cloned());
    let texts = shapes::checked(texts, "texts", 2)?;
    let cosines = encode(&app, texts, asked.truncate.unwrap_or(true), |_| Ok(())).await?.cosines();
    let score = |cosine: f32| if asked.raw_scores { cosine } else { (1.0 + cosine) / 2.0 };
    let mut given = asked.texts.into_iter();
    let mut ranked: Vec<Ranked> = cosines
        .into_iter()
        .enumerate()
        .map(|(index, cosine)| Ranked { index, score: score(cosine), text: given.next().filter(|_| asked.return_text) })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
    Ok(Json(ranked))
}

/// Texts to vectors, in turns with those of others. A caller who hangs up is passed over.
async fn encode(
    app: &App,
    texts: Vec<String>,
    truncate: bool,
    check: impl FnOnce(&BertEncoder) -> Answer<()> + Send + 'static,
) -> Answer<Encoded> {
    let read = app.compute(move |_, serving| {
        let none = || Refusal::new(StatusCode::NOT_IMPLEMENTED, "no_encoder", "this snapshot has no language model");
        let encoder =
            serving.engine().encoder().ok_or_else(|| none().remedy("name one in the recipe: content.encoder"))?;
        check(encoder.as_ref())?;
        let mut lists = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            let (tokens, cut) = encoder.tokens_and_cut(text);
            if cut && !truncate {
                let expected = format!("at most {} tokens, or truncate: true", tokens.len());
                return Err(Refusal::input(format!("[{at}]"), expected, "a longer text"));
            }
            lists.push(tokens);
        }
        Ok((encoder.clone(), lists))
    });
    let (encoder, lists) = read.await?;
    let tokens: usize = lists.iter().map(Vec::len).sum();
    if tokens > MAX_TOKENS {
        let message = format!("expected at most {MAX_TOKENS} tokens in a request, got {tokens}");
        let refusal = Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message);
        return Err(refusal.remedy("send the texts in several requests"));
    }
    let answers = app.batches.submit(&encoder, lists)?;
    let mut vectors = Vec::new();
    for answer in answers {
        vectors.extend(answer.await.map_err(|_| Refusal::internal("the encoder's thread stopped"))?);
    }
    Ok(Encoded { encoder, vectors, tokens })
}
