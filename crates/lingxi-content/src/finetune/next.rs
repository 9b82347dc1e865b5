//! What does a shopper take next, by what they took before? Vectors of all goods come in; the loss of some visits and its gradient go out.
//!
//! ```text
//! q = sum_i w_i unit(z_i) over the past    scores = q . unit(z_j) / temperature    loss = -log softmax(scores)[next]
//! ```
//!
//! It is the question that goods nobody took are asked: which of all goods lies nearest to a weighed past. What was taken before is no rival.

use super::head::{Slopes, Visit, unit, unit_back};
use lingxi_kernels::{axpy, log_sum_exp, matmul_nn, matmul_nt, matmul_tn_add, softmax_rows};

/// Goods that count as found are among the first so many.
const FOUND: usize = 20;

/// Some visits, and the texts that answer: row `i` of the vectors is that of `rivals[i]`.
pub(super) struct Asked<'a> {
    pub rivals: &'a [u32],
    pub batch: Vec<&'a Visit>,
}

impl Asked<'_> {
    fn place(&self, text: u32) -> usize {
        self.rivals.binary_search(&text).expect("all texts of a visit are among the rivals")
    }

    /// The weighed past of each visit `[batch, h]`.
    fn pasts(&self, rows: &[f32], h: usize) -> Vec<f32> {
        let mut pasts = vec![0.0; self.batch.len() * h];
        for (visit, past) in self.batch.iter().zip(pasts.chunks_exact_mut(h)) {
            visit.past.iter().for_each(|(text, weight)| axpy(*weight, &rows[self.place(*text) * h..][..h], past));
        }
        pasts
    }

    /// Scores of all rivals `[batch, rivals]`; past ones have none.
    fn scores(&self, pasts: &[f32], rows: &[f32], h: usize) -> Vec<f32> {
        let n = self.rivals.len();
        let mut scores = vec![0.0; self.batch.len() * n];
        matmul_nt(pasts, rows, &mut scores, self.batch.len(), n, h);
        for (visit, scores) in self.batch.iter().zip(scores.chunks_exact_mut(n)) {
            visit.past.iter().for_each(|(text, _)| scores[self.place(*text)] = f32::NEG_INFINITY);
        }
        scores
    }
}

/// The mean loss of the visits, and its gradient by the vectors `z [rivals, h]`.
pub(super) fn learn(asked: &Asked<'_>, z: &[f32], h: usize, temperature: f32) -> Slopes {
    let (n, m) = (asked.rivals.len(), asked.batch.len());
    let (rows, lengths) = unit(z, h);
    let pasts = asked.pasts(&rows, h);
    let mut scores = asked.scores(&pasts, &rows, h);
    scores.iter_mut().for_each(|s| *s /= temperature);
    let mut loss = 0.0;
    for (visit, scores) in asked.batch.iter().zip(scores.chunks_exact(n)) {
        loss += f64::from(log_sum_exp(scores) - scores[asked.place(visit.next)]) / m as f64;
    }
    softmax_rows(&mut scores, n);
    for (visit, scores) in asked.batch.iter().zip(scores.chunks_exact_mut(n)) {
        scores[asked.place(visit.next)] -= 1.0;
        scores.iter_mut().for_each(|s| *s /= m as f32 * temperature);
    }
    let (mut d, mut d_pasts) = (vec![0.0; z.len()], vec![0.0; pasts.len()]);
    matmul_tn_add(&scores, &pasts, &mut d, n, h, m);
    matmul_nn(&scores, &rows, &mut d_pasts, m, h, n);
    for (visit, d_past) in asked.batch.iter().zip(d_pasts.chunks_exact(h)) {
        visit.past.iter().for_each(|(text, weight)| axpy(*weight, d_past, &mut d[asked.place(*text) * h..][..h]));
    }
    unit_back(&mut d, &rows, &lengths, h);
    Slopes { loss, z: d, head: vec![] }
}

/// How many visits find what came next among the first of all rivals.
pub(super) fn found(asked: &Asked<'_>, z: &[f32], h: usize) -> usize {
    let rows = unit(z, h).0;
    let scores = asked.scores(&asked.pasts(&rows, h), &rows, h);
    let finds = |(visit, scores): (&&Visit, &[f32])| {
        let own = scores[asked.place(visit.next)];
        scores.iter().filter(|score| **score > own).count() < FOUND
    };
    asked.batch.iter().zip(scores.chunks_exact(asked.rivals.len())).filter(|(visit, row)| finds((visit, row))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_nearest_to_the_past_is_found_whichever_numbers_texts_have() {
        // Rivals 7 and up; each visit's past lies along one axis, what came next beside it or across.
        let rivals: Vec<u32> = (7..60).collect();
        let mut z: Vec<f32> = rivals.iter().flat_map(|text| [1.0, *text as f32 / 100.0]).collect();
        let across = z.len() - 2;
        z[across..].copy_from_slice(&[-1.0, 0.0]);
        let visit = |next| Visit { past: vec![(7, 1.0)], next };
        let visits = [visit(9), visit(59)];
        let asked = Asked { rivals: &rivals, batch: visits.iter().collect() };
        assert_eq!(found(&asked, &z, 2), 1);
        let near = learn(&Asked { rivals: &rivals, batch: vec![&visits[0]] }, &z, 2, 0.5).loss;
        assert!(near < learn(&Asked { rivals: &rivals, batch: vec![&visits[1]] }, &z, 2, 0.5).loss);
    }
}
