//! Draws by the gap to the best: SquareCB (Foster and Rakhlin 2020, arXiv 2002.04926).
//!
//! Regression says what each of K eligible candidates is worth, y. All but the best get P(i) = 1 / (K + g (y_best - y_i)), the
//! best gets the rest; g = gamma t^exponent grows with the lessons t, so that exploring fades as knowledge grows. The
//! probabilities are exact and none is zero: every log of it can judge other policies.

use super::lin_ucb::{learnt, teach};
use super::own::Own;
use super::ridge::{Ridge, RidgeConfig};
use super::{Beliefs, Distribution, Place, peaked};
use crate::Result;
use lingxi_data::{ItemId, Lesson, Scored};
use serde::{Deserialize, Serialize};

/// Settings of [`SquareCb`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SquareCbConfig {
    /// Greater explores less, from the first lesson on.
    pub gamma: f64,
    /// How fast exploring fades.
    pub exponent: f64,
    /// Strength of the prior, in lessons.
    pub ridge: f64,
    /// So many lessons later a lesson counts half; absent: nothing is forgotten.
    pub half_life: Option<f64>,
    /// Lessons that "an item is as its features say" counts as, so that what single goods do beyond that is learnt too; absent: it
    /// is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own: Option<f64>,
}

impl Default for SquareCbConfig {
    fn default() -> Self {
        SquareCbConfig { gamma: 100.0, exponent: 0.5, ridge: 1.0, half_life: None, own: None }
    }
}

/// The policy and what it learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SquareCb {
    config: SquareCbConfig,
    model: Ridge,
    #[serde(default)]
    own: Own,
}

impl SquareCb {
    /// The policy before the first lesson.
    ///
    /// # Errors
    /// [`DecideError::Config`](crate::DecideError::Config) names what is outside its range.
    pub fn new(config: SquareCbConfig) -> Result<SquareCb> {
        super::config::at_least_zero("gamma", config.gamma)?;
        super::config::at_least_zero("exponent", config.exponent)?;
        let SquareCbConfig { ridge, half_life, own, .. } = config;
        let model = Ridge::new(RidgeConfig { ridge, half_life })?;
        Ok(SquareCb { config, model, own: Own::new(own, half_life)? })
    }
}

impl Distribution for SquareCb {
    fn version(&self) -> String {
        let SquareCbConfig { gamma, exponent, ridge, own, .. } = self.config;
        let own = own.map_or_else(String::new, |own| format!(", own {own}"));
        format!("square-cb({gamma}, {exponent}, {ridge}{own})/1@{}", self.model.lessons())
    }

    fn beliefs(&self, scored: &Scored) -> Beliefs {
        let worth = learnt(&self.model, &self.own, scored).unwrap_or_else(|| scored.scores.clone());
        Beliefs { worth, ..Beliefs::default() }
    }

    fn probabilities(&self, place: &Place<'_>) -> Vec<f64> {
        let n = place.worth.len();
        if place.explore == 0.0 {
            return peaked(0, n, 0.0);
        }
        let g = self.config.gamma * (self.model.lessons() as f64).powf(self.config.exponent) / place.explore;
        let best = f64::from(place.worth[0]);
        let share = |worth: &f32| {
            let gap = best - f64::from(*worth);
            // What is no number, or infinitely far away, has no share while the best is a number.
            if gap.is_finite() { 1.0 / (n as f64 + g * gap) } else { 0.0 }
        };
        let mut out: Vec<f64> = place.worth.iter().map(share).collect();
        out[0] = 0.0;
        out[0] = 1.0 - out.iter().sum::<f64>();
        out
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
