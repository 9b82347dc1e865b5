//! Fine-tunes on judged pairs, and measures how well the products that people judged for a query are ordered, by queries that the encoder
//! has not learned from.
//!
//! Queries are dealt to folds. For each fold an encoder learns from the queries of the others, of which a share is held out and chooses the
//! epoch and how far to go from the encoder as it was; then it orders the judged products of the fold's queries by their cosine. The encoder
//! as it was orders the same products, so both are paired by query. What is kept in the end has learned from all folds.

use super::learn::{Learnt, Work, directory, forget, learn};
use super::pairs::Pairs;
use super::recipe::FinetuneRecipe;
use super::run::{Outcome, Row};
use crate::site::Site;
use crate::stages::measure::DRAWS;
use anyhow::Result;
use lingxi_content::finetune::{Lessons, Pair, Task, Tuned};
use lingxi_content::{BertEncoder, Precision};
use lingxi_eval::{EvalConfig, Judged, Report, measure_judged, paired_test};
use lingxi_kernels::dot;
use lingxi_train::folds::{folds, hold_out};
use rand::SeedableRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::PathBuf;

/// What decides.
pub const MAIN: &str = "ndcg@10";
const CUT: usize = 10;

/// Learns and asks fold by fold, then learns from all.
///
/// # Errors
/// Data, a model or a folder that cannot be used.
pub fn run(recipe: &FinetuneRecipe, k: usize, site: &Site) -> Result<Outcome> {
    let bench = Bench::new(recipe, site)?;
    let fold_of = folds(&bench.strata, k, site.seed);
    let all = 0..bench.strata.len() as u32;
    let (mut asked, mut valid, mut learnt) = ([bench.nothing(), bench.nothing()], Vec::new(), Vec::new());
    for fold in 0..k {
        let (test, rest): (Vec<u32>, Vec<u32>) = all.clone().partition(|query| fold_of[*query as usize] == fold);
        let chosen = bench.learn(&format!("fold {}", fold + 1), &rest)?;
        let frozen = chosen.tuned.between(&bench.directory, 0.0)?;
        for (lists, model) in asked.iter_mut().zip([&chosen.tuned, &frozen]) {
            test.iter().zip(bench.order(model, &test)).for_each(|(query, list)| lists[*query as usize] = list);
        }
        site.progress.note(&format!("fold {}: {:.2} of the way", fold + 1, chosen.way));
        valid.push(chosen.valid);
        learnt.push(chosen.learnt);
    }
    let protocol = format!("{k} folds by query, cosine order of the products judged for each query");
    let [tuned, frozen] = [(recipe.tuning.strategy.name(), &asked[0]), ("the encoder as it was", &asked[1])]
        .map(|(name, lists)| bench.report(name, "folds", &protocol, lists));
    let (tuned, frozen) = (tuned?, frozen?);
    let gained = paired_test(&tuned, &frozen, MAIN, DRAWS, site.seed)?;
    let valid = Report::mean(format!("mean of {k} folds: queries that chose"), &valid.iter().collect::<Vec<_>>());
    let mut last = bench.learn("all", &all.collect::<Vec<_>>())?;
    last.learnt.seconds += forget(learnt)?.iter().map(|fold| fold.seconds).sum::<f64>();
    if last.way < 1.0 {
        last.learnt.model = last.learnt.model.with_file_name("chosen");
        last.tuned.save(&bench.directory, &last.learnt.model, &[])?;
    }
    let (bytes, trained) = (last.tuned.bytes(), last.tuned.trained());
    let frozen = Row { test: frozen, valid: Report::default(), bytes };
    let result = Row { test: tuned, valid, bytes };
    let (others, members, gained) = (vec![frozen], vec![last.learnt], Some(gained));
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
        Ok(Bench { recipe, site, directory, encoder, texts, judged, strata })
    }

    fn nothing(&self) -> Vec<Vec<Judged>> {
        vec![Vec::new(); self.judged.len()]
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
        let learnt = learn(&work, self.lessons(&train), self.lessons(&held), self.site)?;
        let (all, ..) = Tuned::load(&learnt.model)?;
        let mut best: Option<(f64, f32, Tuned, Report)> = None;
        for way in &self.recipe.ranking.ways {
            let tuned = all.between(&self.directory, *way)?;
            let mut lists = self.nothing();
            held.iter().zip(self.order(&tuned, &held)).for_each(|(query, list)| lists[*query as usize] = list);
            let report = self.report("tuned", "validation", "queries that chose", &lists)?;
            let figure = report.metrics[MAIN];
            if best.as_ref().is_none_or(|(most, ..)| figure > *most) {
                best = Some((figure, *way, tuned, report));
            }
        }
        let (_, way, tuned, valid) = best.expect("a checked recipe names at least one way");
        Ok(Chosen { tuned, way, learnt, valid })
    }

    /// Each relevant product of each query beside some that are judged lower, and of the texts those alone.
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
                let worse = lower.sample(&mut rng, ranking.worse).copied().collect();
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

    /// The judged products of some queries with their cosines.
    fn order(&self, model: &Tuned, queries: &[u32]) -> Vec<Vec<Judged>> {
        let of = |query: &u32| &self.judged[*query as usize];
        let texts = queries.iter().chain(queries.iter().flat_map(of).map(|(text, _)| text));
        let texts: Vec<Vec<u32>> = texts.map(|text| self.texts[*text as usize].clone()).collect();
        let mut z = model.vectors(&texts);
        let h = z.len() / texts.len().max(1);
        z.par_chunks_mut(h.max(1)).for_each(|row| {
            let length = dot(row, row).sqrt().max(1e-12);
            row.iter_mut().for_each(|x| *x /= length);
        });
        let mut products = z[queries.len() * h..].chunks_exact(h.max(1));
        let list = |(at, query): (usize, &u32)| {
            let query_row = &z[at * h..(at + 1) * h];
            let rows = of(query).iter().zip(&mut products);
            rows.map(|((_, grade), row)| Judged { score: dot(query_row, row), grade: *grade }).collect()
        };
        queries.iter().enumerate().map(list).collect()
    }

    fn report(&self, name: &str, split: &str, protocol: &str, lists: &[Vec<Judged>]) -> Result<Report> {
        let (split, protocol) = (split.to_owned(), protocol.to_owned());
        let config = EvalConfig { split, protocol, seed: self.site.seed, ..EvalConfig::default() };
        Ok(measure_judged(name, lists, CUT, &config)?)
    }
}
