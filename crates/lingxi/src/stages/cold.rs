//! How are goods placed that nobody took, and what does that cost the others? A recipe and a shop come in, figures go out.
//!
//! A seeded share of the goods leaves training entirely. The item model is fitted once on the rest; validation chooses how
//! strongly texts and inherited columns speak for the new goods: the largest harmonic mean of the Recall@20 of new and of known
//! goods, both ranked among all goods (as generalised zero-shot learning weighs seen and unseen classes, arXiv 1707.00600). On the
//! test part, read once, stand the model, the nearest neighbours on frozen text, and the same model without any word for new
//! goods: the ordinary table of known goods ranks the known ones only, and what it costs them to compete with new ones stands beside it.

use crate::failure::UserError;
use crate::pipeline::Read;
use crate::progress::Unit;
use crate::recipe::Recipe;
use crate::site::Site;
use crate::stages::encode::{Meaning, encode_by};
use crate::stages::tune::tune;
use anyhow::Result;
use lingxi_behaviour::item_model::{self, ItemModel, ItemModelConfig};
use lingxi_behaviour::nearest;
use lingxi_data::split::{ColdItems, ColdSplit, Holdout, cold_items};
use lingxi_data::{Purpose, Score};
use lingxi_eval::{Case, EvalConfig, Goods, Report, cases, evaluate, slices};

/// What new goods are judged by.
const METRIC: &str = "recall@20";
/// Cases of validation that strengths are tried on, spread over the shoppers.
const TRIED_ON: usize = 3_000;
/// Strengths that are tried, for texts and for what is inherited.
const TEXTS: [f32; 6] = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0];
const INHERITED: [f32; 6] = [0.0, 0.5, 1.0, 2.0, 3.0, 5.0];

/// Figures of new and of known goods.
pub struct Cold {
    /// The model on cases that ask for new goods.
    pub result: Report,
    /// The same cases by nearest text; the known goods among themselves, with and without a word for new ones, and among all; groups.
    pub others: Vec<Report>,
    /// The strengths that validation chose: texts, inherited.
    pub chosen: [f32; 2],
    /// Recall@20 of new goods against nearest text.
    pub times_nearest: f64,
    /// Recall@20 of new goods by the nearest text of the tuned encoder against that of the frozen one, where the recipe tunes it.
    pub lift: Option<f64>,
    /// Share of the known goods' Recall@20 among themselves that was lost.
    pub warm_loss: f64,
}

/// Measures the first item model of the recipe on goods that nobody took.
///
/// # Errors
/// A recipe without item model or text, and whatever the models say.
pub fn cold(recipe: &Recipe, read: &Read, site: &Site) -> Result<Cold> {
    let (Some(config), Some(frozen)) = (recipe.models.item.first(), &read.meaning) else {
        let message = format!("{}: expected an item model and goods with text, got none", recipe.name);
        return Err(UserError::new(message, "measure new goods where there is text: beauty, scientific").into());
    };
    let options = ColdItems { seed: site.seed, ..ColdItems::default() };
    let split = cold_items(&read.shop.data.interactions, options)?;
    let tuned = match &recipe.content.tune {
        None => None,
        Some(wanted) => {
            let encoder = tune(wanted, &recipe.content, &read.shop, &split.split.train, site)?;
            Some(encode_by(&encoder, &recipe.content, &read.shop, site)?)
        }
    };
    let meaning = tuned.as_ref().unwrap_or(frozen);
    let events = split.split.train.for_purpose(Purpose::Training);
    let stage = site.progress.stage("item model", None, Unit::Of("items"));
    let both = ItemModelConfig { untaken: 1.0, inherit: 1.0, ..config.clone() };
    let mut model = item_model::fit(&both, &events, Some(&meaning.vectors), &mut |_, _| {})?;
    stage.finish("");
    let near = |meaning: &Meaning| nearest::fit(&config.history, &events, &meaning.vectors);
    let nearest = (near(frozen)?, tuned.as_ref().map(near).transpose()?);
    let counts = events.item_counts();
    let goods = Goods { counts: Some(&counts), vectors: Some(&meaning.vectors) };
    let run = Run { recipe, goods, site, split: &split };
    let chosen = run.choose(&mut model)?;
    run.on_test(&mut model, &nearest.0, nearest.1.as_ref().map(|nearest| nearest as &dyn Score), chosen)
}

struct Run<'a> {
    recipe: &'a Recipe,
    goods: Goods<'a>,
    site: &'a Site,
    split: &'a ColdSplit,
}

