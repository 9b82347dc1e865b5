//! What is to be foretold? One TOML file in, a checked [`PredictRecipe`] out: where rows come from, how the past is divided, which
//! candidates are fitted. Unknown keys are errors.

use crate::failure::UserError;
use crate::recipe::{from_text, refuse, text_of};
use lingxi_behaviour::predict::{MomentsConfig, PredictConfig};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One thing to foretell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictRecipe {
    /// Short name, as printed in results.
    pub name: String,
    /// What it is and where the data came from, for people.
    #[serde(default)]
    pub about: String,
    /// Rows are moments of a shop's events. One of the three tables must be there.
    #[serde(default)]
    pub views: Option<Views>,
    /// Rows are impressions of the Open Bandit sample.
    #[serde(default)]
    pub impressions: Option<Impressions>,
    /// Rows are households that a campaign of Complete Journey was sent to.
    #[serde(default)]
    pub coupons: Option<Coupons>,
    /// How rows of views and impressions are divided, by time.
    #[serde(default)]
    pub split: Shares,
    /// The candidates.
    #[serde(default)]
    pub predict: PredictConfig,
}

/// Moments of a shop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Views {
    /// The shop: a recipe of the program, or a file.
    pub shop: String,
    /// A file of triples in the data folder: what is known of goods that have no text.
    #[serde(default)]
    pub facts: Option<std::path::PathBuf>,
    /// What is shown, wanted, and when.
    #[serde(default)]
    pub moments: MomentsConfig,
    /// Length of the vectors of goods; default 24.
    #[serde(default = "dims")]
    pub dims: usize,
}

/// Impressions of the Open Bandit sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Impressions {
    /// Its campaigns: `all`, `men`, `women`.
    pub campaigns: Vec<String>,
}

/// Households and campaigns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coupons {
    /// The shop whose baskets the households filled: a recipe of the program, or a file.
    pub shop: String,
    /// Campaigns that begin at this unix second or later are validation.
    pub valid_from: i64,
    /// Campaigns that begin at this unix second or later are the test.
    pub test_from: i64,
    /// Length of the vectors of goods; default 24.
    #[serde(default = "dims")]
    pub dims: usize,
}

fn dims() -> usize {
    24
}

/// Shares of the rows by time; the rest is the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shares {
    /// The earliest rows.
    pub train: f64,
    /// The rows after them.
    pub valid: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Shares { train: 0.7, valid: 0.15 }
    }
}

impl PredictRecipe {
    /// The recipes that come with the program, by name.
    pub const BUILT_IN: [(&str, &str); 3] = [
        ("obp", include_str!("../../../../recipes/predict-obp.toml")),
        ("retailrocket", include_str!("../../../../recipes/predict-retailrocket.toml")),
        ("completejourney", include_str!("../../../../recipes/predict-completejourney.toml")),
    ];

    /// A recipe that comes with the program.
    ///
    /// # Errors
    /// Names the known ones.
    pub fn built_in(name: &str) -> anyhow::Result<PredictRecipe> {
        let Some((_, text)) = Self::BUILT_IN.iter().find(|(known, _)| *known == name) else {
            let known = Self::BUILT_IN.map(|(known, _)| known).join(", ");
            let message = format!("nothing to foretell is called {name:?}; known: {known}");
            return Err(UserError::new(message, "choose a known one, or give your own with --recipe FILE").into());
        };
        Self::parse(text, Path::new(name))
    }

    /// Reads a recipe file.
    ///
    /// # Errors
    /// Names the file, and the line and key where it does not fit.
    pub fn read(path: &Path) -> anyhow::Result<PredictRecipe> {
        Self::parse(&text_of(path)?, path)
    }

    /// Reads the text of a recipe; errors name `path`.
    ///
    /// # Errors
    /// As [`PredictRecipe::read`].
    pub fn parse(text: &str, path: &Path) -> anyhow::Result<PredictRecipe> {
        let recipe: PredictRecipe = from_text(text, path, "predict-retailrocket.toml")?;
        let refuse = |key: &str, expected: &str, got: String| refuse(path, key, expected, got);
        let tables = [recipe.views.is_some(), recipe.impressions.is_some(), recipe.coupons.is_some()];
        let tables = tables.iter().filter(|there| **there).count();
        if tables != 1 {
            return refuse("rows", "one of the tables [views], [impressions] and [coupons]", tables.to_string());
        }
        let Shares { train, valid } = recipe.split;
        if !(train > 0.0 && valid > 0.0 && train + valid < 1.0) {
            let got = format!("{train} and {valid}");
            return refuse("split", "positive shares of train and valid that leave some for the test", got);
        }
        let dims = recipe.views.as_ref().map(|views| views.dims).or(recipe.coupons.as_ref().map(|of| of.dims));
        if dims.is_some_and(|dims| !(1..=1024).contains(&dims)) {
            return refuse("dims", "1 to 1024", dims.unwrap_or_default().to_string());
        }
        recipe.predict.validate()?;
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_recipe_reads() {
        for (name, _) in PredictRecipe::BUILT_IN {
            let recipe = PredictRecipe::built_in(name).unwrap_or_else(|why| panic!("{name}: {why:#}"));
            assert_eq!(recipe.name, name);
        }
        assert!(PredictRecipe::built_in("weather").unwrap_err().to_string().contains("obp, retailrocket"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |text: &str| PredictRecipe::parse(text, Path::new("p.toml")).unwrap_err().to_string();
        assert!(refused("name = \"a\"\n").contains("one of the tables"));
        let views = "name = \"a\"\n[views]\nshop = \"retailrocket\"\n";
        assert!(refused(&format!("{views}horizon = 3\n")).contains("line 4"));
        assert!(
            refused(&format!("{views}[split]\ntrain = 0.9\nvalid = 0.1\n")).contains("split: expected positive shares")
        );
        assert!(refused(&format!("{views}[predict]\nleaves = []\n")).contains("predict.leaves"));
    }
}
