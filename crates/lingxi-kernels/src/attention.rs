//! Attention over sequences of unequal length, packed one after the other: no padding is stored or computed.

use crate::products::{axpy, dot};
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
    assert!(h * tokens == out.len() && heads > 0 && h % heads == 0, "attention: width {h} for {heads} heads");
    let mut sequences = Vec::with_capacity(offsets.len());
    let (mut rest_in, mut rest_out) = (qkv, out);
    for window in offsets.windows(2) {
        let n = window[1] - window[0];
        let (q, more_in) = rest_in.split_at(n * 3 * h);
        let (o, more_out) = rest_out.split_at_mut(n * h);
        sequences.push((q, o));
        (rest_in, rest_out) = (more_in, more_out);
    }
    sequences.into_par_iter().for_each(|(qkv, out)| one_sequence(qkv, h, heads, mask, out));
}

fn one_sequence(qkv: &[f32], h: usize, heads: usize, mask: Mask, out: &mut [f32]) {
    let (n, d) = (out.len() / h, h / heads);
    let scale = 1.0 / (d as f32).sqrt();
    let part = |token: usize, which: usize, head: usize| {
        let from = token * 3 * h + which * h + head * d;
        &qkv[from..from + d]
    };
    let mut scores = vec![0f32; n];
    out.fill(0.0);
    for head in 0..heads {
        for i in 0..n {
            let reach = if mask == Mask::Causal { i + 1 } else { n };
            for (j, score) in scores[..reach].iter_mut().enumerate() {
                *score = scale * dot(part(i, 0, head), part(j, 1, head));
            }
            softmax(&mut scores[..reach]);
            let out = &mut out[i * h + head * d..i * h + (head + 1) * d];
            for (j, &p) in scores[..reach].iter().enumerate() {
                axpy(p, part(j, 2, head), out);
            }
        }
    }
}
