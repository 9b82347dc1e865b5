//! Which new interest follows those that a shopper has? A stand-in for asking a large language model at serving time (2405.16363).
//!
//! The paper lets a language model, tuned on real transitions, name the next interest for each set of interests, offline. Here
//! the language model's vectors carry that knowledge: ridge regression Y = X W from the mean vector of the interests that a
//! shopper had to the vector of the next novel one, so that sets never seen before are scored too. It is mixed with counted
//! transitions and with how many shoppers each interest wins, and where a table of a language model's likelihoods is given with
//! that: P(k) ~ exp(language cos(x W, c_k) + counts ln n_k + reach ln r_k + told ln l_k) over the interests that the shopper has
//! not. The weights are those that foretell a held-out fifth best.

use super::clusters::Clusters;
use crate::explore::ridge::inverse;
use lingxi_kernels::{dot, matmul_nn, matmul_tn_add};
use serde::{Deserialize, Serialize};

/// Transitions that are learnt from at most; more change nothing that can be measured.
const MOST: usize = 50_000;
/// Transitions that choose the weights at most.
const HELD: usize = 3_000;

/// How much each source counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Language vectors.
    pub language: f32,
    /// Counted transitions.
    pub counts: f32,
    /// How many shoppers an interest wins.
    pub reach: f32,
    /// A language model's own likelihoods.
    pub told: f32,
}

/// A learned model of what comes next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transitions {
    /// Row-major `[dim, dim]`.
    map: Vec<f32>,
    /// Row-major log `[k, k]`: from an interest to a next one.
    counts: Vec<f32>,
    /// Log share of novel steps that each interest wins.
    reach: Vec<f32>,
    /// Row-major log `[k, k]`, empty if no language model was asked.
    told: Vec<f32>,
    weights: Weights,
    /// How well held-out novel steps are foretold: all sources, reach alone, by chance.
    pub foretold: Foretold,
}

/// Share of held-out novel steps that were among the three likeliest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foretold {
    /// By the mix that was chosen.
    pub hit_at_3: f64,
    /// By reach alone.
    pub reach_hit_at_3: f64,
    /// Held-out steps.
    pub steps: usize,
}

/// Interests that a shopper had, and the next novel one.
struct Step {
    had: Vec<u32>,
    next: u32,
}

impl Transitions {
    /// Learns from histories of interests, each in time order. `told`: row-major log likelihoods `[k, k]` of a language model that
    /// a shopper of the row's interest turns to the column's, or empty.
    pub fn fit(clusters: &Clusters, histories: &[Vec<u32>], told: Vec<f32>) -> Transitions {
        let k = clusters.len();
        let steps: Vec<Step> = histories.iter().flat_map(|history| novel_steps(history)).take(MOST).collect();
        let (held, learnt): (Vec<_>, Vec<_>) = steps.iter().enumerate().partition(|(i, _)| i % 5 == 4);
        let held: Vec<&Step> = held.into_iter().map(|(_, step)| step).take(HELD).collect();
        let learnt: Vec<&Step> = learnt.into_iter().map(|(_, step)| step).collect();
        let (counts, reach) = counted(&learnt, k);
        let map = regress(clusters, &learnt);
        let told = if told.len() == k * k { told } else { Vec::new() };
        let mut model =
            Transitions { map, counts, reach, told, weights: Weights::default(), foretold: Foretold::default() };
        model.choose_weights(clusters, &held);
        model
    }

    /// The weights that were chosen.
    pub fn weights(&self) -> Weights {
        self.weights
    }

    /// Probability of each interest to be the shopper's next novel one; 0 for those they have (`had`, each with how much).
    pub fn next(&self, clusters: &Clusters, had: &[(u32, f32)]) -> Vec<f32> {
        let mut logits = self.mixed(&self.sources(clusters, had), self.weights);
        had.iter().for_each(|(k, _)| logits[*k as usize] = f32::NEG_INFINITY);
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if most == f32::NEG_INFINITY {
            return vec![0.0; logits.len()];
        }
        logits.iter_mut().for_each(|l| *l = (*l - most).exp());
        let sum: f32 = logits.iter().sum();
        logits.iter_mut().for_each(|p| *p /= sum);
        logits
    }

    /// What language, counts, reach and the language model say of each interest.
    fn sources(&self, clusters: &Clusters, had: &[(u32, f32)]) -> [Vec<f32>; 4] {
        let k = clusters.len();
        let x = mean_vector(clusters, had);
        let mut y = vec![0.0; clusters.dim];
        matmul_nn(&x, &self.map, &mut y, 1, clusters.dim, clusters.dim);
        let norm = dot(&y, &y).sqrt().max(1e-12);
        let language = (0..k).map(|c| dot(&y, clusters.centre(c)) / norm).collect();
        let sum: f32 = had.iter().map(|h| h.1).sum::<f32>().max(1e-12);
        let from = |table: &[f32]| -> Vec<f32> {
            let likely = |c: usize| had.iter().map(|(j, w)| w / sum * table[*j as usize * k + c].exp()).sum::<f32>();
            (0..k).map(|c| likely(c).max(1e-9).ln()).collect()
        };
        let told = if self.told.is_empty() { vec![0.0; k] } else { from(&self.told) };
        let counts = if had.is_empty() { vec![0.0; k] } else { from(&self.counts) };
        [language, counts, self.reach.clone(), if had.is_empty() { vec![0.0; k] } else { told }]
    }

