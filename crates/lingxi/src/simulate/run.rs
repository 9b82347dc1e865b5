//! One arm from its first decision to its last: choose, click, learn, and count.

use super::arms::Arm;
use super::learner::{CANDIDATES, Glance, Known, Learner};
use super::world::{Mood, World, looked_at};
use lingxi_data::{Catalog, Context, Contribution, ItemId, Lesson, Policy, Recall, Rows, Score};
use lingxi_decide::explore::BudgetConfig;
use lingxi_decide::rerank::{Exposure, Reranker, Shaping, fair};
use lingxi_decide::{RerankConfig, Rules, RulesConfig, Slate, Stages, decide};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::HashSet;
use std::time::Instant;

/// Points of each curve.
const POINTS: usize = 50;
/// The run lasts half a year after the logs.
pub(super) const START: i64 = 400 * 86_400;
pub(super) const LENGTH: i64 = 180 * 86_400;

/// What all arms share.
pub struct Ground<'a> {
    /// The shoppers.
    pub world: &'a World,
    /// What was learnt before the first decision.
    pub learner: &'a Learner<'a>,
    /// The goods, with a column `seller`.
    pub catalog: &'a Catalog,
    /// How often each was taken before.
    pub taken: &'a [f32],
    /// The group of each shopper, where the shop knows one.
    pub groups: &'a [Option<u32>],
    /// Slates per arm.
    pub decisions: usize,
    /// Places of a slate.
    pub places: usize,
    /// Seed of shoppers' order, candidates, draws and clicks.
    pub seed: u64,
}

/// One point of an arm's curves.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Point {
    /// Slates so far.
    pub decisions: usize,
    /// Clicks per slate since the last point.
    pub reward: f64,
    /// Clicks that the best slates would have brought on top, summed up.
    pub regret: f64,
    /// Share of hidden new interests that were found.
    pub discovered: f64,
    /// Share of goods that were shown.
    pub coverage: f64,
    /// Distance of sellers' exposure from their share.
    pub seller_gap: f64,
    /// Greatest distance of what a group of shoppers sees from what all see.
    pub group_gap: f64,
}

/// What came of an arm.
pub struct Outcome {
    /// What the table calls it.
    pub name: String,
    /// Name and settings of the policy after its last lesson.
    pub version: String,
    /// Clicks per slate.
    pub reward: f64,
    /// The middle 95% by shoppers.
    pub interval: [f64; 2],
    /// Clicks and slates per shopper.
    pub by_shopper: Vec<(f64, f64)>,
    /// The curves; the last point has the totals.
    pub curve: Vec<Point>,
    /// Mean score of what was shown.
    pub score: f64,
    /// Seconds that the policy took to choose and to learn, per slate.
    pub seconds: f64,
}

struct Fixed(Vec<ItemId>);

impl Recall for Fixed {
    fn name(&self) -> &'static str {
        "simulated"
    }
    fn recall(&self, _context: &Context<'_>, k: usize) -> Vec<ItemId> {
        self.0.iter().take(k).copied().collect()
    }
}

struct Ranked<'a> {
    glance: &'a Glance,
    n: usize,
}

impl Score for Ranked<'_> {
    fn name(&self) -> &'static str {
        "simulated"
    }
    fn n_items(&self) -> usize {
        self.n
    }
    fn score(&self, _context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        items.iter().zip(out).for_each(|(item, out)| *out = self.glance.score(*item));
    }
    fn contributions(&self, _context: &Context<'_>, _item: ItemId) -> Vec<Contribution> {
        Vec::new()
    }
}

/// What is counted on the way.
struct Tally {
    by_shopper: Vec<(f64, f64)>,
    window: (f64, f64),
    regret: f64,
    score: (f64, f64),
    found: HashSet<(usize, u32)>,
    shown: Vec<bool>,
    seconds: f64,
    watched: Exposure,
    curve: Vec<Point>,
}

/// Runs one arm; `done` is told of slates as they are decided.
///
/// # Errors
/// A policy or a re-ranker outside its range.
pub fn run(ground: &Ground<'_>, arm: &Arm, done: &(dyn Fn(u64) + Sync)) -> anyhow::Result<Outcome> {
    let budget = BudgetConfig { places: arm.places };
    let mut policy = arm.policy.build()?.with_budget(budget);
    let reranker = Reranker::new(arm.rerank.clone(), ground.catalog, ground.taken)?;
    let watcher = Reranker::new(watching(), ground.catalog, ground.taken)?;
    let rules = Rules::new(RulesConfig::default(), ground.catalog)?;
    let mut exposure = Exposure::default();
    let shoppers = &ground.world.shoppers;
    let mut known: Vec<Known> = shoppers.iter().map(|shopper| ground.learner.meet(shopper)).collect();
    let mut moods = vec![Mood::default(); shoppers.len()];
    let mut tally = Tally::new(shoppers.len(), ground.catalog.len());
    for turn in 0..ground.decisions {
        let seed = ground.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(turn as u64);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let who = rng.random_range(0..shoppers.len());
        let at = turn as f64 / ground.decisions as f64;
        let now = START + (at * LENGTH as f64) as i64;
        let recall = Fixed(ground.learner.recall(&known[who], &mut rng));
        let glance = ground.learner.glance(&known[who], now, &recall.0);
        let started = Instant::now();
        let slate = {
            let describe = |scored: &mut lingxi_data::Scored| ground.learner.describe(&known[who], &glance, scored);
            let shaped = arm.rerank != RerankConfig::default();
            let stages = Stages {
                recall: &recall,
                score: &Ranked { glance: &glance, n: ground.catalog.len() },
                rules: &rules,
                policy: &policy,
                candidates: CANDIDATES,
                withdrawn: &HashSet::new(),
                within: None,
                describe: Some(&describe),
                shaping: shaped.then_some(Shaping {
                    reranker: &reranker,
                    vectors: Some(ground.learner.vectors()),
                    exposure: &exposure,
                    group: ground.groups[who],
                }),
                explore: 1.0,
            };
            let history = Rows { items: &[], at: &[], kinds: &[], values: &[] };
            decide(&stages, &Context { user: None, history, now }, ground.places, seed)
        };
        let chosen = started.elapsed();
        let clicks = tally.look(ground, who, at, &slate, &mut moods[who], &mut rng);
        let lessons = lessons(&slate, &clicks);
        let started = Instant::now();
        policy.learn(&lessons);
        tally.seconds += (chosen + started.elapsed()).as_secs_f64();
        reranker.observe(&mut exposure, &slate.slots, ground.groups[who]);
        watcher.observe(&mut tally.watched, &slate.slots, ground.groups[who]);
        let items: Vec<ItemId> = slate.slots.iter().map(|slot| slot.item).collect();
        ground.learner.note(&mut known[who], &items, &clicks, now);
        if (turn + 1) * POINTS / ground.decisions > turn * POINTS / ground.decisions {
            let before = tally.curve.last().map_or(0, |point| point.decisions);
            tally.point(ground, &watcher, turn + 1);
            done((turn + 1 - before) as u64);
        }
    }
    Ok(tally.outcome(arm, policy.version(), ground.decisions))
}

