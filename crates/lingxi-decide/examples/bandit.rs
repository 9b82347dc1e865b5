//! One policy over one stream, one place a decision: for `bench/bandit.py`.
//!
//! Usage: `bandit STREAM ACTIONS WIDTH POLICY`. STREAM holds, for each decision and action, WIDTH features and the reward, as
//! little-endian f32; POLICY is JSON as in a recipe. It chooses and learns, and answers each line on stdin with a fresh run as one
//! line of JSON: mean reward, seconds.

use lingxi_data::{ItemId, Lesson, Policy, Scored, Slot};
use lingxi_decide::{Explorer, PolicyConfig};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

struct Stream {
    rows: Vec<f32>,
    actions: usize,
    width: usize,
}

impl Stream {
    fn len(&self) -> usize {
        self.rows.len() / (self.actions * (self.width + 1))
    }

    fn row(&self, turn: usize, action: usize) -> &[f32] {
        let width = self.width + 1;
        &self.rows[(turn * self.actions + action) * width..][..width]
    }

    fn scored(&self, turn: usize) -> Scored {
        let mut scored = Scored::new((0..self.actions as u32).map(ItemId).collect(), vec![0.0; self.actions]);
        scored.features.reserve(self.actions * self.width);
        (0..self.actions).for_each(|action| scored.features.extend(&self.row(turn, action)[..self.width]));
        scored
    }

    fn lesson(&self, turn: usize, action: usize, reward: f32) -> Lesson {
        let features = self.row(turn, action)[..self.width].to_vec();
        Lesson { item: ItemId(action as u32), features, reward, weight: 1.0 }
    }
}

fn numbers(path: &str) -> std::io::Result<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn play(stream: &Stream, mut policy: Explorer, seed: u64) -> serde_json::Value {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut sum = 0.0;
    let started = Instant::now();
    for turn in 0..stream.len() {
        let slate = policy.choose(&stream.scored(turn), 1, &mut |_: &[Slot], _| true, &mut rng);
        let action = slate[0].item.index();
        let reward = stream.row(turn, action)[stream.width];
        sum += f64::from(reward);
        policy.learn(&[stream.lesson(turn, action, reward)]);
    }
    let seconds = started.elapsed().as_secs_f64();
    serde_json::json!({ "reward": sum / stream.len() as f64, "seconds": seconds, "decisions": stream.len() })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [stream, actions, width, policy] = args.as_slice() else {
        return Err("usage: bandit STREAM ACTIONS WIDTH POLICY".into());
    };
    let stream = Stream { rows: numbers(stream)?, actions: actions.parse()?, width: width.parse()? };
    let policy = serde_json::from_str::<PolicyConfig>(policy)?.build()?;
    for (seed, line) in std::io::stdin().lines().enumerate() {
        line?;
        println!("{}", play(&stream, policy.clone(), 1 + seed as u64));
    }
    Ok(())
}
