//! A catalogue's texts to [`ItemVectors`]: each distinct text once, and never again while the cache has it.

use crate::cache::{Cache, Key};
use crate::encoder::BertEncoder;
use crate::error::Result;
use lingxi_data::{Encode, ItemVectors};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;

/// Texts between two writes to the cache: seconds of work, so that little is lost when a run is stopped.
const CHUNK: usize = 1024;

/// What [`encode_texts`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeStats {
    /// Distinct texts that say something.
    pub distinct: usize,
    /// How many of them went through the model.
    pub encoded: usize,
    /// How many came from the cache.
    pub cached: usize,
    /// Tokens that went through the model.
    pub tokens: usize,
    /// Records of the cache that were found damaged, dropped and (if asked for) encoded again.
    pub damaged: usize,
}

/// Encodes `texts`, one row per text: equal texts have equal rows, a text without any word (empty, blank, control
/// characters) is absent and its row is zero. Vectors are kept in a file of `cache_dir` by hash of model and text.
/// `progress` hears how many of how many distinct texts are done, first with those of the cache.
///
/// # Errors
/// [`crate::ContentError::Cache`] if the cache cannot be read or written.
pub fn encode_texts(
    encoder: &BertEncoder,
    texts: &[String],
    cache_dir: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(ItemVectors, EncodeStats)> {
    let mut cache = Cache::open(cache_dir, encoder.revision(), encoder.dim())?;
    let distinct = Distinct::of(texts);
    let missing: Vec<usize> = (0..distinct.keys.len()).filter(|&i| cache.get(&distinct.keys[i]).is_none()).collect();
    let cached = distinct.keys.len() - missing.len();
    let mut stats = EncodeStats { cached, damaged: cache.damaged(), ..EncodeStats::default() };

    // A text that leaves nothing but the special tokens says nothing about its item.
    let empty = encoder.tokens("").len();
    let tokens: Vec<Vec<u32>> = missing.par_iter().map(|&i| encoder.tokens(distinct.texts[i])).collect();
    let (missing, tokens): (Vec<usize>, Vec<Vec<u32>>) =
        missing.into_iter().zip(tokens).filter(|(_, tokens)| tokens.len() > empty).unzip();

    stats.distinct = cached + missing.len();
    progress(cached, stats.distinct);
    for (part, tokens) in missing.chunks(CHUNK).zip(tokens.chunks(CHUNK)) {
        let keys: Vec<Key> = part.iter().map(|&i| distinct.keys[i]).collect();
        cache.append(&keys, &encoder.encode_tokens(tokens))?;
        stats.encoded += part.len();
        stats.tokens += tokens.iter().map(Vec::len).sum::<usize>();
        progress(cached + stats.encoded, stats.distinct);
    }
    let vectors = gather(&distinct, &cache, encoder)?;
    cache.close(&distinct.keys)?;
    Ok((vectors, stats))
}

/// The different texts that are not blank, and which one each item has.
struct Distinct<'a> {
    texts: Vec<&'a str>,
    keys: Vec<Key>,
    of_item: Vec<Option<usize>>,
}

impl<'a> Distinct<'a> {
    fn of(items: &'a [String]) -> Distinct<'a> {
        let (mut texts, mut seen) = (Vec::new(), HashMap::new());
        let mut place = |text: &'a str| {
            *seen.entry(text).or_insert_with(|| {
                texts.push(text);
                texts.len() - 1
            })
        };
        let of_item = items.iter().map(|text| (!text.trim().is_empty()).then(|| place(text))).collect();
        let keys = texts.par_iter().map(|text| Cache::key(text)).collect();
        Distinct { texts, keys, of_item }
    }
}

fn gather(distinct: &Distinct<'_>, cache: &Cache, encoder: &BertEncoder) -> Result<ItemVectors> {
    let dim = encoder.dim();
    let mut data = vec![0f32; distinct.of_item.len() * dim];
    let mut present = vec![false; distinct.of_item.len()];
    for ((text, row), present) in distinct.of_item.iter().zip(data.chunks_exact_mut(dim)).zip(&mut present) {
        if let Some(vector) = text.and_then(|text| cache.get(&distinct.keys[text])) {
            row.copy_from_slice(vector);
            *present = true;
        }
    }
    Ok(ItemVectors::new(dim, data, present, encoder.provenance().clone())?)
}
