//! How are goods placed that nobody took, and what does that cost the others? A recipe and a shop come in, figures go out.
//!
//! A seeded share of the goods leaves training entirely. The item model is fitted once on the rest; validation chooses how
//! strongly texts and inherited columns speak for the new goods. A sequence model, where the recipe has one, places them by their
//! text. Validation chooses between both. Each choice is the largest harmonic mean of the Recall@20 of new and of known goods,
//! both ranked among all goods (as generalised zero-shot learning weighs seen and unseen classes, arXiv 1707.00600). On the test
//! part, read once, stand the models, the nearest neighbours on frozen text, and the same models without any word for new goods
//! (no strengths; no id dropout): the ordinary table of known goods ranks the known ones only, and what it costs them to compete
//! with new ones stands beside it.

use crate::failure::UserError;
use crate::pipeline::Read;
use crate::progress::Unit;
use crate::recipe::Recipe;
use crate::shelf::Shelf;
use crate::site::Site;
use crate::stages::encode::{Meaning, encode_by};
use crate::stages::fit::sequence_model;
use crate::stages::tune::tune;
use anyhow::Result;
use lingxi_behaviour::item_model::{self, ItemModel, ItemModelConfig};
use lingxi_behaviour::nearest;
use lingxi_behaviour::sequence::{SequenceConfig, SequenceModel};
use lingxi_data::split::{ColdItems, ColdSplit, Holdout, cold_items};
use lingxi_data::{Fingerprint, Purpose, Score};
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

/// A model on the test part, and what validation thinks of it.
struct Tried {
    figure: f64,
    result: Report,
    others: Vec<Report>,
    warm_loss: f64,
}

/// Measures the first item model of the recipe, and its sequence model, on goods that nobody took.
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
    let counts = events.item_counts();
    let goods = Goods { counts: Some(&counts), vectors: Some(&meaning.vectors) };
    let key = Fingerprint::of_json(&(read.shop.place.key, "cold", site.seed));
    let run = Run { recipe, goods, site, split: &split, meaning, key };
    let (item, chosen) = run.item_model(config)?;
    let sequence = recipe.models.sequence.as_ref().map(|config| run.sequence(config)).transpose()?;
    let near = |meaning: &Meaning, name: &str| -> Result<Report> {
        run.row(&nearest::fit(&config.history, &events, &meaning.vectors)?, name, &run.new_goods())
    };
    let by_text = near(frozen, "nearest text, new goods")?;
    let by_tuned =
        tuned.as_ref().map(|tuned| near(tuned, "nearest text by the tuned encoder, new goods")).transpose()?;
    let lift = by_tuned.as_ref().map(|tuned| tuned.metrics[METRIC] / by_text.metrics[METRIC].max(f64::MIN_POSITIVE));
    let (best, rest) = match sequence {
        Some(sequence) if sequence.figure > item.figure => (sequence, Some(item)),
        sequence => (item, sequence),
    };
    let times_nearest = best.result.metrics[METRIC] / by_text.metrics[METRIC].max(f64::MIN_POSITIVE);
    let mut others = vec![by_text];
    others.extend(by_tuned);
    others.extend(best.others);
    others.extend(rest.into_iter().flat_map(|rest| std::iter::once(rest.result).chain(rest.others)));
    Ok(Cold { result: best.result, others, chosen, times_nearest, lift, warm_loss: best.warm_loss })
}

struct Run<'a> {
    recipe: &'a Recipe,
    goods: Goods<'a>,
    site: &'a Site,
    split: &'a ColdSplit,
    meaning: &'a Meaning,
    /// Names shop and division.
    key: Fingerprint,
}

