//! Fine-tunes on texts of classes, and measures what that earned, on a test or on folds.

use super::fewer::{Active, Taught, Unsure, label};
use super::learn::{Learnt, Work, directory, forget, learn};
use super::pretrain::pretrained;
use super::recipe::{Confidence, Distil, FinetuneRecipe};
use super::run::{Outcome, Row};
use super::texts::{Classes, Labelled, folded};
use crate::site::Site;
use anyhow::Result;
use lingxi_content::finetune::augment::with_typing_noise;
use lingxi_content::finetune::shrink::with_layers;
use lingxi_content::finetune::{Lessons, Task, Teacher, Tuned};
use lingxi_content::folder::Folder;
use lingxi_content::{BertEncoder, Precision};
use lingxi_data::Fingerprint;
use lingxi_eval::intents::{Guess, ThresholdRule, measure};
use lingxi_eval::{EvalConfig, Report};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Learns the classes of a recipe's texts and asks of its test.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn run(recipe: &FinetuneRecipe, site: &Site) -> Result<Outcome> {
    let (parts, before, unlabelled) = more_labels(recipe, read(recipe, site)?, site)?;
    let bench = Bench::new(recipe, parts, site)?;
    let train = bench.lessons();
    let members = bench.members("tune", &train)?;
    let mut tuned = load(&members)?;
    let trained = tuned.first().map_or(0, Tuned::trained);
    let name = recipe.tuning.strategy.name();
    let result = bench.row(name, &tuned, &bench.test)?;
    let noisy = bench.row(&format!("{name}, 2% of letters mistyped"), &tuned, &bench.mistyped())?;
    let mut others = before;
    others.push(noisy);
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
    Ok(Outcome { result, others, members, trained, gained: None, unlabelled })
}

/// Learns once and measures on validation. The model is not kept.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn validate(recipe: &FinetuneRecipe, site: &Site) -> Result<Report> {
    let bench = Bench::new(recipe, read(recipe, site)?, site)?;
    let learnt = [bench.learn("trial", bench.base(), site.seed, bench.lessons())?];
    let tuned = load(&learnt)?;
    let valid = bench.guesses(&tuned, &bench.valid, &bench.parts.valid.targets);
    let report = bench.report(recipe.tuning.strategy.name(), "validation", &valid, bench.rule().choose(&valid)?)?;
    learnt.into_iter().try_for_each(|learnt| learnt.forget().map(drop))?;
    Ok(report)
}

/// Learns each fold's texts from those of the others, a share of which chooses; the test is not read.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn folds(recipe: &FinetuneRecipe, k: usize, site: &Site) -> Result<Outcome> {
    let Classes { names, train, valid, pool, oddities, .. } = read(recipe, site)?;
    let strata = |part: &Labelled<Option<u32>>| part.targets.iter().map(|class| class.unwrap_or(u32::MAX)).collect();
    let folds = folded(&[train, valid], strata, k, recipe.texts().valid_share, site.seed);
    let parts = folds.into_iter().map(|[train, valid, test]| {
        let (names, pool, oddities) = (names.clone(), pool.clone(), oddities.clone());
        Classes { names, train, valid, test, pool, oddities }
    });
    let (mut rows, mut learned, mut trained) = (Vec::new(), Vec::new(), 0);
    for (fold, parts) in parts.enumerate() {
        let bench = Bench::new(recipe, parts, site)?;
        let learnt = bench.learn(&format!("fold {}", fold + 1), bench.base(), site.seed, bench.lessons())?;
        let tuned = load(std::slice::from_ref(&learnt))?;
        rows.push(bench.row(recipe.tuning.strategy.name(), &tuned, &bench.test)?);
        trained = tuned[0].trained();
        learned.push(learnt);
    }
    let members = forget(learned)?;
    Ok(Outcome { result: Row::of_folds(&rows), others: vec![], members, trained, gained: None, unlabelled: vec![] })
}

/// Labels that the recipe has asked for, or takes from a teacher; what was learned without them, and texts that a person is to label.
fn more_labels(recipe: &FinetuneRecipe, mut parts: Classes, site: &Site) -> Result<(Classes, Vec<Row>, Vec<String>)> {
    let (mut before, mut unlabelled) = (Vec::new(), Vec::new());
    // Learns from what is labelled now, and says what it thinks of the pool. The test is read only where that is to be reported.
    let mut learned = |parts: &Classes, title: &str, reported: bool| -> Result<Vec<f32>> {
        let bench = Bench::new(recipe, parts.clone(), site)?;
        let members = bench.members(title, &bench.lessons())?;
        let tuned = load(&members)?;
        if reported {
            before.push(bench.row(title, &tuned, &bench.test)?);
        }
        members.into_iter().try_for_each(|learnt| learnt.forget().map(drop))?;
        Ok(mean(&tuned, &bench.tokens(&parts.pool.texts)))
    };
    if let Some(active) = recipe.active {
        let classes = parts.names.len();
        // As many labels without asking for the right ones, where their classes are known.
        if active.by != Unsure::Random && parts.pool.targets.iter().all(Option::is_some) {
            let (mut any, random) =
                (parts.clone(), Active { by: Unsure::Random, batch: active.batch * active.rounds, ..active });
            let nothing = vec![0.0; classes * any.pool.texts.len()];
            label(&mut any, &random.ask(&nothing, classes, site.seed));
            learned(&any, &format!("{} labels at random", any.train.texts.len()), true)?;
        }
        for round in 1..=active.rounds {
            let said = learned(&parts, &format!("{} labels", parts.train.texts.len()), round == 1)?;
            unlabelled = label(&mut parts, &active.ask(&said, classes, site.seed));
            if !unlabelled.is_empty() {
                break;
            }
        }
    }
    if let Some(pseudo) = recipe.pseudo {
        let mut taken = parts.clone();
        for round in 0..pseudo.rounds {
            let said = learned(&taken, if round == 0 { "teacher" } else { "student" }, round == 0)?;
            let best = said.chunks_exact(parts.names.len()).map(|row| Guess::of(row, None, None));
            let best: Vec<(u32, f32)> = best.map(|guess| (guess.class.unwrap_or(0), guess.confidence as f32)).collect();
            let (more, Taught { texts, known, right }) = pseudo.extend(&parts, &best);
            site.progress
                .note(&format!("the teacher is sure of {texts} texts; right in {right} of {known} that are known"));
            taken = more;
        }
        parts = taken;
    }
    Ok((parts, before, unlabelled))
}

