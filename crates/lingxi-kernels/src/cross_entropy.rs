//! The loss of choosing one item of all, `-log softmax(x items^T)[label]`, with its gradients, for tables so large that the
//! logits of a batch would not fit: they are made block by block, twice, and never stored.
//!
//! The first pass keeps the largest logit of each row and the sum of the others beside it; the second makes each block again,
//! turns it into probabilities, and adds what it gives to both gradients. Memory beside the arguments is one block.

pub mod rounded;

use crate::cpu::per_level;
use crate::products::{dot, matmul_nn_add, matmul_nt, matmul_tn_add};
use crate::rows::exp;
use rayon::prelude::*;

/// The label of a row that does not count.
pub const IGNORED: u32 = u32::MAX;

/// Rows and items of a block: 1 MiB of logits.
const ROWS: usize = 256;
const ITEMS: usize = 1024;

/// Where the gradients of the mean loss are added.
pub struct Gradients<'a> {
    /// Of `x`, `[rows,d]`.
    pub x: &'a mut [f32],
    /// Of `items`, `[n,d]`.
    pub items: &'a mut [f32],
}

/// The mean of `-log softmax(x items^T)[label]` over the rows of `x[rows,d]` whose label is not [`IGNORED`], for a table
/// `items[n,d]`; 0 if there is no such row. Gradients are made only if asked for.
///
/// # Panics
/// If `x` has not `d` numbers per label, `items` is no whole rows, a label is no item, or gradients are of other lengths.
pub fn cross_entropy(x: &[f32], items: &[f32], d: usize, labels: &[u32], mut gradients: Option<Gradients<'_>>) -> f64 {
    assert!(d > 0 && items.len().is_multiple_of(d), "cross entropy: items are no whole rows of length {d}");
    let n = items.len() / d;
    assert_eq!(x.len(), labels.len() * d, "cross entropy: x is not {} x {d}", labels.len());
    let wrong = labels.iter().find(|label| **label != IGNORED && **label as usize >= n);
    assert!(wrong.is_none(), "cross entropy: label {wrong:?} of {n} items");
    if let Some(g) = &gradients {
        assert_eq!((g.x.len(), g.items.len()), (x.len(), items.len()), "cross entropy: gradients are of other lengths");
    }
    let counted = labels.iter().filter(|label| **label != IGNORED).count().max(1) as f64;
    let mut logits = vec![0f32; ROWS.min(labels.len()) * ITEMS.min(n)];
    let mut loss = 0.0;
    for (part, (x, labels)) in x.chunks(ROWS * d).zip(labels.chunks(ROWS)).enumerate() {
        let m = labels.len();
        let mut wholes = vec![Whole { top: f32::NEG_INFINITY, sum: 0.0 }; m];
        for block in items.chunks(ITEMS * d) {
            let width = block.len() / d;
            let logits = &mut logits[..m * width];
            matmul_nt(x, block, logits, m, width, d);
            logits.par_chunks(width).zip(&mut wholes).for_each(|(row, whole)| add_up(row, whole));
        }
        let known = labels.iter().enumerate().filter(|(_, label)| **label != IGNORED);
        loss += known
            .map(|(row, &label)| {
                let own = dot(&x[row * d..(row + 1) * d], &items[label as usize * d..(label as usize + 1) * d]);
                wholes[row].log() - f64::from(own)
            })
            .sum::<f64>();
        let Some(g) = &mut gradients else { continue };
        let dx = &mut g.x[part * ROWS * d..][..m * d];
        for (at, (block, d_block)) in items.chunks(ITEMS * d).zip(g.items.chunks_mut(ITEMS * d)).enumerate() {
            let width = block.len() / d;
            let logits = &mut logits[..m * width];
            matmul_nt(x, block, logits, m, width, d);
            logits.par_chunks_mut(width).zip(&wholes).zip(labels).for_each(|((row, whole), &label)| {
                let share = if label == IGNORED { 0.0 } else { 1.0 / counted as f32 };
                slope(row, whole.log() as f32, share);
                // Its own item pulls the other way.
                if let Some(own) = (label as usize).checked_sub(at * ITEMS).and_then(|own| row.get_mut(own)) {
                    *own -= share;
                }
            });
            matmul_nn_add(logits, block, dx, m, d, width);
            matmul_tn_add(logits, x, d_block, width, d, m);
        }
    }
    loss / counted
}

/// What a row needs of all its logits: the largest, and the sum of `e^(logit - top)`.
#[derive(Clone, Copy)]
struct Whole {
    top: f32,
    sum: f64,
}

impl Whole {
    fn log(self) -> f64 {
        f64::from(self.top) + self.sum.ln()
    }
}

per_level! { fn add_up(logits: &[f32], whole: &mut Whole) = add_up_body }

#[inline(always)]
fn add_up_body<const FMA: bool>(logits: &[f32], whole: &mut Whole) {
    let top = crate::rows::top(logits).max(whole.top);
    if top == f32::NEG_INFINITY {
        return;
    }
    let here = crate::rows::sum(logits, |x| exp::<FMA>(x - top));
    whole.sum = whole.sum * f64::from(whole.top - top).exp() + f64::from(here);
    whole.top = top;
}

per_level! { fn slope(logits: &mut [f32], whole: f32, share: f32) = slope_body }

#[inline(always)]
fn slope_body<const FMA: bool>(logits: &mut [f32], whole: f32, share: f32) {
    logits.iter_mut().for_each(|x| *x = exp::<FMA>(*x - whole) * share);
}
