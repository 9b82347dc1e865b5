//! What is foretold from: plain rows, what of each came true, and which rows are for what.

use crate::error::{BehaviourError, Result};
use lingxi_kernels::dot;
use std::sync::Arc;

/// Named numbers, one row for each moment that something is foretold of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Row-major `[rows, columns]`, finite.
    pub features: Vec<f32>,
    /// What was on the shopper's mind: read by attention, where there are vectors. Same rows.
    pub seen: Option<Seen>,
}

/// The item of each row and the shopper's items before it, as rows of a table of vectors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Length of a vector.
    pub dim: usize,
    /// Row-major `[items, dim]`.
    pub vectors: Arc<[f32]>,
    /// Of each row the item that it is about.
    pub target: Vec<u32>,
    /// Where each row's history begins in `items`; one more than rows.
    pub offsets: Vec<usize>,
    /// The histories, one after the other.
    pub items: Vec<u32>,
}

/// One thing to foretell.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// Of each row whether it came; `None` where the question has no sense or no answer yet.
    pub came: Vec<Option<bool>>,
}

/// Rows with answers. The last task is the one that is asked for, the others teach beside it; where they are steps of one way (view,
/// cart, buy) they are in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lessons {
    /// The rows.
    pub table: Table,
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Rows that models are fitted on.
    pub train: Vec<u32>,
    /// Rows that stop, choose and calibrate.
    pub valid: Vec<u32>,
}

impl Table {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.features.len().checked_div(self.columns.len()).unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// The features of a row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.features[row * self.columns.len()..][..self.columns.len()]
    }

    /// Checks that the parts belong together.
    ///
    /// # Errors
    /// [`BehaviourError::Input`] names what does not.
    pub fn check(&self) -> Result<()> {
        let width = self.columns.len();
        if width == 0 || !self.features.len().is_multiple_of(width) {
            return Err(refuse(format!("rows of {width} named columns"), format!("{} numbers", self.features.len())));
        }
        if let Some(at) = self.features.iter().position(|x| !x.is_finite()) {
            let got = format!("{} in row {}, column {}", self.features[at], at / width, self.columns[at % width]);
            return Err(refuse("finite features".into(), got));
        }
        self.seen.as_ref().map_or(Ok(()), |seen| seen.check(self.len()))
    }
}

impl Seen {
    /// The history of a row.
    pub fn of(&self, row: usize) -> &[u32] {
        &self.items[self.offsets[row]..self.offsets[row + 1]]
    }

    /// The vector of an item.
    pub fn vector(&self, item: u32) -> &[f32] {
        &self.vectors[item as usize * self.dim..][..self.dim]
    }

    fn check(&self, rows: usize) -> Result<()> {
        let n = self.vectors.len().checked_div(self.dim).unwrap_or(0);
        let whole = self.target.len() == rows && self.offsets.len() == rows + 1 && self.offsets.is_sorted();
        if !whole || self.offsets.last() != Some(&self.items.len()) {
            let got = format!("{} targets, {} histories", self.target.len(), self.offsets.len().saturating_sub(1));
            return Err(refuse(format!("a target and a history for each of {rows} rows"), got));
        }
        match self.items.iter().chain(&self.target).find(|item| **item as usize >= n) {
            Some(item) => Err(refuse(format!("items below {n}"), item.to_string())),
            None => Ok(()),
        }
    }
}

impl Lessons {
    /// The task that is asked for.
    pub fn asked(&self) -> &Task {
        self.tasks.last().expect("checked lessons have a task")
    }

    /// The rows of `part` whose answer is known, with it.
    pub fn answered(&self, part: &[u32]) -> (Vec<u32>, Vec<bool>) {
        let known = |row: &u32| self.asked().came[*row as usize].map(|came| (*row, came));
        part.iter().filter_map(known).unzip()
    }

    /// Checks that there is something to learn and to choose by.
    ///
    /// # Errors
    /// [`BehaviourError::Input`] names what is missing.
    pub fn check(&self) -> Result<()> {
        self.table.check()?;
        let rows = self.table.len();
        if self.tasks.is_empty() || self.tasks.iter().any(|task| task.came.len() != rows) {
            return Err(refuse(format!("tasks with an answer or none for each of {rows} rows"), "others".into()));
        }
        for (part, rows_of) in [("train", &self.train), ("valid", &self.valid)] {
            if rows_of.iter().any(|row| *row as usize >= rows) {
                return Err(refuse(format!("{part} rows below {rows}"), "others".into()));
            }
            let (_, came) = self.answered(rows_of);
            let (yes, no) = (came.iter().filter(|came| **came).count(), came.iter().filter(|came| !**came).count());
            if yes.min(no) < LEAST {
                let expected = format!("at least {LEAST} rows of {part} that came true and {LEAST} that did not");
                return Err(refuse(expected, format!("{yes} and {no}")));
            }
        }
        Ok(())
    }
}

/// Fewer answers of a kind than this choose and calibrate nothing.
const LEAST: usize = 5;

fn refuse(expected: String, got: String) -> BehaviourError {
    let remedy = "give more events, another horizon or other parts of the past, or leave the model out of the recipe";
    BehaviourError::Input { operation: "predict", expected, got, remedy }
}

/// The largest and the mean cosine of `one` with each of `others`; zeros without any. Vectors of length zero are like nothing.
pub fn likeness<'a>(one: &[f32], others: impl Iterator<Item = &'a [f32]>) -> [f32; 2] {
    let own = dot(one, one).sqrt();
    let (mut most, mut sum, mut n) = (f32::NEG_INFINITY, 0.0, 0);
    for other in others {
        let size = own * dot(other, other).sqrt();
        let cosine = if size > 0.0 { dot(one, other) / size } else { 0.0 };
        (most, sum, n) = (most.max(cosine), sum + cosine, n + 1);
    }
    if n == 0 { [0.0; 2] } else { [most, sum / n as f32] }
}
