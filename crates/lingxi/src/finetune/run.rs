//! Fine-tunes, measures on validation and test, and keeps the result.
//!
//! Each encoder learns in a folder of its own (checkpoint, `metrics.jsonl`, TensorBoard), so that a run that was killed goes on
//! from there; a finished one is read back.

use super::recipe::{Confidence, Distil, FinetuneRecipe};
use super::texts::{Classes, Labelled};
use crate::failure::UserError;
use crate::progress::Unit;
use crate::site::Site;
use crate::stages::learn::unix_seconds;
use anyhow::Result;
use lingxi_content::finetune::augment::with_typing_noise;
use lingxi_content::finetune::shrink::with_layers;
use lingxi_content::finetune::{Lessons, Task, Teacher, Tuned, Tuning, Tutor};
use lingxi_content::folder::Folder;
use lingxi_content::{BertEncoder, Precision};
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
    /// What the recipe asks for.
    pub result: Row,
    /// The same in other circumstances, and smaller models of it.
    pub others: Vec<Row>,
    /// The encoders with their heads.
    pub members: Vec<Learnt>,
    /// Parameters that each of them trained.
    pub trained: usize,
}

/// One way of answering.
pub struct Row {
    /// On texts that nothing was chosen by.
    pub test: Report,
    /// On those that chose epoch and threshold.
    pub valid: Report,
    /// Bytes of its matrices.
    pub bytes: usize,
}

/// An encoder that has learned.
pub struct Learnt {
    /// Its directory.
    pub model: PathBuf,
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
    let bench = Bench::new(recipe, site)?;
    let train = lessons(&bench.train, &bench.parts.train, bench.classes());
    let members = (0..recipe.members).map(|member| {
        let title = if recipe.members > 1 { format!("tune {}", member + 1) } else { "tune".to_owned() };
        bench.learn(&title, bench.base(), site.seed + member as u64, train.clone())
    });
    let members = members.collect::<Result<Vec<_>>>()?;
    let mut tuned = load(&members)?;
    let trained = tuned.first().map_or(0, Tuned::trained);
    let name = recipe.tuning.strategy.name();
    let result = bench.row(name, &tuned, &bench.test)?;
    let noisy: Vec<String> = (0u64..)
        .zip(&bench.parts.test.texts)
        .map(|(number, text)| with_typing_noise(text, MISTYPED, site.seed, number))
        .collect();
    let noisy = bench.row(&format!("{name}, 2% of letters mistyped"), &tuned, &bench.tokens(&noisy))?;
    let mut others = vec![noisy];
    if let Some(distil) = &recipe.distil {
        let taught = bench.distil(distil, &members[0].model, &tuned, train)?;
        let student = load(&[taught])?;
        others.push(bench.row(&format!("student of {} layers", distil.layers.len()), &student, &bench.test)?);
    }
    if let Some(prune) = recipe.prune {
        if prune.heads > 0 {
            let mut fewer = load(&members)?;
            fewer.iter_mut().for_each(|tuned| tuned.prune_heads(prune.heads));
            others.push(bench.row(&format!("{name}, {} heads a layer silenced", prune.heads), &fewer, &bench.test)?);
        }
        if prune.weights > 0.0 {
            let mut fewer = load(&members)?;
            fewer.iter_mut().for_each(|tuned| tuned.prune_weights(prune.weights));
            let title = format!("{name}, {:.0}% of weights zero", 100.0 * prune.weights);
            others.push(bench.row(&title, &fewer, &bench.test)?);
        }
    }
    tuned = tuned.into_iter().map(|tuned| tuned.in_numbers(Precision::Int8)).collect();
    others.push(bench.row(&format!("{name}, in bytes"), &tuned, &bench.test)?);
    Ok(Outcome { result, others, members, trained })
}

/// Learns once with `share` of the passes and measures on validation. The test is not read, and the model is not kept.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn validate(recipe: &FinetuneRecipe, share: f64, site: &Site) -> Result<Report> {
    let mut recipe = recipe.clone();
    recipe.data.test.clear();
    recipe.data.outside.test.clear();
    let epochs = &mut recipe.tuning.training.epochs;
    *epochs = ((*epochs as f64 * share).round() as usize).max(1);
    let bench = Bench::new(&recipe, site)?;
    let train = lessons(&bench.train, &bench.parts.train, bench.classes());
    let learnt = [bench.learn("trial", bench.base(), site.seed, train)?];
    let tuned = load(&learnt)?;
    let valid = bench.guesses(&tuned, &bench.valid, &bench.parts.valid.targets);
    let report = bench.report(recipe.tuning.strategy.name(), "validation", &valid, bench.rule().choose(&valid)?)?;
    let folder = learnt[0].model.parent().unwrap_or(&learnt[0].model);
    std::fs::remove_dir_all(folder).map_err(|why| unwritable(folder, why))?;
    Ok(report)
}

