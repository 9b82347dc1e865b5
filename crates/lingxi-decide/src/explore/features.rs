//! What does a learning policy see of a shopper with an item? A dozen numbers, the same for every policy.
//!
//! The caller knows the facts; [`describe`] makes a row of them for each candidate, with the score in standard deviations of
//! the candidates', since scores of one model compare only within one context.

use lingxi_data::{ItemId, Scored};

/// Length of a row.
pub const WIDTH: usize = 12;

/// What is known of a shopper with an item. What is not known is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// Cosine of what the shopper took and the item.
    pub like: f32,
    /// Degree of interest in its category, 0 to 1.
    pub degree: f32,
    /// Standard deviation of that degree.
    pub doubt: f32,
    /// How often it was taken, in standard deviations of the log over all goods.
    pub popularity: f32,
    /// 1 for what is new in the shop, 0 for what is old.
    pub freshness: f32,
    /// Probability that its interest is the shopper's next new one.
    pub next: f32,
    /// How much of its interest the shopper was shown lately, about 0 to 1.
    pub shown: f32,
    /// Whether the shopper took it lately.
    pub taken: bool,
}

impl Facts {
    /// The row, with the score in standard deviations.
    fn row(&self, score: f32) -> [f32; WIDTH] {
        let (care, popularity) = (self.degree.max(0.0).sqrt(), self.popularity / 3.0);
        let taken = f32::from(u8::from(self.taken));
        let known = [care, self.degree, 5.0 * self.doubt, popularity, care * popularity];
        let [a, b, c, d, e] = known;
        [1.0, score / 2.0, self.like, a, b, c, d, e, self.freshness, self.next, self.shown, taken]
    }
}

/// How often each item was taken, in standard deviations of the log over all goods: [`Facts::popularity`].
pub fn popularity(taken: &[f32]) -> Vec<f32> {
    let logs: Vec<f32> = taken.iter().map(|n| n.ln_1p()).collect();
    let n = logs.len().max(1) as f32;
    let mean = logs.iter().sum::<f32>() / n;
    let spread = (logs.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n).sqrt().max(1e-6);
    logs.iter().map(|x| (x - mean) / spread).collect()
}

/// Fills [`Scored::features`] with a row for each candidate.
pub fn describe(scored: &mut Scored, facts: impl Fn(ItemId) -> Facts) {
    let spread = super::spread(&scored.scores);
    let finite = || scored.scores.iter().filter(|s| s.is_finite());
    let mean = finite().sum::<f32>() / finite().count().max(1) as f32;
    let standard = |score: f32| if score.is_finite() { ((score - mean) / spread).clamp(-5.0, 5.0) } else { -5.0 };
    let rows = scored.items.iter().zip(&scored.scores).flat_map(|(item, score)| facts(*item).row(standard(*score)));
    scored.features = rows.collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_has_a_finite_row_whatever_it_scores() {
        let mut scored = Scored::new([3, 1, 2].map(ItemId).to_vec(), vec![9.0, 1.0, f32::NAN]);
        describe(&mut scored, |item| Facts { popularity: item.0 as f32, ..Facts::default() });
        assert_eq!(scored.width(), WIDTH);
        assert!(scored.features.iter().all(|x| x.is_finite()));
        assert_eq!(scored.features[1], 0.5, "one standard deviation, halved");
        assert_eq!(scored.features[6], 1.0, "a popularity of three");
    }
}
