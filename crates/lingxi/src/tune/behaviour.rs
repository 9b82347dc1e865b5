//! A trial of a shop's recipe: its files are read once, and each trial fits the models with other settings on training and measures the
//! blend on validation, as a build does before it reads the test part. A trial with a share of the training knows that share of
//! the shoppers, and is asked about them.

use super::Trial;
use crate::failure::UserError;
use crate::pipeline::Read;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::shelf::Shelf;
use crate::site::Site;
use crate::stages::choose::choose;
use crate::stages::divide::divide;
use crate::stages::fit::Lessons;
use crate::stages::measure::BLEND;
use anyhow::Result;
use lingxi_behaviour::blend::Blend;
use lingxi_data::{Event, Fingerprint, Interactions, Purpose, UserId};
use lingxi_eval::{EvalConfig, Goods, Report, cases, evaluate};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// A shop whose models are tried with other settings.
pub struct Shop<'a> {
    base: &'a Recipe,
    path: &'a Path,
    read: Read,
    site: Site,
}

impl<'a> Shop<'a> {
    /// The shop that was read by the recipe `base`, which lies at `path`.
    pub fn new(base: &'a Recipe, path: &'a Path, read: Read, site: &Site) -> Shop<'a> {
        // Models of trials lie apart, so that they do not push out those that are served.
        let cache = site.cache.join("trials");
        let shelf = Shelf::new(&cache, false);
        Shop { base, path, read, site: Site { shelf, cache, progress: Progress::silent(), ..site.clone() } }
    }

    /// What a trial depends on besides the recipe.
    pub fn key(&self) -> Fingerprint {
        Fingerprint::of_json(&(self.read.shop.place.key, self.read.meaning.as_ref().map(|m| m.key), self.site.seed))
    }

    fn parse(&self, document: &toml::Table) -> Result<Recipe> {
        Recipe::parse(&document.to_string(), self.path)
    }

    /// One division of the past.
    fn validate(&self, recipe: &Recipe, share: f64) -> Result<Report> {
        let (shop, seed) = (&self.read.shop, self.site.seed);
        let mut division = divide(recipe, &shop.data, seed)?;
        let mut key = Fingerprint::of_json(&(shop.place.key, &division.protocol, seed));
        if share < 1.0 {
            let known = some(division.split.train.n_users(), share, seed);
            division.split.train = only(&division.split.train, &known)?;
            division.split.valid.cases.retain(|case| known[case.user.index()]);
            key = Fingerprint::of_json(&(key, share.to_bits()));
        }
        let (train, valid) = (&division.split.train, &division.split.valid);
        let (catalog, knowledge) = (&shop.data.catalog, &shop.data.knowledge);
        let lessons = Lessons { events: train, catalog, knowledge, meaning: self.read.meaning.as_ref(), key };
        let (choice, fitted) = choose(recipe, lessons, valid, &self.site)?;
        let blend = Blend::new(choice.weigh(&fitted))?;
        let mask = &recipe.evaluate.masks[0];
        let main = &recipe.evaluate.main;
        let cut = main.rsplit('@').next().and_then(|k| k.parse().ok()).unwrap_or(10);
        let config = EvalConfig {
            split: "valid".into(),
            protocol: format!("{}, {}, weights chosen on the same cases", division.protocol, mask.describe()),
            seed,
            ks: vec![cut],
            resamples: recipe.evaluate.resamples,
            auc: false,
            ..EvalConfig::default()
        };
        let counts = train.for_purpose(Purpose::Training).item_counts();
        let goods = Goods { counts: Some(&counts), vectors: None };
        let mut report = evaluate(&blend, &cases(valid, mask), &goods, &config, &mut |_, _| {})?;
        report.model = BLEND.into();
        Ok(report)
    }
}

impl Trial for Shop<'_> {
    fn main(&self) -> &str {
        &self.base.evaluate.main
    }

    fn check(&self, document: &toml::Table) -> Result<()> {
        let recipe = self.parse(document)?;
        let (new, old) = (&recipe, self.base);
        let same = (&new.data, &new.content, &new.split, &new.evaluate)
            == (&old.data, &old.content, &old.split, &old.evaluate);
        if !same {
            let message =
                "search.space: expected settings of models and blend, got one of data, content, split or evaluate";
            return Err(UserError::new(message, "what trials are measured on must be the same for all").into());
        }
        Ok(())
    }

    fn run(&self, document: &toml::Table, share: f64) -> Result<Report> {
        let turns = self.parse(document)?.turns();
        let reports = turns.iter().map(|turn| self.validate(turn, share)).collect::<Result<Vec<_>>>()?;
        if let [report] = &reports[..] {
            return Ok(report.clone());
        }
        let protocol = format!("mean of {} folds: {}", reports.len(), reports[0].protocol);
        Ok(Report::mean(protocol, &reports.iter().collect::<Vec<_>>()))
    }
}

/// Which shoppers a part of the training knows; the larger share knows all that the smaller one does.
fn some(n: usize, share: f64, seed: u64) -> Vec<bool> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.random::<f64>() < share).collect()
}

fn only(all: &Interactions, known: &[bool]) -> Result<Interactions> {
    let of = |(user, rows): (UserId, lingxi_data::Rows<'_>)| rows.iter(user).collect::<Vec<Event>>();
    let events = all.for_purpose(Purpose::Training).users().filter(|(user, _)| known[user.index()]).flat_map(of);
    Ok(Interactions::from_events(events.collect(), all.n_users(), all.n_items())?)
}
