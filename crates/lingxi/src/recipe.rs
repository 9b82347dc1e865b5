//! What is this shop? One TOML file in, a checked [`Recipe`] out.
//!
//! A recipe names the files, how the past is divided, which models are fitted with which settings, how they are measured
//! and under which rules they serve. It is part of every artefact's fingerprint. Unknown keys are errors: a setting that is
//! spelled wrong must not silently keep its default.

pub mod ablation;

use crate::failure::UserError;
use crate::generate::Generate;
use crate::learner::LearnConfig;
use crate::stages::tune::TuneGoods;
use crate::tune::SearchTable;
use ablation::Ablation;
use lingxi_behaviour::alignment::AlignmentConfig;
use lingxi_behaviour::blend::WeightSearch;
use lingxi_behaviour::graph::{GatConfig, GcnConfig, JointConfig, LightGcnConfig, SpectralConfig};
use lingxi_behaviour::history::HistoryWeights;
use lingxi_behaviour::item_model::ItemModelConfig;
use lingxi_behaviour::knowledge::{EmbeddingConfig, KnowledgeConfig};
use lingxi_behaviour::popularity::PopularityConfig;
use lingxi_behaviour::predict::worth::WorthConfig;
use lingxi_behaviour::rating::RatingConfig;
use lingxi_behaviour::sequence::SequenceConfig;
use lingxi_behaviour::trend::TrendConfig;
use lingxi_content::Precision;
use lingxi_data::ingest::Source;
use lingxi_data::split::SplitConfig;
use lingxi_decide::{InterestsConfig, NovelConfig, PolicyConfig, RerankConfig, RulesConfig};
use lingxi_eval::Mask;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A recipe may not be larger than this; it is written by people.
const MAX_BYTES: u64 = 1 << 20;

/// One shop, or one published protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Short name, as printed in results.
    pub name: String,
    /// What it is and where the data came from, for people.
    #[serde(default)]
    pub about: String,
    /// The files.
    pub data: Source,
    /// What the goods say.
    #[serde(default)]
    pub content: Content,
    /// How the past is divided. Absent: by the parts that the files name, or leave-one-out where they name none.
    #[serde(default)]
    pub split: Option<SplitConfig>,
    /// The models, each fitted if its table is there.
    #[serde(default)]
    pub models: Models,
    /// How the blend is chosen, on validation only.
    #[serde(default)]
    pub blend: WeightSearch,
    /// How everything is measured.
    #[serde(default)]
    pub evaluate: Evaluate,
    /// How the shop answers.
    #[serde(default)]
    pub serve: Serve,
    /// What the small model that writes does; nothing unless one is named.
    #[serde(default)]
    pub generate: Generate,
    /// Published figures under the same protocol, printed above ours.
    #[serde(default)]
    pub published: Vec<Published>,
    /// Parts that `lingxi reproduce --ablation` takes away, one at a time; nothing else reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ablation: Vec<Ablation>,
    /// What `lingxi tune` may try; nothing else reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchTable>,
}

/// What the language model reads, and which one reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Content {
    /// Asset name of the encoder; empty: goods are known by their ids alone.
    pub encoder: String,
    /// In which numbers it multiplies: `f32` reproduces published figures, `bf16` is faster, `int8` faster and smaller still.
    pub precision: Precision,
    /// How the encoder learns from this shop's shoppers before it reads; it does not unless this is given.
    pub tune: Option<TuneGoods>,
}

impl Default for Content {
    fn default() -> Self {
        Content { encoder: "all-MiniLM-L6-v2".into(), precision: Precision::F32, tune: None }
    }
}

/// Which models are fitted. A model whose table is absent is left out; without any, popularity, item and alignment are fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// What many take: overall, lately, per category (three rows of the table).
    pub popularity: Option<PopularityConfig>,
    /// What the shopper takes again: how the past is weighed. Worth its row only where repeats are wanted.
    pub habit: Option<HistoryWeights>,
    /// What goes together: closed form, pulled toward language similarity. Several alternatives may be given;
    /// validation chooses one.
    #[serde(default)]
    pub item: Vec<ItemModelConfig>,
    /// What means alike and is taken by the same people: AlphaRec, and may be written by that name.
    #[serde(alias = "alpharec")]
    pub alignment: Option<AlignmentConfig>,
    /// What comes next after what was done last.
    pub sequence: Option<SequenceConfig>,
    /// What is taken at the moment of asking; only for sources with real time.
    pub trend: Option<TrendConfig>,
    /// The broad waves of the graph of shoppers and goods.
    pub spectral: Option<SpectralConfig>,
    /// Representations that are smooth on that graph.
    pub lightgcn: Option<LightGcnConfig>,
    /// Representations that are mixed and turned layer by layer.
    pub gcn: Option<GcnConfig>,
    /// Representations that decide whom to listen to.
    pub gat: Option<GatConfig>,
    /// Graph and language in one score; only where goods have text.
    pub joint: Option<JointConfig>,
    /// What is near along complements, substitutes, brands and categories.
    pub knowledge: Option<KnowledgeConfig>,
    /// The same knowledge as vectors, with what followed what.
    pub embedding: Option<EmbeddingConfig>,
    /// The chance that what is wanted comes of showing an item; only for sources with real time.
    pub predict: Option<WorthConfig>,
    /// How many stars a shopper would give; measured beside the ranking, never part of it.
    pub rating: Option<RatingConfig>,
}

