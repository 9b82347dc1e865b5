//! Fine-tunes on judged pairs, and measures how well the products that people judged for a query are ordered, by queries that the encoder
//! has not learned from.
//!
//! Queries are dealt to folds. For each fold an encoder learns from the queries of the others, of which a share is held out and chooses the
//! epoch and how far to go from the encoder as it was; then the fold's queries are asked. Either the products that people judged for a query
//! are ordered by their cosine, or (`search`) the whole catalogue is searched, and what nobody judged for the query is taken for not
//! relevant; then the order of the judged ones stands beside it. The encoder as it was is asked the same, so both are paired by query. What
//! is kept in the end has learned from all folds.

use super::learn::{Learnt, Work, directory, forget, learn};
use super::pairs::Pairs;
use super::recipe::FinetuneRecipe;
use super::run::{Outcome, Row};
use crate::site::Site;
use crate::stages::measure::DRAWS;
use anyhow::Result;
use lingxi_content::finetune::{Lessons, Pair, Strategy, Task, Tuned};
use lingxi_content::{BertEncoder, Precision};
use lingxi_data::Encode;
use lingxi_eval::{EvalConfig, Judged, Report, measure_judged, paired_test};
use lingxi_kernels::dot;
use lingxi_train::folds::{folds, hold_out};
use rand::SeedableRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::OnceLock;

/// What decides.
pub const MAIN: &str = "ndcg@10";
const CUT: usize = 10;
/// Near products that nobody judged, from which some are drawn.
const NEAR: usize = 50;

/// Learns and asks fold by fold, then learns from all.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn run(recipe: &FinetuneRecipe, k: usize, site: &Site) -> Result<Outcome> {
    let bench = Bench::new(recipe, site)?;
    let fold_of = folds(&bench.strata, k, site.seed);
    let all = 0..bench.strata.len() as u32;
    let (mut asked, mut valid, mut learnt) = (bench.nothing_asked(), Vec::new(), Vec::new());
    for fold in 0..k {
        let (test, rest): (Vec<u32>, Vec<u32>) = all.clone().partition(|query| fold_of[*query as usize] == fold);
        let chosen = bench.learn(&format!("fold {}", fold + 1), &rest)?;
        for (model, lists) in [bench.plane(&chosen.tuned), bench.plane_as_it_was(&chosen.tuned)?].iter().zip(&mut asked)
        {
            for (range, lists) in bench.ranges().into_iter().zip(lists) {
                test.iter().for_each(|query| lists[*query as usize] = bench.order(model, *query, range));
            }
        }
        site.progress.note(&format!("fold {}: {:.2} of the way", fold + 1, chosen.way));
        valid.push(chosen.valid);
        learnt.push(chosen.learnt);
    }
    let names = [recipe.tuning.strategy.name(), "the encoder as it was"];
    let mut reports = Vec::new();
    for (at, range) in bench.ranges().into_iter().enumerate() {
        let protocol = format!("{k} folds by query, {}", range.protocol());
        for (name, lists) in names.iter().zip(&asked) {
            reports.push(bench.report(name, "folds", &protocol, &lists[at])?);
        }
    }
    let beside = reports.split_off(2);
    let [tuned, frozen]: [Report; 2] = reports.try_into().expect("two models were asked");
    let gained = paired_test(&tuned, &frozen, MAIN, DRAWS, site.seed)?;
    if let [tuned, frozen] = &beside[..] {
        let judged = paired_test(tuned, frozen, MAIN, DRAWS, site.seed)?;
        let [low, high] = judged.interval;
        site.progress.note(&format!("{}: {:+.4} [{low:+.4}, {high:+.4}]", tuned.protocol, judged.difference));
    }
    let valid = Report::mean(format!("mean of {k} folds: queries that chose"), &valid.iter().collect::<Vec<_>>());
    let mut last = bench.learn("all", &all.collect::<Vec<_>>())?;
    last.learnt.seconds += forget(learnt)?.iter().map(|fold| fold.seconds).sum::<f64>();
    if last.way < 1.0 {
        last.learnt.model = last.learnt.model.with_file_name("chosen");
        last.tuned.save(&bench.directory, &last.learnt.model, &[])?;
    }
    let (bytes, trained) = (last.tuned.bytes(), last.tuned.trained());
    let row = |test| Row { test, valid: Report::default(), bytes };
    let result = Row { test: tuned, valid, bytes };
    let others = std::iter::once(frozen).chain(beside).map(row).collect();
    let (members, gained) = (vec![last.learnt], Some(gained));
    Ok(Outcome { result, others, members, trained, gained, unlabelled: vec![] })
}

/// Learns once, from the queries of which [`run`] asks none in its first fold, and measures on those of them that are held out. The model is
/// not kept.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn validate(recipe: &FinetuneRecipe, site: &Site) -> Result<Report> {
    let bench = Bench::new(recipe, site)?;
    let fold_of = folds(&bench.strata, recipe.folds.unwrap_or(super::run::FOLDS), site.seed);
    let rest = (0u32..).zip(fold_of).filter(|(_, fold)| *fold > 0).map(|(query, _)| query);
    let chosen = bench.learn("trial", &rest.collect::<Vec<_>>())?;
    chosen.learnt.forget()?;
    Ok(chosen.valid)
}

