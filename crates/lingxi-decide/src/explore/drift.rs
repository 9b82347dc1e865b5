//! Has the world changed? Watches what rewards bring, and says when it is no longer what it was.
//!
//! Rewards are averaged over blocks. The first blocks say what is usual; then the deviations of each block from it, in
//! standard deviations, are added up in both directions (CUSUM: Page 1954, "Continuous inspection schemes"), each less an allowance,
//! never below zero. Past the limit that is a change, and what is usual is learnt anew. By simulation a watch over
//! rewards that do not change is wrong at most once in 10,000 blocks.

use serde::{Deserialize, Serialize};

/// Rewards of a block.
const BLOCK: u64 = 50;
/// Blocks that say what is usual.
const USUAL: u64 = 60;
/// Deviations that are borne, and the sum that is too much; both in standard deviations of a block.
const ALLOWANCE: f64 = 0.75;
const LIMIT: f64 = 14.0;

/// A change that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// After how many rewards.
    pub rewards: u64,
    /// Mean reward of a lesson before.
    pub before: f64,
    /// And since the change set in.
    pub after: f64,
}

/// The watch: plain data, the same for the same rewards in whatever pieces they come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drift {
    rewards: u64,
    block: f64,
    /// Blocks that said what is usual, the sum of their means and of the squares.
    usual: u64,
    sum: f64,
    squares: f64,
    /// What rose and fell beyond the allowance.
    up: f64,
    down: f64,
    /// Blocks since either was last zero, and the sum of their means.
    since: u64,
    since_sum: f64,
    changes: u64,
    last: Option<Change>,
}

impl Drift {
    /// Takes in the reward of the next lesson; says so if that makes a change.
    pub fn observe(&mut self, reward: f32) -> Option<Change> {
        if !reward.is_finite() {
            return None;
        }
        self.rewards += 1;
        self.block += f64::from(reward);
        if !self.rewards.is_multiple_of(BLOCK) {
            return None;
        }
        let mean = std::mem::take(&mut self.block) / BLOCK as f64;
        if self.usual < USUAL {
            self.usual += 1;
            self.sum += mean;
            self.squares += mean * mean;
            return None;
        }
        self.judge(mean)
    }

    fn judge(&mut self, mean: f64) -> Option<Change> {
        let before = self.sum / self.usual as f64;
        let variance = self.squares / self.usual as f64 - before * before;
        // Where nothing ever varied one reward in a block is the smallest change there is.
        let deviation = variance.max(0.0).sqrt().max(1.0 / BLOCK as f64);
        let z = (mean - before) / deviation;
        self.up = (self.up + z - ALLOWANCE).max(0.0);
        self.down = (self.down - z - ALLOWANCE).max(0.0);
        if self.up == 0.0 && self.down == 0.0 {
            (self.since, self.since_sum) = (0, 0.0);
            return None;
        }
        self.since += 1;
        self.since_sum += mean;
        if self.up.max(self.down) <= LIMIT {
            return None;
        }
        let change = Change { rewards: self.rewards, before, after: self.since_sum / self.since as f64 };
        *self = Drift { rewards: self.rewards, changes: self.changes + 1, last: Some(change), ..Drift::default() };
        Some(change)
    }

    /// How many changes there were.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The last one.
    pub fn last(&self) -> Option<Change> {
        self.last
    }

    /// How near a change is: 0 nothing unusual, 1 it is one.
    pub fn tension(&self) -> f64 {
        self.up.max(self.down) / LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn run(drift: &mut Drift, rng: &mut ChaCha8Rng, share: f64, rewards: usize) -> Vec<Change> {
        (0..rewards).filter_map(|_| drift.observe(f32::from(u8::from(rng.random::<f64>() < share)))).collect()
    }

    #[test]
    fn nothing_is_seen_where_nothing_changes() {
        let mut seen = 0;
        for seed in 0..20 {
            let (mut drift, mut rng) = (Drift::default(), ChaCha8Rng::seed_from_u64(seed));
            seen += run(&mut drift, &mut rng, 0.05, 200_000).len();
        }
        assert!(seen <= 2, "{seen} alarms in 20,000 blocks");
    }

    #[test]
    fn a_fall_and_a_rise_are_seen_soon_and_what_is_usual_is_learnt_anew() {
        let (mut drift, mut rng) = (Drift::default(), ChaCha8Rng::seed_from_u64(1));
        assert!(run(&mut drift, &mut rng, 0.05, 20_000).is_empty());
        let fall = run(&mut drift, &mut rng, 0.02, 10_000);
        assert_eq!(fall.len(), 1, "{fall:?}");
        assert!(fall[0].before > 0.045 && fall[0].after < 0.03 && fall[0].rewards < 26_000, "{fall:?}");
        assert!(run(&mut drift, &mut rng, 0.02, 20_000).is_empty());
        assert_eq!(run(&mut drift, &mut rng, 0.06, 10_000).len(), 1);
        assert_eq!((drift.changes(), drift.last().is_some()), (2, true));
    }

    #[test]
    fn it_reads_back_as_it_was() {
        let (mut drift, mut rng) = (Drift::default(), ChaCha8Rng::seed_from_u64(2));
        run(&mut drift, &mut rng, 0.1, 12_345);
        let mut read: Drift = serde_json::from_str(&serde_json::to_string(&drift).unwrap()).unwrap();
        assert_eq!(read, drift);
        let more = run(&mut drift, &mut rng.clone(), 0.4, 5000);
        assert_eq!((run(&mut read, &mut rng, 0.4, 5000), read), (more, drift));
    }
}
