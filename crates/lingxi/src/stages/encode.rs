//! What the goods say -> one vector per item. Each distinct text is encoded once in the life of the cache.

use crate::progress::Unit;
use crate::recipe::Content;
use crate::site::Site;
use crate::stages::ingest::Shop;
use anyhow::Result;
use lingxi_content::{BertEncoder, EncodeStats, encode_texts};
use lingxi_data::{Encode, Fingerprint, ItemId, ItemVectors};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The encoder, and what it read.
pub struct Meaning {
    /// Reads queries while serving.
    pub encoder: Arc<BertEncoder>,
    /// Reads goods that come after the build.
    pub newcomers: Newcomers,
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
    if !reads(content, shop) {
        return Ok(None);
    }
    encode_by(&site.assets.ensure(&content.encoder, &site.progress)?, content, shop, site).map(Some)
}

/// Whether there is an encoder, and anything to read.
pub fn reads(content: &Content, shop: &Shop) -> bool {
    !content.encoder.is_empty() && shop.data.catalog.texts.iter().any(|text| !text.is_empty())
}

/// The same by the encoder in `directory`.
///
/// # Errors
/// If the encoder cannot be read.
pub fn encode_by(directory: &Path, content: &Content, shop: &Shop, site: &Site) -> Result<Meaning> {
    let texts = &shop.data.catalog.texts;
    let encoder = BertEncoder::load(directory, content.precision)?;
    let stage = site.progress.stage("encode", None, Unit::Of("texts"));
    let (vectors, stats) = encode_texts(&encoder, texts, &site.cache.join("texts"), &mut |done, total| {
        stage.set_total(total as u64);
        stage.set(done as u64);
    })?;
    if stats.encoded > 0 {
        stage.finish(&format!("{} distinct texts, {} read anew", stats.distinct, stats.encoded));
    }
    let key = Fingerprint::of([shop.place.key.bytes().as_slice(), encoder.revision().bytes()]);
    let encoder = Arc::new(encoder);
    let newcomers = Newcomers { encoder: encoder.clone(), folder: site.cache.join("texts").join("new") };
    Ok(Meaning { encoder, newcomers, vectors: Arc::new(vectors), key, stats })
}

/// The encoder for goods that come after the build. It keeps what it read in a file of its own, small enough to be opened
/// for each of them, so that a start after a crash does not wait until thousands of goods are read once more.
pub struct Newcomers {
    encoder: Arc<BertEncoder>,
    folder: PathBuf,
}

impl Encode for Newcomers {
    fn dim(&self) -> usize {
        self.encoder.dim()
    }

    fn encode(&self, texts: &[&str]) -> Vec<f32> {
        let owned: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let kept = match encode_texts(&self.encoder, &owned, &self.folder, &mut |_, _| {}) {
            Ok((vectors, _)) => vectors,
            Err(why) => {
                tracing::warn!("what was read of new goods is not kept, the next start reads it again: {why}");
                return self.encoder.encode(texts);
            }
        };
        // A text that says nothing has no vector of its own there.
        let one = |(at, text): (usize, &&str)| match kept.get(ItemId(at as u32)) {
            Some(vector) => vector.to_vec(),
            None => self.encoder.encode(&[*text]),
        };
        texts.iter().enumerate().flat_map(one).collect()
    }
}
