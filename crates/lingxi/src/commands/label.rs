//! `lingxi label`: texts under a closed list of labels, without training: by how likely the small model finds each, and by which
//! label's vector is nearest. Accuracy of both on the same draw, with intervals.

use crate::assets::{Cache, cache};
use crate::cli::LabelArgs;
use crate::commands::serve::folder_of;
use crate::failure::UserError;
use crate::generate::{self, Generate};
use crate::progress::{Progress, Unit};
use crate::recipe::{Content, Recipe};
use crate::report::{self, ResultLine, say};
use crate::site::Site;
use crate::stages::ingest::ingest;
use anyhow::{Context as _, Result};
use lingxi_content::{BertEncoder, Generator, Labels, Template};
use lingxi_data::Encode;
use lingxi_eval::interval::wilson;
use lingxi_kernels::dot;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Labels that a text can be sorted under, and letters of a text that are read.
const MOST: usize = 1000;
const LETTERS: usize = 500;
/// How a label is asked for, unless somebody says otherwise: what suits a question.
const ASKED: &str = "Topic: {label}\nMessage: {text}";
const MODEL: &str = "SmolLM2-135M-Instruct";

/// Texts, each with the number of its label.
struct Task {
    name: String,
    labels: Vec<String>,
    texts: Vec<(String, usize)>,
}

/// What one way of sorting earned.
#[derive(Serialize)]
struct Earned {
    model: String,
    accuracy: f64,
    /// Wilson's interval of 95%.
    interval: [f64; 2],
    texts: usize,
    labels: usize,
    seed: u64,
    /// Null of what reads nothing.
    texts_per_second: Option<f64>,
}

/// Answers `lingxi label`.
///
/// # Errors
/// Texts or a recipe that cannot be used, a model that cannot be had.
pub fn run(args: &LabelArgs) -> Result<()> {
    let progress = Progress::new(args.json);
    let (task, config) = match (&args.texts, &args.recipe) {
        (Some(file), _) => (of_texts(file)?, Generate { category: ASKED.into(), ..Generate::default() }),
        (_, Some(file)) => of_recipe(file, args, progress)?,
        (None, None) => return Err(UserError::new("expected --texts or --recipe, got none", "give one").into()),
    };
    let template = args.template.as_deref().unwrap_or(&config.category);
    let wrong = |why| UserError::new(format!("--template: {why}"), "write {text} and {label} into it, once each");
    let template = Template::parse(template).map_err(wrong)?;
    let sample = draw(&task, args.sample, args.seed);
    let model = args.model.clone().unwrap_or(if config.model.is_empty() { MODEL.into() } else { config.model });
    let generator = generate::open(&model, &Cache::from_env()?, &cache::directory()?, &progress)?;
    let earned = |model: String, right: usize, seconds: Option<f64>| Earned {
        model,
        accuracy: right as f64 / sample.len() as f64,
        interval: wilson(right, sample.len(), 0.95),
        texts: sample.len(),
        labels: task.labels.len(),
        seed: args.seed,
        texts_per_second: seconds.map(|seconds| sample.len() as f64 / seconds),
    };
    let started = Instant::now();
    let right = by_likelihood(&generator, template, &task, &sample, progress)?;
    let small = earned(model, right, Some(started.elapsed().as_secs_f64()));
    let content = Content::default();
    let encoder = BertEncoder::load(&Cache::from_env()?.ensure(&content.encoder, &progress)?, content.precision)?;
    let started = Instant::now();
    let right = by_nearness(&encoder, &task, &sample);
    let near = earned(content.encoder, right, Some(started.elapsed().as_secs_f64()));
    let common = earned("the commonest label".into(), commonest(&task, &sample), None);
    let rows = [small, near, common];
    if args.json {
        let [small, others @ ..] = rows;
        let mut line = ResultLine::new("label", Some(&task.name), small);
        line.others = others.iter().map(serde_json::to_value).collect::<std::result::Result<_, _>>()?;
        return line.print();
    }
    Ok(say(&table(&rows))?)
}

fn of_texts(file: &Path) -> Result<Task> {
    let wrong = |why: String| UserError::new(format!("{}: {why}", file.display()), "give lines of text, tab, label");
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(b'\t')
        .quoting(false)
        .from_path(file)
        .map_err(|why| wrong(why.to_string()))?;
    let mut rows = Vec::new();
    for (line, row) in reader.records().enumerate() {
        let row = row.map_err(|why| wrong(why.to_string()))?;
        match (row.get(0), row.get(1)) {
            (Some(text), Some(label)) if !label.is_empty() => rows.push((text.to_owned(), label.replace('_', " "))),
            _ => return Err(wrong(format!("line {}: expected a text and a label, got {row:?}", line + 2)).into()),
        }
    }
    let name =
        file.parent().and_then(Path::file_name).map_or("texts".into(), |name| name.to_string_lossy().into_owned());
    task(name, rows)
}

