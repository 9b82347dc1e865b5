//! The shapes of `/v1/embeddings`, `/embed`, `/similarity` and `/rerank`.

use super::schemas::{closed, kind, open};
use crate::http::embed::MAX_TEXTS;
use serde_json::{Value, json};

/// Puts them beside the others.
pub(super) fn add(schemas: &mut Value) {
    let perhaps = |kind: &str| json!({"type": [kind, "null"]});
    let text = json!({"type": "string", "minLength": 1});
    let texts = |most: usize| json!({"type": "array", "items": text, "minItems": 1, "maxItems": most});
    // The text that others are held against is one of those that a request may have.
    let (others, some) = (texts(MAX_TEXTS - 1), json!({"anyOf": [text, texts(MAX_TEXTS)]}));
    let cut = || ("truncate", perhaps("boolean"));
    let asked = [
        ("model", perhaps("string")),
        ("encoding_format", json!({"enum": ["float", "base64", null]})),
        ("dimensions", perhaps("integer")),
        ("user", perhaps("string")),
    ];
    schemas["EmbeddingsAsked"] = closed(&["input"], &asked, Some(("input", some.clone())));
    let answered = [
        ("object", kind("string")),
        ("data", json!({"type": "array", "items": {"type": "object"}})),
        ("model", kind("string")),
        ("usage", kind("object")),
    ];
    schemas["Embeddings"] = open(&answered);
    let asked = [("normalize", json!({"enum": [true, null]})), cut()];
    schemas["EmbedAsked"] = closed(&["inputs"], &asked, Some(("inputs", some)));
    let sentences = closed(
        &["source_sentence", "sentences"],
        &[("source_sentence", text.clone())],
        Some(("sentences", others.clone())),
    );
    let parameters = json!({"anyOf": [closed(&[], &[cut()], None), {"type": "null"}]});
    schemas["SimilarityAsked"] = closed(&["inputs"], &[("parameters", parameters)], Some(("inputs", sentences)));
    let asked = [("query", text.clone()), ("raw_scores", kind("boolean")), ("return_text", kind("boolean")), cut()];
    schemas["RerankAsked"] = closed(&["query", "texts"], &asked, Some(("texts", others)));
    schemas["Ranked"] = open(&[("index", kind("integer")), ("score", kind("number"))]);
}
