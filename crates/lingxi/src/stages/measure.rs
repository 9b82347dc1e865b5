//! Fitted models and the test part -> figures. The test is read here, once, after everything was chosen.

use crate::progress::Unit;
use crate::recipe::Recipe;
use crate::site::Site;
use crate::stages::choose::Choice;
use crate::stages::cost;
use crate::stages::divide::Division;
use crate::stages::encode::Meaning;
use crate::stages::fit::{Fitted, Named};
use anyhow::Result;
use lingxi_behaviour::blend::{Blend, TailLift};
use lingxi_behaviour::rating::{self, RatingConfig};
use lingxi_data::ingest::Ingested;
use lingxi_data::split::{HeldCase, Holdout, SplitConfig};
use lingxi_data::{EventKind, Events, ItemId, Purpose, UserId};
use lingxi_eval::{Case, EvalConfig, Goods, Paired, Report};
use lingxi_eval::{cases, evaluate, evaluate_sampled, paired_test, rating_errors, slices};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Name of the row that validation chose.
pub const BLEND: &str = "blend";
const FILE: &str = "figures.json";
/// Random sign flips behind a paired test.
pub const DRAWS: usize = 10_000;
/// A group of fewer cases says nothing and is left out.
const SMALLEST_GROUP: usize = 20;

/// All figures of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The blend that validation chose, under the main protocol.
    pub result: Report,
    /// Each model alone under the main protocol, baselines first.
    pub models: Vec<Report>,
    /// The blend under the other protocols of the recipe.
    pub protocols: Vec<Report>,
    /// The blend by groups of shoppers and goods.
    pub slices: Vec<Report>,
    /// The blend against each model alone.
    pub tests: Vec<(String, Paired)>,
    /// How far predicted ratings are from the true ones: the mean rating, then the rating model.
    pub ratings: Vec<Report>,
    /// Weight of each model in the blend.
    pub weights: Vec<(String, f32)>,
    /// The main figure by draw of negatives, where a published protocol demands them.
    #[serde(default)]
    pub draws: Vec<f64>,
    /// How rare goods are lifted in it, with their shares on validation.
    #[serde(default)]
    pub tail: Option<TailLift>,
    /// Milliseconds of a request's scores by each model alone, then by the blend.
    #[serde(default)]
    pub costs: Vec<(String, f64)>,
}

impl Measured {
    /// With the time that the whole command took.
    pub fn took(mut self, time: Duration) -> Measured {
        self.result.seconds = time.as_secs_f64();
        self
    }
}

/// Reads figures that [`save`] wrote; the lists behind them are not kept.
///
/// # Errors
/// A file that is not there or of another form.
pub fn load(folder: &Path) -> Result<Measured> {
    Ok(serde_json::from_slice(&std::fs::read(folder.join(FILE))?)?)
}

/// Writes figures into `folder`.
///
/// # Errors
/// Whatever the file system says.
pub fn save(measured: &Measured, folder: &Path) -> Result<()> {
    Ok(std::fs::write(folder.join(FILE), serde_json::to_vec(measured)?)?)
}

/// Measures the blend and every model of it on the test part.
///
/// # Errors
/// Whatever the evaluation says.
pub fn measure(
    recipe: &Recipe,
    shop: &Ingested,
    division: &Division,
    choice: &Choice,
    fitted: &Fitted,
    meaning: Option<&Meaning>,
    site: &Site,
) -> Result<Measured> {
    let train = division.refit.as_ref().unwrap_or(&division.split.train);
    let lessons = train.for_purpose(Purpose::Training);
    let counts = lessons.item_counts();
    let goods = Goods { counts: Some(&counts), vectors: meaning.map(|m| m.vectors.as_ref()) };
    let run = Run { recipe, division, goods, site };
    let blend = Named { name: BLEND.into(), model: Arc::new(Blend::new(choice.weigh(fitted))?) };
    let (asked, main) = run.asked(0);
    let rows = fitted.rows();
    let cost =
        |row: &Named| (row.name.clone(), cost::milliseconds(row.model.as_ref(), &asked, recipe.serve.candidates));
    let costs = rows.iter().chain([&blend]).map(cost).collect();
    let models = rows.iter().map(|row| run.evaluate(row, &asked, &main)).collect::<Result<Vec<_>>>()?;
    let mut result = run.evaluate(&blend, &asked, &main)?;
    let slices = run.slices(&result, &asked, &main, shop)?;
    let test =
        |row: &Report| Ok((row.model.clone(), paired_test(&result, row, &recipe.evaluate.main, DRAWS, site.seed)?));
    let tests = models.iter().map(test).collect::<Result<Vec<_>>>()?;
    let mut protocols = Vec::new();
    for mask in 1..recipe.evaluate.masks.len() {
        let (asked, config) = run.asked(mask);
        protocols.push(run.evaluate(&blend, &asked, &config)?);
    }
    let mut draws = Vec::new();
    if let Some(negatives) = recipe.evaluate.negatives {
        // The published protocol leads, the full ranking stands beside it.
        let (sampled, each) = run.sampled(&blend, &asked, &main, negatives)?;
        draws = each;
        protocols.push(std::mem::replace(&mut result, sampled));
    }
    let ratings = match &recipe.models.rating {
        Some(config) => run.ratings(config, &lessons, &main)?,
        None => Vec::new(),
    };
    let weights = choice.models.iter().cloned().zip(choice.weights.weights.iter().copied()).collect();
    Ok(Measured { result, models, protocols, slices, tests, ratings, weights, draws, tail: choice.tail, costs })
}

