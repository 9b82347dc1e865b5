//! The best `k` of a row of scores, without sorting the row.
//!
//! One order everywhere: higher score first, ties by lower index. `NaN` and negative infinity are never selected, so a
//! caller masks an item by either.

/// Index and score of the best `k`, best first; fewer if fewer can be selected.
pub fn top_k(scores: &[f32], k: usize) -> Vec<(u32, f32)> {
    let mut best = Best::new(k.min(scores.len()));
    best.scan(scores, 0, &[]);
    best.take()
}

/// Collects the best `k` from scores that come in the order of their indices.
///
/// Keeps up to `2k` candidates above a running threshold and cuts them back to `k` when full: most scores are settled
/// by one comparison, and a cut costs O(k) for every k candidates.
pub(crate) struct Best {
    k: usize,
    threshold: f32,
    /// Score and index as one number, see [`key`].
    candidates: Vec<u64>,
}

impl Best {
    pub(crate) fn new(k: usize) -> Best {
        // With k = 0 nothing passes a threshold of infinity.
        let threshold = if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Best { k, threshold, candidates: Vec::new() }
    }

    /// Only a score above this can still be selected: an equal one has a higher index than the `k` already seen.
    #[inline]
    pub(crate) fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Offers `scores` of indices `first..`; those in `excluded` (ascending) are passed over.
    pub(crate) fn scan(&mut self, scores: &[f32], first: u32, excluded: &[u32]) {
        for (chunk, at) in scores.chunks(16).zip((first..).step_by(16)) {
            let threshold = self.threshold;
            // One flag per chunk, without a branch per score: the compiler makes vector comparisons of it.
            if chunk.iter().fold(false, |any, &s| any | (s > threshold)) {
                for (&score, index) in chunk.iter().zip(at..) {
                    self.offer(index, score, excluded);
                }
            }
        }
    }

    /// Takes a score if it is above the threshold and its index is not in `excluded` (ascending).
    #[inline]
    pub(crate) fn offer(&mut self, index: u32, score: f32, excluded: &[u32]) {
        if score > self.threshold {
            self.offer_any(index, score, excluded);
        }
    }

    /// The same for indices that come in any order: a finite score that is not below the threshold.
    #[inline]
    pub(crate) fn offer_any(&mut self, index: u32, score: f32, excluded: &[u32]) {
        if score >= self.threshold && excluded.binary_search(&index).is_err() {
            if self.candidates.capacity() == 0 {
                self.candidates.reserve_exact(2 * self.k);
            }
            self.candidates.push(key(index, score));
            if self.candidates.len() == 2 * self.k {
                self.cut();
            }
        }
    }

    #[cold]
    fn cut(&mut self) {
        let (_, &mut last, _) = self.candidates.select_nth_unstable(self.k - 1);
        self.candidates.truncate(self.k);
        self.threshold = entry(last).1;
    }

    /// The best, sorted; the collector is empty afterwards.
    pub(crate) fn take(&mut self) -> Vec<(u32, f32)> {
        let mut keys = std::mem::take(&mut self.candidates);
        if keys.len() > self.k {
            keys.select_nth_unstable(self.k - 1);
            keys.truncate(self.k);
        }
        keys.sort_unstable();
        keys.into_iter().map(entry).collect()
    }
}

/// A number that is smaller the earlier its entry comes: whole numbers compare faster than pairs with a float.
#[inline]
fn key(index: u32, score: f32) -> u64 {
    // Adding zero makes -0 equal to 0. The bits of floats rise with positive and fall with negative values.
    let bits = (score + 0.0).to_bits();
    let falling = if bits >> 31 == 0 { !(bits | 1 << 31) } else { bits };
    u64::from(falling) << 32 | u64::from(index)
}

#[inline]
fn entry(key: u64) -> (u32, f32) {
    let falling = (key >> 32) as u32;
    let bits = if falling >> 31 == 0 { !falling & !(1 << 31) } else { falling };
    (key as u32, f32::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_rise_as_entries_come_later_and_give_the_entry_back() {
        let scores = [f32::INFINITY, f32::MAX, 1.0, f32::MIN_POSITIVE, 0.0, -1e-30, -1.0, f32::MIN, f32::NEG_INFINITY];
        let keys: Vec<u64> = scores.iter().flat_map(|&s| [key(0, s), key(7, s), key(u32::MAX, s)]).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert!(scores.iter().all(|&s| entry(key(9, s)) == (9, s)));
        assert_eq!(key(3, -0.0), key(3, 0.0));
    }
}
