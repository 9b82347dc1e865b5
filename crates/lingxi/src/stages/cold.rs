//! How are goods placed that nobody took, and what does that cost the others? A recipe and a shop come in, figures go out.
//!
//! A seeded share of the goods leaves training entirely. The item model is fitted once on the rest; validation chooses how
//! strongly texts and inherited columns speak for the new goods: the most Recall@20 of new goods among the strengths that cost
//! the known goods at most half a percent of theirs. On the test part, read once, stand the model, the nearest
//! neighbours on frozen text, and the same model without any word for new goods.

use crate::failure::UserError;
use crate::progress::Unit;
use crate::recipe::Recipe;
use crate::site::Site;
use crate::stages::encode::Meaning;
use anyhow::Result;
use lingxi_behaviour::item_model::{self, ItemModel, ItemModelConfig};
use lingxi_behaviour::nearest;
use lingxi_data::split::{ColdItems, ColdSplit, Holdout, cold_items};
use lingxi_data::{Interactions, Purpose, Score};
use lingxi_eval::{Case, EvalConfig, Goods, Report, cases, evaluate, slices};

/// What new goods are judged by.
const METRIC: &str = "recall@20";
/// Share of the known goods' figure that validation may pay; the bar on test is one percent.
const MAY_COST: f64 = 0.005;
/// Cases of validation that strengths are tried on, spread over the shoppers.
const TRIED_ON: usize = 3_000;
/// Strengths that are tried, for texts and for what is inherited.
const TEXTS: [f32; 6] = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0];
const INHERITED: [f32; 6] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0];

/// Figures of new and of known goods.
pub struct Cold {
    /// The model on cases that ask for new goods.
    pub result: Report,
    /// The same cases by nearest text and without a word for new goods; then the known goods with and without; then groups.
    pub others: Vec<Report>,
    /// The strengths that validation chose: texts, inherited.
    pub chosen: [f32; 2],
    /// Recall@20 of new goods against nearest text.
    pub times_nearest: f64,
    /// Share of the known goods' Recall@20 that was lost.
    pub warm_loss: f64,
}

/// Measures the first item model of the recipe on goods that nobody took.
///
/// # Errors
/// A recipe without item model or text, and whatever the models say.
pub fn cold(recipe: &Recipe, all: &Interactions, meaning: Option<&Meaning>, site: &Site) -> Result<Cold> {
    let (Some(config), Some(meaning)) = (recipe.models.item.first(), meaning) else {
        let message = format!("{}: expected an item model and goods with text, got none", recipe.name);
        return Err(UserError::new(message, "measure new goods where there is text: beauty, scientific").into());
    };
    let options = ColdItems { seed: site.seed, ..ColdItems::default() };
    let split = cold_items(all, options)?;
    let events = split.split.train.for_purpose(Purpose::Training);
    let stage = site.progress.stage("item model", None, Unit::Of("items"));
    let both = ItemModelConfig { untaken: 1.0, inherit: 1.0, ..config.clone() };
    let mut model = item_model::fit(&both, &events, Some(&meaning.vectors), &mut |_, _| {})?;
    stage.finish("");
    let nearest = nearest::fit(&config.history, &events, &meaning.vectors)?;
    let counts = events.item_counts();
    let goods = Goods { counts: Some(&counts), vectors: Some(&meaning.vectors) };
    let run = Run { recipe, goods, site, split: &split };
    let chosen = run.choose(&mut model)?;
    run.on_test(&mut model, &nearest, chosen)
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

    /// The strengths with the most new goods found on validation at little cost.
    fn choose(&self, model: &mut ItemModel) -> Result<[f32; 2]> {
        let stage =
            self.site.progress.stage("choose", Some((TEXTS.len() * INHERITED.len()) as u64), Unit::Of("strengths"));
        let figure = |model: &ItemModel, asked: &[Case<'_>]| -> Result<f64> {
            Ok(self.report(model, "validation", asked, 0)?.metrics[METRIC])
        };
        let (new, known) = (self.some(&self.split.split.valid), self.some(&self.split.warm_valid));
        model.weigh_newcomers(0.0, 0.0);
        let whole = figure(model, &known)?;
        let (mut most, mut best) = (f64::NEG_INFINITY, [0.0; 2]);
        for (at, (text, inherited)) in TEXTS.iter().flat_map(|t| INHERITED.iter().map(move |i| (*t, *i))).enumerate() {
            model.weigh_newcomers(text, inherited);
            let found = figure(model, &new)?;
            if found > most && figure(model, &known)? >= (1.0 - MAY_COST) * whole {
                (most, best) = (found, [text, inherited]);
            }
            stage.set(at as u64 + 1);
        }
        stage.finish("");
        Ok(best)
    }

    fn on_test(&self, model: &mut ItemModel, nearest: &dyn Score, chosen: [f32; 2]) -> Result<Cold> {
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
        let with = row(&*model, "item model, known goods", &known)?;
        model.weigh_newcomers(0.0, 0.0);
        let without = row(&*model, "item model that knows no new goods, known goods", &known)?;
        let times_nearest = result.metrics[METRIC] / by_text.metrics[METRIC].max(f64::MIN_POSITIVE);
        let warm_loss = 1.0 - with.metrics[METRIC] / without.metrics[METRIC].max(f64::MIN_POSITIVE);
        let mut groups = Vec::new();
        for (of, asked) in [(&result, &new), (&with, &known)] {
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
        let others = [by_text, with, without].into_iter().chain(groups).collect();
        Ok(Cold { result, others, chosen, times_nearest, warm_loss })
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
