//! Columns of any spread -> numbers from -1 to 1, by where they stand among the training rows.
//!
//! Each column keeps at most [`KNOTS`] distinct values at even ranks; between two a line. A value beyond the ends is the end, so a
//! row unlike any before cannot throw a network or a regression far off. Columns that never vary become 0.

use super::table::Table;
use serde::{Deserialize, Serialize};

/// Values kept of each column.
const KNOTS: usize = 33;

/// The fitted places.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Of each column pairs of value and place, values rising.
    columns: Vec<Vec<(f32, f32)>>,
}

impl Scale {
    /// Reads the columns of `rows`.
    pub fn fit(table: &Table, rows: &[u32]) -> Scale {
        let column = |at: usize| {
            let mut values: Vec<f32> = rows.iter().map(|row| table.row(*row as usize)[at]).collect();
            values.sort_unstable_by(f32::total_cmp);
            knots(&values)
        };
        Scale { columns: (0..table.columns.len()).map(column).collect() }
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// A row as it is, but within what the training rows had.
    pub fn within(&self, row: &[f32], out: &mut [f32]) {
        for ((x, knots), out) in row.iter().zip(&self.columns).zip(out) {
            *out = match (knots.first(), knots.last()) {
                (Some((low, _)), Some((high, _))) => x.clamp(*low, *high),
                _ => 0.0,
            };
        }
    }

    /// A row as places.
    pub fn row(&self, row: &[f32], out: &mut [f32]) {
        for ((x, knots), out) in row.iter().zip(&self.columns).zip(out) {
            *out = place(*x, knots);
        }
    }
}

/// Distinct values at even ranks, each with the middle of the ranks that it holds.
fn knots(sorted: &[f32]) -> Vec<(f32, f32)> {
    let n = sorted.len();
    let mut values: Vec<f32> =
        (0..KNOTS).filter_map(|k| sorted.get(k * n.saturating_sub(1) / (KNOTS - 1))).copied().collect();
    values.dedup();
    let middle = |value: &f32| {
        let (from, to) = (sorted.partition_point(|x| x < value), sorted.partition_point(|x| x <= value));
        (*value, (from + to) as f32 / n as f32 - 1.0)
    };
    values.iter().map(middle).collect()
}

fn place(x: f32, knots: &[(f32, f32)]) -> f32 {
    if knots.len() < 2 {
        return 0.0;
    }
    let after = knots.partition_point(|(value, _)| *value <= x).clamp(1, knots.len() - 1);
    let ((low, from), (high, to)) = (knots[after - 1], knots[after]);
    from + (to - from) * ((x - low) / (high - low)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_becomes_its_rank_and_what_lies_beyond_the_ends_the_end() {
        let features: Vec<f32> = (0..100).flat_map(|i| [(i as f32).exp2().min(1e30), 7.0, (i % 2) as f32]).collect();
        let table = Table { columns: ["far", "same", "yes"].map(str::to_owned).to_vec(), features, seen: None };
        let scale = Scale::fit(&table, &(0..100).collect::<Vec<_>>());
        let at = |row: [f32; 3]| {
            let mut out = [f32::NAN; 3];
            scale.row(&row, &mut out);
            out
        };
        assert_eq!(at([0.0, 9.0, 0.0]), [-0.99, 0.0, -0.5]);
        assert!(at([50f32.exp2(), 7.0, 1.0])[0].abs() < 0.03 && at([50f32.exp2(), 7.0, 1.0])[2] == 0.5);
        assert_eq!(at([f32::MAX, 7.0, 5.0])[2], 0.5);
        let mut values = [0.0; 3];
        scale.within(&[0.0, 9.0, 0.25], &mut values);
        assert_eq!(values, [1.0, 7.0, 0.25]);
    }
}
