//! Products with a matrix in Q8_0, the bytes of GGUF files: each 32 numbers of a row share a scale.
//!
//! `y[m,n] = x[m,k] w[n,k]^T`. Rows of `x` are rounded to bytes the same way, block by block, so that one large number spoils 31
//! others and not a whole row; sums of a block are exact, blocks are added in f32. `w` lies in panels of 32 columns of `y`, in the
//! order in which the loop reads it: 34 bytes for 32 numbers, as in the file.
//!
//! Made for a network that writes one token at a time: each token reads every weight once, so that it is memory that is waited
//! for. The same bytes serve many rows at once, where it is arithmetic. A few rows are divided among threads by columns, many by
//! rows; neither changes a number.

mod tile;

use half::f16;
use rayon::prelude::*;

/// Numbers that share a scale.
pub const BLOCK: usize = 32;
/// Bytes of a block in a file: its scale as a 16-bit float, then its numbers.
pub const BLOCK_BYTES: usize = 2 + BLOCK;
/// Columns of a panel.
const PANEL: usize = 32;
/// Steps of a block; a step is four numbers of each column.
const STEPS: usize = BLOCK / 4;
/// Products of one task of one row: below that waking a thread costs more.
const GRAIN: usize = 1 << 17;

/// One block of each column of a panel.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Piece {
    /// 16-bit floats.
    scales: [u16; PANEL],
    /// 128 more than the number, since the instruction takes its left side without a sign.
    steps: [[u8; 4 * PANEL]; STEPS],
}

/// A matrix `w[n,k]` in Q8_0.
pub struct Blocks {
    n: usize,
    k: usize,
    /// `[panels, k / 32]`
    pieces: Vec<Piece>,
}

impl Blocks {
    /// Takes rows of `k` numbers as they lie in a file; all parts, one below the other.
    ///
    /// # Panics
    /// If `k` is no whole number of blocks, or a part no whole number of rows.
    pub fn new(parts: &[&[u8]], k: usize) -> Blocks {
        assert!(k > 0 && k.is_multiple_of(BLOCK), "blocks: rows of {k} numbers are no blocks of {BLOCK}");
        let (per_row, wide) = (k / BLOCK, k / BLOCK * BLOCK_BYTES);
        assert!(parts.iter().all(|part| part.len().is_multiple_of(wide)), "blocks: a part is no rows of {wide} bytes");
        let rows: Vec<&[u8]> = parts.iter().flat_map(|part| part.chunks_exact(wide)).collect();
        let empty = Piece { scales: [0; PANEL], steps: [[128; 4 * PANEL]; STEPS] };
        let mut pieces = vec![empty; rows.len().div_ceil(PANEL) * per_row];
        pieces.par_chunks_exact_mut(per_row).zip(rows.par_chunks(PANEL)).for_each(|(pieces, rows)| {
            for (column, row) in rows.iter().enumerate() {
                for (piece, block) in pieces.iter_mut().zip(row.chunks_exact(BLOCK_BYTES)) {
                    piece.scales[column] = u16::from_le_bytes([block[0], block[1]]);
                    for (step, four) in piece.steps.iter_mut().zip(block[2..].chunks_exact(4)) {
                        let place = &mut step[4 * column..4 * column + 4];
                        place.iter_mut().zip(four).for_each(|(place, byte)| *place = byte ^ 128);
                    }
                }
            }
        });
        Blocks { n: rows.len(), k, pieces }
    }

