//! Before it learns what a recipe asks for, the encoder may read on in the shop's own texts, with or without labels. Texts come in, the directory
//! of the encoder that has read them goes out; it is kept under what it is a function of.

use super::learn::{Reading, keep, train, unwritable};
use crate::site::Site;
use anyhow::Result;
use lingxi_content::finetune::Pretrain;
use lingxi_content::finetune::masked::{Reader, Words};
use lingxi_content::{BertEncoder, Precision};
use lingxi_data::Fingerprint;
use lingxi_train::folds::hold_out;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Bumped when the same texts would give another encoder.
const VERSION: &str = "1";

/// The directory of the encoder in `base` after it has read `texts`.
///
/// # Errors
/// A model or a folder that cannot be used, settings out of their range.
pub fn pretrained(name: &str, how: &Pretrain, base: &Path, texts: &[String], site: &Site) -> Result<PathBuf> {
    let encoder = BertEncoder::load(base, Precision::F32)?;
    let tokens: Vec<Vec<u32>> = texts.par_iter().map(|text| encoder.tokens_up_to(text, how.tokens)).collect();
    let all: Vec<u8> =
        tokens.iter().flat_map(|text| [&[text.len() as u32], &text[..]].concat()).flat_map(u32::to_le_bytes).collect();
    let settings = serde_json::to_vec(how).expect("a recipe is plain data");
    let revision = encoder.revision();
    let parts = [VERSION.as_bytes(), revision.bytes(), &settings, &all, &site.seed.to_le_bytes()];
    let key = Fingerprint::of(parts).to_string();
    let folder = site.cache.join("tuned").join(format!("{name}-read-{key}"));
    let model = folder.join("model");
    if model.is_dir() {
        return Ok(model);
    }
    std::fs::create_dir_all(&folder).map_err(|why| unwritable(&folder, why))?;
    let held = hold_out(&vec![0; tokens.len()], how.held_out, site.seed);
    let part = |wanted: bool| -> Vec<Vec<u32>> {
        tokens.iter().zip(&held).filter(|(_, held)| **held == wanted).map(|(text, _)| text.clone()).collect()
    };
    let mut reader = Reader::new(base, how, Words::of(base)?, [part(false), part(true)], site.seed)?;
    let (parameters, run) =
        (reader.parameters(), Reading { title: "read", folder: &folder, key: &key, seed: site.seed });
    let best = train(&run, &how.training, &mut reader, parameters, site)?;
    keep(&folder, |to| reader.save(&best, base, to))?;
    Ok(model)
}
