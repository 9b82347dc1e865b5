//! Attention that learns: [`attend_keep`] keeps its weights, [`attend_backward`] goes back through them. In f32, on the thread
//! that calls; sequences of unequal length lie one after the other, without padding.

use crate::attention::Mask;
use crate::backward::dropout;
use crate::cpu::per_level;
use crate::products::{Layout, Part, dot_body, product_here};
use crate::rows::powers;

/// How tokens look at each other.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Heads of attention.
    pub heads: usize,
    /// Which tokens a token sees.
    pub mask: Mask,
    /// Share of the weights that is dropped.
    pub dropout: f32,
    /// Which weights are dropped: the way back is given the same.
    pub seed: u32,
}

/// The weights of a pass: sequence by sequence, head by head, `[n,n]`, and those that were not dropped.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    whole: Vec<f32>,
    /// Empty where nothing is dropped.
    dropped: Vec<f32>,
}

/// `out[tokens,h] = dropout(softmax(q k^T / sqrt(h/heads))) v`, head by head, within each sequence.
///
/// Each row of `qkv[tokens,3h]` holds query, key and value; sequence `s` is the rows `offsets[s]..offsets[s+1]`.
///
/// # Panics
/// If shapes do not fit.
pub fn attend_keep(look: Look, qkv: &[f32], offsets: &[usize], out: &mut [f32], kept: &mut Weights) {
    let h = check(qkv.len(), out.len(), offsets, look.heads);
    let (wide, scale) = (h / look.heads, 1.0 / ((h / look.heads) as f32).sqrt());
    kept.whole.resize(offsets.windows(2).map(|w| look.heads * (w[1] - w[0]).pow(2)).sum(), 0.0);
    let mut at = 0;
    each_head(look.heads, offsets, |head, from, n| {
        let p = &mut kept.whole[at..at + n * n];
        at += n * n;
        let [q, k, _] = parts(&qkv[from * 3 * h..(from + n) * 3 * h], h, head * wide);
        product_here(Layout::Nt, q, k, p, n, [n, n, wide], false);
        for (i, row) in p.chunks_exact_mut(n).enumerate() {
            weigh(row, reach(look.mask, i, n), scale);
        }
    });
    kept.dropped.clear();
    if look.dropout > 0.0 {
        kept.dropped.extend_from_slice(&kept.whole);
        dropout(&mut kept.dropped, look.dropout, look.seed);
    }
    let weights = if look.dropout > 0.0 { &kept.dropped } else { &kept.whole };
    let mut at = 0;
    each_head(look.heads, offsets, |head, from, n| {
        let p = Part { data: &weights[at..at + n * n], stride: n };
        at += n * n;
        let [.., v] = parts(&qkv[from * 3 * h..(from + n) * 3 * h], h, head * wide);
        product_here(Layout::Nn, p, v, &mut out[from * h + head * wide..(from + n) * h], h, [n, wide, n], false);
    });
}

/// The gradient of [`attend_keep`]: `d_qkv` is overwritten.
///
/// # Panics
/// If shapes do not fit.
pub fn attend_backward(
    look: Look,
    qkv: &[f32],
    offsets: &[usize],
    kept: &Weights,
    d_out: &[f32],
    d_qkv: &mut [f32],
    scratch: &mut Vec<f32>,
) {
    let h = check(qkv.len(), d_out.len(), offsets, look.heads);
    assert_eq!(qkv.len(), d_qkv.len(), "attention: gradients are of another length");
    let (wide, scale) = (h / look.heads, 1.0 / ((h / look.heads) as f32).sqrt());
    let weights = if look.dropout > 0.0 { &kept.dropped } else { &kept.whole };
    scratch.resize(weights.len(), 0.0);
    let mut at = 0;
    each_head(look.heads, offsets, |head, from, n| {
        let rows = from * 3 * h..(from + n) * 3 * h;
        let [.., v] = parts(&qkv[rows.clone()], h, head * wide);
        let p = Part { data: &weights[at..at + n * n], stride: n };
        let d_out = Part { data: &d_out[from * h + head * wide..(from + n) * h], stride: h };
        let d_v = &mut d_qkv[rows][2 * h + head * wide..];
        product_here(Layout::Tn, p, d_out, d_v, 3 * h, [n, wide, n], false);
        product_here(Layout::Nt, d_out, v, &mut scratch[at..at + n * n], n, [n, n, wide], false);
        at += n * n;
    });
    dropout(scratch, look.dropout, look.seed);
    let mut at = 0;
    each_head(look.heads, offsets, |head, from, n| {
        let rows = from * 3 * h..(from + n) * 3 * h;
        let [q, k, _] = parts(&qkv[rows.clone()], h, head * wide);
        let slopes = &mut scratch[at..at + n * n];
        for (row, p) in slopes.chunks_exact_mut(n).zip(kept.whole[at..at + n * n].chunks_exact(n)) {
            slope(row, p, scale);
        }
        at += n * n;
        let (slopes, d) = (Part { data: slopes, stride: n }, &mut d_qkv[rows]);
        product_here(Layout::Nn, slopes, k, &mut d[head * wide..], 3 * h, [n, wide, n], false);
        product_here(Layout::Tn, slopes, q, &mut d[h + head * wide..], 3 * h, [n, wide, n], false);
    });
}

/// Head, first row and length of each head of each sequence, in the order of the weights.
fn each_head(heads: usize, offsets: &[usize], mut then: impl FnMut(usize, usize, usize)) {
    for window in offsets.windows(2).filter(|window| window[1] > window[0]) {
        (0..heads).for_each(|head| then(head, window[0], window[1] - window[0]));
    }
}

fn reach(mask: Mask, i: usize, n: usize) -> usize {
    match mask {
        Mask::Full => n,
        Mask::Causal => i + 1,
    }
}

fn check(qkv: usize, out: usize, offsets: &[usize], heads: usize) -> usize {
    let tokens = offsets.last().copied().unwrap_or(0);
    assert!(offsets.is_sorted() && offsets.first().is_none_or(|&o| o == 0), "attention: offsets must rise from 0");
    assert!(
        qkv == 3 * out && heads > 0 && (out == 0 || out.is_multiple_of(tokens * heads)),
        "attention: {qkv} numbers for {tokens} tokens, {heads} heads and {out} out"
    );
    out.checked_div(tokens).unwrap_or(0)
}

/// Query, key and value of one head of a sequence.
fn parts(qkv: &[f32], h: usize, at: usize) -> [Part<'_>; 3] {
    [0, h, 2 * h].map(|part| Part { data: &qkv[part + at..], stride: 3 * h })
}

per_level! { fn weigh(row: &mut [f32], reach: usize, scale: f32) = weigh_body }

#[inline(always)]
fn weigh_body<const FMA: bool>(row: &mut [f32], reach: usize, scale: f32) {
    let (seen, unseen) = row.split_at_mut(reach);
    unseen.fill(0.0);
    seen.iter_mut().for_each(|x| *x *= scale);
    let whole = powers::<FMA>(seen);
    seen.iter_mut().for_each(|x| *x *= whole);
}

per_level! { fn slope(row: &mut [f32], weights: &[f32], scale: f32) = slope_body }

/// The gradient of softmax: `p (d - p . d)`, and of the scale before it.
#[inline(always)]
fn slope_body<const FMA: bool>(row: &mut [f32], weights: &[f32], scale: f32) {
    let along = dot_body::<FMA>(row, weights);
    row.iter_mut().zip(weights).for_each(|(d, p)| *d = scale * p * (*d - along));
}
