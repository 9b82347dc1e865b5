//! What the goods say -> one vector per item. Each distinct text is encoded once in the life of the cache.

use crate::progress::Unit;
use crate::recipe::Content;
use crate::site::Site;
use crate::stages::ingest::Shop;
use anyhow::Result;
use lingxi_content::{BertEncoder, EncodeStats, encode_texts};
use lingxi_data::{Fingerprint, ItemVectors};
use std::sync::Arc;

/// The encoder, and what it read.
pub struct Meaning {
    /// Reads queries while serving.
    pub encoder: Arc<BertEncoder>,
    /// One vector per item.
    pub vectors: Arc<ItemVectors>,
    /// Names the vectors: the shop and the encoder's weights.
    pub key: Fingerprint,
    /// How many texts there were, and how many were new.
    pub stats: EncodeStats,
}

/// Encodes the catalogue; `None` if the recipe names no encoder or no item has text.
///
/// # Errors
/// If the encoder cannot be fetched or read.
pub fn encode(content: &Content, shop: &Shop, site: &Site) -> Result<Option<Meaning>> {
    let texts = &shop.data.catalog.texts;
    if content.encoder.is_empty() || texts.iter().all(String::is_empty) {
        return Ok(None);
    }
    let encoder = BertEncoder::load(&site.assets.ensure(&content.encoder, &site.progress)?)?;
    let stage = site.progress.stage("encode", None, Unit::Of("texts"));
    let (vectors, stats) = encode_texts(&encoder, texts, &site.cache.join("texts"), &mut |done, total| {
        stage.set_total(total as u64);
        stage.set(done as u64);
    })?;
    if stats.encoded > 0 {
        stage.finish(&format!("{} distinct texts, {} read anew", stats.distinct, stats.encoded));
    }
    let key = Fingerprint::of([shop.place.key.bytes().as_slice(), encoder.revision().bytes()]);
    Ok(Some(Meaning { encoder: Arc::new(encoder), vectors: Arc::new(vectors), key, stats }))
}
