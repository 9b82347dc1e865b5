//! What does a request cost with each model? One shopper at a time, as many goods as a slate is chosen from, on one thread.

use lingxi_data::{ItemId, Score};
use lingxi_eval::Case;
use std::time::Instant;

/// Shoppers that are asked.
const SHOPPERS: usize = 32;

/// The median of the milliseconds in which `model` scores `candidates` goods, spread over the catalogue, for a shopper of `asked`.
pub fn milliseconds(model: &dyn Score, asked: &[Case<'_>], candidates: usize) -> f64 {
    let (n, candidates) = (model.n_items(), candidates.min(model.n_items()));
    let items: Vec<ItemId> = (0..candidates).map(|at| ItemId((at * n / candidates) as u32)).collect();
    let mut scores = vec![0.0; items.len()];
    let mut once = |case: &Case<'_>| {
        let began = Instant::now();
        model.score(&case.context, &items, &mut scores);
        1e3 * began.elapsed().as_secs_f64()
    };
    let mut times: Vec<f64> = asked.iter().step_by(asked.len().div_ceil(SHOPPERS).max(1)).map(&mut once).collect();
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Context, Contribution, Rows};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Counts what it is asked and takes its time.
    #[derive(Default)]
    struct Slow(AtomicUsize);

    impl Score for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }

        fn n_items(&self) -> usize {
            10
        }

        fn score(&self, _: &Context<'_>, items: &[ItemId], _: &mut [f32]) {
            assert!(items.windows(2).all(|pair| pair[0] < pair[1]) && items.iter().all(|item| item.0 < 10));
            self.0.fetch_add(items.len(), Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }

        fn contributions(&self, _: &Context<'_>, _: ItemId) -> Vec<Contribution> {
            Vec::new()
        }
    }

    #[test]
    fn some_shoppers_are_asked_for_as_many_goods_as_a_slate_is_chosen_from() {
        let case = || Case {
            context: Context { user: None, history: Rows::default(), now: 0 },
            relevant: Vec::new(),
            grades: Vec::new(),
            masked: Vec::new(),
        };
        let asked: Vec<Case<'_>> = (0..100).map(|_| case()).collect();
        for (candidates, goods) in [(4, 4), (400, 10)] {
            let model = Slow::default();
            assert!(milliseconds(&model, &asked, candidates) >= 2.0);
            assert_eq!(model.0.into_inner(), 25 * goods);
        }
        assert_eq!(milliseconds(&Slow::default(), &[], 4), 0.0);
    }
}