/// Counts exposure of sellers and what groups see, and moves nothing.
fn watching() -> RerankConfig {
    super::arms::fair(0.0, 0.0)
}

fn lessons(slate: &Slate, clicks: &[u32]) -> Vec<Lesson> {
    let of = |(place, slot): (usize, &lingxi_data::Slot)| Lesson {
        item: slot.item,
        features: slate.features(slot.item).to_vec(),
        reward: f32::from(u8::from(clicks.contains(&slot.item.0))),
        weight: fair::of_place(place) as f32,
    };
    slate.slots.iter().enumerate().map(of).collect()
}

impl Tally {
    fn new(shoppers: usize, goods: usize) -> Tally {
        Tally {
            by_shopper: vec![(0.0, 0.0); shoppers],
            window: (0.0, 0.0),
            regret: 0.0,
            score: (0.0, 0.0),
            found: HashSet::new(),
            shown: vec![false; goods],
            seconds: 0.0,
            watched: Exposure::default(),
            curve: Vec::new(),
        }
    }

    /// The shopper looks at the slate; what they clicked comes back.
    fn look(
        &mut self,
        ground: &Ground<'_>,
        who: usize,
        at: f64,
        slate: &Slate,
        mood: &mut Mood,
        rng: &mut ChaCha8Rng,
    ) -> Vec<u32> {
        let world = ground.world;
        let best = world.best(who, ground.places, at, mood);
        let (mut expected, mut clicks) = (0.0, Vec::new());
        for (place, slot) in slate.slots.iter().enumerate() {
            let item = slot.item.0;
            let p = world.click(who, item, at, mood) * looked_at(place);
            expected += p;
            self.shown[item as usize] = true;
            self.score = (self.score.0 + f64::from(slot.score), self.score.1 + 1.0);
            if rng.random::<f64>() < p {
                clicks.push(item);
                let k = world.interest[item as usize];
                if world.shoppers[who].latent.contains(&k) {
                    self.found.insert((who, k));
                }
            }
        }
        world.feel(mood, &clicks);
        let n = clicks.len() as f64;
        self.by_shopper[who] = (self.by_shopper[who].0 + n, self.by_shopper[who].1 + 1.0);
        self.window = (self.window.0 + n, self.window.1 + 1.0);
        self.regret += best - expected;
        clicks
    }

    fn point(&mut self, ground: &Ground<'_>, watcher: &Reranker, decisions: usize) {
        let latent: usize = ground.world.shoppers.iter().map(|shopper| shopper.latent.len()).sum();
        let due = watcher.due();
        self.curve.push(Point {
            decisions,
            reward: self.window.0 / f64::max(self.window.1, 1.0),
            regret: self.regret,
            discovered: self.found.len() as f64 / latent.max(1) as f64,
            coverage: self.shown.iter().filter(|shown| **shown).count() as f64 / self.shown.len().max(1) as f64,
            seller_gap: fair::gap(&self.watched.sellers.shares(due.len()), due),
            group_gap: fair::disparity(&self.watched, ground.catalog.categories.len()),
        });
        self.window = (0.0, 0.0);
    }

    fn outcome(self, arm: &Arm, version: String, decisions: usize) -> Outcome {
        let (reward, deviation) = mean_by_shopper(&self.by_shopper);
        Outcome {
            name: arm.name.clone(),
            version,
            reward,
            interval: [reward - 1.96 * deviation, reward + 1.96 * deviation],
            by_shopper: self.by_shopper,
            curve: self.curve,
            score: self.score.0 / f64::max(self.score.1, 1.0),
            seconds: self.seconds / decisions.max(1) as f64,
        }
    }
}

/// Sum over sum with its standard error, shoppers drawn independently.
pub fn mean_by_shopper(sums: &[(f64, f64)]) -> (f64, f64) {
    let (all, slates) = sums.iter().fold((0.0, 0.0), |(a, b), (x, n)| (a + x, b + n));
    let mean = all / f64::max(slates, 1.0);
    let squares: f64 = sums.iter().map(|(x, n)| (x - mean * n).powi(2)).sum();
    (mean, squares.sqrt() / f64::max(slates, 1.0))
}