impl Default for Models {
    fn default() -> Self {
        Models {
            popularity: Some(PopularityConfig::default()),
            item: vec![ItemModelConfig::default()],
            alignment: Some(AlignmentConfig::default()),
            ..Models::none()
        }
    }
}

impl Models {
    const fn none() -> Models {
        Models {
            popularity: None,
            habit: None,
            item: Vec::new(),
            alignment: None,
            sequence: None,
            trend: None,
            spectral: None,
            lightgcn: None,
            gcn: None,
            gat: None,
            joint: None,
            knowledge: None,
            embedding: None,
            predict: None,
            rating: None,
        }
    }
}

/// How models are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluate {
    /// Cut-offs.
    pub ks: Vec<usize>,
    /// The metric that chooses and that the table sorts by, such as `ndcg@10`.
    pub main: String,
    /// What is masked; the first is the main protocol, others are reported beside it.
    pub masks: Vec<Mask>,
    /// Random negatives per case, only where a published protocol demands them; the full ranking is reported beside.
    pub negatives: Option<usize>,
    /// How many draws of negatives.
    pub draws: usize,
    /// Bootstrap resamples behind each interval.
    pub resamples: usize,
    /// Share of each shopper's training events that is held out to choose by, where the published parts have no validation.
    pub valid_share: f64,
}

impl Default for Evaluate {
    fn default() -> Self {
        Evaluate {
            ks: vec![5, 10, 20],
            main: "ndcg@10".into(),
            masks: vec![Mask::Seen],
            negatives: None,
            draws: 5,
            resamples: 1000,
            valid_share: 0.1,
        }
    }
}

/// How the shop answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// Which candidates may be shown.
    pub rules: RulesConfig,
    /// How the slate is chosen among them.
    pub policy: PolicyConfig,
    /// Candidates that recall may propose.
    pub candidates: usize,
    /// What the shop wants of its slates beyond the best scores.
    pub rerank: RerankConfig,
    /// Places for interests that are new to a shopper.
    pub novel: NovelConfig,
    /// What the policy learns from, if it is one that learns.
    pub learn: LearnConfig,
    /// How degrees of interest come of events; half-life and prior are fitted.
    pub interests: InterestsConfig,
    /// How the shop goes on learning while it serves.
    pub rebuild: Rebuild,
}

/// How a shop goes on learning while it serves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rebuild {
    /// Hours between two builds; absent: only when somebody asks. A build is left out if nothing arrived.
    pub every_hours: Option<f64>,
    /// Snapshots that are kept to go back to, besides the one that answers.
    pub keep: usize,
}

impl Default for Rebuild {
    fn default() -> Self {
        Rebuild { every_hours: None, keep: 5 }
    }
}

impl Default for Serve {
    fn default() -> Self {
        Serve {
            rules: RulesConfig::default(),
            policy: PolicyConfig::EpsilonGreedy { epsilon: 0.05 },
            candidates: 400,
            rerank: RerankConfig::default(),
            novel: NovelConfig::default(),
            learn: LearnConfig::default(),
            interests: InterestsConfig::default(),
            rebuild: Rebuild::default(),
        }
    }
}

/// A published row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The model's name.
    pub model: String,
    /// Figures by metric key.
    pub metrics: BTreeMap<String, f64>,
}

/// The text of a recipe's file.
///
/// # Errors
/// A file that cannot be read, or is larger than anything that people write.
pub fn text_of(path: &Path) -> anyhow::Result<String> {
    let failed = |why: std::io::Error| {
        let message = format!("cannot read the recipe {}", path.display());
        UserError::new(message, "check the path; recipes/ has examples").because(why)
    };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MAX_BYTES {
        let message = format!("recipe {}: expected at most {MAX_BYTES} bytes, got {bytes}", path.display());
        return Err(UserError::new(message, "give the TOML recipe, not the data").into());
    }
    Ok(std::fs::read_to_string(path).map_err(failed)?)
}

