//! How good are foretold probabilities?
//!
//! Probabilities of several models for the same events come in, with what came and whose each was; out go the area under the ROC
//! curve (how often one that came stands above one that did not, ties counted half) and the mean log-loss in nats, each with a
//! bootstrap interval, and of two models the interval of their difference. Whole shoppers are drawn again, since events of
//! one shopper are alike, and all models on the same draws, so that differences are paired. [`crate::calibration`] is beside it.

use crate::calibration::Foretold;
use crate::interval::{central, draw_rows};
use rayon::prelude::*;
use serde::Serialize;

/// Draws of shoppers.
const DRAWS: u64 = 1000;
/// A probability is never taken to be nearer than this to 0 or 1.
const LEAST: f64 = 1e-6;

/// A figure and its middle 95% over draws of shoppers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figure {
    /// On the events as they are.
    pub value: f64,
    /// Its interval.
    pub interval: [f64; 2],
}

/// Both figures of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sharpness {
    /// Area under the ROC curve.
    pub auc: Figure,
    /// Mean log-loss in nats.
    pub log_loss: Figure,
}

/// What each model earned, and by how much each is better or worse than the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Compared {
    /// Of each model.
    pub models: Vec<Sharpness>,
    /// Of each model less those of the first, paired.
    pub less_first: Vec<Sharpness>,
}

/// Mean log-loss; the weight of each event is how often it was drawn.
pub fn log_loss(foretold: &[Foretold]) -> f64 {
    let loss: f64 = foretold.iter().map(loss_of).sum();
    loss / foretold.len().max(1) as f64
}

/// Area under the ROC curve; a half where nothing came or nothing failed to.
pub fn auc(foretold: &[Foretold]) -> f64 {
    auc_of(&order(foretold), foretold, |_| 1)
}

/// Measures models that foretold the same events in the same order.
///
/// # Panics
/// If models differ in the number of events.
pub fn compare(models: &[Vec<Foretold>], seed: u64) -> Compared {
    let Some(first) = models.first() else { return Compared::default() };
    assert!(models.iter().all(|model| model.len() == first.len()), "compare: models foretold different events");
    let shoppers = first.iter().map(|f| f.shopper + 1).max().unwrap_or(0);
    let orders: Vec<Vec<u32>> = models.iter().map(|model| order(model)).collect();
    let losses: Vec<Vec<f64>> = models.iter().map(|model| model.iter().map(loss_of).collect()).collect();
    let draws: Vec<Vec<[f64; 2]>> = (0..DRAWS)
        .into_par_iter()
        .map(|draw| {
            let mut times = vec![0u32; shoppers];
            draw_rows(shoppers, seed, draw).into_iter().for_each(|shopper| times[shopper] += 1);
            let of = |at: usize| {
                let weight = |event: usize| times[models[at][event].shopper];
                let n: u32 = (0..first.len()).map(weight).sum();
                let loss: f64 = losses[at].iter().enumerate().map(|(i, loss)| f64::from(weight(i)) * loss).sum();
                [auc_of(&orders[at], &models[at], weight), loss / f64::from(n.max(1))]
            };
            (0..models.len()).map(of).collect()
        })
        .collect();
    let now: Vec<[f64; 2]> = models.iter().map(|model| [auc(model), log_loss(model)]).collect();
    let figure = &|at: usize, which: usize, base: Option<usize>| {
        let less = |of: &[[f64; 2]]| of[at][which] - base.map_or(0.0, |base| of[base][which]);
        let interval = central(draws.iter().map(|draw| less(draw)).collect(), 0.95).unwrap_or([less(&now); 2]);
        Figure { value: less(&now), interval }
    };
    let all =
        |base| (0..models.len()).map(move |at| Sharpness { auc: figure(at, 0, base), log_loss: figure(at, 1, base) });
    Compared { models: all(None).collect(), less_first: all(Some(0)).collect() }
}

fn loss_of(foretold: &Foretold) -> f64 {
    let p = foretold.probability.clamp(LEAST, 1.0 - LEAST);
    if foretold.came { -p.ln() } else { -(1.0 - p).ln() }
}

/// The events from the smallest probability to the greatest.
fn order(foretold: &[Foretold]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..foretold.len() as u32).collect();
    order.sort_by(|a, b| foretold[*a as usize].probability.total_cmp(&foretold[*b as usize].probability));
    order
}

fn auc_of(order: &[u32], foretold: &[Foretold], weight: impl Fn(usize) -> u32) -> f64 {
    let (mut below, mut came, mut pairs) = (0.0, 0.0, 0.0);
    for equal in order.chunk_by(|a, b| foretold[*a as usize].probability == foretold[*b as usize].probability) {
        let (mut here, mut not) = (0.0, 0.0);
        for &event in equal {
            let weight = f64::from(weight(event as usize));
            if foretold[event as usize].came { here += weight } else { not += weight }
        }
        pairs += here * (below + not / 2.0);
        below += not;
        came += here;
    }
    if below * came > 0.0 { pairs / (below * came) } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn events(rows: &[(f64, bool)]) -> Vec<Foretold> {
        let one = |(shopper, (probability, came)): (usize, &(f64, bool))| Foretold {
            shopper,
            probability: *probability,
            came: *came,
        };
        rows.iter().enumerate().map(one).collect()
    }

    #[test]
    fn the_figures_are_those_of_scikit_learn() {
        // roc_auc_score and log_loss of scikit-learn 1.5 on these rows.
        let rows = events(&[(0.1, false), (0.4, false), (0.35, true), (0.8, true), (0.4, true), (0.2, false)]);
        assert!((auc(&rows) - 0.833_333_333).abs() < 1e-9);
        assert!((log_loss(&rows) - 0.504_764_350).abs() < 1e-8, "{}", log_loss(&rows));
        assert_eq!(auc(&rows[..2]), 0.5, "nothing came");
    }

    #[test]
    fn a_model_that_knows_more_is_better_beyond_chance_and_one_against_itself_is_equal() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (mut sharp, mut dull) = (Vec::new(), Vec::new());
        for i in 0..4000 {
            let truth: f64 = rng.random::<f64>() * 0.5;
            let came = rng.random::<f64>() < truth;
            sharp.push(Foretold { shopper: i / 4, probability: truth, came });
            dull.push(Foretold { shopper: i / 4, probability: 0.125 + truth / 2.0, came });
        }
        let noise = dull.iter().map(|f| Foretold { probability: 0.25, ..*f }).collect();
        let found = compare(&[sharp.clone(), dull, noise, sharp], 3);
        assert_eq!(found.less_first[1].auc.value, 0.0, "the same order has the same area");
        assert!(found.less_first[1].log_loss.interval[0] > 0.0 && found.less_first[2].auc.interval[1] < 0.0);
        assert_eq!(found.less_first[3].log_loss, Figure::default());
        let auc = found.models[0].auc;
        assert!(auc.interval[0] < auc.value && auc.value < auc.interval[1] && auc.interval[1] - auc.interval[0] < 0.06);
        assert_eq!(found.models[2].auc.value, 0.5);
    }
}