/// An encoder that has learned, as far from its beginning as held-out queries say.
struct Chosen {
    tuned: Tuned,
    way: f32,
    learnt: Learnt,
    valid: Report,
}

/// Which products a query is asked of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Range {
    /// Those that people judged for it.
    Judged,
    /// All of them; what nobody judged for it is not relevant.
    Catalogue,
}

impl Range {
    fn protocol(self) -> &'static str {
        match self {
            Range::Judged => "cosine order of the products judged for each query",
            Range::Catalogue => "search of the whole catalogue by cosine, unjudged products not relevant",
        }
    }
}

struct Bench<'a> {
    recipe: &'a FinetuneRecipe,
    site: &'a Site,
    directory: PathBuf,
    encoder: BertEncoder,
    /// Queries, then products.
    texts: Vec<Vec<u32>>,
    /// The judged products of each query, by number of their text, with their grades.
    judged: Vec<Vec<(u32, f32)>>,
    /// Whether a query can be asked, so that each fold has as many of those.
    strata: Vec<u32>,
    /// What comes out of the encoder's own layers, of all texts; made when first asked for.
    pooled: OnceLock<Vec<f32>>,
    /// The products nearest to each query by the encoder as it was that nobody judged for it; made when first asked for.
    near: OnceLock<Vec<Vec<u32>>>,
}