/// Share of letters that are mistyped where that is asked for.
const MISTYPED: f64 = 0.02;

/// A recipe's texts, ready to be learned and asked.
struct Bench<'a> {
    recipe: &'a FinetuneRecipe,
    site: &'a Site,
    /// Where the encoder is that all members begin with.
    directory: PathBuf,
    encoder: BertEncoder,
    parts: Classes,
    train: Vec<Vec<u32>>,
    valid: Vec<Vec<u32>>,
    test: Vec<Vec<u32>>,
}

impl<'a> Bench<'a> {
    fn new(recipe: &'a FinetuneRecipe, site: &'a Site) -> Result<Bench<'a>> {
        let mut parts = recipe.data.classes(&site.data, site.seed)?;
        site.progress.note(&parts.oddities.to_string());
        let directory = directory(&recipe.base, site)?;
        if let Some(wording) = &recipe.wording {
            wording.extend(&mut parts.train, &directory, site)?;
        }
        let encoder = BertEncoder::load(&directory, Precision::F32)?;
        let mut bench = Bench { recipe, site, directory, encoder, parts, train: vec![], valid: vec![], test: vec![] };
        bench.train = bench.tokens(&bench.parts.train.texts);
        bench.valid = bench.tokens(&bench.parts.valid.texts);
        bench.test = bench.tokens(&bench.parts.test.texts);
        Ok(bench)
    }

    /// What members begin with, and what names its files.
    fn base(&self) -> (&Path, Fingerprint) {
        (&self.directory, self.encoder.revision())
    }

    fn classes(&self) -> usize {
        self.parts.names.len()
    }

    fn tokens(&self, texts: &[String]) -> Vec<Vec<u32>> {
        texts.par_iter().map(|text| self.encoder.tokens_up_to(text, self.recipe.tuning.tokens)).collect()
    }

    fn learn(&self, title: &str, base: (&Path, Fingerprint), seed: u64, train: Lessons) -> Result<Learnt> {
        let held = lessons(&self.valid, &self.parts.valid, self.classes());
        let work = Work {
            title,
            name: &self.recipe.name,
            tuning: &self.recipe.tuning,
            base,
            classes: &self.parts.names,
            seed,
        };
        learn(&work, train, held, self.site)
    }

    /// A student with some of the first member's layers, taught by what all members say.
    fn distil(&self, distil: &Distil, from: &Path, teachers: &[Tuned], mut train: Lessons) -> Result<Learnt> {
        let base = from.with_file_name("student");
        with_layers(from, &distil.layers, &base)?;
        if let Task::Classes { teacher, .. } = &mut train.task {
            let logits = mean(teachers, &train.texts).into_iter().map(|p| p.max(1e-9).ln()).collect();
            *teacher = Some(Teacher { logits, temperature: distil.temperature, share: distil.share });
        }
        self.learn("student", (&base, Folder::read(&base)?.revision), self.site.seed, train)
    }

    /// What models say together: the threshold by validation, the figures on `test`.
    fn row(&self, name: &str, models: &[Tuned], test: &[Vec<u32>]) -> Result<Row> {
        let valid = self.guesses(models, &self.valid, &self.parts.valid.targets);
        let asked = self.guesses(models, test, &self.parts.test.targets);
        let threshold = self.rule().choose(&valid)?;
        let bytes = models.iter().map(Tuned::bytes).sum();
        let report = |split, guesses: &[Guess]| self.report(name, split, guesses, threshold);
        let (mut tested, valid) = (report("test", &asked)?, report("validation", &valid)?);
        if self.recipe.confidence == Confidence::Score {
            // How well probabilities are calibrated is asked of them, whatever a text is declined by.
            let likely = report("test", &likely(&mean(models, test), &self.parts.test.targets, self.classes()))?;
            tested.metrics.extend(likely.metrics.get_key_value("ece").map(|(key, x)| (key.clone(), *x)));
            tested.interval.extend(likely.interval.get_key_value("ece").map(|(key, x)| (key.clone(), *x)));
        }
        Ok(Row { test: tested, valid, bytes })
    }

    /// What models say together, with the confidence that the recipe asks for.
    fn guesses(&self, models: &[Tuned], texts: &[Vec<u32>], targets: &[Option<u32>]) -> Vec<Guess> {
        let classes = self.classes();
        match self.recipe.confidence {
            Confidence::Probability => likely(&mean(models, texts), targets, classes),
            Confidence::Score => {
                let scores = mean_of(models, |model| model.outputs(texts));
                scores.chunks_exact(classes).zip(targets).map(|(row, truth)| scored(row, *truth)).collect()
            }
        }
    }

    fn rule(&self) -> ThresholdRule {
        self.recipe.threshold.unwrap_or(ThresholdRule::Fixed(0.0))
    }

    fn report(&self, name: &str, split: &str, guesses: &[Guess], threshold: f64) -> Result<Report> {
        let protocol = format!("{} classes", self.classes());
        let config = EvalConfig { split: split.into(), protocol, seed: self.site.seed, ..EvalConfig::default() };
        Ok(measure(name, guesses, threshold, self.rule(), &config)?)
    }
}

