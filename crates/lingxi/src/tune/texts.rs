//! A trial of a recipe for fine-tuning: the encoder learns with other settings and is measured on validation. A trial with a share of the
//! training goes through the texts fewer times.

use super::Trial;
use crate::failure::UserError;
use crate::finetune::recipe::FinetuneRecipe;
use crate::finetune::run::validate;
use crate::progress::Progress;
use crate::site::Site;
use anyhow::Result;
use lingxi_content::finetune::Head;
use lingxi_data::Fingerprint;
use lingxi_eval::Report;
use std::path::Path;

/// Texts that are learned with other settings.
pub struct Texts<'a> {
    base: &'a FinetuneRecipe,
    path: &'a Path,
    site: Site,
}

impl<'a> Texts<'a> {
    /// The texts of the recipe `base`, which lies at `path`.
    pub fn new(base: &'a FinetuneRecipe, path: &'a Path, site: &Site) -> Texts<'a> {
        // Models of trials lie apart, since they are not kept.
        let cache = site.cache.join("trials");
        Texts { base, path, site: Site { cache, progress: Progress::silent(), ..site.clone() } }
    }

    /// What a trial depends on besides the recipe.
    pub fn key(&self) -> Fingerprint {
        Fingerprint::of_json(&(&self.site.data, self.site.seed))
    }

    fn parse(&self, document: &toml::Table) -> Result<FinetuneRecipe> {
        FinetuneRecipe::parse(&document.to_string(), self.path)
    }
}

impl Trial for Texts<'_> {
    fn main(&self) -> &str {
        match self.base.tuning.head {
            Head::Classification { .. } => "accuracy",
            // The larger the better is asked of every figure.
            Head::Regression => "r2",
            _ => crate::finetune::ranked::MAIN,
        }
    }

    fn check(&self, document: &toml::Table) -> Result<()> {
        let new = self.parse(document)?;
        let asked = |recipe: &FinetuneRecipe| {
            (recipe.data.clone(), recipe.pairs.clone(), recipe.threshold, recipe.ranking.held_out)
        };
        if asked(&new) != asked(self.base) {
            let message = "search.space: expected settings of tuning or wording, got one of data, pairs, threshold or what is held out";
            return Err(UserError::new(message, "what trials are measured on must be the same for all").into());
        }
        Ok(())
    }

    fn run(&self, document: &toml::Table, share: f64) -> Result<Report> {
        validate(&self.parse(document)?, share, &self.site)
    }
}