impl Run<'_> {
    /// The item model, and how strongly texts and inherited columns speak in it.
    fn item_model(&self, config: &ItemModelConfig) -> Result<(Tried, [f32; 2])> {
        let events = self.split.split.train.for_purpose(Purpose::Training);
        let stage = self.site.progress.stage("item model", None, Unit::Of("items"));
        let both = ItemModelConfig { untaken: 1.0, inherit: 1.0, ..config.clone() };
        let mut model = item_model::fit(&both, &events, Some(&self.meaning.vectors), &mut |_, _| {})?;
        stage.finish("");
        let (figure, [texts, inherited]) = self.choose(&mut model)?;
        model.weigh_newcomers(0.0, 0.0);
        let without = self.among("item model without a word for new goods", &model)?;
        model.weigh_newcomers(texts, inherited);
        Ok((self.on_test("item model", &model, without, figure)?, [texts, inherited]))
    }

    /// The sequence model, and the same without id dropout.
    fn sequence(&self, config: &SequenceConfig) -> Result<Tried> {
        let plain = SequenceConfig { id_dropout: 0.0, ..config.clone() };
        let model = self.train(config)?;
        let without = self.among(
            "sequence without id dropout",
            &if plain == *config { model.clone() } else { self.train(&plain)? },
        )?;
        let figure = self.weigh(&model, &self.some(&self.split.split.valid), &self.some(&self.split.warm_valid))?;
        self.on_test("sequence", &model, without, figure)
    }

    fn train(&self, config: &SequenceConfig) -> Result<SequenceModel> {
        let key = Shelf::key(&[self.key, self.meaning.key], &(config, self.site.seed));
        let vectors = Some(self.meaning.vectors.as_ref());
        Ok(sequence_model(config, &self.split.split.train, vectors, key, self.site)?.0)
    }

    /// The harmonic mean of the Recall@20 of new and of known goods among all.
    fn weigh(&self, model: &dyn Score, new: &[Case<'_>], known: &[Case<'_>]) -> Result<f64> {
        let figure = |asked| -> Result<f64> { Ok(self.report(model, "validation", asked, 0)?.metrics[METRIC]) };
        let (found, kept) = (figure(new)?, figure(known)?);
        Ok(2.0 * found * kept / (found + kept).max(f64::MIN_POSITIVE))
    }

    fn new_goods(&self) -> Vec<Case<'_>> {
        cases(&self.split.split.test, &self.recipe.evaluate.masks[0])
    }

    /// Cases enough to choose by.
    fn some<'c>(&self, held: &'c Holdout) -> Vec<Case<'c>> {
        let all = cases(held, &self.recipe.evaluate.masks[0]);
        let step = all.len().div_ceil(TRIED_ON).max(1);
        all.into_iter().step_by(step).collect()
    }

    /// The strengths that serve new and known goods best on validation.
    fn choose(&self, model: &mut ItemModel) -> Result<(f64, [f32; 2])> {
        let stage =
            self.site.progress.stage("choose", Some((TEXTS.len() * INHERITED.len()) as u64), Unit::Of("strengths"));
        let (new, known) = (self.some(&self.split.split.valid), self.some(&self.split.warm_valid));
        let (mut most, mut best) = (f64::NEG_INFINITY, [0.0; 2]);
        for (at, (text, inherited)) in TEXTS.iter().flat_map(|t| INHERITED.iter().map(move |i| (*t, *i))).enumerate() {
            model.weigh_newcomers(text, inherited);
            let both = self.weigh(&*model, &new, &known)?;
            if both > most {
                (most, best) = (both, [text, inherited]);
            }
            stage.set(at as u64 + 1);
        }
        stage.finish("");
        Ok((most, best))
    }

    /// All rows of a model; `without` is the same one without a word for new goods.
    fn on_test(&self, name: &str, model: &dyn Score, without: Report, figure: f64) -> Result<Tried> {
        let (new, known) = (self.new_goods(), cases(&self.split.warm_test, &self.recipe.evaluate.masks[0]));
        let result = self.row(model, &format!("{name}, new goods"), &new)?;
        let competing = self.row(model, &format!("{name}, known goods among all"), &known)?;
        let with = self.among(name, model)?;
        let warm_loss = 1.0 - with.metrics[METRIC] / without.metrics[METRIC].max(f64::MIN_POSITIVE);
        let mut groups = Vec::new();
        for (of, asked) in [(&result, &new), (&competing, &known)] {
            let mut wanted = slices::by_history(asked);
            wanted.push(slices::long_tail(asked, self.goods.counts.unwrap_or_default(), 0.8));
            let config = self.config("test", self.recipe.evaluate.resamples);
            for group in wanted {
                groups.extend(slices::measure(of, &group, asked, model.n_items(), &self.goods, &config)?);
            }
        }
        let others = [with, without, competing].into_iter().chain(groups).collect();
        Ok(Tried { figure, result, others, warm_loss })
    }

    /// The ordinary table of known goods.
    fn among(&self, name: &str, model: &dyn Score) -> Result<Report> {
        let known = cases(&self.split.warm_test, &self.recipe.evaluate.masks[0]);
        self.row(model, &format!("{name}, known goods among known"), &self.among_known(&known))
    }

    fn row(&self, model: &dyn Score, name: &str, asked: &[Case<'_>]) -> Result<Report> {
        let mut report = self.report(model, "test", asked, self.recipe.evaluate.resamples)?;
        name.clone_into(&mut report.model);
        Ok(report)
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
