//! The policy of a recipe, with all that it learnt: plain data that can be saved, read back and replayed to the same bits.
//!
//! Readers share one; the learner copies it, teaches the copy and puts it in place.

use super::{
    BudgetConfig, Distribution, EpsilonGreedy, Greedy, LinUcb, NeuralThompson, Place, PolicyConfig, Softmax, SquareCb,
    Thompson, Ucb, best_first, fill,
};
use crate::{DecideError, Result};
use lingxi_data::{ItemId, Lesson, Policy, Scored, Slot, Terms};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// A policy and its budget for new interests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explorer {
    policy: Kind,
    budget: BudgetConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Greedy(Greedy),
    EpsilonGreedy(EpsilonGreedy),
    Softmax(Softmax),
    Ucb(Ucb),
    LinUcb(LinUcb),
    Thompson(Thompson),
    NeuralThompson(NeuralThompson),
    SquareCb(SquareCb),
}

impl Explorer {
    /// The policy before its first lesson, without places for new interests.
    ///
    /// # Errors
    /// [`DecideError::Config`](crate::DecideError::Config) names a parameter outside its range.
    pub fn new(config: &PolicyConfig) -> Result<Explorer> {
        let policy = match *config {
            PolicyConfig::Greedy {} => Kind::Greedy(Greedy),
            PolicyConfig::EpsilonGreedy { epsilon } => Kind::EpsilonGreedy(EpsilonGreedy::new(epsilon)?),
            PolicyConfig::Softmax { temperature } => Kind::Softmax(Softmax::new(temperature)?),
            PolicyConfig::Ucb(config) => Kind::Ucb(Ucb::new(config)?),
            PolicyConfig::LinUcb(config) => Kind::LinUcb(LinUcb::new(config)?),
            PolicyConfig::Thompson(config) => Kind::Thompson(Thompson::new(config)?),
            PolicyConfig::NeuralThompson(config) => Kind::NeuralThompson(NeuralThompson::new(config)?),
            PolicyConfig::SquareCb(config) => Kind::SquareCb(SquareCb::new(config)?),
        };
        Ok(Explorer { policy, budget: BudgetConfig::default() })
    }

    /// What [`Explorer::to_json`] wrote, bit for bit.
    ///
    /// # Errors
    /// [`DecideError::BrokenPolicy`] if it is not that, or its parts contradict each other.
    pub fn from_json(text: &str) -> Result<Explorer> {
        let read: Explorer = serde_json::from_str(text).map_err(|why| DecideError::BrokenPolicy(why.to_string()))?;
        if read.distribution().is_whole() {
            return Ok(read);
        }
        Err(DecideError::BrokenPolicy(format!("the parts of {} do not fit together", read.version())))
    }

    /// The policy and all that it learnt, as one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a policy is finite numbers under fixed names")
    }

    /// The same with places for interests that are new to the shopper.
    pub fn with_budget(self, budget: BudgetConfig) -> Explorer {
        Explorer { budget, ..self }
    }

    /// The probability of candidate `chosen` for the first place where every candidate is eligible: what a replay of somebody
    /// else's log asks.
    pub fn probability(&self, scored: &Scored, chosen: usize) -> f64 {
        let beliefs = self.distribution().beliefs(scored);
        let order = best_first(&beliefs.worth);
        let worth: Vec<f32> = order.iter().map(|&i| beliefs.worth[i]).collect();
        let place = Place { candidates: &order, worth: &worth, moved: &[], beliefs: &beliefs, explore: 1.0 };
        let mut probabilities = self.distribution().probabilities(&place);
        self.budget.mix(scored, &order, 0, 1, 1.0, &mut probabilities);
        order.iter().position(|&i| i == chosen).map_or(0.0, |at| probabilities[at])
    }

    /// The goods that it knows by their ids: what [`Explorer::rename`] must know the names of.
    pub fn goods(&self) -> Vec<ItemId> {
        self.distribution().goods()
    }

    /// Gives these goods the ids of another catalogue; those without one are forgotten.
    pub fn rename(&mut self, to: impl Fn(ItemId) -> Option<ItemId>) {
        self.distribution_mut().rename(&to);
    }

    fn distribution(&self) -> &dyn Distribution {
        match &self.policy {
            Kind::Greedy(policy) => policy,
            Kind::EpsilonGreedy(policy) => policy,
            Kind::Softmax(policy) => policy,
            Kind::Ucb(policy) => policy,
            Kind::LinUcb(policy) => policy,
            Kind::Thompson(policy) => policy,
            Kind::NeuralThompson(policy) => policy,
            Kind::SquareCb(policy) => policy,
        }
    }

    fn distribution_mut(&mut self) -> &mut dyn Distribution {
        match &mut self.policy {
            Kind::Greedy(policy) => policy,
            Kind::EpsilonGreedy(policy) => policy,
            Kind::Softmax(policy) => policy,
            Kind::Ucb(policy) => policy,
            Kind::LinUcb(policy) => policy,
            Kind::Thompson(policy) => policy,
            Kind::NeuralThompson(policy) => policy,
            Kind::SquareCb(policy) => policy,
        }
    }
}

impl Policy for Explorer {
    fn version(&self) -> String {
        match self.budget.places {
            0 => self.distribution().version(),
            places => format!("{}+new({places})", self.distribution().version()),
        }
    }

    fn choose(&self, scored: &Scored, n: usize, terms: &mut dyn Terms, rng: &mut ChaCha8Rng) -> Vec<Slot> {
        fill(self.distribution(), &self.budget, scored, n, terms, rng)
    }

    fn learn(&mut self, lessons: &[Lesson]) {
        self.distribution_mut().learn(lessons);
    }
}
