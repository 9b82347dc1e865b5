//! What a shop wants of its slates beyond the best scores: one TOML table.

use crate::{DecideError, Result};
use serde::{Deserialize, Serialize};

/// Written in a recipe as `[serve.rerank]`; everything left out does nothing. All strengths are in standard deviations of
/// the candidates' scores, so that they mean the same for every model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RerankConfig {
    /// Keeps a slate from showing one thing ten times.
    pub diversity: Option<DiversityConfig>,
    /// Moves chosen goods up or down.
    pub boosts: Vec<BoostConfig>,
    /// Gives each seller or brand its share of what is shown.
    pub sellers: Option<SellersConfig>,
    /// Shows groups of shoppers the same mix.
    pub groups: Option<GroupsConfig>,
}

/// How likeness to what is already on the slate counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum DiversityConfig {
    /// Maximal marginal relevance: minus `strength` times the greatest likeness.
    Mmr {
        /// From 0 up.
        strength: f32,
    },
    /// Determinantal point process: plus `strength` times the log of what the slate does not span yet.
    Dpp {
        /// From 0 up.
        strength: f32,
    },
}

/// Goods to move, and how far. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BoostConfig {
    /// External ids.
    pub items: Vec<String>,
    /// A category path, with all below it.
    pub category: Option<String>,
    /// A column of the catalogue, with `value`.
    pub attribute: Option<String>,
    /// What that column holds.
    pub value: Option<String>,
    /// Up, or down if below 0.
    pub by: f32,
}

/// Whose exposure is watched, and what is fair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SellersConfig {
    /// The column of the catalogue that names the seller or brand.
    pub attribute: String,
    /// How hard a seller that lags behind its share is pulled up.
    pub strength: f32,
    /// What each one's share is.
    #[serde(default)]
    pub target: Target,
}

/// What share of exposure a seller is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The same for all.
    Equal,
    /// By how much shoppers took of theirs.
    #[default]
    Taken,
    /// By how many goods they have.
    Goods,
}

/// Which groups of shoppers are to see the same mix of categories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupsConfig {
    /// The column of the shoppers that names the group.
    pub by: String,
    /// How hard a category that a group sees less than others is pulled up.
    pub strength: f32,
}

impl RerankConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`DecideError::Config`] names what is outside its range.
    pub fn check(&self) -> Result<()> {
        let diversity = self.diversity.map(|d| match d {
            DiversityConfig::Mmr { strength } | DiversityConfig::Dpp { strength } => ("diversity.strength", strength),
        });
        let sellers = self.sellers.as_ref().map(|s| ("sellers.strength", s.strength));
        let groups = self.groups.as_ref().map(|g| ("groups.strength", g.strength));
        for (what, strength) in [diversity, sellers, groups].into_iter().flatten() {
            if !(0.0..=100.0).contains(&strength) {
                return Err(DecideError::Config { what, expected: "0 to 100", got: strength.to_string() });
            }
        }
        for boost in &self.boosts {
            if !(-100.0..=100.0).contains(&boost.by) {
                let got = boost.by.to_string();
                return Err(DecideError::Config { what: "boosts.by", expected: "-100 to 100", got });
            }
            if boost.attribute.is_some() != boost.value.is_some() {
                let got = format!("{:?} and {:?}", boost.attribute, boost.value);
                return Err(DecideError::Config {
                    what: "boosts.attribute, boosts.value",
                    expected: "both or neither",
                    got,
                });
            }
            if boost.items.is_empty() && boost.category.is_none() && boost.attribute.is_none() {
                return Err(DecideError::Config {
                    what: "boosts",
                    expected: "items, category, or attribute and value",
                    got: "none of them".into(),
                });
            }
        }
        Ok(())
    }
}
