//! [`cross_entropy`](super::cross_entropy) in bf16, with sums in f32, on the thread that calls: a trainer gives each thread
//! some rows and a gradient of its own.
//!
//! Tiles are items by rows of `x`, so that what a row needs of all items is summed in its own lane. The first pass adds up
//! `e^logit` of each row; the second makes the tiles again as probabilities `p`, rounds them in the two orders that the two
//! products of the gradient want (`d x = p items`, `d items = p^T x`), and multiplies while they are in the second cache.
//! What the label adds is done in f32.

use crate::cpu::{fma, per_level};
use crate::packed::tiles::Tiles;
use crate::packed::{Line, PANEL, Precision, ROWS, Rows, Sums, bf16};
use crate::products::{axpy, dot};
use crate::rows::rough_power;
use std::f32::consts::LOG2_E;

/// Rows of `x` of a block, in whole panels: the steps of the product for the items.
const BLOCK: usize = 8 * PANEL;
/// Items of a block: a multiple of the rows of every tile.
const ITEMS: usize = 240;
/// A row's logits are lowered to this bound, so that their powers can be added up without looking for the largest.
const BOUND: f32 = 60.0;
/// A smaller sum of powers has lost digits and is made again.
const LOST: f32 = 1e-20;

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
    mut gradients: Option<Shares<'_>>,
    scratch: &mut Scratch,
) -> f64 {
    let (d, n) = (items.d, items.len());
    assert_eq!(exact.len(), n * d, "cross entropy: the items are not those that were rounded");
    assert_eq!(x.len(), labels.len() * d, "cross entropy: x is not {} x {d}", labels.len());
    assert!(labels.iter().all(|label| (*label as usize) < n), "cross entropy: a label is beyond {n} items");
    if let Some(g) = &gradients {
        assert_eq!((g.x.len(), g.items.len()), (x.len(), n * d), "cross entropy: gradients are of other lengths");
    }
    let mut loss = 0.0;
    for (part, (x, labels)) in x.chunks(BLOCK * d).zip(labels.chunks(BLOCK)).enumerate() {
        let share = gradients.as_ref().map_or(1.0, |g| g.share);
        scratch.lay_out(x, d, share);
        scratch.add_up(x, exact, items);
        for (row, &label) in labels.iter().enumerate() {
            let own = dot(&x[row * d..(row + 1) * d], &exact[label as usize * d..][..d]);
            loss += f64::from(scratch.wholes[row]) - f64::from(own);
        }
        if let Some(g) = &mut gradients {
            let dx = &mut g.x[part * BLOCK * d..][..x.len()];
            scratch.spread(items, g.items);
            scratch.give(dx, d, share);
            for (row, &label) in labels.iter().enumerate() {
                let label = label as usize * d;
                axpy(-share, &exact[label..label + d], &mut dx[row * d..(row + 1) * d]);
                axpy(-share, &x[row * d..(row + 1) * d], &mut g.items[label..label + d]);
            }
        }
    }
    loss
}

/// Buffers that one call leaves to the next.
#[derive(Default)]
pub struct Scratch {
    /// `x` as panels of rows: `[panels of rows, steps of d]`.
    rows: Vec<Line>,
    /// `x`, times the share, as panels of numbers: `[panels of d, steps of rows]`.
    numbers: Vec<Line>,
    /// By how much the logits of each row are lowered, the sum of their powers, and the logarithm of the whole.
    shifts: Vec<f32>,
    sums: Vec<f32>,
    wholes: Vec<f32>,
    /// Probabilities of a block of items: `[items, steps of rows]` and `[panels of rows, steps of items]`.
    by_item: Vec<u32>,
    by_row: Vec<Line>,
    /// `[panels of rows, d]`: the gradient of `x`, a lane a row.
    dx: Vec<[f32; PANEL]>,
}

