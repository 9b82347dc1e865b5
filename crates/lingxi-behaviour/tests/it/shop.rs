//! A small generated shop with structure: shoppers and goods belong to groups, the texts say which.

use lingxi_data::{
    CategoryId, Context, Event, EventKind, Events, Interactions, ItemId, ItemVectors, Provenance, Purpose, UserId,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const GROUPS: usize = 4;

pub struct Shop {
    pub log: Interactions,
    pub vectors: ItemVectors,
    pub category: Vec<Option<CategoryId>>,
}

impl Shop {
    /// The last item of every group has no events, the last but one no text.
    pub fn new(users: usize, items: usize, events_each: usize, seed: u64) -> Shop {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let cold = items - GROUPS;
        let mut events = Vec::new();
        for user in 0..users {
            for at in 0..events_each {
                let group = if rng.random_bool(0.85) { user % GROUPS } else { rng.random_range(0..GROUPS) };
                let item = rng.random_range(0..cold / GROUPS) * GROUPS + group;
                let kind = if rng.random_bool(0.5) { EventKind::Buy } else { EventKind::View };
                let (user, item) = (UserId(user as u32), ItemId(item as u32));
                events.push(Event { user, item, at: (at / 2) as i64 * 3_600, kind, value: 1.0 });
            }
        }
        let log = Interactions::from_events(events, users, items).unwrap();
        let dim = 12;
        let mut present = vec![true; items];
        present[cold - GROUPS..cold].fill(false);
        let text = |i: usize, d: usize, rng: &mut ChaCha8Rng| {
            let own = if d == i % GROUPS { 1.0 } else { 0.0 };
            if present[i] { own + 0.3 * rng.random_range(-1.0f32..1.0) } else { 0.0 }
        };
        let data = (0..items * dim).map(|at| text(at / dim, at % dim, &mut rng)).collect();
        let provenance =
            Provenance { model: "generated".into(), revision: "1".into(), pooling: "mean".into(), normalised: false };
        let vectors = ItemVectors::new(dim, data, present, provenance).unwrap();
        let category = (0..items).map(|i| (i % 5 > 0).then_some(CategoryId((i % GROUPS) as u32))).collect();
        Shop { log, vectors, category }
    }

    pub fn events(&self) -> Events<'_> {
        self.log.for_purpose(Purpose::Training)
    }

    /// What `user` did, asked some hours after their last event.
    pub fn context(&self, user: u32) -> Context<'_> {
        let history = self.events().of(UserId(user));
        Context { user: Some(UserId(user)), history, now: history.at.last().map_or(0, |at| at + 7_200) }
    }
}