/// A recipe of any kind from its text; `example` is one that shows every table.
pub(crate) fn from_text<R: DeserializeOwned>(text: &str, path: &Path, example: &str) -> anyhow::Result<R> {
    toml::from_str(text).map_err(|why| {
        let message = format!("recipe {}: {}", path.display(), why.to_string().trim_end());
        UserError::new(message, format!("mend that line; recipes/{example} shows every table")).into()
    })
}

/// The refusal of what types cannot say.
pub(crate) fn refuse<T>(path: &Path, key: &str, expected: &str, got: String) -> anyhow::Result<T> {
    let message = format!("recipe {}: {key}: expected {expected}, got {got}", path.display());
    Err(UserError::new(message, "mend that key").into())
}

impl Recipe {
    /// The recipes that come with the program, by name.
    pub const BUILT_IN: [(&str, &str); 8] = [
        ("completejourney", include_str!("../../../recipes/completejourney.toml")),
        ("ml-100k", include_str!("../../../recipes/ml-100k.toml")),
        ("beauty", include_str!("../../../recipes/beauty.toml")),
        ("ml1m", include_str!("../../../recipes/ml1m.toml")),
        ("grocery", include_str!("../../../recipes/grocery.toml")),
        ("scientific", include_str!("../../../recipes/scientific.toml")),
        ("retailrocket", include_str!("../../../recipes/retailrocket.toml")),
        ("sessions", include_str!("../../../recipes/sessions.toml")),
    ];

    /// A recipe that comes with the program.
    ///
    /// # Errors
    /// Names the known ones.
    pub fn built_in(name: &str) -> anyhow::Result<Recipe> {
        let Some((_, text)) = Recipe::BUILT_IN.iter().find(|(known, _)| *known == name) else {
            let known = Recipe::BUILT_IN.map(|(known, _)| known).join(", ");
            let message = format!("no recipe is called {name:?}; known: {known}");
            return Err(UserError::new(message, "choose a known one, or give your own with --recipe FILE").into());
        };
        Recipe::parse(text, Path::new(name))
    }

    /// Reads a recipe file.
    ///
    /// # Errors
    /// Names the file, and the line and key where it does not fit.
    pub fn read(path: &Path) -> anyhow::Result<Recipe> {
        Recipe::parse(&text_of(path)?, path)
    }

    /// The recipes that are measured for this one: one per fold where the past is divided into folds, otherwise itself.
    pub fn turns(&self) -> Vec<Recipe> {
        let turns = self.split.map_or_else(Vec::new, |split| split.turns());
        if turns.len() < 2 {
            return vec![self.clone()];
        }
        turns.into_iter().map(|turn| Recipe { split: Some(turn), ..self.clone() }).collect()
    }

    /// Reads the text of a recipe; errors name `path`.
    ///
    /// # Errors
    /// As [`Recipe::read`].
    pub fn parse(text: &str, path: &Path) -> anyhow::Result<Recipe> {
        let recipe: Recipe = from_text(text, path, "completejourney.toml")?;
        recipe.check(path)?;
        Ok(recipe)
    }

