//! Learns one encoder in a folder of its own (checkpoint, `metrics.jsonl`, TensorBoard), so that a run that was killed goes on from
//! there; a finished one is read back. The folder is named by what the parameters are a function of.

use super::recipe::FinetuneRecipe;
use crate::failure::UserError;
use crate::progress::Unit;
use crate::site::Site;
use crate::stages::learn::unix_seconds;
use anyhow::Result;
use lingxi_content::finetune::{Lessons, Task, Tuning, Tutor, Visit};
use lingxi_data::Fingerprint;
use lingxi_train::{Learner, Run, TrainerConfig};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Bumped when the same lessons would give other parameters.
const VERSION: &str = "1";

/// An encoder that has learned.
pub struct Learnt {
    /// Its directory.
    pub model: PathBuf,
    /// Seconds of training; 0 if it was read back.
    pub seconds: f64,
    /// Whether it is still there.
    pub kept: bool,
}

impl Learnt {
    /// Takes its folder away; what it took to learn stays known.
    ///
    /// # Errors
    /// What the file system says.
    pub fn forget(self) -> Result<Learnt> {
        let folder = self.model.parent().unwrap_or(&self.model);
        std::fs::remove_dir_all(folder).map_err(|why| unwritable(folder, why))?;
        Ok(Learnt { kept: false, ..self })
    }
}

/// Takes the folders of all folds away, once all have been asked: a run that is killed before goes on behind those that have learned.
///
/// # Errors
/// What the file system says.
pub fn forget(learned: Vec<Learnt>) -> Result<Vec<Learnt>> {
    learned.into_iter().map(Learnt::forget).collect()
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
    /// What an answer of the head is multiplied by, and what is then added: (1, 0) unless the lessons were brought to a unit of their own.
    pub unit: (f32, f32),
    /// Shares of the way from the parameters at the beginning to the best ones; those held out choose among them (Wortsman et al. 2022, arXiv
    /// 2109.01903). Empty: all the way.
    pub ways: &'a [f32],
}

impl<'a> Work<'a> {
    /// What a recipe asks to be learned from `base`, without classes and in the unit of the lessons.
    pub fn of(recipe: &'a FinetuneRecipe, title: &'a str, base: (&'a Path, Fingerprint), seed: u64) -> Work<'a> {
        Work {
            title,
            name: &recipe.name,
            tuning: &recipe.tuning,
            base,
            classes: &[],
            seed,
            unit: (1.0, 0.0),
            ways: &[],
        }
    }
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
        return Ok(Learnt { model, seconds: 0.0, kept: true });
    }
    let mut tutor = Tutor::new(work.base.0, work.tuning, learned, held, work.seed)?;
    let started = Instant::now();
    std::fs::create_dir_all(&folder).map_err(|why| unwritable(&folder, why))?;
    let (parameters, training) = (tutor.parameters(), &work.tuning.training);
    let run = Reading { title: work.title, folder: &folder, key: &key, seed: work.seed };
    let best = train(&run, training, &mut tutor, parameters.clone(), site)?;
    let best = choose(&mut tutor, work.ways, &parameters, best, site);
    let seconds = started.elapsed().as_secs_f64();
    let mut tuned = tutor.tuned(&best);
    if work.unit != (1.0, 0.0) {
        tuned.answer_in(work.unit);
    }
    keep(&folder, |to| tuned.save(work.base.0, to, work.classes))?;
    Ok(Learnt { model, seconds, kept: true })
}

/// The parameters on the way from `begun` to `best` that what is held out likes most.
fn choose(tutor: &mut Tutor, ways: &[f32], begun: &[f32], best: Vec<f32>, site: &Site) -> Vec<f32> {
    let mut chosen: Option<(f64, f32, Vec<f32>)> = None;
    for way in ways {
        let between: Vec<f32> = begun.iter().zip(&best).map(|(begun, best)| begun + way * (best - begun)).collect();
        let Some(figure) = tutor.check(&between) else { return best };
        site.progress.note(&format!("{way:.2} of the way: held out {figure:.4}"));
        if chosen.as_ref().is_none_or(|(least, ..)| figure < *least) {
            chosen = Some((figure, *way, between));
        }
    }
    chosen.map_or(best, |(_, _, parameters)| parameters)
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
            Task::Visits { rivals, visits } => {
                let past = |(text, weight): &(u32, f32)| [*text, weight.to_bits()];
                let of =
                    |v: &Visit| [v.past.len() as u32, v.next].into_iter().chain(v.past.iter().flat_map(past)).collect();
                rivals.iter().copied().chain(visits.iter().flat_map(|v| -> Vec<u32> { of(v) })).collect()
            }
            Task::Pairs(pairs) => {
                pairs.iter().flat_map(|p| [&[p.left, p.right, p.worse.len() as u32], &p.worse[..]].concat()).collect()
            }
        };
        texts.chain(known).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()
    };
    let tuning = serde_json::to_vec(work.tuning).expect("a recipe is plain data");
    let (base, seed) = (work.base.1, work.seed.to_le_bytes());
    let mut parts = vec![VERSION.as_bytes(), base.bytes(), &tuning];
    let (learned, held) = (of(learned), of(held));
    parts.extend([&learned[..], &held, &seed]);
    let unit = [work.unit.0.to_le_bytes(), work.unit.1.to_le_bytes()].concat();
    if work.unit != (1.0, 0.0) {
        parts.push(&unit);
    }
    let ways: Vec<u8> = work.ways.iter().flat_map(|way| way.to_le_bytes()).collect();
    if !ways.is_empty() {
        parts.push(&ways);
    }
    Fingerprint::of(parts).to_string()
}

