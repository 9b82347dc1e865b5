//! Which settings are worth trying next? A space of settings and what earlier trials earned come in, the next trial goes out.
//!
//! - random: the honest yardstick
//! - TPE (Bergstra et al., NeurIPS 2011): where did the good trials lie, and the others did not?
//! - successive halving (Jamieson and Talwalkar, AISTATS 2016): many trials with a little, the best third with more, and so on
//!
//! Nothing is hidden: what is suggested follows from the seed and what was told, so a search that was killed goes on from the list of
//! its trials. Points are kept as numbers from 0 to 1, one per setting, and [`Dimension::at`] says what they mean.

use crate::space::Dimension;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

mod parzen;

/// How the next trial is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Blindly.
    Random,
    /// Where good trials are denser than the others.
    #[default]
    Tpe,
    /// Randomly, but most trials are ended early.
    Halving,
}

/// How long is searched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// How the next trial is chosen.
    pub method: Method,
    /// Different settings that are tried.
    pub trials: usize,
    /// At most so much is spent, in whole trainings: a trial with a third of the training costs a third.
    pub budget: f64,
    /// Halving: one in so many goes on, with so many times the training.
    pub keep: usize,
    /// Halving: the smallest share of the training that says anything.
    pub least: f64,
    /// Seed of every draw.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Plan { method: Method::Tpe, trials: 20, budget: f64::MAX, keep: 3, least: 1.0 / 9.0, seed: 1 }
    }
}

impl Plan {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The key, what was expected and what came.
    pub fn check(&self) -> Result<(), String> {
        let checks = [
            ("trials", (1..=10_000).contains(&self.trials), "1 to 10000", self.trials.to_string()),
            ("budget", self.budget > 0.0, "a number above 0", self.budget.to_string()),
            ("keep", (2..=100).contains(&self.keep), "2 to 100", self.keep.to_string()),
            ("least", self.least > 0.0 && self.least <= 1.0, "a share above 0, at most 1", self.least.to_string()),
        ];
        let wrong = checks.into_iter().find(|(_, good, ..)| !good);
        wrong.map_or(Ok(()), |(key, _, expected, got)| Err(format!("{key}: expected {expected}, got {got}")))
    }

    /// Halving: how many trials run with which share of the training, smallest share first. Otherwise all with all of it.
    pub fn rungs(&self) -> Vec<(usize, f64)> {
        if self.method != Method::Halving {
            return vec![(self.trials, 1.0)];
        }
        let keep = self.keep.max(2);
        let mut sizes = vec![self.trials];
        let mut share = 1.0 / keep as f64;
        // The tolerance lets 1 / 9 be two thirds of thirds, whatever rounding says.
        while sizes[sizes.len() - 1] >= keep && share >= self.least * (1.0 - 1e-9) {
            sizes.push(sizes[sizes.len() - 1] / keep);
            share /= keep as f64;
        }
        let last = sizes.len() - 1;
        let share = |rung: usize| (keep as f64).powi(rung as i32 - last as i32);
        sizes.into_iter().enumerate().map(|(rung, n)| (n, share(rung))).collect()
    }
}

/// A trial to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suggestion {
    /// Which settings, counted from 0: the same ones come again with a larger share.
    pub arm: usize,
    /// One number from 0 to 1 per setting.
    pub point: Vec<f64>,
    /// Share of the whole training.
    pub share: f64,
}

/// A trial that was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// What was run.
    pub trial: Suggestion,
    /// What it earned, the more the better; `None` if it failed, which is worse than anything.
    pub score: Option<f64>,
}

impl Told {
    fn worth(&self) -> f64 {
        self.score.filter(|score| !score.is_nan()).unwrap_or(f64::NEG_INFINITY)
    }
}

/// A search under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    space: Vec<Dimension>,
    plan: Plan,
    told: Vec<Told>,
}

impl Search {
    /// A search that has tried nothing, or goes on from what it was told before.
    pub fn new(space: Vec<Dimension>, plan: Plan, told: Vec<Told>) -> Search {
        Search { space, plan, told }
    }

    /// What was tried so far, in order.
    pub fn told(&self) -> &[Told] {
        &self.told
    }

    /// Trainings spent so far.
    pub fn spent(&self) -> f64 {
        self.told.iter().map(|told| told.trial.share).sum()
    }

    /// Trials in all, if the budget lasts.
    pub fn total(&self) -> usize {
        self.plan.rungs().iter().map(|(n, _)| n).sum()
    }

    /// The next trial; `None` when all were run or the budget is spent. Asked twice without being told, it says the same.
    pub fn suggest(&self) -> Option<Suggestion> {
        let next = match self.plan.method {
            Method::Halving => self.next_of_rungs()?,
            _ if self.told.len() >= self.plan.trials => return None,
            Method::Random => self.fresh(self.told.len(), 1.0),
            Method::Tpe => Suggestion {
                arm: self.told.len(),
                point: parzen::next(&self.space, &self.told, self.plan.trials, self.stream(self.told.len())),
                share: 1.0,
            },
        };
        (self.spent() + next.share <= self.plan.budget + 1e-9).then_some(next)
    }

    /// What a suggested trial earned.
    pub fn tell(&mut self, trial: Suggestion, score: Option<f64>) {
        self.told.push(Told { trial, score });
    }

    /// The best trial: of those with the largest share of the training the one with the highest score, the first of equals.
    pub fn best(&self) -> Option<&Told> {
        let done = self.told.iter().filter(|told| told.worth().is_finite());
        done.reduce(|best, told| {
            let better = (told.trial.share, told.worth()) > (best.trial.share, best.worth());
            if better { told } else { best }
        })
    }

