//! Several models as one: a weighted sum with constants, chosen on validation.
//!
//! `score(u, i) = sum over models m of weight(m) * score_m(u, i)`. Every model is of a magnitude around one by a constant of
//! its own, so the weights depend on neither shopper nor candidates, and the contributions of the parts, scaled, add up
//! to the score exactly. Cost: the sum of the parts.
//!
//! [`choose_weights`] maximises mean NDCG@k by coordinate search over a small grid. Scores of all models for all cases do
//! not fit in memory (2,469 shoppers x 92,000 items x 4 models is 3.6 GB), so each case keeps the union of every model's
//! best candidates and of the relevant items, and NDCG is computed within it. An item outside of every model's best is
//! taken never to enter the top k of a blend. Where a published protocol ranks among drawn items, `negatives` draws as many for
//! each case, and NDCG is computed among those.

use crate::error::{BehaviourError, Result, require};
use crate::long_tail::LongTail;
use lingxi_data::{Context, Contribution, ItemId, Score};
use lingxi_kernels::top_k;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Contexts whose full rows are held at once while models are added up or cases are collected.
const CHUNK: usize = 32;

/// Fitted models and their weights.
#[derive(Clone)]
pub struct Blend {
    parts: Vec<(Arc<dyn Score>, f32)>,
    n_items: usize,
}

impl Blend {
    /// Puts models together. A part of weight zero is kept out of scoring altogether.
    ///
    /// # Errors
    /// [`BehaviourError::Input`] if there is no model or they know different numbers of items;
    /// [`BehaviourError::Config`] if a weight is not finite.
    pub fn new(parts: Vec<(Arc<dyn Score>, f32)>) -> Result<Blend> {
        let n_items = same_items(parts.iter().map(|(model, _)| model.as_ref()))?;
        for (_, weight) in &parts {
            require(weight.is_finite(), "blend.weight", "a finite number", weight)?;
        }
        Ok(Blend { parts: parts.into_iter().filter(|(_, weight)| *weight != 0.0).collect(), n_items })
    }

    /// The parts that count, with their weights.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = (&dyn Score, f32)> {
        self.parts.iter().map(|(model, weight)| (model.as_ref(), *weight))
    }

    /// Adds each part's scores, as `of` computes them into a buffer of the length of `out`.
    fn add_up(&self, out: &mut [f32], mut of: impl FnMut(&dyn Score, &mut [f32])) {
        let mut part = vec![0.0; out.len()];
        out.fill(0.0);
        for (model, weight) in self.parts() {
            of(model, &mut part);
            out.iter_mut().zip(&part).for_each(|(sum, score)| *sum += weight * score);
        }
    }
}

fn same_items<'a>(mut models: impl Iterator<Item = &'a dyn Score>) -> Result<usize> {
    let input = |expected: String, got: String| BehaviourError::Input {
        operation: "blend models",
        expected,
        got,
        remedy: "fit all parts on one catalogue",
    };
    let n = models.next().ok_or_else(|| input("at least one model".into(), "none".into()))?.n_items();
    match models.find(|m| m.n_items() != n) {
        None => Ok(n),
        Some(m) => Err(input(format!("models of {n} items"), format!("{} of {}", m.name(), m.n_items()))),
    }
}

impl Score for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn n_items(&self) -> usize {
        self.n_items
    }

    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        self.add_up(out, |model, part| model.score(context, items, part));
    }

    fn score_all(&self, contexts: &[Context<'_>], out: &mut [f32]) {
        let n = self.n_items.max(1);
        for (contexts, out) in contexts.chunks(CHUNK).zip(out.chunks_mut(CHUNK * n)) {
            self.add_up(out, |model, part| model.score_all(contexts, part));
        }
    }

    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        let scaled = |(model, weight): (&dyn Score, f32)| {
            let parts = model.contributions(context, item).into_iter();
            parts.map(move |c| Contribution { value: weight * c.value, ..c }).collect::<Vec<_>>()
        };
        self.parts().flat_map(scaled).collect()
    }
}

/// What the weights are chosen for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeightSearch {
    /// NDCG is cut here; default 10.
    pub k: usize,
    /// How many best candidates of each model join the union of a case; default 200.
    pub candidates: usize,
    /// The weights tried for one model while the others stay; default a rough geometric grid from 0 to 4.
    pub grid: Vec<f32>,
    /// At most so many passes over the models; default 4.
    pub rounds: usize,
    /// So many items drawn at random stand for all others; default none: everything is ranked. For protocols that do so.
    pub negatives: Option<usize>,
    /// Seed of the draw; default 1.
    pub seed: u64,
    /// Lift rare goods until they have the share of the places that they have of what is taken; default no.
    pub long_tail: bool,
}