    fn mixed(&self, [language, counts, reach, told]: &[Vec<f32>; 4], w: Weights) -> Vec<f32> {
        let of = |c: usize| w.language * language[c] + w.counts * counts[c] + w.reach * reach[c] + w.told * told[c];
        (0..language.len()).map(of).collect()
    }

    /// The mix that gives held-out steps the greatest likelihood.
    fn choose_weights(&mut self, clusters: &Clusters, held: &[&Step]) {
        let asked: Vec<_> = held.iter().map(|step| (self.sources(clusters, &even(&step.had)), *step)).collect();
        let reach_alone = Weights { reach: 1.0, ..Weights::default() };
        let mut best = (f64::NEG_INFINITY, reach_alone);
        let tellings: &[f32] = if self.told.is_empty() { &[0.0] } else { &[0.0, 0.25, 0.5, 1.0] };
        for language in [0.0, 2.0, 5.0, 10.0, 20.0] {
            for counts in [0.0, 0.5, 1.0] {
                for reach in [0.0, 0.5, 1.0] {
                    for &told in tellings {
                        let weights = Weights { language, counts, reach, told };
                        let sum: f64 =
                            asked.iter().map(|(s, step)| log_likelihood(&self.mixed(s, weights), step)).sum();
                        if sum > best.0 {
                            best = (sum, weights);
                        }
                    }
                }
            }
        }
        self.weights = if asked.is_empty() { reach_alone } else { best.1 };
        let hits = |weights| asked.iter().filter(|(s, step)| among_three(&self.mixed(s, weights), step)).count() as f64;
        let n = asked.len().max(1) as f64;
        self.foretold =
            Foretold { hit_at_3: hits(self.weights) / n, reach_hit_at_3: hits(reach_alone) / n, steps: asked.len() };
    }
}

fn even(had: &[u32]) -> Vec<(u32, f32)> {
    had.iter().map(|&k| (k, 1.0)).collect()
}

/// Each first time of an interest, but for the first of all.
fn novel_steps(history: &[u32]) -> Vec<Step> {
    let mut had: Vec<u32> = Vec::new();
    let mut steps = Vec::new();
    for &next in history {
        if !had.contains(&next) {
            if !had.is_empty() {
                steps.push(Step { had: had.clone(), next });
            }
            had.push(next);
        }
    }
    steps
}

fn counted(steps: &[&Step], k: usize) -> (Vec<f32>, Vec<f32>) {
    let mut reach = vec![1.0f32; k];
    steps.iter().for_each(|step| reach[step.next as usize] += 1.0);
    let sum: f32 = reach.iter().sum();
    reach.iter_mut().for_each(|r| *r /= sum);
    let mut counts = vec![0.0f32; k * k];
    for step in steps {
        let share = 1.0 / step.had.len() as f32;
        step.had.iter().for_each(|&j| counts[j as usize * k + step.next as usize] += share);
    }
    for row in counts.chunks_exact_mut(k.max(1)) {
        // Ten steps of the shop's own reach stand behind each row.
        let all = row.iter().sum::<f32>() + 10.0;
        row.iter_mut().zip(&reach).for_each(|(n, r)| *n = ((*n + 10.0 * r) / all).ln());
    }
    (counts, reach.into_iter().map(f32::ln).collect())
}

/// (X'X + ridge I)^-1 X'Y; the prior is the identity's scale of a hundred steps.
fn regress(clusters: &Clusters, steps: &[&Step]) -> Vec<f32> {
    let d = clusters.dim;
    let (mut gram, mut cross) = (vec![0.0f32; d * d], vec![0.0f32; d * d]);
    for block in steps.chunks(512) {
        let x: Vec<f32> = block.iter().flat_map(|step| mean_vector(clusters, &even(&step.had))).collect();
        let y: Vec<f32> = block.iter().flat_map(|step| clusters.centre(step.next as usize)).copied().collect();
        matmul_tn_add(&x, &x, &mut gram, d, d, block.len());
        matmul_tn_add(&x, &y, &mut cross, d, d, block.len());
    }
    let mut a: Vec<f64> = gram.into_iter().map(f64::from).collect();
    (0..d).for_each(|i| a[i * d + i] += 100.0 / d as f64 + 1e-3);
    let inverse: Vec<f32> = inverse(&a, d).into_iter().map(|v| v as f32).collect();
    let mut map = vec![0.0; d * d];
    matmul_nn(&inverse, &cross, &mut map, d, d, d);
    map
}

fn mean_vector(clusters: &Clusters, had: &[(u32, f32)]) -> Vec<f32> {
    let mut x = vec![0.0; clusters.dim];
    for (k, weight) in had {
        x.iter_mut().zip(clusters.centre(*k as usize)).for_each(|(x, c)| *x += weight * c);
    }
    let norm = dot(&x, &x).sqrt().max(1e-12);
    x.iter_mut().for_each(|x| *x /= norm);
    x
}

fn log_likelihood(logits: &[f32], step: &Step) -> f64 {
    let open = || (0..logits.len()).filter(|k| !step.had.contains(&(*k as u32)));
    let most = open().map(|k| logits[k]).fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = open().map(|k| (logits[k] - most).exp()).sum();
    f64::from(logits[step.next as usize] - most) - f64::from(sum).ln()
}

fn among_three(logits: &[f32], step: &Step) -> bool {
    let better = |k: &usize| !step.had.contains(&(*k as u32)) && logits[*k] > logits[step.next as usize];
    (0..logits.len()).filter(better).count() < 3
}
