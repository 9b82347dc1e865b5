//! Rows of a table by their numbers: an embedding forwards, and backwards.

use crate::products::{axpy, prefetch};
use rayon::prelude::*;

/// Rows fetched ahead of the one that is copied: a table is larger than any cache.
const AHEAD: usize = 8;
/// Rows of a task.
const GRAIN: usize = 256;

/// Row `i` of `out[rows.len(), d]` becomes row `rows[i]` of the table.
///
/// # Panics
/// If `out` is not that long, or a row lies outside the table.
pub fn gather(table: &[f32], d: usize, rows: &[u32], out: &mut [f32]) {
    assert!(d > 0 && table.len().is_multiple_of(d), "gather: the table is no whole rows of length {d}");
    assert_eq!(out.len(), rows.len() * d, "gather: out is not {} x {d}", rows.len());
    let row = |at: u32| &table[at as usize * d..(at as usize + 1) * d];
    out.par_chunks_mut(GRAIN * d).zip(rows.par_chunks(GRAIN)).for_each(|(out, rows)| {
        for (i, out) in out.chunks_exact_mut(d).enumerate() {
            if let Some(&next) = rows.get(i + AHEAD) {
                prefetch(row(next));
            }
            out.copy_from_slice(row(rows[i]));
        }
    });
}

/// Adds row `i` of `gradients[rows.len(), d]` to row `rows[i]` of the table, in the order of `i`: rows that come more than
/// once add up, and the result does not depend on the number of threads.
///
/// # Panics
/// If `gradients` is not that long, or a row lies outside the table.
pub fn scatter_add(table: &mut [f32], d: usize, rows: &[u32], gradients: &[f32]) {
    assert!(d > 0 && table.len().is_multiple_of(d), "scatter_add: the table is no whole rows of length {d}");
    assert_eq!(gradients.len(), rows.len() * d, "scatter_add: gradients are not {} x {d}", rows.len());
    let last = table.len() / d;
    assert!(rows.iter().all(|row| (*row as usize) < last), "scatter_add: a row is beyond the table's {last}");
    // Each thread has a part of the table and looks for its rows.
    let part = last.div_ceil(rayon::current_num_threads()).max(1);
    table.par_chunks_mut(part * d).enumerate().for_each(|(p, table)| {
        let mine = p * part..p * part + table.len() / d;
        for (row, gradient) in rows.iter().zip(gradients.chunks_exact(d)) {
            if mine.contains(&(*row as usize)) {
                let at = (*row as usize - mine.start) * d;
                axpy(1.0, gradient, &mut table[at..at + d]);
            }
        }
    });
}