    fn stream(&self, number: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed);
        rng.set_stream(number as u64);
        rng
    }

    fn fresh(&self, arm: usize, share: f64) -> Suggestion {
        let mut rng = self.stream(arm);
        Suggestion { arm, point: self.space.iter().map(|_| rng.random()).collect(), share }
    }

    /// The first trial of the first rung that is not full; the best of a full rung go on.
    fn next_of_rungs(&self) -> Option<Suggestion> {
        let mut before = 0;
        let mut standing: Vec<usize> = (0..self.plan.trials).collect();
        for (n, share) in self.plan.rungs() {
            let run = &self.told[before..(before + n).min(self.told.len())];
            standing.truncate(n);
            if run.len() < n {
                return Some(self.fresh(standing[run.len()], share));
            }
            let mut order: Vec<&Told> = run.iter().collect();
            order.sort_by(|a, b| b.worth().total_cmp(&a.worth()).then(a.trial.arm.cmp(&b.trial.arm)));
            standing = order.iter().map(|told| told.trial.arm).collect();
            before += n;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn space() -> Vec<Dimension> {
        let parse = |json: &str| serde_json::from_str(json).unwrap();
        vec![
            parse(r#"{"from": 1e-5, "to": 1.0, "scale": "log"}"#),
            parse(r#"{"from": -1.0, "to": 1.0}"#),
            parse(r#"{"choice": ["a", "b", "c", "d"]}"#),
        ]
    }

    /// One narrow hill: rate 1e-3, the number 0.5, choice "c".
    fn hill(space: &[Dimension], point: &[f64]) -> f64 {
        let of = |i: usize| space[i].at(point[i]);
        let rate = (of(0).as_f64().unwrap().log10() + 3.0) / 5.0;
        let number = (of(1).as_f64().unwrap() - 0.5) / 2.0;
        -rate * rate - number * number - if of(2) == "c" { 0.0 } else { 0.1 }
    }

    fn best_of(method: Method, trials: usize, seed: u64) -> f64 {
        let mut search = Search::new(space(), Plan { method, trials, seed, ..Plan::default() }, Vec::new());
        while let Some(trial) = search.suggest() {
            let score = hill(&space(), &trial.point);
            search.tell(trial, Some(score));
        }
        assert_eq!(search.told().len(), trials);
        search.best().unwrap().score.unwrap()
    }

    #[test]
    fn tpe_finds_a_better_hill_top_than_chance_in_the_median_of_twenty_seeds() {
        let median = |method| {
            let mut found: Vec<f64> = (0..20).map(|seed| best_of(method, 50, seed)).collect();
            found.sort_by(f64::total_cmp);
            f64::midpoint(found[9], found[10])
        };
        let (tpe, random) = (median(Method::Tpe), median(Method::Random));
        println!("median distance from the top: TPE {:.5}, random {:.5}", -tpe, -random);
        assert!(tpe > random / 2.0, "TPE {tpe}, random {random}");
    }

    #[test]
    fn halving_keeps_the_best_settings_where_more_training_never_changes_the_order() {
        for seed in 0..20 {
            let plan = Plan { method: Method::Halving, trials: 27, seed, ..Plan::default() };
            assert_eq!(plan.rungs(), [(27, 1.0 / 9.0), (9, 1.0 / 3.0), (3, 1.0)]);
            let mut search = Search::new(space(), plan, Vec::new());
            while let Some(trial) = search.suggest() {
                let score = hill(&space(), &trial.point) - (1.0 - trial.share);
                search.tell(trial, Some(score));
            }
            let arms = || (0..27).map(|arm| search.fresh(arm, 1.0));
            let top = arms().map(|arm| hill(&space(), &arm.point)).fold(f64::MIN, f64::max);
            assert_eq!(search.best().unwrap().score, Some(top));
            assert!((search.spent() - 9.0).abs() < 1e-9, "a third of 27 whole trainings: {}", search.spent());
        }
    }

    #[test]
    fn a_budget_ends_the_search_and_failed_trials_are_never_the_best() {
        let plan = Plan { method: Method::Random, budget: 5.0, ..Plan::default() };
        let mut search = Search::new(space(), plan, Vec::new());
        while let Some(trial) = search.suggest() {
            let score = (trial.arm == 3).then_some(-7.0);
            search.tell(trial, score);
        }
        assert_eq!((search.told().len(), search.best().unwrap().trial.arm), (5, 3));
        assert!(Plan { trials: 0, ..plan }.check().unwrap_err().contains("trials: expected 1 to 10000, got 0"));
    }

    proptest! {
        #[test]
        fn a_search_that_was_killed_goes_on_as_if_it_had_not_been(
            trials in 1usize..40, killed in 0usize..40, seed in 0u64..99, method in 0usize..3, fails in 2usize..9,
        ) {
            let method = [Method::Random, Method::Tpe, Method::Halving][method];
            let plan = Plan { method, trials, seed, ..Plan::default() };
            let run = |mut search: Search, until: usize| {
                while let Some(trial) = search.suggest().filter(|_| search.told().len() < until) {
                    assert!(trial.point.iter().all(|u| (0.0..=1.0).contains(u)), "{trial:?}");
                    let score = (!trial.arm.is_multiple_of(fails)).then(|| hill(&space(), &trial.point));
                    search.tell(trial, score);
                }
                search
            };
            let whole = run(Search::new(space(), plan, Vec::new()), usize::MAX);
            let half = run(Search::new(space(), plan, Vec::new()), killed);
            let kept: Search = serde_json::from_str(&serde_json::to_string(&half).unwrap()).unwrap();
            prop_assert_eq!(run(kept, usize::MAX), whole.clone());
            prop_assert_eq!(whole.told().len(), whole.total());
        }
    }
}
