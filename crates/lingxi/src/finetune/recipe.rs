//! What people write to fine-tune: one TOML file in, a checked [`FinetuneRecipe`] out.

use super::texts::TextFiles;
use super::wording::Wording;
use crate::failure::UserError;
use crate::recipe::{Published, text_of};
use crate::tune::SearchTable;
use lingxi_content::finetune::{Head, Tuning};
use lingxi_eval::intents::ThresholdRule;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What to learn, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinetuneRecipe {
    /// Short name, as printed in results.
    pub name: String,
    /// What it is and where the data came from, for people.
    #[serde(default)]
    pub about: String,
    /// Asset name or directory of the encoder to begin with.
    #[serde(default = "base")]
    pub base: String,
    /// The files.
    pub data: TextFiles,
    /// How the encoder learns.
    pub tuning: Tuning,
    /// Encoders that learn alike from other seeds and whose probabilities are averaged; default 1.
    #[serde(default = "one")]
    pub members: usize,
    /// Other wordings of the training texts, learned beside them.
    #[serde(default)]
    pub wording: Option<Wording>,
    /// A smaller model that learns from the members.
    #[serde(default)]
    pub distil: Option<Distil>,
    /// What is taken out after training, to be measured without.
    #[serde(default)]
    pub prune: Option<Prune>,
    /// When a text is declined.
    #[serde(default)]
    pub threshold: Threshold,
    /// What a text is declined by.
    #[serde(default)]
    pub confidence: Confidence,
    /// Published figures under the same protocol, printed above ours.
    #[serde(default)]
    pub published: Vec<Published>,
    /// What `lingxi tune` may try; nothing else reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchTable>,
}

/// How sure a model is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The largest probability.
    #[default]
    Probability,
    /// The largest score before softmax, which texts that resemble no class have small although one class is likelier than all others
    /// (Hendrycks et al. 2022, arXiv 1911.11132).
    Score,
}

/// A student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distil {
    /// The layers that it begins with, counted from 0.
    pub layers: Vec<usize>,
    /// Of both sides' softmax; default 2.
    #[serde(default = "two")]
    pub temperature: f32,
    /// Share of the teachers' word; the labels have the rest; default .7.
    #[serde(default = "most")]
    pub share: f32,
}

/// What is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prune {
    /// Heads of each layer.
    pub heads: usize,
    /// Share of the weights of each matrix.
    pub weights: f32,
}

impl Default for Prune {
    fn default() -> Self {
        Prune { heads: 2, weights: 0.3 }
    }
}

fn two() -> f32 {
    2.0
}

fn most() -> f32 {
    0.7
}

/// When a text is declined: below which probability, chosen on validation.
pub type Threshold = Option<ThresholdRule>;

fn base() -> String {
    "all-MiniLM-L6-v2".into()
}

fn one() -> usize {
    1
}

impl FinetuneRecipe {
    /// The recipes that come with the program, by name.
    pub const BUILT_IN: [(&str, &str); 2] = [
        ("clinc150", include_str!("../../../../recipes/clinc150.toml")),
        ("banking77", include_str!("../../../../recipes/banking77.toml")),
    ];

    /// Reads a recipe of the program by its name, or a file.
    ///
    /// # Errors
    /// A file that cannot be read, a key that is unknown or out of its range.
    pub fn open(named: &str) -> anyhow::Result<FinetuneRecipe> {
        let path = Path::new(named);
        if let Some((_, text)) = Self::BUILT_IN.iter().find(|(name, _)| *name == named) {
            return Self::parse(text, path);
        }
        if !path.exists() {
            let known = Self::BUILT_IN.map(|(name, _)| name).join(", ");
            let message = format!("cannot read the recipe {named}: there is no such file");
            return Err(UserError::new(message, format!("name a file, or one of {known}")).into());
        }
        Self::parse(&text_of(path)?, path)
    }

    /// Reads the text of a recipe; errors name `path`.
    ///
    /// # Errors
    /// A key that is unknown or out of its range.
    pub fn parse(text: &str, path: &Path) -> anyhow::Result<FinetuneRecipe> {
        let recipe: FinetuneRecipe = toml::from_str(text).map_err(|why| {
            let message = format!("recipe {}: {}", path.display(), why.to_string().trim_end());
            UserError::new(message, "mend that line; recipes/clinc150.toml shows every table")
        })?;
        let refuse = |key: &str, expected: &str, got: String| {
            let message = format!("recipe {}: {key}: expected {expected}, got {got}", path.display());
            Err(UserError::new(message, "mend that key").into())
        };
        if !(1..=16).contains(&recipe.members) {
            return refuse("members", "1 to 16", recipe.members.to_string());
        }
        if let Some(distil) =
            recipe.distil.as_ref().filter(|d| !(d.temperature > 0.0 && (0.0..=1.0).contains(&d.share)))
        {
            return refuse("distil", "a positive temperature and a share from 0 to 1", format!("{distil:?}"));
        }
        if let Some(prune) = recipe.prune.filter(|prune| !(0.0..=1.0).contains(&prune.weights)) {
            return refuse("prune.weights", "a share from 0 to 1", prune.weights.to_string());
        }
        if let Some(Err(why)) = recipe.wording.as_ref().map(Wording::check) {
            return refuse("wording", "what can be done", why);
        }
        match recipe.tuning.head {
            Head::Classification { .. } => Ok(recipe),
            head => refuse("tuning.head", "classification", format!("{head:?}")),
        }
    }
}