struct Run<'a> {
    recipe: &'a Recipe,
    division: &'a Division,
    goods: Goods<'a>,
    site: &'a Site,
}

impl<'a> Run<'a> {
    /// The test cases under one mask of the recipe, and what to call the figures.
    fn asked(&self, mask: usize) -> (Vec<Case<'a>>, EvalConfig) {
        let mask = &self.recipe.evaluate.masks[mask];
        let config = EvalConfig {
            protocol: format!("{}, {}", self.division.protocol, mask.describe()),
            seed: self.site.seed,
            ks: self.recipe.evaluate.ks.clone(),
            resamples: self.recipe.evaluate.resamples,
            ..EvalConfig::default()
        };
        (cases(&self.division.split.test, mask), config)
    }

    fn evaluate(&self, row: &Named, asked: &[Case<'_>], config: &EvalConfig) -> Result<Report> {
        let stage = self.site.progress.stage(&format!("measure {}", row.name), None, Unit::Of("cases"));
        let mut report = evaluate(row.model.as_ref(), asked, &self.goods, config, &mut |done, total| {
            stage.set_total(total as u64);
            stage.set(done as u64);
        })?;
        stage.finish("");
        report.model.clone_from(&row.name);
        Ok(report)
    }

    /// The mean over several draws of negatives with the first draw's intervals, and the main figure of each draw.
    fn sampled(
        &self,
        row: &Named,
        asked: &[Case<'_>],
        config: &EvalConfig,
        negatives: usize,
    ) -> Result<(Report, Vec<f64>)> {
        let draws = self.recipe.evaluate.draws.max(1);
        let mut reports = Vec::with_capacity(draws);
        for draw in 0..draws as u64 {
            let config = EvalConfig { seed: config.seed + draw, ..config.clone() };
            reports.push(evaluate_sampled(row.model.as_ref(), asked, negatives, &self.goods, &config, &mut |_, _| {})?);
        }
        let of = |metric: &str| reports.iter().map(|r| r.metrics[metric]).collect::<Vec<_>>();
        let mut mean = reports[0].clone();
        mean.model.clone_from(&row.name);
        for (metric, value) in &mut mean.metrics {
            *value = of(metric).iter().sum::<f64>() / draws as f64;
        }
        mean.protocol += &format!(", mean of {draws} draws");
        let each = of(&self.recipe.evaluate.main);
        Ok((mean, each))
    }

    /// Errors of predicted ratings on the held-out events that are ratings, and those of the plain mean beside them.
    fn ratings(&self, config: &RatingConfig, lessons: &Events<'_>, measure: &EvalConfig) -> Result<Vec<Report>> {
        let model = rating::fit(config, lessons)?;
        let test = &self.division.split.test;
        let (mut predicted, mut truth) = (Vec::new(), Vec::new());
        for (case, (item, value)) in held_ratings(test) {
            predicted.push(model.predict(&test.context(case), item));
            truth.push(value);
        }
        let mean = vec![model.mean(); truth.len()];
        let measure = EvalConfig { protocol: self.division.protocol.clone(), ..measure.clone() };
        Ok(vec![
            rating_errors("mean rating", &mean, &truth, &measure)?,
            rating_errors("rating model", &predicted, &truth, &measure)?,
        ])
    }

    /// New shoppers, new goods, long tail, and each group that the shop knows of its shoppers.
    fn slices(&self, of: &Report, asked: &[Case<'_>], config: &EvalConfig, shop: &Ingested) -> Result<Vec<Report>> {
        let counts = self.goods.counts.unwrap_or_default();
        let mut groups = slices::by_history(asked);
        groups.push(slices::new_goods(asked, counts));
        groups.push(slices::long_tail(asked, counts, 0.8));
        // Where sessions were cut out of shoppers, the numbers of the cases are no shopper's.
        let cut = matches!(self.recipe.split, Some(SplitConfig::Sessions(_)));
        for column in shop.user_attributes.iter().filter(|_| !cut) {
            let label =
                |user: UserId| column.values.get(user.index()).map(String::as_str).filter(|value| !value.is_empty());
            let by_label = slices::by_label(asked, &column.name, label);
            // A column with a value of its own for nearly everybody (a postcode) makes no groups.
            groups.extend(by_label.into_iter().filter(|group| group.cases.len() >= SMALLEST_GROUP));
        }
        let mut reports = Vec::new();
        for group in groups {
            reports.extend(slices::measure(of, &group, asked, counts.len(), &self.goods, config)?);
        }
        Ok(reports)
    }
}

/// Each held-out rating with its case: item and value.
fn held_ratings(test: &Holdout) -> impl Iterator<Item = (&HeldCase, (ItemId, f32))> {
    test.cases.iter().flat_map(|case| {
        let rows = test.held.for_purpose(Purpose::Evaluation).of(case.user);
        let asked = move |i: &usize| rows.kinds[*i] == EventKind::Rate && case.relevant.contains(&rows.items[*i]);
        (0..rows.len()).filter(asked).map(move |i| (case, (rows.items[i], rows.values[i])))
    })
}
