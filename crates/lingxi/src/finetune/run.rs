//! Fine-tunes, measures on validation and test, and keeps the result.
//!
//! Each encoder learns in a folder of its own (checkpoint, `metrics.jsonl`, TensorBoard), so that a run that was killed goes on
//! from there; a finished one is read back.

use super::recipe::FinetuneRecipe;
use super::texts::Labelled;
use crate::failure::UserError;
use crate::progress::Unit;
use crate::site::Site;
use anyhow::Result;
use lingxi_content::BertEncoder;
use lingxi_content::finetune::{Lessons, Task, Tuned, Tuning, Tutor};
use lingxi_data::Fingerprint;
use lingxi_eval::intents::{Guess, ThresholdRule, measure};
use lingxi_eval::{EvalConfig, Report};
use lingxi_train::Run;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Bumped when the same lessons would give other parameters.
const VERSION: &str = "1";

/// What a run says of itself.
pub struct Outcome {
    /// On the texts that nothing was chosen by.
    pub test: Report,
    /// On those that chose epoch and threshold.
    pub valid: Report,
    /// The encoders with their heads.
    pub members: Vec<Learnt>,
}

/// An encoder that has learned.
pub struct Learnt {
    /// Its directory.
    pub model: PathBuf,
    /// Parameters that were trained.
    pub trained: usize,
    /// Seconds of training; 0 if it was read back.
    pub seconds: f64,
}

/// What is learned, and from where.
pub struct Work<'a> {
    /// Of the progress bar.
    pub title: &'a str,
    /// Of the folder.
    pub name: &'a str,
    /// How.
    pub tuning: &'a Tuning,
    /// The encoder to begin with, and what names its files.
    pub base: (&'a Path, Fingerprint),
    /// Names of classes; none for pairs.
    pub classes: &'a [String],
    /// Of every random choice.
    pub seed: u64,
}

/// Runs a recipe.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn run(recipe: &FinetuneRecipe, site: &Site) -> Result<Outcome> {
    let parts = recipe.data.classes(&site.data, site.seed)?;
    site.progress.note(&parts.oddities.to_string());
    let base = directory(&recipe.base, site)?;
    let encoder = BertEncoder::load(&base, lingxi_content::Precision::F32)?;
    let tokens = |part: &Labelled<Option<u32>>| -> Vec<Vec<u32>> {
        part.texts.par_iter().map(|text| encoder.tokens_up_to(text, recipe.tuning.tokens)).collect()
    };
    let [train, valid, test] = [&parts.train, &parts.valid, &parts.test].map(tokens);
    let classes = parts.names.len();
    let mut sums = [&valid, &test].map(|texts| vec![0.0; texts.len() * classes]);
    let mut members = Vec::new();
    for member in 0..recipe.members {
        let title = if recipe.members > 1 { format!("tune {}", member + 1) } else { "tune".to_owned() };
        let work = Work {
            title: &title,
            name: &recipe.name,
            tuning: &recipe.tuning,
            base: (&base, encoder.revision()),
            classes: &parts.names,
            seed: site.seed + member as u64,
        };
        let lessons = |texts: &[Vec<u32>], part: &Labelled<Option<u32>>| lessons(texts, part, classes);
        let learnt = learn(&work, lessons(&train, &parts.train), lessons(&valid, &parts.valid), site)?;
        let (tuned, ..) = Tuned::load(&learnt.model)?;
        for (sum, texts) in sums.iter_mut().zip([&valid, &test]) {
            let share = 1.0 / recipe.members as f32;
            sum.iter_mut().zip(tuned.probabilities(texts)).for_each(|(sum, p)| *sum += share * p);
        }
        members.push(learnt);
    }
    let guesses = |sums: &[f32], part: &Labelled<Option<u32>>| -> Vec<Guess> {
        sums.chunks_exact(classes).zip(&part.targets).map(|(row, label)| Guess::of(row, None, *label)).collect()
    };
    let (valid, test) = (guesses(&sums[0], &parts.valid), guesses(&sums[1], &parts.test));
    let rule = recipe.threshold.unwrap_or(ThresholdRule::Fixed(0.0));
    let threshold = rule.choose(&valid)?;
    let report = |split: &str, guesses: &[Guess]| {
        let protocol = format!("{classes} classes");
        let config = EvalConfig { split: split.into(), protocol, seed: site.seed, ..EvalConfig::default() };
        measure(recipe.tuning.strategy.name(), guesses, threshold, rule, &config)
    };
    Ok(Outcome { test: report("test", &test)?, valid: report("validation", &valid)?, members })
}

