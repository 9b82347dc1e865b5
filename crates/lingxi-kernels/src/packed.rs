//! Products with a matrix that stays: a network's weights, packed once for the processor's registers and used many times,
//! in f32, bf16 or int8.
//!
//! `y[m,n] = x[m,k] w[n,k]^T`, with bias, GELU, a residual and the rounding for the next product done while a tile of `y` is
//! still in the nearest cache. `w` lies in panels of 32 columns of `y`, step by step; a step is 32 bits of each column: one
//! f32, two bf16 or four bytes. The rows of `x` lie as they are, rounded the same way, so that a step of a row is one
//! broadcast. A call works on the thread that makes it: who has many rows gives each thread its own.
//!
//! - bf16: `x` and `w` are rounded to nearest, sums are f32.
//! - int8: each column of `w` has one scale; each row of `x` gets one, and the byte that means zero, from its smallest and
//!   largest number when it comes. Sums are exact.

pub(crate) mod amx;
mod finish;
mod rows;
pub(crate) mod tiles;

pub use finish::Target;
pub use rows::Rows;
pub(crate) use rows::bf16;

/// In which numbers products are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// 16-bit floats with the range of f32; sums in f32.
    Bf16,
    /// Bytes with one scale per row and column; sums in i32.
    Int8,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }

    /// Numbers of one step.
    pub(crate) fn per_step(self) -> usize {
        match self {
            Precision::F32 => 1,
            Precision::Bf16 => 2,
            Precision::Int8 => 4,
        }
    }

    /// Steps of a row of `k` numbers. Rounded numbers come in whole tiles of AMX; what is beyond `k` is zero.
    pub(crate) fn steps(self, k: usize) -> usize {
        match self {
            Precision::F32 => k,
            _ => k.div_ceil(self.per_step()).next_multiple_of(16),
        }
    }
}

/// Columns of a panel.
pub(crate) const PANEL: usize = 32;
/// Most rows of a tile.
pub(crate) const ROWS: usize = 32;
/// One step of a panel.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u32; PANEL]);

/// Sums of a tile; those of int8 are i32 in the same bits.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Sums(pub(crate) [[f32; PANEL]; ROWS]);

/// A matrix `w[n,k]`, packed.
pub struct Packed {
    precision: Precision,
    n: usize,
    k: usize,
    /// `[panels, steps]`; columns beyond `n` are zero.
    lines: Vec<Line>,
    /// Of int8: what one unit of each column is worth, and its sum, which every dot product has too often.
    scales: Vec<f32>,
    sums: Vec<i32>,
}

impl Packed {
    /// Packs the rows of `w[n,k]`.
    ///
    /// # Panics
    /// If `w` is not `n x k`, or `k` is 0.
    pub fn new(w: &[f32], n: usize, k: usize, precision: Precision) -> Packed {
        assert!(k > 0 && w.len() == n * k, "packed: {} numbers are not {n} x {k}", w.len());
        let steps = precision.steps(k);
        let mut packed = Packed {
            precision,
            n,
            k,
            lines: vec![Line([0; PANEL]); n.div_ceil(PANEL) * steps],
            scales: vec![],
            sums: vec![],
        };
        let mut row = Rows::default();
        for column in 0..n {
            let w = &w[column * k..(column + 1) * k];
            let panel = &mut packed.lines[column / PANEL * steps..][..k.div_ceil(precision.per_step())];
            let place = panel.iter_mut().map(|line| &mut line.0[column % PANEL]);
            if precision == Precision::Int8 {
                let (scale, bytes) = evenly(w);
                packed.scales.push(scale);
                packed.sums.push(bytes.iter().map(|&byte| i32::from(byte)).sum());
                let four =
                    |four: &[i8]| u32::from_le_bytes(std::array::from_fn(|i| four.get(i).map_or(0, |x| *x as u8)));
                place.zip(bytes.chunks(4)).for_each(|(place, bytes)| *place = four(bytes));
            } else {
                row.fill(w, k, precision);
                place.zip(row.steps_of(0)).for_each(|(place, step)| *place = *step);
            }
        }
        packed
    }

    /// Columns of the product.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Numbers of a dot product.
    pub fn k(&self) -> usize {
        self.k
    }

    /// In which numbers it is kept.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.lines) + size_of_val(&*self.scales) + size_of_val(&*self.sums)
    }

    /// `x w^T`, then `bias` (none if empty), then GELU if asked for, into `target`.
    ///
    /// # Panics
    /// If `x` has other rows than `w` or another precision, `bias` is neither empty nor of length `n`, or `target` is not
    /// `m x n`.
    pub fn product(&self, x: &Rows, bias: &[f32], gelu: bool, target: Target<'_>) {
        assert_eq!((x.k(), x.precision()), (self.k, self.precision), "packed: x and w differ in row or precision");
        assert!(bias.is_empty() || bias.len() == self.n, "packed: {} biases for {} columns", bias.len(), self.n);
        let mut finish = finish::Finish::new(self, x, bias, gelu, target);
        let mut sums = Sums([[0.0; PANEL]; ROWS]);
        let tiles = tiles::Tiles::choose(self.precision);
        let (steps, m) = (self.precision.steps(self.k), x.len());
        // Rows in blocks as equal as can be: a last block of one row would leave the processor waiting.
        let blocks = m.div_ceil(tiles.rows());
        for (panel, lines) in self.lines.chunks_exact(steps).enumerate() {
            for block in 0..blocks {
                let (from, to) = (block * m / blocks, (block + 1) * m / blocks);
                tiles.multiply(&x.all_steps()[from * steps..], steps, to - from, lines, &mut sums);
                finish.tile(&sums, from, to - from, panel * PANEL);
            }
        }
        finish.end();
    }
}

/// A column in bytes from -127 to 127, and what one of them is worth.
fn evenly(w: &[f32]) -> (f32, Vec<i8>) {
    let top = w.iter().fold(0f32, |top, x| top.max(x.abs()));
    let fits = top > 0.0 && top < f32::INFINITY && (127.0 / top) < f32::INFINITY;
    let (scale, unit) = if fits { (top / 127.0, 127.0 / top) } else { (0.0, 0.0) };
    (scale, w.iter().map(|x| (x * unit).round_ties_even().clamp(-127.0, 127.0) as i8).collect())
}
