//! Attention over sequences of unequal length, packed one after the other: no padding is stored, and what is computed
//! is padded only to the next whole vector.
//!
//! Head by head, keys and values are laid out as panels of a product ([`crate::packed`]) and a block of tokens at a time is
//! multiplied with them: scores, softmax, outputs, all in the nearest cache. In f32 or in bf16 with sums and softmax in
//! f32, as the rows come.

use crate::cpu::per_level;
use crate::packed::tiles::Tiles;
use crate::packed::{Line, PANEL, Precision, ROWS, Rows, Sums, bf16};
use crate::rows::powers;
use rayon::prelude::*;

/// Which tokens a token may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All of its sequence.
    Full,
    /// Itself and what came before it.
    Causal,
}

/// What is added to a score by how far the seen token is from the one that looks, head by head.
pub struct Distances {
    /// `[heads, 2 reach + 1]`: from `reach` before to `reach` behind.
    pub table: Vec<f32>,
    /// The farthest distance that the table has.
    pub reach: usize,
}

/// `out[tokens,h] = softmax(q k^T / sqrt(h/heads)) v`, head by head, within each sequence; sequences in parallel.
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
    assert_eq!(h * tokens, out.len(), "attention: out is no whole rows for {tokens} tokens");
    let (mut parts, mut rest) = (Vec::with_capacity(offsets.len()), out);
    for window in offsets.windows(2) {
        let (part, more) = rest.split_at_mut((window[1] - window[0]) * h);
        parts.push((&qkv[window[0] * 3 * h..window[1] * 3 * h], part));
        rest = more;
    }
    let buffers = || (Scratch::default(), Rows::default(), Rows::default());
    parts.into_par_iter().for_each_init(buffers, |(scratch, x, y), (qkv, out)| {
        x.fill(qkv, 3 * h, Precision::F32);
        attend(x, &[0, out.len() / h], heads, mask, None, y, scratch);
        out.iter_mut().zip(y.all_steps()).for_each(|(out, bits)| *out = f32::from_bits(*bits));
    });
}

/// Buffers that one call leaves to the next.
#[derive(Default)]
pub struct Scratch {
    /// `[panels of tokens, steps of a head]`
    keys: Vec<Line>,
    /// `[panels of a head, steps of a sequence]`
    values: Vec<Line>,
    /// `[rows, n]`, rows in whole panels.
    scores: Vec<f32>,
    /// `[rows, steps of a sequence]`
    weights: Vec<u32>,
}

/// [`attention`] on this thread alone, of rows in f32 or bf16 to rows of the same precision, with buffers that the caller keeps.
///
/// # Panics
/// As [`attention`] does, and if rows are in int8, a head is odd in bf16, or `distances` does not fit.
pub fn attend(
    qkv: &Rows,
    offsets: &[usize],
    heads: usize,
    mask: Mask,
    distances: Option<&Distances>,
    out: &mut Rows,
    scratch: &mut Scratch,
) {
    let (precision, h) = (qkv.precision(), qkv.k() / 3);
    assert!(
        offsets.is_sorted() && offsets.last().is_none_or(|&o| o == qkv.len()),
        "attention: offsets must rise to the tokens"
    );
    assert!(3 * h == qkv.k() && heads > 0 && h.is_multiple_of(heads), "attention: width {h} for {heads} heads");
    let each = precision.per_step();
    assert!(
        precision != Precision::Int8 && (h / heads).is_multiple_of(each),
        "attention: heads of {} in {precision:?}",
        h / heads
    );
    out.resize(qkv.len(), h, precision);
    let (wide, stride, out_stride) = (h / heads / each, precision.steps(qkv.k()), precision.steps(h));
    let shape = Shape { precision, tiles: Tiles::vectors(precision), wide, stride, out_stride, mask };
    for window in offsets.windows(2) {
        let n = window[1] - window[0];
        assert!(
            distances.is_none_or(|d| n <= d.reach + 1 && d.table.len() == heads * (2 * d.reach + 1)),
            "attention: distances do not fit {n} tokens"
        );
        let x = &qkv.all_steps()[window[0] * stride..window[1] * stride];
        let y = &mut out.all_steps_mut()[window[0] * out_stride..window[1] * out_stride];
        for head in 0..heads {
            let bias = distances.map(|d| (&d.table[head * (2 * d.reach + 1)..][..2 * d.reach + 1], d.reach));
            let parts = [0, 1, 2].map(|part| part * h / each + head * wide);
            shape.lay_out(x, parts, n, scratch);
            shape.one_head(&x[parts[0].min(x.len())..], n, bias, &mut y[(head * wide).min(n * out_stride)..], scratch);
        }
    }
}

