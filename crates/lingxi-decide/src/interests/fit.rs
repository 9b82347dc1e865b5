//! What does a shop know of its categories? Shares, stickiness, half-life and prior, from logs.
//!
//! Before each of a shopper's last events, the degrees of [`super`] are a mixture: the event repeats an earlier one's category
//! (with weight s_k c_k) or is drawn from the shop's shares. Expectation and maximisation (Dempster, Laird and Rubin 1977) share each
//! event out between both, and count again: s_k is the part of the weight that category k had which its repeats explain, q the
//! draws. Half-life and prior are those of a grid under which the log likelihood is greatest.

use super::{Base, Interests, InterestsConfig};
use lingxi_data::{CategoryId, EventKind};
use rayon::prelude::*;

/// Rounds of expectation and maximisation for a point of the grid, and for the best one.
const ROUNDS: [usize; 2] = [8, 30];
/// Events that the mean stickiness counts as for each category.
const SHRINK: f64 = 5.0;
const HALF_LIVES: [f64; 8] = [1.0, 3.0, 7.0, 14.0, 30.0, 90.0, 365.0, 3650.0];
const PRIORS: [f64; 6] = [0.3, 1.0, 3.0, 10.0, 30.0, 100.0];

/// One past event: what category, what kind, when (unix seconds).
pub type Past = (CategoryId, EventKind, i64);

/// The shop's own shares of `n` categories in `histories`, each category counted half an event more than it has.
pub fn shares<'a>(histories: impl IntoIterator<Item = &'a [Past]>, n: usize) -> Vec<f64> {
    let mut counts = vec![0.5; n];
    for (category, ..) in histories.into_iter().flatten() {
        if let Some(count) = counts.get_mut(category.0 as usize) {
            *count += 1.0;
        }
    }
    parts(counts)
}

/// Half-life, prior, shares and stickiness under which the degrees foretell the last `events` events of each history best
/// (greatest log likelihood); everything else as in `config`, and the shares near those of the whole log.
pub fn fit(config: &InterestsConfig, histories: &[&[Past]], events: usize, shares: &[f64]) -> (InterestsConfig, Base) {
    let tried: Vec<(f64, InterestsConfig, Base)> = HALF_LIVES
        .into_par_iter()
        .flat_map_iter(|half_life_days| {
            let config = InterestsConfig { half_life_days, ..config.clone() };
            let seen = seen(&config, histories, events);
            PRIORS.map(|prior| {
                let (likelihood, base) = learn(&seen, prior, shares, ROUNDS[0]);
                (likelihood, InterestsConfig { prior, ..config.clone() }, base)
            })
        })
        .collect();
    let best = tried.into_iter().reduce(|best, next| if next.0 > best.0 { next } else { best });
    let (_, config, _) = best.expect("the grid has points");
    let (_, base) = learn(&seen(&config, histories, events), config.prior, shares, ROUNDS[1]);
    (config, base)
}

/// Mean log of the degree that the category of each of the last `events` events had just before it.
pub fn log_likelihood(config: &InterestsConfig, histories: &[&[Past]], events: usize, base: &Base) -> f64 {
    let seen = seen(config, histories, events);
    let sum: f64 = seen.iter().map(|seen| seen.mixture(config.prior, base).degree().ln()).sum();
    sum / seen.len().max(1) as f64
}

/// One event, and what was known before it.
struct Seen {
    next: usize,
    /// Faded events of each category so far, and of all.
    counts: Vec<(usize, f64)>,
    all: f64,
}

/// The two ways to an event's category, in events, and all that might have come.
struct Mixture {
    repeated: f64,
    drawn: f64,
    total: f64,
}

impl Mixture {
    fn degree(&self) -> f64 {
        ((self.repeated + self.drawn) / self.total).max(1e-12)
    }
}

impl Seen {
    fn mixture(&self, prior: f64, base: &Base) -> Mixture {
        let own = |&(k, count): &(usize, f64)| base.sticky(k as u32) * count;
        let repeated = self.counts.iter().find(|(k, _)| *k == self.next).map_or(0.0, own);
        let rest = (self.all + prior - self.counts.iter().map(own).sum::<f64>()).max(0.0);
        let share = base.shares.get(self.next).copied().unwrap_or(0.0);
        Mixture { repeated, drawn: rest * share, total: self.all + prior }
    }
}

/// The last `events` events of each history but its first, each with what was known before it.
fn seen(config: &InterestsConfig, histories: &[&[Past]], events: usize) -> Vec<Seen> {
    let of = |history: &&[Past]| {
        let from = history.len().saturating_sub(events).max(1);
        let mut interests = Interests::default();
        let mut seen = Vec::with_capacity(history.len() - from.min(history.len()));
        for (place, &(category, kind, at)) in history.iter().enumerate() {
            if place >= from {
                let counted =
                    interests.of.keys().map(|k| (*k as usize, interests.counts(config, CategoryId(*k), at).0));
                let mut counts: Vec<(usize, f64)> = counted.collect();
                counts.sort_unstable_by_key(|(k, _)| *k);
                let all = interests.counts(config, category, at).1;
                seen.push(Seen { next: category.0 as usize, counts, all });
            }
            interests.observe(config, category, kind, at);
        }
        seen
    };
    histories.iter().flat_map(of).collect()
}