fn load(learnt: &[Learnt]) -> Result<Vec<Tuned>> {
    learnt.iter().map(|learnt| Ok(Tuned::load(&learnt.model)?.0)).collect()
}

/// Guesses by probabilities.
fn likely(probabilities: &[f32], targets: &[Option<u32>], classes: usize) -> Vec<Guess> {
    probabilities.chunks_exact(classes).zip(targets).map(|(row, truth)| Guess::of(row, None, *truth)).collect()
}

/// A guess by scores: the largest, brought between 0 and 1 in its order.
fn scored(row: &[f32], truth: Option<u32>) -> Guess {
    let top = row.iter().fold(f32::NEG_INFINITY, |top, x| top.max(*x));
    Guess { confidence: f64::from(0.5 + 0.5 * top / (1.0 + top.abs())), ..Guess::of(row, None, truth) }
}

/// Mean probabilities of models.
fn mean(models: &[Tuned], texts: &[Vec<u32>]) -> Vec<f32> {
    mean_of(models, |model| model.probabilities(texts))
}

fn mean_of(models: &[Tuned], said: impl Fn(&Tuned) -> Vec<f32>) -> Vec<f32> {
    let mut all = models.iter().map(said);
    let mut sum = all.next().unwrap_or_default();
    all.for_each(|more| sum.iter_mut().zip(more).for_each(|(sum, p)| *sum += p));
    sum.iter_mut().for_each(|p| *p /= models.len() as f32);
    sum
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
    if model.is_dir() {
        return Ok(Learnt { model, seconds: 0.0 });
    }
    let mut tutor = Tutor::new(work.base.0, work.tuning, learned, held, work.seed)?;
    let started = Instant::now();
    std::fs::create_dir_all(&folder).map_err(|why| unwritable(&folder, why))?;
    let best = train(work, &folder, &key, &mut tutor, site)?;
    let seconds = started.elapsed().as_secs_f64();
    keep(&tutor.tuned(&best), work, &folder)?;
    Ok(Learnt { model, seconds })
}

/// What the parameters are a function of.
fn key(work: &Work<'_>, learned: &Lessons, held: &Lessons) -> String {
    let of = |lessons: &Lessons| {
        let texts = lessons.texts.iter().flat_map(|text| [&[text.len() as u32], &text[..]].concat());
        let known: Vec<u32> = match &lessons.task {
            Task::Classes { labels, teacher, .. } => {
                let taught = teacher.iter().flat_map(|t| t.logits.iter().chain([&t.temperature, &t.share]));
                labels.iter().copied().chain(taught.map(|x| x.to_bits())).collect()
            }
            Task::Values { targets } => targets.iter().map(|x| x.to_bits()).collect(),
            Task::Groups(groups) => groups.iter().flat_map(|g| [&[g.len() as u32], &g[..]].concat()).collect(),
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
    let stage = site.progress.stage(work.title, Some(pass * training.epochs as u64), Unit::Of("steps"));
    let (parameters, mut least) = (tutor.parameters(), f64::INFINITY);
    let run = Run { folder, key, every: pass, pause: 0.0, clock: &unix_seconds };
    let best = lingxi_train::train_in(&run, training, tutor, parameters, work.seed, &mut |step| {
        stage.say(&format!("loss {:.4}", step.loss));
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