impl Default for WeightSearch {
    fn default() -> Self {
        WeightSearch {
            k: 10,
            candidates: 200,
            grid: vec![0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 4.0],
            rounds: 4,
            negatives: None,
            seed: 1,
            long_tail: false,
        }
    }
}

/// One shopper of the validation part.
#[derive(Clone, Copy, Debug)]
pub struct ValidationCase<'a> {
    /// Who asks, with the history before the held-out events.
    pub context: Context<'a>,
    /// The held-out items.
    pub relevant: &'a [ItemId],
    /// Items that are not ranked (those seen before, where repeats are not wanted).
    pub hidden: &'a [ItemId],
}

/// Weights, and the mean NDCG@k that they reached on validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChosenWeights {
    /// One weight per model, summing to one.
    pub weights: Vec<f32>,
    /// Mean NDCG@k over the cases, within each case's candidates.
    pub ndcg: f64,
    /// The same for each model alone.
    pub alone: Vec<f64>,
}

/// Chooses one weight per model for the largest mean NDCG@k over `cases`. Starts from the best model alone, so the result
/// is at least as good as each model on these cases; ties keep the earlier choice. Memory: about
/// `models^2 * candidates * 4` bytes a case.
///
/// # Errors
/// [`BehaviourError::Input`] if there are no cases or no models, or if the models know different numbers of items;
/// [`BehaviourError::Config`] for an empty grid or `k = 0`.
pub fn choose_weights(
    models: &[Arc<dyn Score>],
    cases: &[ValidationCase<'_>],
    search: &WeightSearch,
) -> Result<ChosenWeights> {
    require(search.k > 0 && search.candidates >= search.k, "blend.k", "1 <= k <= candidates", search.k)?;
    require(!search.grid.is_empty(), "blend.grid", "at least one weight", "none")?;
    let n = same_items(models.iter().map(AsRef::as_ref))?;
    if cases.is_empty() {
        return Err(BehaviourError::Input {
            operation: "choose blend weights",
            expected: "at least one validation case".into(),
            got: "none".into(),
            remedy: "hold out more events for validation, or give the weights in the recipe",
        });
    }
    let tables = tables(models, cases, search, n);
    let metric = |weights: &[f32]| {
        // No model at all would leave the order of ids, which may know what is popular.
        if weights.iter().all(|weight| *weight == 0.0) {
            return f64::NEG_INFINITY;
        }
        // Summed in the order of the cases, so that the result does not depend on the number of threads.
        let each: Vec<f64> = tables.par_iter().map(|t| t.ndcg(weights, search.k)).collect();
        each.iter().sum::<f64>() / each.len() as f64
    };
    let alone: Vec<f64> = (0..models.len()).map(|m| metric(&unit(models.len(), m))).collect();
    let best = (0..models.len()).rev().max_by(|&a, &b| alone[a].total_cmp(&alone[b])).unwrap_or(0);
    let (mut weights, ndcg) = coordinate_search(unit(models.len(), best), &search.grid, search.rounds, metric);
    let total: f32 = weights.iter().sum();
    if total > 0.0 {
        weights.iter_mut().for_each(|w| *w /= total);
    }
    Ok(ChosenWeights { weights, ndcg, alone })
}

/// How rare goods are lifted, and the share of the places that they had without it, have with it, and should have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailLift {
    /// What is added to the score of each rare item.
    pub lift: f32,
    /// Their share of the first `k` places without a lift.
    pub before: f64,
    /// With it.
    pub after: f64,
    /// Their share of what is taken.
    pub taken: f64,
}

/// No lift is larger than this; scores are around one.
const MOST_LIFT: f32 = 8.0;
/// Halvings of the range of lifts: down to the precision of scores.
const HALVINGS: usize = 24;