/// Shares and stickiness after so many rounds, with the log likelihood before the last one.
fn learn(seen: &[Seen], prior: f64, shares: &[f64], rounds: usize) -> (f64, Base) {
    let n = shares.len();
    let mut base = Base { shares: shares.to_vec(), sticky: vec![0.5; n] };
    let mut likelihood = f64::NEG_INFINITY;
    for _ in 0..rounds {
        let (mut repeats, mut strayed) = (vec![0.0; n], vec![0.0; n]);
        let mut draws: Vec<f64> = shares.iter().map(|share| 0.5 * n as f64 * share).collect();
        likelihood = 0.0;
        for seen in seen.iter().filter(|seen| seen.next < n) {
            let mixture = seen.mixture(prior, &base);
            likelihood += mixture.degree().ln();
            let either = (mixture.repeated + mixture.drawn).max(1e-300);
            repeats[seen.next] += mixture.repeated / either;
            draws[seen.next] += mixture.drawn / either;
            let share = base.shares[seen.next] / either;
            seen.counts.iter().for_each(|&(k, count)| strayed[k] += (1.0 - base.sticky[k]) * count * share);
        }
        let all: f64 = repeats.iter().sum();
        let mean = all / (all + strayed.iter().sum::<f64>()).max(1e-300);
        let sticky = |(repeats, strayed): (&f64, &f64)| (repeats + SHRINK * mean) / (repeats + strayed + SHRINK);
        base = Base { shares: parts(draws), sticky: repeats.iter().zip(&strayed).map(sticky).collect() };
    }
    (likelihood, base)
}

fn parts(mut counts: Vec<f64>) -> Vec<f64> {
    let all: f64 = counts.iter().sum();
    counts.iter_mut().for_each(|count| *count /= all);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Shoppers as assumed: each next event repeats an earlier one of a sticky category or is drawn from the shop's shares.
    fn histories(n: usize, shares: &[f64], sticky: &[f64]) -> Vec<Vec<Past>> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut history = |_: usize| {
            let mut had: Vec<usize> = Vec::new();
            for _ in 0..40 {
                let pick = rng.random_range(0..had.len() + 3);
                let k = match had.get(pick) {
                    Some(&k) if rng.random::<f64>() < sticky[k] => k,
                    _ => {
                        let mut left = rng.random::<f64>();
                        let drawn = shares.iter().position(|share| {
                            left -= share;
                            left <= 0.0
                        });
                        drawn.unwrap_or(0)
                    }
                };
                had.push(k);
            }
            let past = |(day, k): (usize, &usize)| (CategoryId(*k as u32), EventKind::View, day as i64 * 86_400);
            had.iter().enumerate().map(past).collect()
        };
        (0..n).map(&mut history).collect()
    }

    #[test]
    fn what_was_put_into_shoppers_is_found_again() {
        let (of_shop, sticky) = ([0.4, 0.3, 0.2, 0.1], [0.9, 0.1, 0.9, 0.1]);
        let histories = histories(600, &of_shop, &sticky);
        let histories: Vec<&[Past]> = histories.iter().map(Vec::as_slice).collect();
        let (config, base) = fit(&InterestsConfig::default(), &histories, 40, &shares(histories.iter().copied(), 4));
        assert!(config.half_life_days >= 90.0, "tastes do not drift here: {config:?}");
        assert!(base.sticky[0].min(base.sticky[2]) > 0.6 && base.sticky[1].max(base.sticky[3]) < 0.4, "{base:?}");
        let truth = Base { shares: of_shop.to_vec(), sticky: sticky.to_vec() };
        let as_put = InterestsConfig { half_life_days: 3650.0, prior: 3.0, ..InterestsConfig::default() };
        let of = |config: &InterestsConfig, base: &Base| log_likelihood(config, &histories, 40, base);
        assert!(of(&config, &base) > of(&as_put, &truth) - 0.005, "{} {}", of(&config, &base), of(&as_put, &truth));
    }

    #[test]
    fn a_fit_foretells_better_than_shares_and_better_than_other_settings() {
        let histories = histories(200, &[0.4, 0.3, 0.2, 0.1], &[0.9, 0.1, 0.9, 0.1]);
        let histories: Vec<&[Past]> = histories.iter().map(Vec::as_slice).collect();
        let shares = shares(histories.iter().copied(), 4);
        let (config, base) = fit(&InterestsConfig::default(), &histories, 30, &shares);
        let plain = Base::of_shares(shares);
        let hasty = InterestsConfig { half_life_days: 0.5, prior: 0.3, ..InterestsConfig::default() };
        let of = |config: &InterestsConfig, base: &Base| log_likelihood(config, &histories, 30, base);
        assert!(of(&config, &base) > of(&config, &plain) + 0.01);
        assert!(of(&config, &plain) > of(&hasty, &plain));
    }
}
