//! Training texts in other words: reworded by rule, or there and back through a person's own translator.

use super::texts::Labelled;
use super::translate::Translate;
use crate::failure::UserError;
use crate::progress::Unit;
use crate::site::Site;
use anyhow::Result;
use lingxi_content::finetune::augment::Augment;
use lingxi_content::finetune::synonyms::Synonyms;
use lingxi_content::folder::Folder;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Words of the encoder's table that may stand for one, and the least cosine: `buy` has buying, purchase, bought, buys, purchased.
const NEAR: (usize, f32) = (5, 0.55);

/// What is learned beside the texts as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wording {
    /// Words replaced or left out, letters mistyped.
    pub augment: Option<Augment>,
    /// A file of words that stand for each other, a line each, below the folder of data; absent: words that lie close together in
    /// the encoder's own table.
    pub synonyms: Option<PathBuf>,
    /// One more wording of each text, by a command.
    pub translate: Option<Translate>,
}

impl Wording {
    /// What is wrong, if anything.
    ///
    /// # Errors
    /// The key, what was expected and what came.
    pub fn check(&self) -> Result<(), String> {
        self.augment.as_ref().map_or(Ok(()), Augment::check)
    }

    /// Adds the other wordings, each with the target of its text.
    ///
    /// # Errors
    /// A file of synonyms or an encoder that cannot be used, a command that fails.
    pub fn extend<T: Clone>(&self, train: &mut Labelled<T>, base: &Path, site: &Site) -> Result<()> {
        let (texts, targets) = (train.texts.clone(), train.targets.clone());
        if let Some(augment) = &self.augment {
            let synonyms = self.read_synonyms(augment, &texts, base, site)?;
            for copy in 0..augment.copies as u64 {
                let worded = (0u64..)
                    .zip(&texts)
                    .map(|(at, text)| augment.reword(text, &synonyms, site.seed, at * augment.copies as u64 + copy));
                train.extend(worded.zip(targets.iter().cloned()));
            }
        }
        if let Some(translate) = &self.translate {
            let stage = site.progress.stage("translate", Some(texts.len() as u64), Unit::Of("texts"));
            let folder = site.cache.join("translations");
            let worded = translate.ask(&texts, &folder, &mut |heard| stage.set(heard as u64))?;
            stage.finish("");
            train.extend(worded.into_iter().zip(targets));
        }
        Ok(())
    }

    fn read_synonyms(&self, augment: &Augment, texts: &[String], base: &Path, site: &Site) -> Result<Synonyms> {
        let Some(file) = &self.synonyms else {
            if augment.synonyms == 0.0 {
                return Ok(Synonyms::default());
            }
            return Ok(Synonyms::near(&Folder::read(base)?, texts.iter().map(String::as_str), NEAR.0, NEAR.1)?);
        };
        let path = site.data.join(file);
        let wrong = |why: String| {
            UserError::new(format!("{}: {why}", path.display()), "give words that stand for each other, a line each")
        };
        let text = std::fs::read_to_string(&path).map_err(|why| wrong(why.to_string()))?;
        Ok(Synonyms::of_lines(&text).map_err(wrong)?)
    }
}