/// The directory of an encoder: an asset's, or one that somebody names.
fn directory(named: &str, site: &Site) -> Result<PathBuf> {
    let path = Path::new(named);
    match path.join("config.json").is_file() {
        true => Ok(path.to_owned()),
        false => Ok(site.assets.ensure(named, &site.progress)?),
    }
}

/// Texts with a class; those of none are not learned.
fn lessons(texts: &[Vec<u32>], part: &Labelled<Option<u32>>, classes: usize) -> Lessons {
    let inside = texts.iter().zip(&part.targets).filter_map(|(text, label)| Some((text.clone(), (*label)?)));
    let (texts, labels) = inside.unzip();
    Lessons { texts, task: Task::Classes { labels, classes, teacher: None } }
}

/// Learns, or reads back what has been learned from the same lessons in the same way.
///
/// # Errors
/// A model or a folder that cannot be used.
pub fn learn(work: &Work<'_>, learned: Lessons, held: Lessons, site: &Site) -> Result<Learnt> {
    let key = key(work, &learned, &held);
    let folder = site.cache.join("tuned").join(format!("{}-{key}", work.name));
    let model = folder.join("model");
    let mut tutor = Tutor::new(work.base.0, work.tuning, learned, held, work.seed)?;
    let trained = tutor.trained();
    if model.is_dir() {
        return Ok(Learnt { model, trained, seconds: 0.0 });
    }
    let started = Instant::now();
    std::fs::create_dir_all(&folder).map_err(|why| unwritable(&folder, why))?;
    let best = train(work, &folder, &key, &mut tutor, site)?;
    let seconds = started.elapsed().as_secs_f64();
    keep(&tutor.tuned(&best), work, &folder)?;
    Ok(Learnt { model, trained, seconds })
}

/// What the parameters are a function of.
fn key(work: &Work<'_>, learned: &Lessons, held: &Lessons) -> String {
    let of = |lessons: &Lessons| {
        let texts = lessons.texts.iter().flat_map(|text| [&[text.len() as u32], &text[..]].concat());
        let known: Vec<u32> = match &lessons.task {
            Task::Classes { labels, .. } => labels.clone(),
            Task::Values { targets } => targets.iter().map(|x| x.to_bits()).collect(),
            Task::Pairs(pairs) => {
                pairs.iter().flat_map(|p| [&[p.left, p.right, p.worse.len() as u32], &p.worse[..]].concat()).collect()
            }
        };
        texts.chain(known).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()
    };
    let tuning = serde_json::to_vec(work.tuning).expect("a recipe is plain data");
    let (base, seed) = (work.base.1, work.seed.to_le_bytes());
    let parts = [VERSION.as_bytes(), base.bytes(), &tuning, &of(learned), &of(held), &seed];
    Fingerprint::of(parts).to_string()
}

fn train(work: &Work<'_>, folder: &Path, key: &str, tutor: &mut Tutor, site: &Site) -> Result<Vec<f32>> {
    let training = &work.tuning.training;
    let pass = training.steps_of_a_pass(lingxi_train::Learner::examples(tutor));
    let clock = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0.0, |since| since.as_secs_f64())
    };
    let stage = site.progress.stage(work.title, Some(pass * training.epochs as u64), Unit::Of("steps"));
    let (parameters, mut least) = (tutor.parameters(), f64::INFINITY);
    let run = Run { folder, key, every: pass, clock: &clock };
    let best = lingxi_train::train_in(&run, training, tutor, parameters, work.seed, &mut |step| {
        stage.set(step.step);
        if let Some(figure) = step.held_out {
            least = least.min(figure);
            site.progress.note(&format!(
                "epoch {}: loss {:.4}, held out {figure:.4}",
                step.step.div_ceil(pass),
                step.loss
            ));
        }
    })?;
    stage.finish(&format!("best held out {least:.4}"));
    Ok(best)
}

/// Keeps the directory whole or not at all, and forgets the checkpoint that it came from.
fn keep(tuned: &Tuned, work: &Work<'_>, folder: &Path) -> Result<()> {
    let (half, checkpoint) = (folder.join("model.half"), folder.join("checkpoint.safetensors"));
    let wrong = |why| unwritable(folder, why);
    if half.exists() {
        std::fs::remove_dir_all(&half).map_err(wrong)?;
    }
    tuned.save(work.base.0, &half, work.classes)?;
    std::fs::rename(&half, folder.join("model")).map_err(wrong)?;
    std::fs::remove_file(checkpoint).map_err(wrong)?;
    Ok(())
}

fn unwritable(folder: &Path, why: std::io::Error) -> UserError {
    UserError::new(format!("cannot write {}", folder.display()), "free some space").because(why)
}
