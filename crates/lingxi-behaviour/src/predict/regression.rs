//! Logistic regression on columns as ranks or as values: validation chooses between them, and the ridge.
//!
//! Ranks ([`Scale`]) bear with any spread; values keep what is proportional, such as counts, within what the training rows had.
//! They are standardised by the training rows, so that the ridge means the same in each column, and the standardisation is folded
//! into the weights.

use super::scale::Scale;
use super::table::{Lessons, Table};
use crate::error::{BehaviourError, Result};
use lingxi_train::logistic::{Logistic, log_loss};
use serde::{Deserialize, Serialize};

/// Inverse ridges that are tried.
const STRENGTHS: [f64; 5] = [0.003, 0.01, 0.03, 0.3, 3.0];

/// Fits at most.
pub(super) const FITS: u64 = (2 * STRENGTHS.len()) as u64;

/// What a row is for the regression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Columns {
    /// Places among the training rows.
    Ranks,
    /// As they are, within what the training rows had.
    Values,
}

impl Columns {
    fn name(self) -> &'static str {
        match self {
            Columns::Ranks => "ranks",
            Columns::Values => "values",
        }
    }

    /// `rows` row by row.
    fn of(self, scale: &Scale, table: &Table, rows: &[u32]) -> Vec<f64> {
        let mut places = vec![0.0; scale.width()];
        let mut out = Vec::with_capacity(rows.len() * scale.width());
        for row in rows {
            let values = table.row(*row as usize);
            match self {
                Columns::Ranks => scale.row(values, &mut places),
                Columns::Values => scale.within(values, &mut places),
            }
            out.extend(places.iter().map(|x| f64::from(*x)));
        }
        out
    }
}

/// A fitted regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Regression {
    columns: Columns,
    model: Logistic,
}

impl Regression {
    /// The columns and the ridge with the least log-loss on validation, and what they are.
    ///
    /// # Errors
    /// [`BehaviourError::Numeric`] for rows that no regression can be fitted to.
    pub fn fit(scale: &Scale, lessons: &Lessons, seen: &mut dyn FnMut(u64, f64)) -> Result<(Regression, String)> {
        let (rows, came) = lessons.answered(&lessons.train);
        let y: Vec<f64> = came.iter().map(|came| f64::from(u8::from(*came))).collect();
        let (held, answers) = lessons.answered(&lessons.valid);
        let (mut best, mut fits): (Option<(f64, f64, Regression)>, u64) = (None, 0);
        for columns in [Columns::Ranks, Columns::Values] {
            let mut x = columns.of(scale, &lessons.table, &rows);
            let spread = standardise(&mut x, scale.width());
            for strength in STRENGTHS {
                let model = Logistic::fit(&x, scale.width(), &y, strength).map_err(|why| BehaviourError::Numeric {
                    operation: "fit logistic regression",
                    what: why.to_string(),
                    remedy: "leave logistic out of predict.candidates",
                })?;
                let model = Regression { columns, model: unfold(model, &spread) };
                let logits = model.logits(scale, &lessons.table, &held);
                let losses = logits.iter().zip(&answers).map(|(z, came)| log_loss(*z, f64::from(u8::from(*came))));
                let loss = losses.sum::<f64>() / answers.len() as f64;
                fits += 1;
                seen(fits, loss);
                if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
                    best = Some((loss, strength, model));
                }
            }
        }
        let (_, strength, model) = best.expect("there are ridges to try");
        let note = format!("{}, C = {strength}", model.columns.name());
        Ok((model, note))
    }

    /// What it gives `rows`.
    pub fn logits(&self, scale: &Scale, table: &Table, rows: &[u32]) -> Vec<f64> {
        let of = |x: &[f64]| self.model.weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + self.model.intercept;
        self.columns.of(scale, table, rows).chunks(scale.width()).map(of).collect()
    }
}

/// Brings each column of `x` to mean 0 and deviation 1 and gives both; a column that never varies becomes 0.
fn standardise(x: &mut [f64], width: usize) -> Vec<(f64, f64)> {
    let rows = (x.len() / width) as f64;
    let of = |at: usize| {
        let column = || x[at..].iter().step_by(width);
        let mean = column().sum::<f64>() / rows;
        let deviation = (column().map(|x| (x - mean).powi(2)).sum::<f64>() / rows).sqrt();
        (mean, if deviation > 1e-9 * (1.0 + mean.abs()) { deviation } else { f64::INFINITY })
    };
    let spread: Vec<(f64, f64)> = (0..width).map(of).collect();
    for row in x.chunks_mut(width) {
        row.iter_mut().zip(&spread).for_each(|(x, (mean, deviation))| *x = (*x - mean) / deviation);
    }
    spread
}

/// The same model for columns that are not standardised.
fn unfold(mut model: Logistic, spread: &[(f64, f64)]) -> Logistic {
    for (w, (mean, deviation)) in model.weights.iter_mut().zip(spread) {
        *w /= deviation;
        model.intercept -= *w * mean;
    }
    model
}

#[cfg(test)]
mod tests {
    use super::super::tests::lessons;
    use super::*;
    use lingxi_train::logistic::sigmoid;

    #[test]
    fn what_is_proportional_is_learned_from_values_and_a_column_far_away_does_no_harm() {
        let mut lessons = lessons(4000, 3);
        // A count with a long tail decides, and one column is a constant far from 0.
        for row in lessons.table.features.chunks_mut(3) {
            row[0] = (3.0 * row[0]).exp();
            row[1] = 1e6;
        }
        let came = |row: usize| {
            let x = lessons.table.row(row);
            let noise = (row as f64 * 0.618_033_988_75).fract();
            noise < sigmoid(f64::from(0.5 * x[0]) - 1.5)
        };
        lessons.tasks[1].came = (0..4000).map(|row| Some(came(row))).collect();
        let scale = Scale::fit(&lessons.table, &lessons.train);
        let mut heard = 0;
        let (model, note) = Regression::fit(&scale, &lessons, &mut |fits, _| heard = fits).unwrap();
        assert_eq!((model.columns, heard), (Columns::Values, FITS), "{note}");
        assert!((model.model.weights[0] - 0.5).abs() < 0.1 && (model.model.intercept + 1.5).abs() < 0.2, "{model:?}");
        assert_eq!(model.model.weights[1], 0.0);
    }
}