/// The lift with which rare goods have the share of the first `k` places that they have of the relevant items of `cases`.
/// `parts` are the models of the blend with their weights; `tail` says which goods are rare.
///
/// # Errors
/// [`BehaviourError::Input`] if there is no model or they know different numbers of items.
pub fn calibrate_tail(
    parts: &[(Arc<dyn Score>, f32)],
    tail: &LongTail,
    cases: &[ValidationCase<'_>],
    search: &WeightSearch,
) -> Result<TailLift> {
    let mut models: Vec<Arc<dyn Score>> = parts.iter().map(|(model, _)| model.clone()).collect();
    models.push(Arc::new(tail.lifted(1.0)));
    let n = same_items(models.iter().map(AsRef::as_ref))?;
    let tables = tables(&models, cases, search, n);
    let weights: Vec<f32> = parts.iter().map(|(_, weight)| *weight).chain([0.0]).collect();
    let shown = |lift: f32| {
        let weights = [&weights[..parts.len()], &[lift]].concat();
        let counts: Vec<(usize, usize)> =
            tables.par_iter().map(|table| table.rare_places(&weights, search.k)).collect();
        let (rare, all) = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        rare as f64 / all.max(1) as f64
    };
    let relevant = || cases.iter().flat_map(|case| case.relevant);
    let taken = relevant().filter(|item| tail.is_rare(**item)).count() as f64 / relevant().count().max(1) as f64;
    // The share of rare goods grows with the lift.
    let (mut low, mut high) = (-MOST_LIFT, MOST_LIFT);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if shown(middle) < taken { low = middle } else { high = middle }
    }
    Ok(TailLift { lift: high, before: shown(0.0), after: shown(high), taken })
}

fn unit(n: usize, at: usize) -> Vec<f32> {
    let mut weights = vec![0.0; n];
    weights[at] = 1.0;
    weights
}

/// Maximises `metric` from `start` by trying each value of `grid` for one coordinate after the other, until a pass changes
/// nothing or `rounds` passes are done. Returns the best point and its metric; a tie keeps the earlier point.
pub fn coordinate_search(
    start: Vec<f32>,
    grid: &[f32],
    rounds: usize,
    metric: impl Fn(&[f32]) -> f64,
) -> (Vec<f32>, f64) {
    let (mut best, mut value) = (start.clone(), metric(&start));
    for _ in 0..rounds {
        let before = best.clone();
        for coordinate in 0..best.len() {
            for &step in grid {
                let mut point = best.clone();
                point[coordinate] = step;
                let reached = metric(&point);
                if reached > value {
                    (best, value) = (point, reached);
                }
            }
        }
        if best == before {
            break;
        }
    }
    (best, value)
}

/// The candidates of one case: row-major `scores[candidates, models]`, and which of them are relevant.
struct CaseTable {
    models: usize,
    scores: Vec<f32>,
    relevant: Vec<bool>,
}

impl CaseTable {
    /// How many of the first `k` places are of rare goods, and how many there are; the last model knows rare goods.
    fn rare_places(&self, weights: &[f32], k: usize) -> (usize, usize) {
        let ranked = top_k(&self.weighed(weights), k);
        let rare = |place: &&(u32, f32)| self.scores[(place.0 as usize + 1) * self.models - 1] > 0.0;
        (ranked.iter().filter(rare).count(), ranked.len())
    }

    fn weighed(&self, weights: &[f32]) -> Vec<f32> {
        let blend = |row: &[f32]| row.iter().zip(weights).map(|(s, w)| s * w).sum::<f32>();
        self.scores.chunks(self.models).map(blend).collect()
    }

    fn ndcg(&self, weights: &[f32], k: usize) -> f64 {
        let scores = self.weighed(weights);
        let discount = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
        let ranked = top_k(&scores, k);
        let gain = ranked.iter().enumerate().filter(|(_, (i, _))| self.relevant[*i as usize]);
        let ideal: f64 = (0..self.relevant.iter().filter(|r| **r).count().min(k)).map(discount).sum();
        if ideal == 0.0 { 0.0 } else { gain.map(|(rank, _)| discount(rank)).sum::<f64>() / ideal }
    }
}