    /// Columns of the product.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Numbers of a dot product.
    pub fn k(&self) -> usize {
        self.k
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.pieces)
    }

    /// Row `at` of `w`, in f32.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not of length `k`.
    pub fn row(&self, at: usize, out: &mut [f32]) {
        assert!(at < self.n && out.len() == self.k, "blocks: row {at} of {}, {} numbers", self.n, out.len());
        let (pieces, column) = (&self.pieces[at / PANEL * (self.k / BLOCK)..], at % PANEL);
        for (out, piece) in out.chunks_exact_mut(BLOCK).zip(pieces) {
            let scale = f16::from_bits(piece.scales[column]).to_f32();
            for (out, step) in out.chunks_exact_mut(4).zip(&piece.steps) {
                let four = &step[4 * column..4 * column + 4];
                out.iter_mut().zip(four).for_each(|(out, byte)| *out = f32::from((byte ^ 128) as i8) * scale);
            }
        }
    }

    /// `out = x w^T`, or added to what is there.
    ///
    /// # Panics
    /// If `x` has other rows than `w`, or `out` is not `m x n`.
    pub fn product(&self, x: &BlockRows, out: &mut [f32], add: bool) {
        assert_eq!(x.k, self.k, "blocks: x and w differ in row");
        assert_eq!(out.len(), x.m * self.n, "blocks: {} places for {} x {}", out.len(), x.m, self.n);
        let threads = rayon::current_num_threads();
        if x.m > tile::ROWS && self.n > 0 {
            let tall = x.m.div_ceil(threads).next_multiple_of(tile::ROWS);
            let work = |(task, out): (usize, &mut [f32])| self.columns(x, task * tall, 0, out, self.n, add);
            return out.par_chunks_mut(tall * self.n).enumerate().for_each(work);
        }
        // Several tasks a thread, since one may be kept waiting by the system.
        let tasks = (self.n * self.k / GRAIN).clamp(1, 4 * threads);
        let wide = self.n.div_ceil(tasks).next_multiple_of(PANEL);
        let work = |(task, out): (usize, &mut [f32])| self.columns(x, 0, task * wide, out, out.len(), add);
        match x.m {
            1 if tasks == 1 => work((0, out)),
            1 => out.par_chunks_mut(wide).enumerate().for_each(work),
            _ => self.few(x, wide, out, add),
        }
    }

    /// A few rows, by columns: each task has rows of its own, which are then put together.
    fn few(&self, x: &BlockRows, wide: usize, out: &mut [f32], add: bool) {
        let starts: Vec<usize> = (0..self.n).step_by(wide.max(1)).collect();
        let part = |&column: &usize| {
            let width = wide.min(self.n - column);
            let mut part = vec![0.0; x.m * width];
            self.columns(x, 0, column, &mut part, width, false);
            part
        };
        let parts: Vec<Vec<f32>> = starts.par_iter().map(part).collect();
        for (column, part) in starts.into_iter().zip(parts) {
            let width = wide.min(self.n - column);
            for (out, part) in out.chunks_exact_mut(self.n).zip(part.chunks_exact(width)) {
                let out = &mut out[column..column + width];
                out.iter_mut().zip(part).for_each(|(out, sum)| *out = if add { *out + sum } else { *sum });
            }
        }
    }

    /// Rows from `row` on and columns from `column` on into `out[_,wide]`.
    fn columns(&self, x: &BlockRows, row: usize, column: usize, out: &mut [f32], wide: usize, add: bool) {
        let per_row = self.k / BLOCK;
        let m = out.len() / wide;
        let blocks = m.div_ceil(tile::ROWS);
        let mut sums = tile::Sums([[0.0; PANEL]; tile::ROWS]);
        let panels = self.pieces[column / PANEL * per_row..].chunks_exact(per_row);
        for (panel, at) in panels.zip((0..wide).step_by(PANEL)) {
            let width = PANEL.min(wide - at);
            // Rows in blocks as equal as can be: a last block of one row would leave the processor waiting.
            for block in 0..blocks {
                let (from, to) = (block * m / blocks, (block + 1) * m / blocks);
                tile::multiply(x, row + from..row + to, panel, &mut sums);
                for (sums, out) in sums.0.iter().zip(out[from * wide..to * wide].chunks_exact_mut(wide)) {
                    let out = &mut out[at..at + width];
                    if add {
                        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                    } else {
                        out.copy_from_slice(&sums[..width]);
                    }
                }
            }
        }
    }
}

/// Rows `x[m,k]` in bytes, each block with its scale. A buffer: filled again and again, it allocates only when it has to grow.
#[derive(Default)]
pub struct BlockRows {
    m: usize,
    k: usize,
    /// `[m, k / 4]`, four bytes each.
    steps: Vec<u32>,
    /// `[m, k / 32]`
    scales: Vec<f32>,
    /// `[m, k / 32]`: minus 128 times the sum of a block, which takes back what was added to the bytes of `w`.
    starts: Vec<i32>,
}

impl BlockRows {
    /// Takes the rows of `x[_,k]`.
    ///
    /// # Panics
    /// If `k` is no whole number of blocks, or `x` no whole number of rows.
    pub fn fill(&mut self, x: &[f32], k: usize) {
        assert!(
            k > 0 && k.is_multiple_of(BLOCK) && x.len().is_multiple_of(k),
            "blocks: {} are no rows of {k}",
            x.len()
        );
        (self.m, self.k) = (x.len() / k, k);
        self.steps.resize(x.len() / 4, 0);
        self.scales.resize(x.len() / BLOCK, 0.0);
        self.starts.resize(x.len() / BLOCK, 0);
        tile::round(x, &mut self.steps, &mut self.scales, &mut self.starts);
    }
}

/// Rounds numbers to Q8_0, as they lie in a file: `x[i]` is a 16-bit scale times a byte from -127 to 127.
///
/// # Panics
/// If `x` is no whole number of blocks.
pub fn to_q8(x: &[f32]) -> Vec<u8> {
    assert!(x.len().is_multiple_of(BLOCK), "q8: {} numbers are no blocks of {BLOCK}", x.len());
    let mut out = Vec::with_capacity(x.len() / BLOCK * BLOCK_BYTES);
    for block in x.chunks_exact(BLOCK) {
        let top = block.iter().fold(0f32, |top, x| top.max(x.abs()));
        let unit = if top > 0.0 { 127.0 / top } else { 0.0 };
        out.extend(f16::from_f32(top / 127.0).to_le_bytes());
        out.extend(block.iter().map(|x| (x * unit).round().clamp(-127.0, 127.0) as i8 as u8));
    }
    out
}