impl Scratch {
    /// Rounds a block of `x` in both orders and bounds the logits of its rows.
    fn lay_out(&mut self, x: &[f32], d: usize, share: f32) {
        let (panels, steps) = ((x.len() / d).div_ceil(PANEL), d.div_ceil(2));
        let zero = Line([0; PANEL]);
        self.rows.clear();
        self.rows.resize(panels * steps, zero);
        self.numbers.clear();
        self.numbers.resize(d.div_ceil(PANEL) * panels * PANEL / 2, zero);
        for (row, x) in x.chunks_exact(d).enumerate() {
            let panel = &mut self.rows[row / PANEL * steps..][..steps];
            for (line, pair) in panel.iter_mut().zip(x.chunks(2)) {
                line.0[row % PANEL] = bf16(pair[0]) | pair.get(1).map_or(0, |x| bf16(*x) << 16);
            }
            for (p, x) in x.chunks(PANEL).enumerate() {
                let line = &mut self.numbers[p * panels * PANEL / 2 + row / 2];
                let shift = 16 * (row as u32 % 2);
                line.0.iter_mut().zip(x).for_each(|(step, x)| *step |= bf16(*x * share) << shift);
            }
        }
        self.dx.clear();
        self.dx.resize(panels * d, [0.0; PANEL]);
    }

    /// The first pass: `wholes[row]` becomes the logarithm of the sum of powers of its logits.
    fn add_up(&mut self, x: &[f32], exact: &[f32], items: &RoundedItems) {
        let d = items.d;
        let (tiles, steps, stride) = (Tiles::vectors(Precision::Bf16), d.div_ceil(2), Precision::Bf16.steps(d));
        let lanes = self.rows.len() / steps * PANEL;
        let mut tile = Sums([[0.0; PANEL]; ROWS]);
        self.shifts.clear();
        self.shifts.extend(x.chunks_exact(d).map(|x| (dot(x, x).sqrt() * items.longest - BOUND).max(0.0)));
        self.shifts.resize(lanes, 0.0);
        self.sums.clear();
        self.sums.resize(lanes, 0.0);
        for rows in items.rows.all_steps().chunks(tiles.rows() * stride) {
            let m = rows.len() / stride;
            let panels = self.rows.chunks_exact(steps).zip(self.shifts.as_chunks().0).zip(self.sums.as_chunks_mut().0);
            for ((panel, shifts), sums) in panels {
                tiles.multiply(rows, stride, m, panel, &mut tile);
                add_powers(&tile.0[..m], shifts, sums);
            }
        }
        self.wholes.clear();
        for ((x, sum), shift) in x.chunks_exact(d).zip(&self.sums).zip(&self.shifts) {
            self.wholes.push(if *sum > LOST { sum.ln() + shift } else { whole(x, exact) });
        }
        // Lanes without a row have no probability.
        self.wholes.resize(lanes, f32::INFINITY);
    }

    /// The second pass: adds to the gradient of the items, and sums that of `x`, without the labels' part.
    fn spread(&mut self, items: &RoundedItems, d_items: &mut [f32]) {
        let (d, n, half) = (items.d, items.len(), items.half());
        let (tiles, steps, stride) = (Tiles::vectors(Precision::Bf16), d.div_ceil(2), Precision::Bf16.steps(d));
        let panels = self.rows.len() / steps;
        let wide = panels * PANEL / 2;
        self.by_item.resize(ITEMS * wide, 0);
        self.by_row.resize(panels * ITEMS / 2, Line([0; PANEL]));
        let mut tile = Sums([[0.0; PANEL]; ROWS]);
        for from in (0..n).step_by(ITEMS) {
            let (to, over) = (n.min(from + ITEMS), (n.min(from + ITEMS) - from).div_ceil(2));
            for first in (from..to).step_by(tiles.rows()) {
                let (m, at) = (tiles.rows().min(to - first), first - from);
                for (p, panel) in self.rows.chunks_exact(steps).enumerate() {
                    tiles.multiply(&items.rows.all_steps()[first * stride..], stride, m, panel, &mut tile);
                    let wholes = self.wholes[p * PANEL..].first_chunk().expect("wholes are whole panels");
                    let by_row = &mut self.by_row[p * ITEMS / 2 + at / 2..][..m.div_ceil(2)];
                    weigh(
                        &mut tile.0[..m.next_multiple_of(2)],
                        m,
                        wholes,
                        &mut self.by_item[at * wide + p * 16..],
                        wide,
                        by_row,
                    );
                }
            }
            for p in 0..panels {
                let by_row = &self.by_row[p * ITEMS / 2..][..over];
                let blocks = d.div_ceil(tiles.rows());
                for block in 0..blocks {
                    let (first, last) = (block * d / blocks, (block + 1) * d / blocks);
                    let columns = &items.columns[first * half + from / 2..];
                    tiles.multiply(columns, half, last - first, by_row, &mut tile);
                    let dx = &mut self.dx[p * d + first..p * d + last];
                    add(dx.as_flattened_mut(), tile.0[..last - first].as_flattened());
                }
            }
            for first in (from..to).step_by(tiles.rows()) {
                let m = tiles.rows().min(to - first);
                for (p, numbers) in self.numbers.chunks_exact(wide).enumerate() {
                    tiles.multiply(&self.by_item[(first - from) * wide..], wide, m, numbers, &mut tile);
                    let columns = p * PANEL..d.min((p + 1) * PANEL);
                    for (sums, out) in tile.0[..m].iter().zip(d_items[first * d..].chunks_exact_mut(d)) {
                        add(&mut out[columns.clone()], &sums[..columns.len()]);
                    }
                }
            }
        }
    }