/// Goods that have a title and a category; the label is the last part of the path.
fn of_recipe(file: &Path, args: &LabelArgs, progress: Progress) -> Result<(Task, Generate)> {
    let recipe = Recipe::read(file)?;
    let data = args.data.clone().unwrap_or_else(|| folder_of(file));
    let site = Site::new(data, args.seed, progress, false)?;
    let shop = ingest(&recipe, &site).with_context(|| format!("recipe {}", file.display()))?;
    let catalog = &shop.data.catalog;
    let one = |(i, title): (usize, &String)| {
        let path = catalog.category.get(i).copied().flatten().and_then(|c| catalog.categories.name(c.0))?;
        let label = path.rsplit(" > ").next().unwrap_or(path).to_lowercase();
        (!title.is_empty()).then(|| (title.clone(), label))
    };
    let rows = catalog.titles.iter().enumerate().filter_map(one).collect();
    Ok((task(recipe.name.clone(), rows)?, recipe.generate))
}

fn task(name: String, rows: Vec<(String, String)>) -> Result<Task> {
    let numbers: BTreeMap<String, usize> = rows.iter().map(|(_, label)| (label.clone(), 0)).collect();
    let labels: Vec<String> = numbers.into_keys().collect();
    if !(2..=MOST).contains(&labels.len()) {
        let message = format!("{name}: expected 2 to {MOST} labels, got {}", labels.len());
        return Err(UserError::new(message, "give texts whose labels are known").into());
    }
    let number = |label: &String| labels.binary_search(label).expect("every label was collected");
    let texts = rows.iter().map(|(text, label)| (text.chars().take(LETTERS).collect(), number(label))).collect();
    Ok(Task { name, labels, texts })
}

fn draw(task: &Task, sample: usize, seed: u64) -> Vec<&(String, usize)> {
    let mut all: Vec<_> = task.texts.iter().collect();
    all.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    all.truncate(sample.max(1));
    all
}

fn by_likelihood(
    generator: &Generator,
    template: Template,
    task: &Task,
    sample: &[&(String, usize)],
    progress: Progress,
) -> Result<usize> {
    let labels = Labels::new(generator, template, &task.labels)?;
    let stage = progress.stage("label", Some(sample.len() as u64), Unit::Of("texts"));
    let mut right = 0;
    for (done, (text, label)) in sample.iter().enumerate() {
        right += usize::from(best(&labels.fit(text)?) == *label);
        stage.set(done as u64 + 1);
    }
    stage.finish("by the small model");
    Ok(right)
}

fn by_nearness(encoder: &BertEncoder, task: &Task, sample: &[&(String, usize)]) -> usize {
    let labels = encoder.encode(&task.labels.iter().map(String::as_str).collect::<Vec<_>>());
    let texts = encoder.encode(&sample.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>());
    let d = encoder.dim();
    let nearest = |text: &[f32]| best(&labels.chunks_exact(d).map(|label| dot(text, label)).collect::<Vec<_>>());
    texts.chunks_exact(d).zip(sample).filter(|(text, (_, label))| nearest(text) == *label).count()
}

fn commonest(task: &Task, sample: &[&(String, usize)]) -> usize {
    let mut counts = vec![0.0; task.labels.len()];
    task.texts.iter().for_each(|(_, label)| counts[*label] += 1.0);
    let common = best(&counts);
    sample.iter().filter(|(_, label)| *label == common).count()
}

/// The place of the largest, the first among equals.
fn best(scores: &[f32]) -> usize {
    (0..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best })
}

fn table(rows: &[Earned]) -> String {
    let row = |e: &Earned| {
        let [low, high] = e.interval.map(|x| format!("{:.1}", 100.0 * x));
        let speed = e.texts_per_second.map_or_else(String::new, |speed| format!("{speed:.1}"));
        vec![e.model.clone(), format!("{:.1}%", 100.0 * e.accuracy), format!("{low} to {high}"), speed]
    };
    let head = format!("{} texts, {} labels", rows[0].texts, rows[0].labels);
    report::table(&[&head, "right", "95%", "texts/s"], &rows.iter().map(row).collect::<Vec<_>>(), &[1, 2, 3])
}