/// A run in its folder.
pub(super) struct Reading<'a> {
    pub title: &'a str,
    pub folder: &'a Path,
    pub key: &'a str,
    pub seed: u64,
}

/// Trains to the end, and says how far it is.
pub(super) fn train(
    run: &Reading<'_>,
    training: &TrainerConfig,
    learner: &mut dyn Learner,
    parameters: Vec<f32>,
    site: &Site,
) -> Result<Vec<f32>> {
    let Reading { title, folder, key, seed } = *run;
    let pass = training.steps_of_a_pass(learner.examples());
    let stage = site.progress.stage(title, Some(pass * training.epochs as u64), Unit::Of("steps"));
    let mut least = f64::INFINITY;
    let run = Run { folder, key, every: pass, pause: 0.0, clock: &unix_seconds };
    let best = lingxi_train::train_in(&run, training, learner, parameters, seed, &mut |step| {
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

/// Keeps the directory that `save` writes whole or not at all, and forgets the checkpoint that it came from.
pub(super) fn keep(folder: &Path, save: impl FnOnce(&Path) -> lingxi_content::Result<()>) -> Result<()> {
    let (half, checkpoint) = (folder.join("model.half"), folder.join("checkpoint.safetensors"));
    let wrong = |why| unwritable(folder, why);
    if half.exists() {
        std::fs::remove_dir_all(&half).map_err(wrong)?;
    }
    save(&half)?;
    std::fs::rename(&half, folder.join("model")).map_err(wrong)?;
    std::fs::remove_file(checkpoint).map_err(wrong)?;
    Ok(())
}

pub(super) fn unwritable(folder: &Path, why: std::io::Error) -> UserError {
    UserError::new(format!("cannot write {}", folder.display()), "free some space").because(why)
}

/// The directory of an encoder: an asset's, or one that somebody names.
///
/// # Errors
/// An asset that cannot be had.
pub fn directory(named: &str, site: &Site) -> Result<PathBuf> {
    let path = Path::new(named);
    match path.join("config.json").is_file() {
        true => Ok(path.to_owned()),
        false => Ok(site.assets.ensure(named, &site.progress)?),
    }
}
