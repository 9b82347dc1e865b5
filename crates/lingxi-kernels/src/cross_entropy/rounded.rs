//! [`cross_entropy`](super::cross_entropy) in bf16, with sums in f32, on the thread that calls: a trainer gives each thread
//! some rows and a gradient of its own.
//!
//! Tiles are items by rows of `x`, so that what a row needs of all items is summed in its own lane. One pass makes the tiles of
//! a block of items, turns them into powers `e^(logit - shift)`, adds these up, and multiplies them by the items while they
//! are in the second cache: what a row gets is divided by its sum in the end, and its shift is known beforehand, since no logit
//! is larger than the two lengths allow. The powers stay, rounded, and a second pass multiplies them by the rows of `x`, each
//! over its sum. So there are three products and one power a logit. What the label adds is done in f32.
//!
//! Memory: two bytes a power of a block of rows, which has fewer rows where there are many items.

mod powers;

use crate::cpu::per_level;
use crate::packed::tiles::Tiles;
use crate::packed::{Line, PANEL, Precision, ROWS, Rows, Sums, bf16};
use crate::products::{axpy, dot, prefetch};
use powers::{Out, powers};
use std::f32::consts::{LN_2, LOG2_E};

/// Most panels of rows of `x` of a block: its rows are the steps of the product for the items.
const PANELS: usize = 8;
/// Powers of a block, as long as it has more than one panel: 32 MiB.
const POWERS: usize = 1 << 24;
/// Items of a block: a multiple of the rows of every tile.
const ITEMS: usize = 240;
/// A row's logits are lowered to this bound, so that their powers can be added up without looking for the largest.
const BOUND: f32 = 60.0;
/// A smaller sum of powers has lost digits, and its row is made again the slow way.
const LOST: f32 = 1e-28;
/// By how much the logits of lanes without a row are lowered.
const NOWHERE: f32 = 1e4;

/// A table of items rounded for the products of the loss, in both orders.
#[derive(Default)]
pub struct RoundedItems {
    d: usize,
    /// `[n, d]`
    rows: Rows,
    /// `[d, n / 2]`: a step is two items.
    columns: Vec<u32>,
    /// Length of the longest item.
    longest: f32,
}

