//! Boosted trees of the crate `perpetual`: the honest rival of the network, and for tables of a few thousand rows often the better.
//!
//! It stops by its own rule (a split must help rows that did not choose it), so the one setting is its budget. Several are tried,
//! from small to great while validation gains. The model is kept as the crate's own JSON.

use super::table::Table;
use crate::error::{BehaviourError, Result};
use lingxi_train::logistic::log_loss;
use perpetual::booster::config::BoosterIO;
use perpetual::objective::Objective;
use perpetual::{Matrix, PerpetualBooster};
use serde::{Deserialize, Serialize};

/// Gigabytes that it may plan with: a fixed number, so that its trees do not depend on what the machine has left.
const MEMORY: f32 = 1.0;
/// Bins of a column.
const BINS: u16 = 127;

/// Fitted trees.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Boosted {
    trees: Box<PerpetualBooster>,
}

impl Boosted {
    /// Fits with each budget in turn until validation no longer gains; returns the best, its budget and log-loss. Rows come with
    /// their answers; `seen` is told after each.
    ///
    /// # Errors
    /// [`BehaviourError::Numeric`] if the trees cannot be fitted.
    pub fn fit(
        table: &Table,
        train: (&[u32], &[bool]),
        valid: (&[u32], &[bool]),
        budgets: &[f32],
        seed: u64,
        seen: &mut dyn FnMut(usize, f64),
    ) -> Result<(Boosted, f32, f64)> {
        let columns = columns(table, train.0);
        let y: Vec<f64> = train.1.iter().map(|came| f64::from(u8::from(*came))).collect();
        let data = Matrix::new(&columns, train.0.len(), table.columns.len());
        let mut best: Option<(Boosted, f32, f64)> = None;
        for (at, &budget) in budgets.iter().enumerate() {
            let mut trees = PerpetualBooster::default()
                .set_objective(Objective::LogLoss)
                .set_budget(budget)
                .set_max_bin(BINS)
                .set_num_threads(Some(rayon::current_num_threads()))
                .set_memory_limit(Some(MEMORY))
                .set_seed(seed);
            trees.fit(&data, &y, None, None).map_err(|why| BehaviourError::Numeric {
                operation: "fit boosted trees",
                what: why.to_string(),
                remedy: "check the features, or leave boosted out of predict.candidates",
            })?;
            let found = Boosted { trees: Box::new(trees) };
            let logits = found.logits(table, valid.0);
            let losses = logits.iter().zip(valid.1).map(|(z, came)| log_loss(*z, f64::from(u8::from(*came))));
            let loss = losses.sum::<f64>() / valid.0.len() as f64;
            seen(at + 1, loss);
            if best.as_ref().is_some_and(|best| best.2 <= loss) {
                break;
            }
            best = Some((found, budget, loss));
        }
        Ok(best.expect("checked configurations have a budget"))
    }

    /// Logits of rows.
    pub fn logits(&self, table: &Table, rows: &[u32]) -> Vec<f64> {
        if rows.is_empty() {
            return Vec::new();
        }
        let columns = columns(table, rows);
        self.trees.predict(&Matrix::new(&columns, rows.len(), table.columns.len()), rows.len() > 1000)
    }
}

impl From<Boosted> for String {
    fn from(boosted: Boosted) -> String {
        boosted.trees.json_dump().expect("fitted trees are plain numbers")
    }
}

impl TryFrom<String> for Boosted {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Boosted, String> {
        PerpetualBooster::from_json(&text)
            .map(|trees| Boosted { trees: Box::new(trees) })
            .map_err(|why| why.to_string())
    }
}

/// Rows column by column, as the crate reads them.
fn columns(table: &Table, rows: &[u32]) -> Vec<f64> {
    let of = |at: usize| rows.iter().map(move |row| f64::from(table.row(*row as usize)[at]));
    (0..table.columns.len()).flat_map(of).collect()
}