    /// What TOML types cannot say.
    fn check(&self, path: &Path) -> anyhow::Result<()> {
        let refuse = |key: &str, expected: &str, got: String| refuse(path, key, expected, got);
        let e = &self.evaluate;
        if let Some((key, expected, got)) = self.content.tune.as_ref().and_then(TuneGoods::wrong) {
            return refuse(key, expected, got);
        }
        if self.content.tune.is_some() && self.turns().len() > 1 {
            let expected =
                "no [content.tune] where split is k-fold: the encoder would have learnt what other folds ask";
            return refuse("content.tune", expected, "both".into());
        }
        for part in &self.ablation {
            part.of(self)?;
        }
        if self.data.events.is_empty() {
            return refuse("data.events", "at least one [[data.events]] table with a path", "none".into());
        }
        if (Models { rating: None, ..self.models.clone() }) == Models::none() {
            return refuse("models", "at least one model that ranks, or no [models] at all", "none".into());
        }
        if self.models.sequence.as_ref().is_some_and(|sequence| sequence.knowledge) && self.models.embedding.is_none() {
            return refuse("models.sequence.knowledge", "false, or a table [models.embedding]", "true".into());
        }
        if e.ks.is_empty() || e.ks.contains(&0) || e.ks.iter().any(|&k| k > 1000) {
            return refuse("evaluate.ks", "cut-offs from 1 to 1000", format!("{:?}", e.ks));
        }
        if !e.ks.iter().any(|k| e.main.ends_with(&format!("@{k}"))) {
            return refuse("evaluate.main", "a metric at one of evaluate.ks, such as ndcg@10", e.main.clone());
        }
        if e.masks.is_empty() {
            return refuse(
                "evaluate.masks",
                "at least one of \"seen\", \"nothing\", { kinds = [\"buy\"] }",
                "none".into(),
            );
        }
        if !(e.valid_share > 0.0 && e.valid_share < 1.0) {
            return refuse("evaluate.valid_share", "a share between 0 and 1", e.valid_share.to_string());
        }
        if !(1..=10_000).contains(&self.serve.candidates) {
            return refuse("serve.candidates", "1 to 10000", self.serve.candidates.to_string());
        }
        if let Err((key, why)) = self.generate.check() {
            return Err(UserError::new(format!("recipe {}: {key}: {why}", path.display()), "mend that key").into());
        }
        let serve = &self.serve;
        let checks = [
            ("interests", serve.interests.check()),
            ("policy", serve.policy.build().map(drop)),
            ("rerank", serve.rerank.check()),
            ("novel", serve.novel.check()),
            ("learn", serve.learn.check()),
        ];
        for (table, checked) in checks {
            checked.map_err(|why| {
                UserError::new(format!("recipe {}: serve.{table}: {why}", path.display()), "mend that key")
            })?;
        }
        let rebuild = self.serve.rebuild;
        // A minute at the least: a build takes longer than that on any shop worth the name.
        if rebuild.every_hours.is_some_and(|hours| !(1.0 / 60.0..=8760.0).contains(&hours)) {
            let got = rebuild.every_hours.unwrap_or_default().to_string();
            return refuse("serve.rebuild.every_hours", "hours from 0.017 to 8760", got);
        }
        if !(1..=100).contains(&rebuild.keep) {
            return refuse("serve.rebuild.keep", "1 to 100", rebuild.keep.to_string());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_recipe_reads() {
        for (name, _) in Recipe::BUILT_IN {
            let recipe = Recipe::built_in(name).unwrap_or_else(|why| panic!("{name}: {why:#}"));
            assert_eq!(recipe.name, name);
        }
    }

    #[test]
    fn a_misspelled_key_is_named_with_its_line() {
        let text = "name = \"a\"\n[data]\n[[data.events]]\npath = \"x.csv\"\n[evaluate]\nresample = 3\n";
        let why = Recipe::parse(text, Path::new("shop.toml")).unwrap_err().to_string();
        assert!(why.contains("shop.toml") && why.contains("line 6") && why.contains("resample"), "{why}");
    }

    #[test]
    fn a_model_may_be_written_by_the_name_of_its_paper() {
        let text = "name = \"a\"\n[data]\n[[data.events]]\npath = \"x.csv\"\n[models.alpharec]\ndim = 32\n";
        let recipe = Recipe::parse(text, Path::new("shop.toml")).unwrap();
        assert_eq!(recipe.models.alignment.unwrap().dim, 32);
    }

    #[test]
    fn a_model_whose_table_is_absent_is_left_out_and_without_any_three_are_fitted() {
        let parse = |models: &str| {
            let text = format!("name = \"a\"\n[data]\n[[data.events]]\npath = \"x.csv\"\n{models}");
            Recipe::parse(&text, Path::new("shop.toml"))
        };
        let one = parse("[models.lightgcn]\n").unwrap().models;
        assert_eq!(one, Models { lightgcn: one.lightgcn.clone(), ..Models::none() });
        assert_eq!(parse("").unwrap().models, Models::default());
        for nothing in ["[models]\n", "[models.rating]\n"] {
            assert!(parse(nothing).unwrap_err().to_string().contains("models"), "{nothing}");
        }
    }

    #[test]
    fn a_recipe_without_events_or_with_an_unmeasured_metric_is_refused() {
        let refused = |text: &str| Recipe::parse(text, Path::new("shop.toml")).unwrap_err().to_string();
        assert!(refused("name = \"a\"\n[data]\n").contains("data.events"));
        let text = "name = \"a\"\n[data]\n[[data.events]]\npath = \"x\"\n[evaluate]\nmain = \"ndcg@7\"\n";
        assert!(refused(text).contains("evaluate.main"));
    }

    #[test]
    fn an_encoder_that_learns_from_shoppers_is_not_measured_by_folds() {
        let text = "name = \"a\"\n[data]\n[[data.events]]\npath = \"x\"\n[content.tune.tuning]\nstrategy = \"full\"\nhead = { companions = {} }\n[split]\nby = \"k_fold\"\nk = 3\n";
        let why = Recipe::parse(text, Path::new("shop.toml")).unwrap_err().to_string();
        assert!(why.contains("content.tune: expected no [content.tune]"), "{why}");
    }
}