impl RoundedItems {
    /// Takes the rows of `items[_,d]`.
    ///
    /// # Panics
    /// If `items` is no whole number of rows.
    pub fn fill(&mut self, items: &[f32], d: usize) {
        self.rows.fill(items, d, Precision::Bf16);
        self.d = d;
        self.longest = items.chunks_exact(d).map(|item| dot(item, item)).fold(0.0, f32::max).sqrt();
        let (stride, half) = (Precision::Bf16.steps(d), self.half());
        self.columns.resize(d.next_multiple_of(2) * half, 0);
        // A line of memory at a time: 16 pairs of items.
        for (block, rows) in self.rows.all_steps().chunks(32 * stride).enumerate() {
            for step in 0..d.div_ceil(2) {
                for (at, pair) in rows.chunks(2 * stride).enumerate() {
                    let (a, b) = (pair[step], pair.get(stride + step).copied().unwrap_or(0));
                    self.columns[2 * step * half + block * 16 + at] = a & 0xffff | b << 16;
                    self.columns[(2 * step + 1) * half + block * 16 + at] = a >> 16 | b & 0xffff_0000;
                }
            }
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn half(&self) -> usize {
        self.len().div_ceil(2)
    }
}

/// Where gradients are added, and by which factor: `share` of the gradient of the summed loss.
pub struct Shares<'a> {
    /// Of `x`, `[rows,d]`.
    pub x: &'a mut [f32],
    /// Of the items, `[n,d]`.
    pub items: &'a mut [f32],
    /// One over the rows of the whole batch, for the gradient of a mean.
    pub share: f32,
}

/// The sum of `-log softmax(x items^T)[label]` over the rows of `x[rows,d]`; `exact` is what `items` was filled with.
///
/// # Panics
/// If shapes differ or a label is no item.
pub fn rounded_cross_entropy(
    x: &[f32],
    labels: &[u32],
    exact: &[f32],
    items: &RoundedItems,
    gradients: Shares<'_>,
    scratch: &mut Scratch,
) -> f64 {
    let (d, n, g) = (items.d, items.len(), gradients);
    assert_eq!(exact.len(), n * d, "cross entropy: the items are not those that were rounded");
    assert_eq!(x.len(), labels.len() * d, "cross entropy: x is not {} x {d}", labels.len());
    assert!(labels.iter().all(|label| (*label as usize) < n), "cross entropy: a label is beyond {n} items");
    assert_eq!((g.x.len(), g.items.len()), (x.len(), n * d), "cross entropy: gradients are of other lengths");
    let block = PANEL * (POWERS / (PANEL * n).max(1)).clamp(1, PANELS);
    let mut loss = 0.0;
    for ((x, labels), dx) in x.chunks(block * d).zip(labels.chunks(block)).zip(g.x.chunks_mut(block * d)) {
        scratch.lay_out(x, items);
        scratch.add_up(items);
        let rows = x.chunks_exact(d).zip(dx.chunks_exact_mut(d)).zip(labels).enumerate();
        for (row, ((x, dx), &label)) in rows {
            let own = label as usize * d..(label as usize + 1) * d;
            let whole = if scratch.sums[row] > LOST {
                scratch.give(row, x, dx, g.share)
            } else {
                slowly(x, exact, g.share, dx, g.items)
            };
            loss += f64::from(whole) - f64::from(dot(x, &exact[own.clone()]));
            axpy(-g.share, &exact[own.clone()], dx);
            axpy(-g.share, x, &mut g.items[own]);
        }
        scratch.spread(items, g.items);
    }
    loss
}

/// Buffers that one call leaves to the next.
#[derive(Default)]
pub struct Scratch {
    /// `x log2(e)` as panels of rows: `[panels of rows, steps of d]`.
    rows: Vec<Line>,
    /// `x` over its sum, times the share, as panels of numbers: `[panels of d, steps of rows]`.
    numbers: Vec<Line>,
    /// By how much the logits of each row are lowered, to the base 2, and the sum of their powers.
    shifts: Vec<f32>,
    sums: Vec<f32>,
    /// Powers: of all items `[n, steps of rows]`, and of a block of items `[panels of rows, steps of items]`.
    by_item: Vec<u32>,
    by_row: Vec<Line>,
    /// `[panels of rows, d]`: the sum of the items, each times its power, a lane a row.
    dx: Vec<[f32; PANEL]>,
}

impl Scratch {
    /// Rounds a block of `x` and bounds the logits of its rows.
    fn lay_out(&mut self, x: &[f32], items: &RoundedItems) {
        let d = items.d;
        let (panels, steps) = ((x.len() / d).div_ceil(PANEL), d.div_ceil(2));
        let zero = Line([0; PANEL]);
        self.rows.clear();
        self.rows.resize(panels * steps, zero);
        self.shifts.clear();
        self.shifts.resize(panels * PANEL, NOWHERE);
        for (row, x) in x.chunks_exact(d).enumerate() {
            let panel = &mut self.rows[row / PANEL * steps..][..steps];
            for (line, pair) in panel.iter_mut().zip(x.chunks(2)) {
                let high = pair.get(1).map_or(0, |x| bf16(*x * LOG2_E) << 16);
                line.0[row % PANEL] = bf16(pair[0] * LOG2_E) | high;
            }
            self.shifts[row] = (dot(x, x).sqrt() * items.longest - BOUND).max(0.0) * LOG2_E;
        }
        self.numbers.clear();
        self.numbers.resize(d.div_ceil(PANEL) * panels * PANEL / 2, zero);
        self.sums.clear();
        self.sums.resize(panels * PANEL, 0.0);
        self.dx.clear();
        self.dx.resize(panels * d, [0.0; PANEL]);
    }

