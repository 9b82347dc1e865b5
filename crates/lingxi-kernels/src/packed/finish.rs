//! What becomes of a tile of sums while it is still in the nearest cache.

use super::rows::bf16;
use super::{PANEL, Packed, Precision, Rows, Sums};
use crate::cpu::per_level;
use crate::rows::gelu_one;

/// Where a product `[m,n]` goes.
pub enum Target<'a> {
    /// Over what was there.
    Store(&'a mut [f32]),
    /// Added to what was there: a residual.
    Add(&'a mut [f32]),
    /// Rounded, for the next product.
    Round(&'a mut Rows, Precision),
}

pub(super) struct Finish<'a> {
    w: &'a Packed,
    x: &'a Rows,
    bias: &'a [f32],
    gelu: bool,
    target: Target<'a>,
}

impl<'a> Finish<'a> {
    pub(super) fn new(w: &'a Packed, x: &'a Rows, bias: &'a [f32], gelu: bool, mut target: Target<'a>) -> Finish<'a> {
        let size = x.len() * w.n;
        match &mut target {
            Target::Store(out) | Target::Add(out) => {
                assert_eq!(out.len(), size, "packed: target is not {} x {}", x.len(), w.n);
            }
            // A row's scale is known when the row is whole.
            Target::Round(rows, Precision::Int8) => rows.staged().resize(size, 0.0),
            Target::Round(rows, precision) => rows.resize(x.len(), w.n, *precision),
        }
        Finish { w, x, bias, gelu, target }
    }

    /// Takes the sums of `m` rows from `row` and of a panel of columns from `column`.
    pub(super) fn tile(&mut self, sums: &Sums, row: usize, m: usize, column: usize) {
        let n = self.w.n;
        let width = PANEL.min(n - column);
        let bias = panel_of(self.bias, column);
        let scaled = (self.w.precision == Precision::Int8).then(|| Scales {
            rows: &self.x.scales()[row..row + m],
            zeros: &self.x.zeros()[row..row + m],
            columns: panel_of(&self.w.scales, column),
            sums: panel_of(&self.w.sums, column),
        });
        let place = match &mut self.target {
            Target::Store(out) => Place::Store(&mut out[row * n + column..]),
            Target::Add(out) => Place::Add(&mut out[row * n + column..]),
            Target::Round(rows, precision) => match precision {
                Precision::Int8 => Place::Store(&mut rows.staged()[row * n + column..]),
                Precision::F32 => Place::Bits(&mut rows.all_steps_mut()[row * n + column..], n),
                Precision::Bf16 => {
                    let steps = Precision::Bf16.steps(n);
                    Place::Pairs(&mut rows.all_steps_mut()[row * steps + column / 2..], steps)
                }
            },
        };
        finish(&sums.0[..m], scaled.as_ref(), &bias, self.gelu, width, n, place);
    }

    pub(super) fn end(self) {
        if let Target::Round(rows, Precision::Int8) = self.target {
            rows.fill_staged(self.w.n, Precision::Int8);
        }
    }
}

/// The numbers of a panel's columns, zero where there are none.
fn panel_of<T: Copy + Default>(all: &[T], column: usize) -> [T; PANEL] {
    let there = all.get(column..).unwrap_or_default();
    there.first_chunk().copied().unwrap_or_else(|| {
        let mut some = [T::default(); PANEL];
        some[..there.len()].copy_from_slice(there);
        some
    })
}

/// What turns sums of bytes into numbers.
struct Scales<'a> {
    rows: &'a [f32],
    zeros: &'a [i32],
    columns: [f32; PANEL],
    sums: [i32; PANEL],
}

/// Where a tile's first number goes, and with steps the length of a row.
enum Place<'a> {
    Store(&'a mut [f32]),
    Add(&'a mut [f32]),
    Bits(&'a mut [u32], usize),
    Pairs(&'a mut [u32], usize),
}

per_level! {
    fn finish(
        sums: &[[f32; PANEL]],
        scaled: Option<&Scales<'_>>,
        bias: &[f32; PANEL],
        gelu: bool,
        width: usize,
        n: usize,
        place: Place<'_>,
    ) = finish_body
}

#[inline(always)]
fn finish_body<const FMA: bool>(
    sums: &[[f32; PANEL]],
    scaled: Option<&Scales<'_>>,
    bias: &[f32; PANEL],
    gelu: bool,
    width: usize,
    n: usize,
    mut place: Place<'_>,
) {
    for (i, sums) in sums.iter().enumerate() {
        let mut y = *sums;
        if let Some(scales) = scaled {
            let (scale, zero) = (scales.rows[i], scales.zeros[i]);
            for ((y, sum), column) in y.iter_mut().zip(scales.sums).zip(scales.columns) {
                let exact = (y.to_bits() as i32).wrapping_sub(zero.wrapping_mul(sum));
                *y = exact as f32 * (scale * column);
            }
        }
        y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
        if gelu {
            for x in &mut y {
                *x = gelu_one::<FMA>(*x);
            }
        }
        match &mut place {
            Place::Store(out) => match out[i * n..].first_chunk_mut::<PANEL>() {
                Some(out) if width == PANEL => *out = y,
                _ => out[i * n..][..width].copy_from_slice(&y[..width]),
            },
            Place::Add(out) => match out[i * n..].first_chunk_mut::<PANEL>() {
                Some(out) if width == PANEL => (0..PANEL).for_each(|lane| out[lane] += y[lane]),
                _ => out[i * n..][..width].iter_mut().zip(y).for_each(|(out, y)| *out += y),
            },
            Place::Bits(out, row) => out[i * *row..][..width].iter_mut().zip(y).for_each(|(out, y)| *out = y.to_bits()),
            Place::Pairs(out, row) => {
                let mut pairs = [0; PANEL / 2];
                for (pair, [a, b]) in pairs.iter_mut().zip(y.as_chunks::<2>().0) {
                    *pair = bf16(*a) | bf16(*b) << 16;
                }
                match out[i * *row..].first_chunk_mut::<{ PANEL / 2 }>() {
                    Some(out) if width == PANEL => *out = pairs,
                    // The last pair of an odd row ends with the zero that the matrix has beyond its columns.
                    _ => pair_up(&mut out[i * *row..], &y[..width]),
                }
            }
        }
    }
}

#[cold]
fn pair_up(out: &mut [u32], y: &[f32]) {
    for (out, pair) in out.iter_mut().zip(y.chunks(2)) {
        *out = bf16(pair[0]) | pair.get(1).map_or(0, |y| bf16(*y) << 16);
    }
}