impl<'a> Bench<'a> {
    fn new(recipe: &'a FinetuneRecipe, site: &'a Site) -> Result<Bench<'a>> {
        let Pairs { queries, products, rows, unknown, repeated, .. } = recipe.judged().read(&site.data)?;
        site.progress.note(&format!(
            "{} queries, {} judgements; left out: {unknown} of unknown products, {repeated} repeated",
            queries.len(),
            rows.len()
        ));
        let directory = directory(&recipe.base, site)?;
        let encoder = BertEncoder::load(&directory, Precision::F32)?;
        let names: Vec<&str> = queries.names().collect();
        let all = names.par_iter().copied().chain(products.par_iter().map(String::as_str));
        let texts = all.map(|text| encoder.tokens_up_to(text, recipe.tuning.tokens)).collect();
        let mut judged = vec![Vec::new(); names.len()];
        rows.iter().for_each(|row| judged[row.query as usize].push((names.len() as u32 + row.product, row.grade)));
        let strata = judged.iter().map(|list| u32::from(list.iter().any(|(_, grade)| *grade > 0.0))).collect();
        let (pooled, near) = (OnceLock::new(), OnceLock::new());
        Ok(Bench { recipe, site, directory, encoder, texts, judged, strata, pooled, near })
    }

    /// What is measured, the first decides.
    fn ranges(&self) -> Vec<Range> {
        if self.recipe.ranking.search { vec![Range::Catalogue, Range::Judged] } else { vec![Range::Judged] }
    }

    fn nothing(&self) -> Vec<Vec<Judged>> {
        vec![Vec::new(); self.judged.len()]
    }

    /// Of two models, in each range.
    fn nothing_asked(&self) -> [Vec<Vec<Vec<Judged>>>; 2] {
        let one = vec![self.nothing(); self.ranges().len()];
        [one.clone(), one]
    }

    /// Learns from some queries, a share of which says when to stop and how far to go.
    fn learn(&self, title: &str, queries: &[u32]) -> Result<Chosen> {
        let strata: Vec<u32> = queries.iter().map(|query| self.strata[*query as usize]).collect();
        let held = hold_out(&strata, self.recipe.ranking.held_out, self.site.seed);
        let part = |wanted: bool| -> Vec<u32> {
            queries.iter().zip(&held).filter(|(_, held)| **held == wanted).map(|(query, _)| *query).collect()
        };
        let (train, held) = (part(false), part(true));
        let base = (self.directory.as_path(), self.encoder.revision());
        let work = Work::of(self.recipe, title, base, self.site.seed);
        let decides = self.ranges()[0];
        let learnt = learn(&work, self.lessons(&train), self.lessons(&held), self.site)?;
        let (all, ..) = Tuned::load(&learnt.model)?;
        let mut best: Option<(f64, f32, Tuned, Report)> = None;
        for way in &self.recipe.ranking.ways {
            let tuned = all.between(&self.directory, *way)?;
            let (mut lists, plane) = (self.nothing(), self.plane(&tuned));
            held.iter().for_each(|query| lists[*query as usize] = self.order(&plane, *query, decides));
            let report = self.report("tuned", "validation", "queries that chose", &lists)?;
            let figure = report.metrics[MAIN];
            if best.as_ref().is_none_or(|(most, ..)| figure > *most) {
                best = Some((figure, *way, tuned, report));
            }
        }
        let (_, way, tuned, valid) = best.expect("a checked recipe names at least one way");
        Ok(Chosen { tuned, way, learnt, valid })
    }

    /// Each relevant product of each query beside some that are judged lower and some near ones that nobody judged, and of the texts those
    /// alone.
    fn lessons(&self, queries: &[u32]) -> Lessons {
        let ranking = &self.recipe.ranking;
        let mut rng = ChaCha8Rng::seed_from_u64(self.site.seed);
        let mut pairs = Vec::new();
        for query in queries {
            let list = &self.judged[*query as usize];
            let mut better: Vec<&(u32, f32)> = list.iter().filter(|(_, grade)| *grade >= ranking.relevant).collect();
            better.shuffle(&mut rng);
            for (right, grade) in better.into_iter().take(ranking.most) {
                let lower: Vec<u32> = list.iter().filter(|(_, g)| g < grade).map(|(text, _)| *text).collect();
                let mut worse: Vec<u32> = lower.sample(&mut rng, ranking.worse).copied().collect();
                if ranking.mined > 0 {
                    worse.extend(self.near()[*query as usize].sample(&mut rng, ranking.mined));
                }
                pairs.push(Pair { left: *query, right: *right, worse });
            }
        }
        let mut number = HashMap::new();
        let mut texts = Vec::new();
        let mut of = |text: &mut u32| {
            *text = *number.entry(*text).or_insert_with(|| {
                texts.push(self.texts[*text as usize].clone());
                texts.len() as u32 - 1
            });
        };
        pairs
            .iter_mut()
            .for_each(|pair| [&mut pair.left, &mut pair.right].into_iter().chain(&mut pair.worse).for_each(&mut of));
        Lessons { texts, task: Task::Pairs(pairs) }
    }

    /// All texts' vectors by a model, at length 1. Where its layers are those of the encoder as it was, texts are read once for all.
    fn plane(&self, model: &Tuned) -> Vec<f32> {
        let own = model.tuning().strategy != Strategy::Head;
        let pooled = || if own { model.pooled(&self.texts) } else { self.pooled(model).to_vec() };
        unit_rows(model.project(pooled()), model.width())
    }

    /// The same by the encoder as it was.
    fn plane_as_it_was(&self, model: &Tuned) -> Result<Vec<f32>> {
        let begun = model.between(&self.directory, 0.0)?;
        Ok(unit_rows(begun.project(self.pooled(&begun).to_vec()), begun.width()))
    }

    /// By a model whose layers are those of the encoder as it was.
    fn pooled(&self, model: &Tuned) -> &[f32] {
        self.pooled.get_or_init(|| model.pooled(&self.texts))
    }

    /// Products near a query that nobody judged for it, the nearest first.
    fn near(&self) -> &[Vec<u32>] {
        self.near.get_or_init(|| {
            let (z, h) = (self.encoder.encode_tokens(&self.texts), self.encoder.dim());
            let of = |query: usize| {
                let judged: HashSet<u32> = self.judged[query].iter().map(|(text, _)| *text).collect();
                let own = &z[query * h..][..h];
                let products = (self.judged.len()..self.texts.len()).filter(|text| !judged.contains(&(*text as u32)));
                let mut all: Vec<(f32, u32)> =
                    products.map(|text| (dot(own, &z[text * h..][..h]), text as u32)).collect();
                all.sort_by(|a, b| b.0.total_cmp(&a.0));
                all.into_iter().take(NEAR).map(|(_, text)| text).collect()
            };
            (0..self.judged.len()).into_par_iter().map(of).collect()
        })
    }

    /// Products with their cosines to a query.
    fn order(&self, plane: &[f32], query: u32, range: Range) -> Vec<Judged> {
        let h = plane.len() / self.texts.len().max(1);
        let row = |text: u32| &plane[text as usize * h..][..h];
        let judged = &self.judged[query as usize];
        let of = |(text, grade): (u32, f32)| Judged { score: dot(row(query), row(text)), grade };
        match range {
            Range::Judged => judged.iter().copied().map(of).collect(),
            Range::Catalogue => {
                let grades: HashMap<u32, f32> = judged.iter().copied().collect();
                let products = self.judged.len() as u32..self.texts.len() as u32;
                products.map(|text| of((text, grades.get(&text).copied().unwrap_or(0.0)))).collect()
            }
        }
    }

    fn report(&self, name: &str, split: &str, protocol: &str, lists: &[Vec<Judged>]) -> Result<Report> {
        let (split, protocol) = (split.to_owned(), protocol.to_owned());
        let config = EvalConfig { split, protocol, seed: self.site.seed, ..EvalConfig::default() };
        Ok(measure_judged(name, lists, CUT, &config)?)
    }
}

fn unit_rows(mut z: Vec<f32>, h: usize) -> Vec<f32> {
    z.par_chunks_mut(h.max(1)).for_each(|row| {
        let length = dot(row, row).sqrt().max(1e-12);
        row.iter_mut().for_each(|x| *x /= length);
    });
    z
}
