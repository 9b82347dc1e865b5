//! What does the small model that writes do for a shop? Nothing, unless the recipe names one.
//!
//! `[generate]` of a recipe comes in; [`open`] gives the model. It chooses among labels ([`lingxi_content::Labels`]), tells a
//! reason in its own order and words ([`phrase`]), and says once a build which interest follows which
//! ([`crate::stages::told`]). All of it is choosing: what it may say is given to it, and it says how likely each is.

mod clauses;
pub mod phrase;

use crate::assets::Cache;
use crate::failure::UserError;
use crate::progress::{Progress, Unit};
use anyhow::{Context as _, Result};
use lingxi_content::{Generator, Template};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Written in a recipe as `[generate]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Generate {
    /// Asset name of the model; empty: none.
    pub model: String,
    /// How a category is asked for, with `{text}` and `{label}`.
    pub category: String,
    /// Whether reasons are phrased where a request asks for it.
    pub phrase: bool,
    /// Whether it is asked once a build which interest follows which.
    pub told: bool,
}

impl Default for Generate {
    fn default() -> Self {
        Generate {
            model: String::new(),
            category: "Category: {label}\nProduct: {text}".into(),
            phrase: false,
            told: false,
        }
    }
}

impl Generate {
    /// Checks what TOML types cannot say: the key, and what is wrong with it.
    pub fn check(&self) -> std::result::Result<(), (&'static str, String)> {
        if self.model.is_empty() && (self.phrase || self.told) {
            return Err((
                "generate.model",
                "expected the name of a model, since phrase or told is on, got none".into(),
            ));
        }
        Template::parse(&self.category).map(drop).map_err(|why| ("generate.category", why))
    }
}

/// The model of this name, fetched if it is not here; its matrices are kept in `cache` as they are multiplied.
///
/// # Errors
/// An asset that is unknown, cannot be fetched, or holds no GGUF file that can be read.
pub fn open(name: &str, assets: &Cache, cache: &Path, progress: &Progress) -> Result<Arc<Generator>> {
    let folder = assets.ensure(name, progress)?;
    let files = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let gguf = files.flatten().map(|file| file.path()).find(|path| path.extension().is_some_and(|end| end == "gguf"));
    let Some(file) = gguf else {
        let message = format!("asset {name}: expected a GGUF file in {}, got none", folder.display());
        return Err(UserError::new(message, "name a model that writes; `lingxi assets list` shows which").into());
    };
    let stage = progress.stage(&format!("open {name}"), None, Unit::Of("models"));
    let generator = Generator::load(&file, &cache.join("q8"))?;
    stage.finish("matrices in Q8_0");
    Ok(Arc::new(generator))
}
