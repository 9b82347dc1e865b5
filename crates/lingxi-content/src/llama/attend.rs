//! Tokens look at the past that all branches share, and at their own branch up to themselves.
//!
//! The heads that share keys stand below each other, so that their scores are one product.

use super::past::Kept;
use lingxi_kernels::{matmul_nn, matmul_nn_add, matmul_nt, softmax_both};
use rayon::prelude::*;
use std::ops::Range;

/// Tokens of one task.
const TALL: usize = 64;
/// Multiplications from which on a second thread is woken.
const GRAIN: usize = 1 << 17;

/// Part of a branch, for one group of heads.
struct Task {
    group: usize,
    /// The first token of the branch, among all.
    start: usize,
    /// Tokens of the branch.
    rows: Range<usize>,
}

/// The heads' values, `[T, heads d]`, of `qkv[T, (heads + 2 groups) d]`.
pub(super) fn attend(qkv: &[f32], branches: &[&[u32]], past: Kept<'_>, [heads, groups, d]: [usize; 3]) -> Vec<f32> {
    let wide = (heads + 2 * groups) * d;
    let mut tasks = Vec::new();
    let mut start = 0;
    for branch in branches {
        for from in (0..branch.len()).step_by(TALL) {
            let rows = from..(from + TALL).min(branch.len());
            tasks.extend((0..groups).map(|group| Task { group, start, rows: rows.clone() }));
        }
        start += branch.len();
    }
    let one = |task: &Task| look(qkv, wide, task, past, [heads, groups, d]);
    let work = qkv.len() / wide * heads * past.keys[0].len();
    let parts: Vec<Vec<f32>> = match work {
        // A token after a short past: waking a thread costs more.
        work if work < GRAIN && tasks.len() <= groups => tasks.iter().map(one).collect(),
        _ => tasks.par_iter().map(one).collect(),
    };
    let each = heads / groups;
    let mut out = vec![0.0; start * heads * d];
    for (task, part) in tasks.iter().zip(parts) {
        for (row, part) in task.rows.clone().zip(part.chunks_exact(each * d)) {
            let at = (task.start + row) * heads * d + task.group * each * d;
            out[at..at + each * d].copy_from_slice(part);
        }
    }
    out
}

/// `[rows, heads of the group, d]`
fn look(qkv: &[f32], wide: usize, task: &Task, past: Kept<'_>, [heads, groups, d]: [usize; 3]) -> Vec<f32> {
    let each = heads / groups;
    let scale = 1.0 / (d as f32).sqrt();
    let token = |row: usize| &qkv[(task.start + row) * wide..(task.start + row + 1) * wide];
    let part = |row: usize, from: usize, heads: usize| &token(row)[from * d..(from + heads) * d];
    let queries: Vec<f32> =
        task.rows.clone().flat_map(|row| part(row, task.group * each, each).iter().map(|q| q * scale)).collect();
    let gather = |from: usize| (0..task.rows.end).flat_map(|row| part(row, from + task.group, 1)).copied().collect();
    let (own_keys, own_values): (Vec<f32>, Vec<f32>) = (gather(heads), gather(heads + groups));
    let (keys, values) = (&past.keys[task.group], &past.values[task.group]);
    let (m, before, own) = (task.rows.len() * each, keys.len() / d, task.rows.end);
    let (mut old, mut new) = (vec![0.0; m * before], vec![0.0; m * own]);
    matmul_nt(&queries, keys, &mut old, m, before, d);
    matmul_nt(&queries, &own_keys, &mut new, m, own, d);
    for (i, new) in new.chunks_exact_mut(own).enumerate() {
        new[task.rows.start + i / each + 1..].fill(f32::NEG_INFINITY);
        softmax_both(&mut old[i * before..(i + 1) * before], new);
    }
    let mut out = vec![0.0; m * d];
    matmul_nn(&new, &own_values, &mut out, m, d, own);
    matmul_nn_add(&old, values, &mut out, m, d, before);
    out
}