/// Sizes in steps, and how to multiply.
struct Shape {
    precision: Precision,
    tiles: Tiles,
    /// Of a head.
    wide: usize,
    /// From token to token.
    stride: usize,
    out_stride: usize,
    mask: Mask,
}

impl Shape {
    /// Steps over the tokens of a sequence.
    fn over(&self, n: usize) -> usize {
        n.div_ceil(self.precision.per_step())
    }

    /// Columns of the output that one panel of values gives, in steps.
    fn panel_wide(&self) -> usize {
        PANEL / self.precision.per_step()
    }

    /// Keys and values of one head as panels.
    fn lay_out(&self, x: &[u32], [_, k, v]: [usize; 3], n: usize, s: &mut Scratch) {
        let (wide, over, rows) = (self.wide, self.over(n), self.tiles.rows());
        s.keys.resize(n.div_ceil(PANEL) * wide, Line([0; PANEL]));
        s.values.resize(wide.div_ceil(self.panel_wide()) * over, Line([0; PANEL]));
        s.scores.resize(rows * n.next_multiple_of(PANEL), 0.0);
        s.weights.resize(rows * over, 0);
        for (token, row) in x.chunks_exact(self.stride).enumerate() {
            let panel = &mut s.keys[token / PANEL * wide..][..wide];
            panel.iter_mut().zip(&row[k..k + wide]).for_each(|(line, step)| line.0[token % PANEL] = *step);
        }
        if over == 0 {
            return;
        }
        for (p, panel) in s.values.chunks_exact_mut(over).enumerate() {
            let (from, to) = (v + p * self.panel_wide(), v + wide.min((p + 1) * self.panel_wide()));
            match self.precision {
                Precision::F32 => {
                    panel.iter_mut().zip(x.chunks_exact(self.stride)).for_each(|(line, row)| {
                        line.0[..to - from].copy_from_slice(&row[from..to]);
                    });
                }
                _ => panel.iter_mut().zip(x.chunks(2 * self.stride)).for_each(|(line, rows)| {
                    pair(&rows[from..to], rows.get(self.stride + from..self.stride + to), line);
                }),
            }
        }
    }

    /// `queries` begin with the head of the first token; so does `out`.
    fn one_head(&self, queries: &[u32], n: usize, bias: Option<(&[f32], usize)>, out: &mut [u32], s: &mut Scratch) {
        let (wide_n, over) = (n.next_multiple_of(PANEL), self.over(n));
        let scale = 1.0 / ((self.wide * self.precision.per_step()) as f32).sqrt();
        let blocks = n.div_ceil(self.tiles.rows());
        let mut sums = Sums([[0.0; PANEL]; ROWS]);
        for block in 0..blocks {
            let (from, to) = (block * n / blocks, (block + 1) * n / blocks);
            let m = to - from;
            for (p, panel) in s.keys.chunks_exact(self.wide).enumerate() {
                self.tiles.multiply(&queries[from * self.stride..], self.stride, m, panel, &mut sums);
                scaled(&sums.0[..m], scale, &mut s.scores[p * PANEL..], wide_n);
            }
            for (i, scores) in s.scores.chunks_exact_mut(wide_n).take(m).enumerate() {
                let reach = if self.mask == Mask::Causal { from + i + 1 } else { n };
                // Seen token j is j - (from + i) away.
                let bias = bias.map(|(table, middle)| &table[middle - (from + i)..][..n]);
                weigh(scores, reach, bias, self.precision, &mut s.weights[i * over..(i + 1) * over]);
            }
            for (p, panel) in s.values.chunks_exact(over).enumerate() {
                self.tiles.multiply(&s.weights, over, m, panel, &mut sums);
                let width = self.panel_wide().min(self.wide - p * self.panel_wide());
                let out = &mut out[from * self.out_stride + p * self.panel_wide()..];
                give(&sums.0[..m], self.precision, width, out, self.out_stride);
            }
        }
    }
}

