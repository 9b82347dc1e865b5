//! Measure a model of your own with `lingxi-data` and `lingxi-eval` alone.
//!
//! `cargo run -p lingxi-eval --example evaluate`

use lingxi_data::split::{LeaveOneOut, leave_one_out};
use lingxi_data::{Context, Contribution, Event, EventKind, Interactions, ItemId, Purpose, Score, UserId};
use lingxi_eval::{EvalConfig, Goods, Mask, cases, evaluate, paired_test, table};

/// "Take what came after what you took last": counts of item pairs in a row, and popularity for the rest.
struct After {
    follows: Vec<Vec<f32>>,
    popular: Vec<f32>,
    use_last: bool,
}

impl Score for After {
    fn name(&self) -> &'static str {
        if self.use_last { "after the last" } else { "popularity" }
    }
    fn n_items(&self) -> usize {
        self.popular.len()
    }
    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        let last = context.history.items.last().filter(|_| self.use_last);
        for (out, item) in out.iter_mut().zip(items) {
            let follows = last.map_or(0.0, |last| self.follows[last.index()][item.index()]);
            *out = follows + 0.001 * self.popular[item.index()];
        }
    }
    fn contributions(&self, _: &Context<'_>, _: ItemId) -> Vec<Contribution> {
        Vec::new()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 300 shoppers walk a ring of 50 goods, mostly to the next one, sometimes anywhere.
    let (n_users, n_items) = (300u32, 50u32);
    let step = |user: u32, i: u32| (user * 7 + i + if (user + i).is_multiple_of(4) { user * i } else { 0 }) % n_items;
    let walk = |user: u32| {
        let event = move |i| (user, ItemId(step(user, i)), i64::from(i));
        (0..8).map(event)
    };
    let events = (0..n_users).flat_map(walk);
    let events =
        events.map(|(user, item, at)| Event { user: UserId(user), item, at, kind: EventKind::Buy, value: 1.0 });
    let log = Interactions::from_events(events.collect(), n_users as usize, n_items as usize)?;

    let split = leave_one_out(&log, LeaveOneOut::default())?;
    let train = split.train.for_purpose(Purpose::Training);
    let counts = train.item_counts();
    let mut follows = vec![vec![0f32; n_items as usize]; n_items as usize];
    for (_, rows) in train.users() {
        rows.items.windows(2).for_each(|pair| follows[pair[0].index()][pair[1].index()] += 1.0);
    }
    let popular: Vec<f32> = counts.iter().map(|&count| count as f32).collect();

    let config = EvalConfig { protocol: "leave-one-out, nothing masked".into(), ..EvalConfig::default() };
    let goods = Goods { counts: Some(&counts), vectors: None };
    let test = cases(&split.test, &Mask::Nothing);
    let mut reports = Vec::new();
    for use_last in [true, false] {
        let model = After { follows: follows.clone(), popular: popular.clone(), use_last };
        reports.push(evaluate(&model, &test, &goods, &config, &mut |_, _| {})?);
    }
    println!("{}", table(&[&reports[0], &reports[1]], &["hr@10", "ndcg@10", "novelty@10"]));
    let paired = paired_test(&reports[0], &reports[1], "ndcg@10", 10_000, 1)?;
    println!(
        "difference of ndcg@10: {:.4} {:.4?}, p = {:.4}",
        paired.difference, paired.interval, paired.p_randomisation
    );
    Ok(())
}
