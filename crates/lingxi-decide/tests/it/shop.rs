//! A small shop to test with: goods on a line, and a model that wants those near a point.

use lingxi_data::{
    Because, Catalog, CategoryId, Context, Contribution, Event, EventKind, Fingerprint, Interactions, ItemId, Purpose,
    Score, UserId,
};

/// `n` goods `item-0 ..` in three categories in turn; item i costs i.
pub fn catalog(n: usize) -> Catalog {
    let mut catalog = Catalog::of_ids((0..n).map(|i| format!("item-{i}")).collect());
    catalog.categories = ["fruit", "dairy", "bread"].iter().collect();
    catalog.category = (0..n).map(|i| Some(CategoryId(i as u32 % 3))).collect();
    catalog.price = (0..n).map(|i| i as f32).collect();
    catalog
}

/// One shopper who bought `items` one a day, from day 0.
pub fn bought(items: &[u32], n_items: usize) -> Interactions {
    let event = |(day, item): (usize, &u32)| Event {
        user: UserId(0),
        item: ItemId(*item),
        at: day as i64 * 86_400,
        kind: EventKind::Buy,
        value: 1.0,
    };
    Interactions::from_events(items.iter().enumerate().map(event).collect(), 1, n_items).unwrap()
}

/// What that shopper's context is on day `day`.
pub fn context(log: &Interactions, day: i64) -> Context<'_> {
    Context { user: Some(UserId(0)), history: log.for_purpose(Purpose::Serving).of(UserId(0)), now: day * 86_400 }
}

/// Scores an item by how near its number is to `at`.
pub struct Near {
    pub at: f32,
    pub n: usize,
}

impl Score for Near {
    fn name(&self) -> &'static str {
        "near"
    }
    fn n_items(&self) -> usize {
        self.n
    }
    fn score(&self, _context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        for (item, out) in items.iter().zip(out) {
            *out = -(item.0 as f32 - self.at).abs();
        }
    }
    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        let mut value = [0.0];
        self.score(context, &[item], &mut value);
        vec![Contribution { model: "near", because: Because::Baseline, value: value[0] }]
    }
}

/// `n` vectors of length `dim` in clusters, as texts of one shop are.
pub fn clustered(n: usize, dim: usize, seed: u64) -> Vec<f32> {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let clusters = (n / 40).max(1);
    let centres: Vec<f32> = (0..clusters * dim).map(|_| rng.random::<f32>() - 0.5).collect();
    (0..n)
        .flat_map(|i| {
            let centre = &centres[i % clusters * dim..][..dim];
            centre.iter().map(|c| c + 0.3 * (rng.random::<f32>() - 0.5)).collect::<Vec<f32>>()
        })
        .collect()
}

/// A name for test data.
pub fn source() -> Fingerprint {
    Fingerprint::of([b"test".as_slice()])
}
