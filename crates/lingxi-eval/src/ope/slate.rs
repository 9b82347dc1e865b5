//! What would another policy of whole lists have earned?
//!
//! Slates with the probability of each place come in: given the places above it, once by the logging and once by the
//! evaluation policy. The estimators differ in what a shopper's act at place k may depend on:
//!
//! - SIPS, on the whole slate: weight of all places (Precup et al., ICML 2000; Li et al., arXiv 1804.10488);
//! - IIPS, on the item of the place alone: weight of the place by marginal probabilities (Li et al., arXiv 1804.10488,
//!   item-position model);
//! - RIPS, on the places above and its own: product of the weights of places 1..k (McInerney et al., arXiv 2007.12986,
//!   reward interaction);
//! - cascade DR: RIPS with a model of what is still to come, sum over k of w(1..k) (r_k - Q_k(x, a)) +
//!   w(1..k-1) Q_k(x, p_e) (Kiyohara et al., arXiv 2202.01562).

use super::terms::{Columns, Terms};
use crate::{EvalError, Result};

/// Logged slates, place after place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slates {
    /// Slate `i` holds the places `starts[i]..starts[i + 1]`; one more than there are slates.
    pub starts: Vec<usize>,
    /// What came of each place.
    pub reward: Vec<f64>,
    /// Probability of the place's item by the logging policy, given the places above.
    pub logged: Vec<f64>,
    /// The same by the evaluation policy.
    pub target: Vec<f64>,
}

/// What a model says of each place: the reward still to come from this place on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// With the item that was shown.
    pub predicted: Vec<f64>,
    /// With what the evaluation policy would show, given the places above.
    pub expected: Vec<f64>,
}

impl Slates {
    /// Number of slates.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the columns fit each other and every logged probability can be divided by.
    ///
    /// # Errors
    /// The first column or place that does not.
    pub fn check(&self) -> Result<()> {
        let places = self.starts.last().copied().unwrap_or(0);
        let columns = [("rewards of places", &self.reward), ("logged", &self.logged), ("target", &self.target)];
        for (what, column) in columns {
            if column.len() != places {
                return Err(EvalError::Length { what, expected: places, got: column.len() });
            }
        }
        if self.len() < 2 {
            return Err(EvalError::Length { what: "logged slates, at least", expected: 2, got: self.len() });
        }
        if let Some(round) = self.logged.iter().position(|p| !(*p > 0.0 && *p <= 1.0)) {
            let got = self.logged[round].to_string();
            return Err(EvalError::Round { round, field: "propensity", expected: "above 0, at most 1".into(), got });
        }
        match self.target.iter().position(|p| !(0.0..=1.0).contains(p)) {
            Some(round) => {
                let got = self.target[round].to_string();
                Err(EvalError::Round { round, field: "chance", expected: "0 to 1".into(), got })
            }
            None => Ok(()),
        }
    }

    fn slates(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.starts.windows(2).map(|ends| ends[0]..ends[1])
    }

    /// The weight of places 1..=k, for each place.
    pub fn weights_so_far(&self) -> Vec<f64> {
        let mut weights = Vec::with_capacity(self.reward.len());
        for slate in self.slates() {
            let mut product = 1.0;
            for place in slate {
                product *= self.target[place] / self.logged[place];
                weights.push(product);
            }
        }
        weights
    }

    /// Slates as rounds of their own: the weight of the whole slate and what it earned.
    pub fn whole(&self) -> Columns {
        let so_far = self.weights_so_far();
        let weight = self.slates().map(|slate| slate.last().map_or(1.0, |last| so_far[last])).collect();
        let reward = self.slates().map(|slate| self.reward[slate].iter().sum()).collect();
        Columns { weight, reward, predicted: vec![0.0; self.len()], expected: vec![0.0; self.len()] }
    }

    /// Adds up a number of each place over its slate.
    fn sums(&self, of_place: impl Fn(usize) -> f64) -> Vec<f64> {
        self.slates().map(|slate| slate.map(&of_place).sum()).collect()
    }
}

/// The terms of SIPS, one per slate.
pub fn standard(slates: &Slates) -> Terms {
    super::weighting::ips(&slates.whole(), f64::INFINITY)
}

/// The terms of IIPS; here `logged` and `target` must be marginal probabilities of the item at its place.
pub fn independent(slates: &Slates) -> Terms {
    weighted(slates, |place| slates.target[place] / slates.logged[place] * slates.reward[place])
}

/// The terms of RIPS.
pub fn reward_interaction(slates: &Slates) -> Terms {
    let weights = slates.weights_so_far();
    weighted(slates, |place| weights[place] * slates.reward[place])
}

/// The terms of cascade DR.
pub fn cascade_dr(slates: &Slates, outlook: &Outlook) -> Terms {
    let weights = slates.weights_so_far();
    let first = |place: usize| slates.starts.binary_search(&place).is_ok();
    let above = |place: usize| if first(place) { 1.0 } else { weights[place - 1] };
    Terms {
        base: slates.sums(|place| above(place) * outlook.expected[place]),
        correction: slates.sums(|place| weights[place] * (slates.reward[place] - outlook.predicted[place])),
        norm: None,
    }
}

fn weighted(slates: &Slates, of_place: impl Fn(usize) -> f64) -> Terms {
    Terms { base: vec![0.0; slates.len()], correction: slates.sums(of_place), norm: None }
}
