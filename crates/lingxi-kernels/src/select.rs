//! The best `k` of a row of scores, without sorting the row.
//!
//! One order everywhere: higher score first, ties by lower index. `NaN` and negative infinity are never selected, so a
//! caller masks an item by either.

use std::cmp::Ordering;

/// Index and score of the best `k`, best first; fewer if fewer can be selected.
pub fn top_k(scores: &[f32], k: usize) -> Vec<(u32, f32)> {
    let mut best = Best::new(k.min(scores.len()));
    best.scan(scores, 0, |_| true);
    best.take()
}

/// Higher score first, then lower index. Scores are no `NaN`.
pub(crate) fn order(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    b.1.partial_cmp(&a.1).expect("NaN is never collected").then(a.0.cmp(&b.0))
}

/// Collects the best `k` from scores that come in the order of their indices.
///
/// Keeps up to `2k` candidates above a running threshold and cuts them back to `k` when full: most scores are settled
/// by one comparison, and a cut costs O(k) for every k candidates.
pub(crate) struct Best {
    k: usize,
    threshold: f32,
    candidates: Vec<(u32, f32)>,
}

impl Best {
    pub(crate) fn new(k: usize) -> Best {
        // With k = 0 nothing passes a threshold of infinity.
        let threshold = if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Best { k, threshold, candidates: Vec::with_capacity(2 * k) }
    }

    /// Offers `scores` of indices `first..`; `allowed` is asked only for those above the threshold.
    pub(crate) fn scan(&mut self, scores: &[f32], first: u32, mut allowed: impl FnMut(u32) -> bool) {
        for (chunk, at) in scores.chunks(16).zip((first..).step_by(16)) {
            let threshold = self.threshold;
            // One flag per chunk, without a branch per score: the compiler makes vector comparisons of it.
            if chunk.iter().fold(false, |any, &s| any | (s > threshold)) {
                for (&score, index) in chunk.iter().zip(at..) {
                    if score > self.threshold && allowed(index) {
                        self.push(index, score);
                    }
                }
            }
        }
    }

    /// Adds a candidate that is above the threshold.
    #[inline]
    pub(crate) fn push(&mut self, index: u32, score: f32) {
        self.candidates.push((index, score));
        if self.candidates.len() >= 2 * self.k {
            self.cut();
        }
    }

    #[cold]
    fn cut(&mut self) {
        self.candidates.select_nth_unstable_by(self.k - 1, order);
        self.candidates.truncate(self.k);
        self.threshold = self.candidates[self.k - 1].1;
    }

    /// The best, sorted; the collector is empty afterwards.
    pub(crate) fn take(&mut self) -> Vec<(u32, f32)> {
        let mut out = std::mem::take(&mut self.candidates);
        out.sort_unstable_by(order);
        out.truncate(self.k);
        out.shrink_to_fit();
        out
    }
}