impl Run<'_> {
    /// Cases enough to choose by.
    fn some<'c>(&self, held: &'c Holdout) -> Vec<Case<'c>> {
        let all = cases(held, &self.recipe.evaluate.masks[0]);
        let step = all.len().div_ceil(TRIED_ON).max(1);
        all.into_iter().step_by(step).collect()
    }

    /// The strengths that serve new and known goods best on validation.
    fn choose(&self, model: &mut ItemModel) -> Result<[f32; 2]> {
        let stage =
            self.site.progress.stage("choose", Some((TEXTS.len() * INHERITED.len()) as u64), Unit::Of("strengths"));
        let figure = |model: &ItemModel, asked: &[Case<'_>]| -> Result<f64> {
            Ok(self.report(model, "validation", asked, 0)?.metrics[METRIC])
        };
        let (new, known) = (self.some(&self.split.split.valid), self.some(&self.split.warm_valid));
        let (mut most, mut best) = (f64::NEG_INFINITY, [0.0; 2]);
        for (at, (text, inherited)) in TEXTS.iter().flat_map(|t| INHERITED.iter().map(move |i| (*t, *i))).enumerate() {
            model.weigh_newcomers(text, inherited);
            let (found, kept) = (figure(model, &new)?, figure(model, &known)?);
            let both = 2.0 * found * kept / (found + kept).max(f64::MIN_POSITIVE);
            if both > most {
                (most, best) = (both, [text, inherited]);
            }
            stage.set(at as u64 + 1);
        }
        stage.finish("");
        Ok(best)
    }

    fn on_test(
        &self,
        model: &mut ItemModel,
        nearest: &dyn Score,
        tuned: Option<&dyn Score>,
        chosen: [f32; 2],
    ) -> Result<Cold> {
        let mask = &self.recipe.evaluate.masks[0];
        let resamples = self.recipe.evaluate.resamples;
        let (new, known) = (cases(&self.split.split.test, mask), cases(&self.split.warm_test, mask));
        let row = |model: &dyn Score, name: &str, asked: &[Case<'_>]| -> Result<Report> {
            let mut report = self.report(model, "test", asked, resamples)?;
            name.clone_into(&mut report.model);
            Ok(report)
        };
        model.weigh_newcomers(chosen[0], chosen[1]);
        let result = row(&*model, "item model, new goods", &new)?;
        let by_text = row(nearest, "nearest text, new goods", &new)?;
        let by_tuned =
            tuned.map(|tuned| row(tuned, "nearest text by the tuned encoder, new goods", &new)).transpose()?;
        let competing = row(&*model, "item model, known goods among all", &known)?;
        let alone = self.among_known(&known);
        let with = row(&*model, "item model, known goods among known", &alone)?;
        model.weigh_newcomers(0.0, 0.0);
        let without = row(&*model, "item model that knows no new goods, known goods among known", &alone)?;
        let times_nearest = result.metrics[METRIC] / by_text.metrics[METRIC].max(f64::MIN_POSITIVE);
        let lift =
            by_tuned.as_ref().map(|tuned| tuned.metrics[METRIC] / by_text.metrics[METRIC].max(f64::MIN_POSITIVE));
        let warm_loss = 1.0 - with.metrics[METRIC] / without.metrics[METRIC].max(f64::MIN_POSITIVE);
        let mut groups = Vec::new();
        for (of, asked) in [(&result, &new), (&competing, &known)] {
            let mut wanted = slices::by_history(asked);
            wanted.push(slices::long_tail(asked, self.goods.counts.unwrap_or_default(), 0.8));
            for group in wanted {
                groups.extend(slices::measure(
                    of,
                    &group,
                    asked,
                    model.n_items(),
                    &self.goods,
                    &self.config("test", resamples),
                )?);
            }
        }
        let others = [by_text].into_iter().chain(by_tuned).chain([with, without, competing]).chain(groups).collect();
        Ok(Cold { result, others, chosen, times_nearest, lift, warm_loss })
    }

    /// The same cases with the new goods masked.
    fn among_known<'c>(&self, asked: &[Case<'c>]) -> Vec<Case<'c>> {
        let masked = |case: &Case<'c>| {
            let mut masked: Vec<_> = case.masked.iter().chain(&self.split.cold).copied().collect();
            masked.sort_unstable();
            masked.dedup();
            Case { masked, ..case.clone() }
        };
        asked.iter().map(masked).collect()
    }

    fn report(&self, model: &dyn Score, split: &str, asked: &[Case<'_>], resamples: usize) -> Result<Report> {
        Ok(evaluate(model, asked, &self.goods, &self.config(split, resamples), &mut |_, _| {})?)
    }

    fn config(&self, split: &str, resamples: usize) -> EvalConfig {
        EvalConfig {
            split: split.into(),
            protocol: format!(
                "20% of the goods with at least 3 events leave training (seed {}), leave-one-out, {}",
                self.site.seed,
                self.recipe.evaluate.masks[0].describe()
            ),
            seed: self.site.seed,
            ks: vec![10, 20],
            resamples,
            auc: false,
            ..EvalConfig::default()
        }
    }
}
