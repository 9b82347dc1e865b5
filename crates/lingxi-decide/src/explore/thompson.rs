//! Draws what it believes: linear Thompson sampling (Thompson 1933; Agrawal and Goyal 2013, arXiv 1209.3352).
//!
//! Each of `draws` coefficient vectors theta_m ~ N(theta, scale^2 A^-1) has a favourite among the eligible candidates; a
//! candidate's probability is its share of favourites, mixed with `floor`. The vectors come from a seeded stream that only
//! moves on with lessons, so between two lessons the shares are fixed numbers and the propensity is exact, not estimated;
//! as `draws` grows the policy becomes textbook Thompson sampling, whose probabilities have no closed form.

use super::lin_ucb::{learnt, teach};
use super::own::Own;
use super::ridge::{Ridge, RidgeConfig};
use super::{Beliefs, Distribution, Place, peaked};
use crate::{DecideError, Result};
use lingxi_data::{ItemId, Lesson, Scored};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Settings of [`Thompson`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThompsonConfig {
    /// Standard deviation of the noise of a reward: greater explores more.
    pub scale: f64,
    /// Coefficient vectors that vote for each place, at most 1024.
    pub draws: usize,
    /// Strength of the prior, in lessons.
    pub ridge: f64,
    /// So many lessons later a lesson counts half; absent: nothing is forgotten.
    pub half_life: Option<f64>,
    /// Share of draws that is spread evenly over the eligible candidates.
    pub floor: f64,
    /// Seed of the stream of coefficient vectors.
    pub seed: u64,
    /// Lessons that "an item is as its features say" counts as, so that what single goods do beyond that is learnt too; absent: it
    /// is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own: Option<f64>,
}

impl Default for ThompsonConfig {
    fn default() -> Self {
        ThompsonConfig { scale: 0.2, draws: 64, ridge: 1.0, half_life: None, floor: 0.01, seed: 1, own: None }
    }
}

impl ThompsonConfig {
    pub(super) fn check(&self) -> Result<RidgeConfig> {
        super::config::at_least_zero("scale", self.scale)?;
        super::config::share("floor", self.floor)?;
        if !(1..=1024).contains(&self.draws) {
            let got = self.draws.to_string();
            return Err(DecideError::Config { what: "draws", expected: "1 to 1024", got });
        }
        Ok(RidgeConfig { ridge: self.ridge, half_life: self.half_life })
    }

    /// What each draw says of each row of features, and what is expected of them, as `model` knows.
    pub(super) fn beliefs(&self, model: &Ridge, features: &[f32], width: usize, worth: Vec<f32>) -> Beliefs {
        if model.dim() == 0 {
            return Beliefs { worth, ..Beliefs::default() };
        }
        let stream = self.seed ^ model.lessons().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = normals(self.draws * width, &mut ChaCha8Rng::seed_from_u64(stream));
        let mut theta = model.deviations(&z);
        theta.iter_mut().for_each(|t| *t *= self.scale as f32);
        let mut draws = vec![0.0; self.draws * worth.len()];
        lingxi_kernels::matmul_nt(&theta, features, &mut draws, self.draws, worth.len(), width);
        Beliefs { worth, bonus: Vec::new(), draws }
    }

    /// Each draw votes for its favourite; no draws, one vote for the best.
    pub(super) fn probabilities(&self, place: &Place<'_>) -> Vec<f64> {
        let n = place.candidates.len();
        let floor = self.floor * place.explore;
        let beliefs = place.beliefs;
        if beliefs.draws.is_empty() || place.explore == 0.0 {
            return peaked(0, n, floor);
        }
        let mut out = vec![floor / n as f64; n];
        let vote = (1.0 - floor) / self.draws as f64;
        for draw in beliefs.draws.chunks_exact(beliefs.worth.len()) {
            out[place.best_with(|i| place.explore as f32 * draw[i])] += vote;
        }
        out
    }
}

/// Standard normal numbers (Box and Muller 1958).
pub(super) fn normals(n: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut out = Vec::with_capacity(n + 1);
    while out.len() < n {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
        out.extend([(radius * cos) as f32, (radius * sin) as f32]);
    }
    out.truncate(n);
    out
}

/// The policy and what it learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thompson {
    config: ThompsonConfig,
    model: Ridge,
    #[serde(default)]
    own: Own,
}

impl Thompson {
    /// The policy before the first lesson.
    ///
    /// # Errors
    /// [`DecideError::Config`] names what is outside its range.
    pub fn new(config: ThompsonConfig) -> Result<Thompson> {
        Ok(Thompson { config, model: Ridge::new(config.check()?)?, own: Own::new(config.own, config.half_life)? })
    }
}

impl Thompson {
    /// Adds to each draw what each item might be worth beyond its features. An item's numbers are its own until the next lesson,
    /// whatever stands beside it, so that propensities stay exact.
    fn draw_own(&self, items: &[ItemId], draws: &mut [f32]) {
        if self.config.own.is_none() {
            return;
        }
        for (at, item) in items.iter().enumerate() {
            let stream =
                self.config.seed ^ (self.model.lessons() << 32) ^ u64::from(item.0).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let deviation = self.config.scale as f32 * self.own.of(*item).1.sqrt();
            let z = normals(self.config.draws, &mut ChaCha8Rng::seed_from_u64(stream));
            draws.chunks_exact_mut(items.len().max(1)).zip(z).for_each(|(draw, z)| draw[at] += deviation * z);
        }
    }
}

impl Distribution for Thompson {
    fn version(&self) -> String {
        let ThompsonConfig { scale, draws, ridge, floor, seed, own, .. } = self.config;
        let own = own.map_or_else(String::new, |own| format!(", own {own}"));
        format!("thompson({scale}, {draws}, {ridge}, {floor}, {seed}{own})/1@{}", self.model.lessons())
    }

    fn beliefs(&self, scored: &Scored) -> Beliefs {
        match learnt(&self.model, &self.own, scored) {
            Some(worth) => {
                let mut beliefs = self.config.beliefs(&self.model, &scored.features, scored.width(), worth);
                self.draw_own(&scored.items, &mut beliefs.draws);
                beliefs
            }
            None => Beliefs { worth: scored.scores.clone(), ..Beliefs::default() },
        }
    }

    fn probabilities(&self, place: &Place<'_>) -> Vec<f64> {
        self.config.probabilities(place)
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
        self.model.is_whole() && self.own.is_whole() && self.config.check().is_ok()
    }
}