per_level! { fn pair(first: &[u32], second: Option<&[u32]>, line: &mut Line) = pair_body }

/// Two tokens to one step: the even numbers of a head in the first half of the line, the odd ones in the second.
#[inline(always)]
fn pair_body<const FMA: bool>(first: &[u32], second: Option<&[u32]>, line: &mut Line) {
    const HALF: usize = PANEL / 2;
    let mut whole = [[0u32; HALF]; 2];
    for (whole, part) in whole.iter_mut().zip([Some(first), second]) {
        match part.map(|part| (part, part.first_chunk::<HALF>())) {
            Some((_, Some(part))) => *whole = *part,
            Some((part, None)) => whole[..part.len()].copy_from_slice(part),
            None => {}
        }
    }
    let (even, odd) = line.0.split_at_mut(HALF);
    for (((even, odd), a), b) in even.iter_mut().zip(odd).zip(whole[0]).zip(whole[1]) {
        *even = a & 0xffff | b << 16;
        *odd = a >> 16 | b & 0xffff_0000;
    }
}

per_level! { fn scaled(sums: &[[f32; PANEL]], scale: f32, scores: &mut [f32], wide: usize) = scaled_body }

#[inline(always)]
fn scaled_body<const FMA: bool>(sums: &[[f32; PANEL]], scale: f32, scores: &mut [f32], wide: usize) {
    for (i, sums) in sums.iter().enumerate() {
        let row: &mut [f32; PANEL] = scores[i * wide..].first_chunk_mut().expect("scores are whole panels");
        for lane in 0..PANEL {
            row[lane] = sums[lane] * scale;
        }
    }
}

per_level! {
    fn weigh(scores: &mut [f32], reach: usize, bias: Option<&[f32]>, precision: Precision, weights: &mut [u32]) = weigh_body
}

/// Softmax of a row of scores, rounded for the product with the values.
#[inline(always)]
fn weigh_body<const FMA: bool>(
    scores: &mut [f32],
    reach: usize,
    bias: Option<&[f32]>,
    precision: Precision,
    weights: &mut [u32],
) {
    if let Some(bias) = bias {
        scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
    }
    // Whole vectors, so that no part of the row is done one by one.
    let n = weights.len() * precision.per_step();
    let scores = &mut scores[..n.next_multiple_of(16)];
    scores[reach..].fill(f32::NEG_INFINITY);
    let scale = powers::<FMA>(scores);
    match precision {
        Precision::F32 => {
            weights.iter_mut().zip(scores).for_each(|(weight, power)| *weight = (*power * scale).to_bits())
        }
        _ => weights.iter_mut().zip(scores.as_chunks::<2>().0).for_each(|(weight, [a, b])| {
            *weight = bf16(*a * scale) | bf16(*b * scale) << 16;
        }),
    }
}

per_level! { fn give(sums: &[[f32; PANEL]], precision: Precision, width: usize, out: &mut [u32], stride: usize) = give_body }

#[inline(always)]
fn give_body<const FMA: bool>(
    sums: &[[f32; PANEL]],
    precision: Precision,
    width: usize,
    out: &mut [u32],
    stride: usize,
) {
    for (i, sums) in sums.iter().enumerate() {
        let out = &mut out[i * stride..];
        match precision {
            Precision::F32 => out[..width].iter_mut().zip(sums).for_each(|(out, sum)| *out = sum.to_bits()),
            _ => {
                let mut pairs = [0; PANEL / 2];
                for at in 0..PANEL / 2 {
                    pairs[at] = bf16(sums[at]) | bf16(sums[PANEL / 2 + at]) << 16;
                }
                match out.first_chunk_mut::<{ PANEL / 2 }>() {
                    Some(out) if width == PANEL / 2 => *out = pairs,
                    _ => out[..width].copy_from_slice(&pairs[..width]),
                }
            }
        }
    }
}