    /// Adds the summed gradient to the rows that it is of.
    fn give(&self, dx: &mut [f32], d: usize, share: f32) {
        for (row, dx) in dx.chunks_exact_mut(d).enumerate() {
            let sums = &self.dx[row / PANEL * d..][..d];
            dx.iter_mut().zip(sums).for_each(|(dx, sums)| *dx += share * sums[row % PANEL]);
        }
    }
}

/// The logarithm of a row's whole the slow way, for rows whose logits all lie far below the bound.
#[cold]
fn whole(x: &[f32], items: &[f32]) -> f32 {
    let logits: Vec<f32> = items.chunks_exact(x.len()).map(|item| dot(x, item)).collect();
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    top + (logits.iter().map(|l| f64::from(l - top).exp()).sum::<f64>().ln() as f32)
}

per_level! { fn add(out: &mut [f32], more: &[f32]) = add_body }

#[inline(always)]
fn add_body<const FMA: bool>(out: &mut [f32], more: &[f32]) {
    out.iter_mut().zip(more).for_each(|(out, more)| *out += more);
}

per_level! { fn add_powers(tile: &[[f32; PANEL]], shifts: &[f32; PANEL], sums: &mut [f32; PANEL]) = add_powers_body }

#[inline(always)]
fn add_powers_body<const FMA: bool>(tile: &[[f32; PANEL]], shifts: &[f32; PANEL], sums: &mut [f32; PANEL]) {
    let mut all = *sums;
    let shifts = shifts.map(|shift| shift * LOG2_E);
    for row in tile {
        for lane in 0..PANEL {
            all[lane] += rough_power::<FMA>(fma::<FMA>(row[lane], LOG2_E, -shifts[lane]));
        }
    }
    *sums = all;
}

per_level! {
    fn weigh(tile: &mut [[f32; PANEL]], m: usize, wholes: &[f32; PANEL], by_item: &mut [u32], wide: usize, by_row: &mut [Line])
        = weigh_body
}

/// A tile of logits to probabilities in both orders.
#[inline(always)]
fn weigh_body<const FMA: bool>(
    tile: &mut [[f32; PANEL]],
    m: usize,
    wholes: &[f32; PANEL],
    by_item: &mut [u32],
    wide: usize,
    by_row: &mut [Line],
) {
    let wholes = wholes.map(|whole| whole * LOG2_E);
    for (i, (pair, line)) in tile.as_chunks::<2>().0.iter().zip(by_row).enumerate() {
        let mut halves = [[0u32; PANEL]; 2];
        for (half, logits) in halves.iter_mut().zip(pair) {
            for lane in 0..PANEL {
                half[lane] = rough_power::<FMA>(fma::<FMA>(logits[lane], LOG2_E, -wholes[lane])).to_bits() + 0x8000;
            }
        }
        if 2 * i + 1 == m {
            halves[1] = [0; PANEL];
        }
        let [first, second] = &halves;
        for ((step, a), b) in line.0.iter_mut().zip(first).zip(second) {
            *step = a >> 16 | b & 0xffff_0000;
        }
        for (at, half) in halves.iter().enumerate().take(m - 2 * i) {
            let steps: &mut [u32; PANEL / 2] =
                by_item[(2 * i + at) * wide..].first_chunk_mut().expect("a panel is 16 steps");
            for (step, pair) in steps.iter_mut().zip(half.as_chunks::<2>().0) {
                *step = pair[0] >> 16 | pair[1] & 0xffff_0000;
            }
        }
    }
}
