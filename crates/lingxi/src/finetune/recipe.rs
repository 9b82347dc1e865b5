//! What people write to fine-tune: one TOML file in, a checked [`FinetuneRecipe`] out.

use super::compare::Compare;
use super::fewer::{Active, Pseudo};
use super::pairs::PairFiles;
use super::texts::TextFiles;
use super::wording::Wording;
use crate::failure::UserError;
use crate::recipe::{Published, from_text, refuse, text_of};
use crate::tune::SearchTable;
use lingxi_content::finetune::{Head, Pretrain, Tuning};
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
    /// The files of texts with classes or numbers.
    #[serde(default)]
    pub data: Option<TextFiles>,
    /// The files of judged pairs, for a head that ranks.
    #[serde(default)]
    pub pairs: Option<PairFiles>,
    /// How pairs are learned.
    #[serde(default)]
    pub ranking: Ranking,
    /// Cross-validation on so many folds of training and validation instead of a test. Judged pairs are always divided, by query; 5
    /// where absent.
    #[serde(default)]
    pub folds: Option<usize>,
    /// How the encoder learns.
    pub tuning: Tuning,
    /// Encoders that learn alike from other seeds and whose probabilities are averaged; default 1.
    #[serde(default = "one")]
    pub members: usize,
    /// Other wordings of the training texts, learned beside them.
    #[serde(default)]
    pub wording: Option<Wording>,
    /// The encoder reads on in the training texts, labelled or not, before it learns.
    #[serde(default)]
    pub pretrain: Option<Pretrain>,
    /// Labels from a confident teacher for texts that have none.
    #[serde(default)]
    pub pseudo: Option<Pseudo>,
    /// Labels that are asked for, the most useful first.
    #[serde(default)]
    pub active: Option<Active>,
    /// A smaller model that learns from the members.
    #[serde(default)]
    pub distil: Option<Distil>,
    /// What is taken out after training, to be measured without.
    #[serde(default)]
    pub prune: Option<Prune>,
    /// Ways of fine-tuning that `--strategies` compares.
    #[serde(default)]
    pub compare: Option<Compare>,
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

/// What is learned of judged pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ranking {
    /// The least grade that belongs together; default the smallest positive number.
    pub relevant: f32,
    /// Products of a lower grade beside each, drawn from those judged for the same query; default 4.
    pub worse: usize,
    /// Products beside each that lie near the query by the encoder as it was and that nobody judged for it; default none.
    pub mined: usize,
    /// The whole catalogue is searched, and what nobody judged for a query is not relevant; default: judged products are ordered.
    pub search: bool,
    /// Most pairs of a query, so that one with many judgements is not learned alone; default 16.
    pub most: usize,
    /// Share of the queries of training that chooses; default .2.
    pub held_out: f64,
    /// Shares of the way from the encoder as it was to the one that learned; the held-out queries choose among them (Wortsman et al. 2022,
    /// arXiv 2109.01903). Default all the way.
    pub ways: Vec<f32>,
}

impl Default for Ranking {
    fn default() -> Self {
        Ranking {
            relevant: f32::MIN_POSITIVE,
            worse: 4,
            mined: 0,
            search: false,
            most: 16,
            held_out: 0.2,
            ways: vec![1.0],
        }
    }
}

impl Ranking {
    /// What is out of its range, with what was expected and what came.
    fn wrong(&self) -> Option<(&'static str, &'static str, String)> {
        if !(1..=64).contains(&self.worse) {
            return Some(("ranking.worse", "1 to 64", self.worse.to_string()));
        }
        if self.mined > 32 {
            return Some(("ranking.mined", "at most 32", self.mined.to_string()));
        }
        if self.most == 0 {
            return Some(("ranking.most", "at least 1", "0".into()));
        }
        if !(self.held_out > 0.0 && self.held_out < 1.0) {
            return Some(("ranking.held_out", "a share between 0 and 1", self.held_out.to_string()));
        }
        let good = !self.ways.is_empty() && self.ways.iter().all(|way| (0.0..=1.0).contains(way));
        (!good).then(|| ("ranking.ways", "at least one share from 0 to 1", format!("{:?}", self.ways)))
    }
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
    pub const BUILT_IN: [(&str, &str); 3] = [
        ("clinc150", include_str!("../../../../recipes/clinc150.toml")),
        ("banking77", include_str!("../../../../recipes/banking77.toml")),
        ("chorus", include_str!("../../../../recipes/chorus.toml")),
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
        let recipe: FinetuneRecipe = from_text(text, path, "clinc150.toml")?;
        let refuse = |key: &str, expected: &str, got: String| refuse(path, key, expected, got);
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
        if let Some(k) = recipe.folds.filter(|k| !(2..=100).contains(k)) {
            return refuse("folds", "2 to 100", k.to_string());
        }
        let fewer = recipe.pseudo.and_then(|pseudo| pseudo.wrong()).or(recipe.active.and_then(|active| active.wrong()));
        if let Some((key, expected, got)) = recipe.ranking.wrong().or(fewer) {
            return refuse(key, expected, got);
        }
        let head = format!("{:?}", recipe.tuning.head);
        match (recipe.tuning.head, &recipe.data, &recipe.pairs) {
            (Head::Classification { .. }, Some(_), None) => Ok(recipe),
            (Head::Regression, Some(_), None) if recipe.tells_classes() => refuse(
                "tuning.head",
                "classification, for members, threshold, wording, pretrain, pseudo, active, compare, distil or prune",
                head,
            ),
            (Head::Regression, Some(_), None) => Ok(recipe),
            (Head::InfoNce { .. } | Head::Pairwise { .. }, None, Some(_)) if recipe.tells_classes() => refuse(
                "tuning.head",
                "classification, for members, threshold, wording, pretrain, pseudo, active, compare, distil or prune",
                head,
            ),
            (Head::InfoNce { .. } | Head::Pairwise { .. }, None, Some(_)) if !recipe.tuning.strategy.merges() => {
                refuse(
                    "tuning.strategy",
                    "no adapters or prefix, for a head that ranks",
                    recipe.tuning.strategy.name().into(),
                )
            }
            (Head::InfoNce { .. } | Head::Pairwise { .. }, None, Some(_)) => Ok(recipe),
            (Head::Companions { .. } | Head::Next { .. }, ..) => {
                refuse("tuning.head", "another: companions and what comes next are what shoppers took", head)
            }
            (Head::InfoNce { .. } | Head::Pairwise { .. }, ..) => {
                refuse("pairs", "files of judged pairs for a head that ranks, and no [data]", "other files".into())
            }
            _ => refuse("data", "files of texts for this head, and no [pairs]", "other files".into()),
        }
    }

    /// Whether it asks for what only classes have.
    fn tells_classes(&self) -> bool {
        let smaller = self.distil.is_some() || self.prune.is_some() || self.wording.is_some();
        let more = self.pretrain.is_some() || self.pseudo.is_some() || self.active.is_some();
        smaller || more || self.compare.is_some() || self.members > 1 || self.threshold.is_some()
    }

    /// The files of texts.
    pub fn texts(&self) -> &TextFiles {
        self.data.as_ref().expect("a recipe of classes or numbers names files of texts")
    }

    /// The files of pairs.
    pub fn judged(&self) -> &PairFiles {
        self.pairs.as_ref().expect("a recipe that ranks names files of pairs")
    }
}
