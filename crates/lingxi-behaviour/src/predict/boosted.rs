//! Boosted trees of the crate `hessboost`: the honest rival of the network, and for tables of a few thousand rows often the better.
//!
//! Trees grow leaf by leaf on histograms, each on a share of the rows and columns (Friedman 2002, Stochastic gradient boosting;
//! Chen and Guestrin 2016, arXiv 1603.02754), until the log-loss on validation has not gained for a while. Several sizes of trees
//! are tried; validation chooses.

use super::table::Table;
use crate::error::{BehaviourError, Result};
use hessboost::config::GrowPolicy;
use hessboost::error::HessboostError;
use hessboost::metric::EvalMetric;
use hessboost::prelude::{BoostedModel, DMatrix, Iterations, Objective, RegLoss, Trainer, TrainingParams, TreeMethod};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// What a tree's answer is multiplied by.
const RATE: f64 = 0.03;
/// Trees at most.
pub(super) const TREES: usize = 2_000;
/// Trees without gain on validation after which it stops.
const PATIENCE: usize = 50;
/// Share of the rows and of the columns that a tree sees.
const SHARE: f64 = 0.8;
/// Least sum of `p (1 - p)` in a leaf.
const LEAST: f64 = 2.0;

/// Fitted trees.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Boosted {
    trees: Box<BoostedModel>,
}

impl Boosted {
    /// Fits trees of each number of `leaves` and returns the best by log-loss on validation, and what it is. Rows come with their
    /// answers; `seen` is told of the trees so far, those of earlier sizes included, and of the loss. Deterministic for a seed on any
    /// number of threads.
    ///
    /// # Errors
    /// [`BehaviourError::Numeric`] if the trees cannot be fitted.
    pub fn fit(
        table: &Table,
        train: (&[u32], &[bool]),
        valid: (&[u32], &[bool]),
        leaves: &[usize],
        seed: u64,
        seen: &mut (dyn FnMut(u64, f64) + Send),
    ) -> Result<(Boosted, String)> {
        let fail = |why: HessboostError| BehaviourError::Numeric {
            operation: "fit boosted trees",
            what: why.to_string(),
            remedy: "check the features, or leave boosted out of predict.candidates",
        };
        let (train, valid) = (matrix(table, train).map_err(fail)?, matrix(table, valid).map_err(fail)?);
        let mut best: Option<(f64, usize, BoostedModel)> = None;
        for (at, &leaves) in leaves.iter().enumerate() {
            let grown = TrainingParams::builder()
                .objective(Objective::BinaryLogistic(RegLoss::default()))
                .eval_metric(EvalMetric::LogLoss)
                .tree_method(TreeMethod::Hist)
                .grow_policy(GrowPolicy::LossGuide)
                .unlimited_depth()
                .max_leaves(leaves)
                .min_child_weight(LEAST)
                .eta(RATE)
                .subsample(SHARE)
                .colsample_bytree(SHARE)
                .global_pool()
                .seed(seed)
                .build()
                .map_err(fail)?;
            let result = Trainer::new(&grown, &train, TREES)
                .eval(&valid, "valid")
                .early_stopping_rounds(NonZeroUsize::new(PATIENCE).expect("it waits for some trees"))
                .on_round(|round| {
                    if let Some(loss) = round.values().first() {
                        seen((at * TREES + round.iteration() + 1) as u64, *loss);
                    }
                    ControlFlow::Continue(())
                })
                .train()
                .map_err(fail)?;
            let loss = result.best_score.unwrap_or(f64::INFINITY);
            if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
                let kept = result.model.best_iteration().map_or(TREES, |last| last + 1);
                let kept = kept.min(result.model.num_boost_rounds());
                best = Some((loss, leaves, result.model.slice(..kept, 1).map_err(fail)?));
            }
        }
        let (_, leaves, trees) = best.expect("checked configurations have a number of leaves");
        let note = format!("{} trees of {leaves} leaves", trees.num_trees());
        Ok((Boosted { trees: Box::new(trees) }, note))
    }

    /// Logits of rows.
    ///
    /// # Panics
    /// If the table has other columns than the trees learned from, or numbers that are not finite.
    pub fn logits(&self, table: &Table, rows: &[u32]) -> Vec<f64> {
        let found = self.trees.predict_margin_rows(&features(table, rows), Iterations::Best);
        found.expect("rows have the columns that were learned").as_slice().iter().map(|z| f64::from(*z)).collect()
    }
}

fn features(table: &Table, rows: &[u32]) -> Vec<f32> {
    rows.iter().flat_map(|row| table.row(*row as usize)).copied().collect()
}

fn matrix(table: &Table, (rows, came): (&[u32], &[bool])) -> std::result::Result<DMatrix, HessboostError> {
    let labels: Vec<f32> = came.iter().map(|came| f32::from(u8::from(*came))).collect();
    DMatrix::from_dense(&features(table, rows), rows.len(), table.columns.len())?.with_labels(&labels)
}