/// The tables of all cases, over `n` items.
fn tables(models: &[Arc<dyn Score>], cases: &[ValidationCase<'_>], search: &WeightSearch, n: usize) -> Vec<CaseTable> {
    match search.negatives {
        None => cases.chunks(CHUNK).flat_map(|chunk| collect_chunk(models, chunk, n, search.candidates)).collect(),
        Some(count) => {
            let among = |(at, case)| table(models, drawn(case, n, count, search.seed, at as u64), case);
            cases.par_iter().enumerate().map(among).collect()
        }
    }
}

/// The tables of a chunk of cases.
fn collect_chunk(models: &[Arc<dyn Score>], cases: &[ValidationCase<'_>], n: usize, keep: usize) -> Vec<CaseTable> {
    let contexts: Vec<Context<'_>> = cases.iter().map(|c| c.context).collect();
    let mut unions: Vec<Vec<ItemId>> = cases.iter().map(|c| known(c, n)).collect();
    let mut rows = vec![0.0f32; cases.len() * n];
    for model in models {
        model.score_all(&contexts, &mut rows);
        unions.par_iter_mut().zip(rows.par_chunks_mut(n)).zip(cases).for_each(|((union, row), case)| {
            for hidden in case.hidden.iter().filter(|i| i.index() < n) {
                row[hidden.index()] = f32::NEG_INFINITY;
            }
            let best = top_k(row, keep);
            union.extend(best.iter().filter(|(_, s)| *s > f32::NEG_INFINITY).map(|(i, _)| ItemId(*i)));
        });
    }
    unions.into_par_iter().zip(cases).map(|(union, case)| table(models, union, case)).collect()
}

/// The relevant items and `count` others, drawn evenly from those that are neither hidden nor in the history (fewer where
/// there are not as many).
fn drawn(case: &ValidationCase<'_>, n: usize, count: usize, seed: u64, stream: u64) -> Vec<ItemId> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    let mut items = known(case, n);
    let out = |item: &ItemId| case.hidden.contains(item) || case.context.history.items.contains(item);
    let wanted = items.len() + count.min(n.saturating_sub(items.len()));
    // A bound on the tries, for histories that hold nearly everything.
    for _ in 0..20 * count {
        if items.len() == wanted {
            break;
        }
        let item = ItemId(rng.random_range(0..n as u32));
        if !items.contains(&item) && !out(&item) {
            items.push(item);
        }
    }
    items
}

/// The relevant items that can be ranked.
fn known(case: &ValidationCase<'_>, n: usize) -> Vec<ItemId> {
    case.relevant.iter().copied().filter(|i| i.index() < n && !case.hidden.contains(i)).collect()
}

fn table(models: &[Arc<dyn Score>], mut items: Vec<ItemId>, case: &ValidationCase<'_>) -> CaseTable {
    items.sort_unstable();
    items.dedup();
    let mut scores = vec![0.0; items.len() * models.len()];
    let mut column = vec![0.0; items.len()];
    for (m, model) in models.iter().enumerate() {
        model.score(&case.context, &items, &mut column);
        column.iter().enumerate().for_each(|(i, &s)| scores[i * models.len() + m] = s);
    }
    let relevant = items.iter().map(|i| case.relevant.contains(i)).collect();
    CaseTable { models: models.len(), scores, relevant }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Because, Rows};

    /// A model whose scores are a fixed row.
    struct Fixed(&'static str, Vec<f32>);

    impl Score for Fixed {
        fn name(&self) -> &'static str {
            self.0
        }
        fn n_items(&self) -> usize {
            self.1.len()
        }
        fn score(&self, _: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
            items.iter().zip(out).for_each(|(i, out)| *out = self.1[i.index()]);
        }
        fn contributions(&self, _: &Context<'_>, item: ItemId) -> Vec<Contribution> {
            vec![Contribution { model: self.0, because: Because::Popular, value: self.1[item.index()] }]
        }
    }

    const NOBODY: Context<'static> =
        Context { user: None, history: Rows { items: &[], at: &[], kinds: &[], values: &[] }, now: 0 };

    fn models() -> Vec<Arc<dyn Score>> {
        vec![Arc::new(Fixed("a", vec![3.0, 2.0, 1.0, 0.0])), Arc::new(Fixed("b", vec![0.0, 2.0, 1.5, 3.0]))]
    }

    #[test]
    fn scores_and_contributions_are_weighted_sums_of_the_parts() {
        let blend = Blend::new(models().into_iter().zip([1.0, 0.5]).collect()).unwrap();
        let mut row = [0.0; 4];
        blend.score_all(&[NOBODY], &mut row);
        assert_eq!(row, [3.0, 3.0, 1.75, 1.5]);
        let values: Vec<f32> = blend.contributions(&NOBODY, ItemId(1)).iter().map(|c| c.value).collect();
        assert_eq!(values, [2.0, 1.0]);
    }

    #[test]
    fn the_search_finds_the_blend_that_neither_model_reaches_alone() {
        // Item 1 is second in both models and first in their sum.
        let case = ValidationCase { context: NOBODY, relevant: &[ItemId(1)], hidden: &[] };
        let search = WeightSearch { k: 1, candidates: 4, ..Default::default() };
        let chosen = choose_weights(&models(), &[case], &search).unwrap();
        assert_eq!(chosen.alone, [0.0, 0.0]);
        assert_eq!(chosen.ndcg, 1.0);
        assert!((chosen.weights.iter().sum::<f32>() - 1.0).abs() < 1e-6 && chosen.weights.iter().all(|w| *w > 0.0));
    }

    #[test]
    fn a_model_that_is_worse_than_the_order_of_ids_is_still_chosen_over_no_model_at_all() {
        let worst: Arc<dyn Score> = Arc::new(Fixed("w", vec![0.0, 1.0, 2.0, 3.0]));
        let case = ValidationCase { context: NOBODY, relevant: &[ItemId(0)], hidden: &[] };
        let search = WeightSearch { k: 2, candidates: 4, ..Default::default() };
        assert_eq!(choose_weights(&[worst], &[case], &search).unwrap().weights, [1.0]);
    }

    #[test]
    fn rare_goods_are_lifted_until_they_have_their_share_of_the_places() {
        // Item 0 is taken by everybody and is first; half of the cases ask for rare item 1, which is second.
        let model: Arc<dyn Score> = Arc::new(Fixed("a", vec![3.0, 2.0, 1.0, 0.5, 0.0]));
        let other: Arc<dyn Score> = Arc::new(Fixed("b", vec![1.0, 0.0, 0.0, 0.0, 0.0]));
        let tail = LongTail::new(&[9, 1, 1, 1, 1], 0.0);
        let case = |item: &'static [ItemId]| ValidationCase { context: NOBODY, relevant: item, hidden: &[] };
        let search = WeightSearch { k: 2, candidates: 5, ..Default::default() };
        let parts = [(model, 1.0), (other, 0.5)];
        let even = calibrate_tail(&parts, &tail, &[case(&[ItemId(0)]), case(&[ItemId(1)])], &search).unwrap();
        assert_eq!((even.before, even.after, even.taken), (0.5, 0.5, 0.5));
        let all = calibrate_tail(&parts, &tail, &[case(&[ItemId(2)])], &search).unwrap();
        assert_eq!((all.after, all.taken), (1.0, 1.0));
        assert!((all.lift - 2.5).abs() < 1e-5, "item 2 passes item 0 at 3.5 - 1: {}", all.lift);
    }

    #[test]
    fn a_hidden_item_takes_no_place() {
        let case = ValidationCase { context: NOBODY, relevant: &[ItemId(1)], hidden: &[ItemId(0)] };
        let search = WeightSearch { k: 1, candidates: 4, rounds: 0, ..Default::default() };
        let chosen = choose_weights(&models(), &[case], &search).unwrap();
        assert_eq!(chosen.alone, [1.0, 0.0]);
        assert_eq!(chosen.weights, [1.0, 0.0]);
    }

    #[test]
    fn drawn_items_stand_for_all_others_where_the_search_says_so() {
        let case = ValidationCase { context: NOBODY, relevant: &[ItemId(1)], hidden: &[ItemId(0)] };
        let items = drawn(&case, 4, 2, 1, 0);
        assert_eq!((items.len(), items[0]), (3, ItemId(1)));
        assert!(!items.contains(&ItemId(0)));
        assert_eq!(drawn(&case, 4, 50, 1, 0).len(), 3, "there are no more");
        let search = WeightSearch { k: 1, candidates: 4, negatives: Some(2), ..Default::default() };
        let chosen = choose_weights(&models(), &[case], &search).unwrap();
        assert_eq!(chosen.alone, [1.0, 0.0]);
    }

    #[test]
    fn models_of_two_catalogues_and_an_empty_validation_are_refused() {
        let short: Arc<dyn Score> = Arc::new(Fixed("c", vec![1.0]));
        let parts = models().into_iter().chain([short]).map(|m| (m, 1.0)).collect();
        assert!(Blend::new(parts).err().unwrap().to_string().contains("models of 4 items"));
        assert!(choose_weights(&models(), &[], &WeightSearch::default()).is_err());
    }
}
