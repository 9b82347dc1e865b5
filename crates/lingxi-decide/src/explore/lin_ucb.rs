//! Optimism over features: LinUCB (Li, Chu, Langford and Schapire 2010, arXiv 1003.0146), one model for all goods.
//!
//! A candidate with features x is valued at theta' x + alpha sqrt(x' A^-1 x); the best value is shown. So the choice is
//! certain, and a log of it judges no other policy: `floor` spreads a share of the draws evenly for that.

use super::own::Own;
use super::ridge::{Ridge, RidgeConfig};
use super::{Beliefs, Distribution, Place, peaked};
use crate::Result;
use lingxi_data::{ItemId, Lesson, Scored};
use serde::{Deserialize, Serialize};

/// Settings of [`LinUcb`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinUcbConfig {
    /// How much doubt counts, in units of the reward.
    pub alpha: f64,
    /// Strength of the prior, in lessons.
    pub ridge: f64,
    /// So many lessons later a lesson counts half; absent: nothing is forgotten.
    pub half_life: Option<f64>,
    /// Share of draws that is spread evenly over the eligible candidates.
    pub floor: f64,
    /// Lessons that "an item is as its features say" counts as, so that what single goods do beyond that is learnt too; absent: it
    /// is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own: Option<f64>,
}

impl Default for LinUcbConfig {
    fn default() -> Self {
        LinUcbConfig { alpha: 0.5, ridge: 1.0, half_life: None, floor: 0.0, own: None }
    }
}

/// The policy and what it learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinUcb {
    config: LinUcbConfig,
    model: Ridge,
    #[serde(default)]
    own: Own,
}

impl LinUcb {
    /// The policy before the first lesson.
    ///
    /// # Errors
    /// [`DecideError::Config`](crate::DecideError::Config) names what is outside its range.
    pub fn new(config: LinUcbConfig) -> Result<LinUcb> {
        super::config::at_least_zero("alpha", config.alpha)?;
        super::config::share("floor", config.floor)?;
        let LinUcbConfig { ridge, half_life, own, .. } = config;
        let model = Ridge::new(RidgeConfig { ridge, half_life })?;
        Ok(LinUcb { config, model, own: Own::new(own, half_life)? })
    }
}

impl Distribution for LinUcb {
    fn version(&self) -> String {
        let LinUcbConfig { alpha, ridge, floor, own, .. } = self.config;
        let own = own.map_or_else(String::new, |own| format!(", own {own}"));
        format!("lin-ucb({alpha}, {ridge}, {floor}{own})/1@{}", self.model.lessons())
    }

    fn beliefs(&self, scored: &Scored) -> Beliefs {
        let Some(worth) = learnt(&self.model, &self.own, scored) else {
            return Beliefs { worth: scored.scores.clone(), ..Beliefs::default() };
        };
        let mut bonus = self.model.doubt(&scored.features, scored.width());
        let alpha = self.config.alpha as f32;
        let with_own = |(b, item): (&mut f32, &ItemId)| *b = alpha * (*b * *b + self.own.of(*item).1).sqrt();
        bonus.iter_mut().zip(&scored.items).for_each(with_own);
        Beliefs { worth, bonus, draws: Vec::new() }
    }

    fn probabilities(&self, place: &Place<'_>) -> Vec<f64> {
        let bonus = |i: usize| place.beliefs.bonus.get(i).map_or(0.0, |b| place.explore as f32 * b);
        peaked(place.best_with(bonus), place.candidates.len(), self.config.floor * place.explore)
    }

    fn learn(&mut self, lessons: &[Lesson]) {
        lessons.iter().for_each(|lesson| teach(&mut self.model, &mut self.own, lesson));
    }

    fn goods(&self) -> Vec<ItemId> {
        self.own.goods()
    }

    fn rename(&mut self, to: &dyn Fn(ItemId) -> Option<ItemId>) {
        self.own.rename(to);
    }

    fn is_whole(&self) -> bool {
        self.model.is_whole() && self.own.is_whole()
    }
}

/// What `model` and `own` say of the candidates; `None` where it has nothing to go by: no features came, or of another width than it
/// learnt on.
pub(super) fn learnt(model: &Ridge, own: &Own, scored: &Scored) -> Option<Vec<f32>> {
    let width = scored.width();
    let fits = width > 0 && (model.dim() == 0 || width == model.dim());
    fits.then(|| {
        let mut worth = model.worth(&scored.features, width);
        own.add_to(scored, &mut worth);
        worth
    })
}

/// Teaches both what the other one leaves unexplained.
pub(super) fn teach(model: &mut Ridge, own: &mut Own, lesson: &Lesson) {
    let of_item = own.of(lesson.item).0;
    let of_features = model.worth(&lesson.features, lesson.features.len()).first().copied().unwrap_or(0.0);
    own.learn(lesson, of_features);
    model.learn(&lesson.features, lesson.reward - of_item, lesson.weight);
}
