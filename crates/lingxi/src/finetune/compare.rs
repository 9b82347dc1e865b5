//! What does each way of fine-tuning give, and what does it cost? One way after the other learns the same texts and is asked of the same test; each in a
//! process of its own, so that the memory it takes is its own.
//!
//! Of each is said: its accuracy, how well it declines, its accuracy where letters are mistyped, how many parameters it trains, how long that took and
//! in how much memory; and, where a second recipe is named, its accuracy there after the encoder went on to learn that too, and what is left of the
//! first task under the head that learned it.

use super::classes::{Bench, load, read};
use super::learn::{Work, learn};
use super::recipe::FinetuneRecipe;
use crate::failure::UserError;
use crate::progress::Unit;
use crate::report::{metric, peak_bytes};
use crate::site::Site;
use anyhow::{Context as _, Result};
use lingxi_content::finetune::{Strategy, Tuned};
use lingxi_data::Fingerprint;
use lingxi_eval::Report;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The `[compare]` table of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// Passes over the texts, the same for all.
    pub epochs: usize,
    /// A recipe that the encoder learns afterwards.
    #[serde(default)]
    pub then: Option<String>,
    /// The ways, each with the step size that suits it.
    pub strategies: Vec<Way>,
}

/// One way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// What is trained.
    pub strategy: Strategy,
    /// Step size.
    pub learning_rate: f32,
}

/// What a way gives and costs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Of the test, without and with noise.
    pub test: Report,
    /// With 2% of the letters mistyped.
    pub mistyped: Report,
    /// Of the validation part.
    pub valid: Report,
    /// Parameters.
    pub trained: usize,
    /// Of training.
    pub seconds: f64,
    /// The most memory up to the end of training.
    pub peak_bytes: Option<u64>,
    /// The second task's test, and the first's again, after both were learned.
    pub then: Option<[Report; 2]>,
}

/// How a process is started that tries one way.
pub struct Child<'a> {
    /// As it was named.
    pub recipe: &'a str,
    /// The folder of data, as it was named.
    pub data: &'a PathBuf,
    /// Of every random choice.
    pub seed: u64,
}

/// Tries every way of the recipe, one process after the other.
///
/// # Errors
/// A recipe that names none, a process that fails.
pub fn all(recipe: &FinetuneRecipe, child: &Child<'_>, site: &Site) -> Result<Vec<Cost>> {
    let n = ways(recipe)?.strategies.len();
    let stage = site.progress.stage("strategies", Some(n as u64), Unit::Of("strategies"));
    let mut costs: Vec<Cost> = Vec::new();
    for way in 0..n {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command.args(["finetune", "--json", "--recipe", child.recipe, "--strategy", &way.to_string()]);
        command.arg("--data").arg(child.data).args(["--seed", &child.seed.to_string()]);
        let out = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("start this program")?;
        let text = String::from_utf8_lossy(&out.stdout);
        let said = text.lines().next_back().and_then(|line| serde_json::from_str::<Cost>(line).ok());
        let Some(cost) = said.filter(|_| out.status.success()) else {
            let message = format!("strategy {way}: expected figures, got a process that ended with {}", out.status);
            return Err(UserError::new(message, "what it said stands above").into());
        };
        let accuracy = cost.test.metrics.get("accuracy").copied().unwrap_or(f64::NAN);
        site.progress.note(&format!("{}: accuracy {}, {:.0} s", cost.test.model, metric(accuracy), cost.seconds));
        costs.push(cost);
        stage.add(1);
    }
    stage.finish("");
    Ok(costs)
}

/// Tries one way in this process.
///
/// # Errors
/// Data, a model or a folder that cannot be used, a way that the recipe does not name.
pub fn one(recipe: &FinetuneRecipe, way: usize, site: &Site) -> Result<Cost> {
    let compare = ways(recipe)?;
    let Some(chosen) = compare.strategies.get(way) else {
        let message = format!("--strategy: expected a number below {}, got {way}", compare.strategies.len());
        return Err(UserError::new(message, "count from 0 in compare.strategies").into());
    };
    let recipe = alone(recipe, chosen, compare.epochs);
    let bench = Bench::new(&recipe, read(&recipe, site)?, site)?;
    let learnt = bench.learn("first", bench.base(), site.seed, bench.lessons())?;
    let (seconds, peak_bytes) = (learnt.seconds, peak_bytes());
    let tuned = load(std::slice::from_ref(&learnt))?;
    let row = bench.row(&named(&chosen.strategy), &tuned, &bench.test)?;
    let mistyped = bench.row("mistyped", &tuned, &bench.mistyped())?.test;
    let then = compare.then.as_ref().map(|second| -> Result<[Report; 2]> {
        let second = alone(&FinetuneRecipe::open(second)?, chosen, compare.epochs);
        let beside = site.data.parent().map(|all| all.join(&second.name)).filter(|folder| folder.is_dir());
        let site = Site { data: beside.unwrap_or_else(|| site.data.clone()), ..site.clone() };
        let after = Bench::new(&second, read(&second, &site)?, &site)?;
        // Adapters change nothing that an encoder's own files say, so the run that they came from is named too.
        let revision = Fingerprint::of_json(&(bench.base().1, &learnt.model));
        let work = Work { base: (&learnt.model, revision), ..after.work("second", site.seed) };
        let went_on = learn(&work, after.lessons(), after.held(), &site)?;
        let (both, ..) = Tuned::load(&went_on.model)?;
        let left = bench.row("the first task", &[both.with_head_of(&tuned[0])], &bench.test)?.test;
        let gained = after.row("the second task", &[both], &after.test)?.test;
        went_on.forget()?;
        Ok([gained, left])
    });
    let then = then.transpose()?;
    let trained = tuned[0].trained();
    learnt.forget()?;
    Ok(Cost { test: row.test, mistyped, valid: row.valid, trained, seconds, peak_bytes, then })
}

fn ways(recipe: &FinetuneRecipe) -> Result<&Compare> {
    recipe.compare.as_ref().filter(|compare| !compare.strategies.is_empty()).ok_or_else(|| {
        let message = format!("{}: expected a [compare] table with strategies, got none", recipe.name);
        UserError::new(message, "say which in the recipe; recipes/clinc150.toml shows how").into()
    })
}

/// The recipe with one way and nothing that would blur what it gives.
fn alone(recipe: &FinetuneRecipe, way: &Way, epochs: usize) -> FinetuneRecipe {
    let mut recipe = recipe.clone();
    let tuning = &mut recipe.tuning;
    (tuning.strategy, tuning.views, tuning.agreement, tuning.adversary) = (way.strategy.clone(), 1, 0.0, None);
    (tuning.training.learning_rate, tuning.training.epochs) = (way.learning_rate, epochs);
    FinetuneRecipe { members: 1, wording: None, pretrain: None, ..recipe }
}

fn named(strategy: &Strategy) -> String {
    match strategy {
        Strategy::Top(n) => format!("top {n} layers"),
        Strategy::Lora(lora) => format!("LoRA {}", lora.rank),
        Strategy::Adapters { width } => format!("adapters {width}"),
        Strategy::Prefix { length } => format!("prefix {length}"),
        Strategy::Full | Strategy::Head => strategy.name().to_owned(),
    }
}