pub(super) fn read(recipe: &FinetuneRecipe, site: &Site) -> Result<Classes> {
    let parts = recipe.texts().classes(&site.data, site.seed)?;
    site.progress.note(&parts.oddities.to_string());
    Ok(parts)
}

/// Share of letters that are mistyped where that is asked for.
const MISTYPED: f64 = 0.02;

/// A recipe's texts, ready to be learned and asked.
pub(super) struct Bench<'a> {
    recipe: &'a FinetuneRecipe,
    site: &'a Site,
    /// Where the encoder is that all members begin with.
    directory: PathBuf,
    encoder: BertEncoder,
    parts: Classes,
    train: Vec<Vec<u32>>,
    valid: Vec<Vec<u32>>,
    pub(super) test: Vec<Vec<u32>>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(recipe: &'a FinetuneRecipe, mut parts: Classes, site: &'a Site) -> Result<Bench<'a>> {
        let mut directory = directory(&recipe.base, site)?;
        if let Some(wording) = &recipe.wording {
            wording.extend(&mut parts.train, &directory, site)?;
        }
        if let Some(how) = &recipe.pretrain {
            // In an order of their own, so that labelling one changes nothing.
            let mut texts: Vec<String> = [&parts.train.texts[..], &parts.pool.texts].concat();
            texts.sort_unstable();
            directory = pretrained(&recipe.name, how, &directory, &texts, site)?;
        }
        let encoder = BertEncoder::load(&directory, Precision::F32)?;
        let mut bench = Bench { recipe, site, directory, encoder, parts, train: vec![], valid: vec![], test: vec![] };
        bench.train = bench.tokens(&bench.parts.train.texts);
        bench.valid = bench.tokens(&bench.parts.valid.texts);
        bench.test = bench.tokens(&bench.parts.test.texts);
        Ok(bench)
    }

    /// What members begin with, and what names its files.
    pub(super) fn base(&self) -> (&Path, Fingerprint) {
        (&self.directory, self.encoder.revision())
    }

    fn classes(&self) -> usize {
        self.parts.names.len()
    }

    /// The training texts that have a class.
    pub(super) fn lessons(&self) -> Lessons {
        lessons(&self.train, &self.parts.train, self.classes())
    }

    fn tokens(&self, texts: &[String]) -> Vec<Vec<u32>> {
        texts.par_iter().map(|text| self.encoder.tokens_up_to(text, self.recipe.tuning.tokens)).collect()
    }

    /// As many encoders as the recipe asks for, each from a seed of its own.
    fn members(&self, title: &str, train: &Lessons) -> Result<Vec<Learnt>> {
        let members = 0..self.recipe.members;
        let learn = |member: usize| {
            let title = if self.recipe.members > 1 { format!("{title} {}", member + 1) } else { title.to_owned() };
            self.learn(&title, self.base(), self.site.seed + member as u64, train.clone())
        };
        members.map(learn).collect()
    }

    pub(super) fn learn(&self, title: &str, base: (&Path, Fingerprint), seed: u64, train: Lessons) -> Result<Learnt> {
        let work = Work { base, ..self.work(title, seed) };
        learn(&work, train, self.held(), self.site)
    }

    /// One encoder's learning from where all begin.
    pub(super) fn work<'b>(&'b self, title: &'b str, seed: u64) -> Work<'b> {
        let (name, tuning, classes) = (&self.recipe.name, &self.recipe.tuning, &self.parts.names);
        Work { title, name, tuning, base: self.base(), classes, seed, unit: (1.0, 0.0), ways: &[] }
    }

    /// What judges.
    pub(super) fn held(&self) -> Lessons {
        lessons(&self.valid, &self.parts.valid, self.classes())
    }

    /// The test with some letters mistyped.
    pub(super) fn mistyped(&self) -> Vec<Vec<u32>> {
        let texts = (0u64..).zip(&self.parts.test.texts);
        let noisy = texts.map(|(number, text)| with_typing_noise(text, MISTYPED, self.site.seed, number));
        self.tokens(&noisy.collect::<Vec<_>>())
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
    pub(super) fn row(&self, name: &str, models: &[Tuned], test: &[Vec<u32>]) -> Result<Row> {
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

pub(super) fn load(learnt: &[Learnt]) -> Result<Vec<Tuned>> {
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

/// Texts with a class; those of none are not learned.
fn lessons(texts: &[Vec<u32>], part: &Labelled<Option<u32>>, classes: usize) -> Lessons {
    let inside = texts.iter().zip(&part.targets).filter_map(|(text, label)| Some((text.clone(), (*label)?)));
    let (texts, labels) = inside.unzip();
    Lessons { texts, task: Task::Classes { labels, classes, teacher: None } }
}
