//! What every recall and every policy must obey, checked by calling it.
//!
//! A test builds its recall or policy and hands it over; the first law that does not hold comes back as a sentence. The
//! laws are those of [`Recall`] and [`Policy`], so they hold for implementations of other crates too.

use lingxi_data::{Context, ItemId, Policy, Recall, Scored, Slot};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::{HashMap, HashSet};

/// Checks a recall with one context: at most k candidates, all of the catalogue, none twice, the same when asked again,
/// and none for k = 0.
///
/// # Errors
/// The law that does not hold, and the candidates that break it.
pub fn check_recall(recall: &dyn Recall, context: &Context<'_>, n_items: usize) -> Result<(), String> {
    for k in [0, 1, 2, 10, n_items, n_items + 7] {
        let found = recall.recall(context, k);
        let distinct: HashSet<ItemId> = found.iter().copied().collect();
        let say = |law: &str| Err(format!("{} for k = {k}: {law}, got {found:?}", recall.name()));
        if found.len() > k {
            return say("expected at most k candidates");
        }
        if distinct.len() != found.len() {
            return say("expected no item twice");
        }
        if found.iter().any(|item| item.index() >= n_items) {
            return say("expected items of the catalogue");
        }
        if found != recall.recall(context, k) {
            return say("expected the same candidates for the same context");
        }
    }
    Ok(())
}

/// Checks a policy on one set of candidates under one rule, over `seeds` slates of `n` places: as many places as the rule
/// leaves, no item twice, none that is not eligible, scores as they came, propensities in (0, 1], the same slate for the same
/// seed, and, in each state that was reached often, frequencies that agree with the propensities (each within five standard
/// errors, and all together by a chi-square test).
///
/// # Errors
/// The law that does not hold, and the slate that breaks it.
pub fn check_policy(
    policy: &dyn Policy,
    scored: &Scored,
    n: usize,
    eligible: &dyn Fn(&[Slot], ItemId) -> bool,
    seeds: u64,
) -> Result<(), String> {
    let mut reached: HashMap<Vec<ItemId>, HashMap<ItemId, (u64, f64)>> = HashMap::new();
    for seed in 0..seeds {
        let slate = choose(policy, scored, n, eligible, seed);
        let again = choose(policy, scored, n, eligible, seed);
        // Compared as text, so that a NaN score equals itself.
        if format!("{slate:?}") != format!("{again:?}") {
            return Err(format!(
                "{}: expected one slate for seed {seed}, got {slate:?} and {again:?}",
                policy.version()
            ));
        }
        check_slate(&slate, scored, n, eligible)
            .map_err(|law| format!("{}: {law}, got {slate:?}", policy.version()))?;
        for (place, slot) in slate.iter().enumerate() {
            let before = slate[..place].iter().map(|s| s.item).collect();
            let seen = reached.entry(before).or_default().entry(slot.item).or_default();
            *seen = (seen.0 + 1, f64::from(slot.propensity));
        }
    }
    for (before, seen) in &reached {
        check_frequencies(before, seen).map_err(|law| format!("{}: {law}", policy.version()))?;
    }
    Ok(())
}

fn choose(
    policy: &dyn Policy,
    scored: &Scored,
    n: usize,
    eligible: &dyn Fn(&[Slot], ItemId) -> bool,
    seed: u64,
) -> Vec<Slot> {
    policy.choose(scored, n, &mut |slots: &[Slot], item| eligible(slots, item), &mut ChaCha8Rng::seed_from_u64(seed))
}

fn check_slate(
    slate: &[Slot],
    scored: &Scored,
    n: usize,
    eligible: &dyn Fn(&[Slot], ItemId) -> bool,
) -> Result<(), String> {
    for (place, slot) in slate.iter().enumerate() {
        let before = &slate[..place];
        let Some(at) = scored.items.iter().position(|item| *item == slot.item) else {
            return Err(format!("place {place}: expected a candidate"));
        };
        if before.iter().any(|s| s.item == slot.item) {
            return Err(format!("place {place}: expected no item twice"));
        }
        if !eligible(before, slot.item) {
            return Err(format!("place {place}: expected an eligible item"));
        }
        if slot.score.to_bits() != scored.scores[at].to_bits() {
            return Err(format!("place {place}: expected the candidate's score {}", scored.scores[at]));
        }
        if !(slot.propensity > 0.0 && slot.propensity <= 1.0) {
            return Err(format!("place {place}: expected a propensity in (0, 1]"));
        }
    }
    let left = |item: &&ItemId| !slate.iter().any(|s| s.item == **item) && eligible(slate, **item);
    if slate.len() < n && scored.items.iter().any(|item| left(&item)) {
        return Err(format!("expected {n} places while candidates are left"));
    }
    if slate.len() > n { Err(format!("expected at most {n} places")) } else { Ok(()) }
}

/// In one state: the propensities of what was drawn add up to at most 1, and how often each was drawn agrees with its own.
fn check_frequencies(before: &[ItemId], seen: &HashMap<ItemId, (u64, f64)>) -> Result<(), String> {
    let draws: u64 = seen.values().map(|s| s.0).sum();
    let sum: f64 = seen.values().map(|s| s.1).sum();
    if sum > 1.0 + 1e-4 {
        return Err(format!("after {before:?}: expected propensities of at most 1 together, got {sum}"));
    }
    for (item, (count, p)) in seen.iter().filter(|_| draws >= 200) {
        let frequency = *count as f64 / draws as f64;
        let allowed = 5.0 * (p * (1.0 - p) / draws as f64).sqrt() + 2.0 / draws as f64;
        if (frequency - p).abs() > allowed {
            return Err(format!("after {before:?}: {item:?} has propensity {p}, drawn {frequency} of {draws}"));
        }
    }
    chi_square(before, seen, draws)
}

/// All frequencies of one state together: the sum of (seen - expected)^2 / expected, where what is expected less than five
/// times is one class, must stay below what chance exceeds once in about three million times.
fn chi_square(before: &[ItemId], seen: &HashMap<ItemId, (u64, f64)>, draws: u64) -> Result<(), String> {
    let n = draws as f64;
    let expected: Vec<(f64, f64)> = seen.values().map(|(count, p)| (*count as f64, p * n)).collect();
    let (often, seldom): (Vec<(f64, f64)>, Vec<_>) = expected.into_iter().partition(|(_, expected)| *expected >= 5.0);
    let rest = (seldom.iter().map(|s| s.0).sum::<f64>(), n - often.iter().map(|s| s.1).sum::<f64>());
    let classes = often.iter().chain((rest.1 >= 5.0).then_some(&rest));
    let (sum, count) = classes.fold((0.0, 0.0), |(sum, k), (got, want)| (sum + (got - want).powi(2) / want, k + 1.0));
    if draws < 200 || count < 2.0 {
        return Ok(());
    }
    // Wilson and Hilferty (1931): the cube root of a chi-square over its degrees of freedom is nearly normal.
    let (freedom, five_sigma): (f64, f64) = (count - 1.0, 5.0);
    let limit = freedom * (1.0 - 2.0 / (9.0 * freedom) + five_sigma * (2.0 / (9.0 * freedom)).sqrt()).powi(3);
    let say = || format!("after {before:?}: chi-square {sum:.1} of {draws} draws, expected below {limit:.1}");
    if sum > limit { Err(say()) } else { Ok(()) }
}
