//! Attention over sequences of unequal length, packed one after the other: no padding is stored, and what is computed
//! is padded only to the next whole vector.
//!
//! Head by head, keys are turned to `[d,n]` and values copied to `[n,d]`, both with rows of whole vectors. Scores and
//! outputs are then the same small product: eight rows of one matrix times a block of sixteen columns of the other,
//! with the sums in registers.

use crate::cpu::{fma, per_level};
use crate::rows::softmax;
use rayon::prelude::*;

/// Which tokens a token may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All of its sequence.
    Full,
    /// Itself and what came before it.
    Causal,
}

/// Numbers of one vector.
const LANES: usize = 16;
/// Tokens that look at once.
const ROWS: usize = 8;

/// `out[tokens,h] = softmax(q k^T / sqrt(h/heads)) v`, head by head, within each sequence.
///
/// Each row of `qkv[tokens,3h]` holds query, key and value; sequence `s` is the rows `offsets[s]..offsets[s+1]`.
///
/// # Panics
/// If shapes do not fit: `qkv` is three times as long as `out`, offsets rise from 0 to `tokens`, `h` is a multiple of
/// `heads`.
pub fn attention(qkv: &[f32], offsets: &[usize], heads: usize, mask: Mask, out: &mut [f32]) {
    let tokens = offsets.last().copied().unwrap_or(0);
    assert!(offsets.is_sorted() && offsets.first().is_none_or(|&o| o == 0), "attention: offsets must rise from 0");
    assert_eq!(qkv.len(), 3 * out.len(), "attention: qkv is not three times out");
    if tokens == 0 {
        assert!(out.is_empty(), "attention: no token, but out is not empty");
        return;
    }
    let h = out.len() / tokens;
    assert!(h * tokens == out.len() && heads > 0 && h.is_multiple_of(heads), "attention: width {h} for {heads} heads");
    let mut sequences = Vec::with_capacity(offsets.len());
    let (mut rest_in, mut rest_out) = (qkv, out);
    for window in offsets.windows(2) {
        let n = window[1] - window[0];
        let (q, more_in) = rest_in.split_at(n * 3 * h);
        let (o, more_out) = rest_out.split_at_mut(n * h);
        sequences.push((q, o));
        (rest_in, rest_out) = (more_in, more_out);
    }
    let work = |scratch: &mut Scratch, (qkv, out): (&[f32], &mut [f32])| {
        for head in 0..heads {
            scratch.load(qkv, h, h / heads, head);
            one_head(scratch, mask, qkv, head, h, out);
        }
    };
    sequences.into_par_iter().for_each_init(Scratch::default, work);
}

/// One head of one sequence, laid out for the small product.
#[derive(Default)]
struct Scratch {
    n: usize,
    d: usize,
    /// `[d, n]`, rows padded with zeros to whole vectors.
    keys: Vec<f32>,
    /// `[n, d]`, rows padded likewise.
    values: Vec<f32>,
    /// `[8, n]`, rows padded likewise.
    scores: Vec<f32>,
}

impl Scratch {
    fn load(&mut self, qkv: &[f32], h: usize, d: usize, head: usize) {
        let n = qkv.len() / (3 * h);
        let (wide_n, wide_d) = (n.next_multiple_of(LANES), d.next_multiple_of(LANES));
        (self.n, self.d) = (n, d);
        self.keys.clear();
        self.keys.resize(d * wide_n, 0.0);
        self.values.clear();
        self.values.resize(n * wide_d, 0.0);
        self.scores.resize(ROWS * wide_n, 0.0);
        for (token, row) in qkv.chunks_exact(3 * h).enumerate() {
            let key = &row[h + head * d..h + (head + 1) * d];
            for (keys, &x) in self.keys.chunks_exact_mut(wide_n).zip(key) {
                keys[token] = x;
            }
            let value = &row[2 * h + head * d..2 * h + (head + 1) * d];
            self.values[token * wide_d..token * wide_d + d].copy_from_slice(value);
        }
    }
}

per_level! { fn one_head(s: &mut Scratch, mask: Mask, qkv: &[f32], head: usize, h: usize, out: &mut [f32]) = head_body }

#[inline(always)]
fn head_body<const FMA: bool>(s: &mut Scratch, mask: Mask, qkv: &[f32], head: usize, h: usize, out: &mut [f32]) {
    let (n, d) = (s.n, s.d);
    let (wide_n, wide_d) = (n.next_multiple_of(LANES), d.next_multiple_of(LANES));
    let scale = 1.0 / (d as f32).sqrt();
    for first in (0..n).step_by(ROWS) {
        // Past the end the last token stands in; what it gives is not written.
        let token = |i: usize| (first + i).min(n - 1);
        let queries: [&[f32]; ROWS] = std::array::from_fn(|i| &qkv[token(i) * 3 * h + head * d..][..d]);
        for column in (0..wide_n).step_by(LANES) {
            let sums = block::<FMA>(&queries, &s.keys, wide_n, column);
            for (row, sums) in s.scores.chunks_exact_mut(wide_n).zip(&sums) {
                row[column..column + LANES].iter_mut().zip(sums).for_each(|(x, sum)| *x = sum * scale);
            }
        }
        for (i, row) in s.scores.chunks_exact_mut(wide_n).enumerate() {
            let reach = if mask == Mask::Causal { token(i) + 1 } else { n };
            row[reach..].fill(f32::NEG_INFINITY);
            softmax(row);
        }
        let weights: [&[f32]; ROWS] = std::array::from_fn(|i| &s.scores[i * wide_n..i * wide_n + n]);
        for column in (0..wide_d).step_by(LANES) {
            let sums = block::<FMA>(&weights, &s.values, wide_d, column);
            for (i, sums) in sums.iter().enumerate().take(n - first) {
                let width = LANES.min(d - column);
                out[(first + i) * h + head * d + column..][..width].copy_from_slice(&sums[..width]);
            }
        }
    }
}

/// Eight rows `a` times the sixteen columns from `column` of the matrix `b`, whose rows are `width` long.
#[inline(always)]
fn block<const FMA: bool>(a: &[&[f32]; ROWS], b: &[f32], width: usize, column: usize) -> [[f32; LANES]; ROWS] {
    let mut sums = [[0f32; LANES]; ROWS];
    for (t, row) in b.chunks_exact(width).enumerate() {
        let row: &[f32; LANES] = row[column..].first_chunk().expect("rows are whole vectors");
        for i in 0..ROWS {
            let x = a[i][t];
            for lane in 0..LANES {
                sums[i][lane] = fma::<FMA>(x, row[lane], sums[i][lane]);
            }
        }
    }
    sums
}
