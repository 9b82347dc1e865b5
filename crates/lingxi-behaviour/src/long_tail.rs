//! Do rare goods get the places that shoppers give them? A lift that is the same for all of them, calibrated on validation.
//!
//! Models trained on what was taken often show what was taken often: the tail's share of the places is below its share of what
//! shoppers take next (popularity bias). `score(i) = lift` if `i` is among the least taken 80% of the goods, else 0; as one more
//! part of a blend it moves all of them alike and keeps their order (the logit adjustment of arXiv 2007.07314 with two classes).
//! [`crate::blend::calibrate_tail`] finds the lift with which both shares are equal.
//!
//! Cost a request: a look-up an item.

use lingxi_data::{Because, Context, Contribution, ItemId, Score, least_taken};

const NAME: &str = "long tail";
/// Share of the catalogue that is called rare, as in the published slices.
const SHARE: f64 = 0.8;

/// Which goods are rare, and by how much they are lifted.
#[derive(Clone, Debug, PartialEq)]
pub struct LongTail {
    lift: f32,
    rare: Vec<bool>,
}

impl LongTail {
    /// The least taken 80% by `counts`, ties by higher id; each lifted by `lift`, which may be negative.
    pub fn new(counts: &[u32], lift: f32) -> LongTail {
        LongTail { lift, rare: least_taken(counts, SHARE) }
    }

    /// The same goods with another lift.
    pub fn lifted(&self, lift: f32) -> LongTail {
        LongTail { lift, rare: self.rare.clone() }
    }

    /// Whether an item is rare; one that is not known is not.
    pub fn is_rare(&self, item: ItemId) -> bool {
        self.rare.get(item.index()).copied().unwrap_or(false)
    }

    fn of(&self, item: ItemId) -> f32 {
        if self.is_rare(item) { self.lift } else { 0.0 }
    }
}

impl Score for LongTail {
    fn name(&self) -> &'static str {
        NAME
    }

    fn n_items(&self) -> usize {
        self.rare.len()
    }

    fn score(&self, _: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        items.iter().zip(out).for_each(|(item, out)| *out = self.of(*item));
    }

    fn contributions(&self, _: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        match self.of(item) {
            0.0 => Vec::new(),
            value => vec![Contribution { model: NAME, because: Because::Baseline, value }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_taken_goods_are_rare_and_ties_go_to_the_higher_id() {
        let tail = LongTail::new(&[5, 1, 9, 1, 1], 0.5);
        let rare: Vec<bool> = (0..6).map(|i| tail.is_rare(ItemId(i))).collect();
        assert_eq!(rare, [true, true, false, true, true, false]);
    }
}