    /// The first pass: powers, their sums, and the sum of the items times their powers.
    fn add_up(&mut self, items: &RoundedItems) {
        let (d, n, half) = (items.d, items.len(), items.half());
        let (tiles, steps, stride) = (Tiles::vectors(Precision::Bf16), d.div_ceil(2), Precision::Bf16.steps(d));
        let panels = self.rows.len() / steps;
        let wide = panels * PANEL / 2;
        self.by_item.resize(n * wide, 0);
        self.by_row.resize(panels * ITEMS / 2, Line([0; PANEL]));
        let mut tile = Sums([[0.0; PANEL]; ROWS]);
        for from in (0..n).step_by(ITEMS) {
            let (to, over) = (n.min(from + ITEMS), (n.min(from + ITEMS) - from).div_ceil(2));
            for first in (from..to).step_by(tiles.rows()) {
                let (m, at) = (tiles.rows().min(to - first), first - from);
                let rows = &items.rows.all_steps()[first * stride..];
                prefetch(next(&self.by_item, first, tiles.rows(), wide));
                prefetch(next(items.rows.all_steps(), first, tiles.rows(), stride));
                for (p, panel) in self.rows.chunks_exact(steps).enumerate() {
                    tiles.multiply(rows, stride, m, panel, &mut tile);
                    let out = Out {
                        by_item: &mut self.by_item[first * wide + p * PANEL / 2..],
                        wide,
                        by_row: &mut self.by_row[p * ITEMS / 2 + at / 2..][..m.div_ceil(2)],
                    };
                    let (shifts, sums) = (self.shifts.as_chunks().0, self.sums.as_chunks_mut().0);
                    powers(&tile.0[..m], &shifts[p], &mut sums[p], out);
                }
            }
            let blocks = d.div_ceil(tiles.rows());
            for p in 0..panels {
                let by_row = &self.by_row[p * ITEMS / 2..][..over];
                for block in 0..blocks {
                    let (first, last) = (block * d / blocks, (block + 1) * d / blocks);
                    let columns = &items.columns[first * half + from / 2..];
                    tiles.multiply(columns, half, last - first, by_row, &mut tile);
                    let dx = &mut self.dx[p * d + first..p * d + last];
                    add(dx.as_flattened_mut(), tile.0[..last - first].as_flattened());
                }
            }
        }
    }

    /// The logarithm of a row's whole; adds to its gradient, and lays its numbers out for the second pass.
    fn give(&mut self, row: usize, x: &[f32], dx: &mut [f32], share: f32) -> f32 {
        let (sum, wide) = (self.sums[row], self.sums.len() / 2);
        let over = share / sum;
        let sums = &self.dx[row / PANEL * x.len()..];
        dx.iter_mut().zip(sums).for_each(|(dx, sums)| *dx += over * sums[row % PANEL]);
        for (p, x) in x.chunks(PANEL).enumerate() {
            let (line, shift) = (&mut self.numbers[p * wide + row / 2], 16 * (row as u32 % 2));
            line.0.iter_mut().zip(x).for_each(|(step, x)| *step |= bf16(*x * over) << shift);
        }
        sum.ln() + self.shifts[row] * LN_2
    }

    /// The second pass: adds the powers of each item, times the rows over their sums, to the gradient of the items.
    fn spread(&self, items: &RoundedItems, d_items: &mut [f32]) {
        let (d, n, wide) = (items.d, items.len(), self.sums.len() / 2);
        let tiles = Tiles::vectors(Precision::Bf16);
        let mut tile = Sums([[0.0; PANEL]; ROWS]);
        for first in (0..n).step_by(tiles.rows()) {
            let m = tiles.rows().min(n - first);
            prefetch(next(&self.by_item, first, tiles.rows(), wide));
            prefetch(next(d_items, first, tiles.rows(), d));
            for (p, numbers) in self.numbers.chunks_exact(wide).enumerate() {
                tiles.multiply(&self.by_item[first * wide..], wide, m, numbers, &mut tile);
                let columns = p * PANEL..d.min((p + 1) * PANEL);
                for (sums, out) in tile.0[..m].iter().zip(d_items[first * d..].chunks_exact_mut(d)) {
                    add(&mut out[columns.clone()], &sums[..columns.len()]);
                }
            }
        }
    }
}

/// The `m` rows after those that begin with row `first`: memory far away, to be asked for while these are worked on.
fn next<T>(rows: &[T], first: usize, m: usize, wide: usize) -> &[T] {
    &rows[((first + m) * wide).min(rows.len())..((first + 2 * m) * wide).min(rows.len())]
}

/// A row the slow way, for rows whose logits all lie far below the bound: the logarithm of its whole, and its gradients.
#[cold]
fn slowly(x: &[f32], items: &[f32], share: f32, dx: &mut [f32], d_items: &mut [f32]) -> f32 {
    let d = x.len();
    let logits: Vec<f32> = items.chunks_exact(d).map(|item| dot(x, item)).collect();
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let whole = top + (logits.iter().map(|l| f64::from(l - top).exp()).sum::<f64>().ln() as f32);
    for ((logit, item), d_item) in logits.iter().zip(items.chunks_exact(d)).zip(d_items.chunks_exact_mut(d)) {
        let p = share * (logit - whole).exp();
        axpy(p, item, dx);
        axpy(p, x, d_item);
    }
    whole
}

per_level! { fn add(out: &mut [f32], more: &[f32]) = add_body }

#[inline(always)]
fn add_body<const FMA: bool>(out: &mut [f32], more: &[f32]) {
    out.iter_mut().zip(more).for_each(|(out, more)| *out += more);
}
