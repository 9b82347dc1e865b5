//! The two forms of the item model, and its memory.

use crate::shop::Shop;
use lingxi_behaviour::item_model::{Form, ItemModelConfig, fit};
use lingxi_data::{Event, EventKind, Interactions, ItemId, ItemVectors, Provenance, Purpose, Score, UserId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn neighbourhoods_of_all_items_give_the_dense_form() {
    let shop = Shop::new(80, 40, 12, 8);
    for (l2, pull, power) in [(3.0, 0.0, 0.0), (10.0, 1.0, 0.5), (0.5, 2.5, 0.0)] {
        let config = ItemModelConfig { l2, pull, occurrence_power: power, shopper_power: power, ..Default::default() };
        let model = |form| {
            let config = ItemModelConfig { form, together: 40, similar: 40, ..config.clone() };
            fit(&config, &shop.events(), Some(&shop.vectors), &mut |_, _| {}).unwrap()
        };
        let (dense, near) = (model(Form::Dense), model(Form::Neighbours));
        for (i, j) in (0..40u32).flat_map(|i| (0..40u32).map(move |j| (ItemId(i), ItemId(j)))) {
            let ((a, b), (c, d)) = (dense.link(i, j), near.link(i, j));
            assert!((a - c).abs() < 2e-4 && (b - d).abs() < 2e-4, "B[{i:?},{j:?}]: ({a}, {b}) and ({c}, {d})");
        }
    }
}

#[test]
fn without_language_every_reason_is_behaviour_and_with_it_an_item_without_events_still_speaks() {
    let shop = Shop::new(80, 40, 12, 8);
    let config = ItemModelConfig { l2: 5.0, ..Default::default() };
    let plain = fit(&config, &shop.events(), None, &mut |_, _| {}).unwrap();
    let pulled = fit(&config, &shop.events(), Some(&shop.vectors), &mut |_, _| {}).unwrap();
    let (taken, cold) = (ItemId(4), ItemId(36));
    assert_eq!(plain.link(taken, cold), (0.0, 0.0));
    let (behaviour, language) = pulled.link(taken, cold);
    assert!(behaviour.abs() < 1e-6 && language > 0.0, "({behaviour}, {language})");
}

#[test]
fn an_item_leads_to_those_it_speaks_for_most() {
    let shop = Shop::new(80, 40, 12, 8);
    for form in [Form::Dense, Form::Neighbours] {
        let config = ItemModelConfig { form, l2: 5.0, ..Default::default() };
        let model = fit(&config, &shop.events(), Some(&shop.vectors), &mut |_, _| {}).unwrap();
        let weight = |i: u32, j: u32| {
            let (behaviour, language) = model.link(ItemId(i), ItemId(j));
            behaviour + language
        };
        for (i, led) in model.led_to(3).iter().enumerate() {
            let mut all: Vec<f32> = (0..40).map(|j| weight(i as u32, j)).filter(|w| *w > 0.0).collect();
            all.sort_by(|a, b| b.total_cmp(a));
            assert_eq!(led.len(), all.len().min(3), "item {i}");
            for ((to, w), expected) in led.iter().zip(all) {
                assert!((w - expected).abs() < 1e-5 && (weight(i as u32, to.0) - expected).abs() < 1e-5, "item {i}");
            }
        }
    }
}

#[test]
fn a_ridge_that_is_not_positive_and_vectors_of_another_catalogue_are_refused() {
    let shop = Shop::new(10, 20, 4, 1);
    let other = Shop::new(10, 24, 4, 1);
    let config = ItemModelConfig { l2: 0.0, ..Default::default() };
    let refused = |config: &ItemModelConfig, vectors: &ItemVectors| {
        fit(config, &shop.events(), Some(vectors), &mut |_, _| {}).unwrap_err().to_string()
    };
    assert!(refused(&config, &shop.vectors).contains("item_model.l2"));
    assert!(refused(&ItemModelConfig::default(), &other.vectors).contains("20 entries"));
}

/// A catalogue of 100,000 items with popularity falling as in shops, texts in 384 numbers.
fn large(items: usize, users: usize, each: usize) -> (Interactions, ItemVectors) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut events = Vec::with_capacity(users * each);
    let groups = 500;
    for user in 0..users {
        for at in 0..each {
            let place = (rng.random::<f64>().powf(2.5) * (items / groups) as f64) as usize;
            let group = if rng.random_bool(0.6) { (user * 7 + at % 3) % groups } else { rng.random_range(0..groups) };
            let item = ItemId((place * groups + group) as u32);
            let (user, at) = (UserId(user as u32), at as i64);
            events.push(Event { user, item, at, kind: EventKind::Buy, value: 1.0 });
        }
    }
    let log = Interactions::from_events(events, users, items).unwrap();
    let dim = 384;
    let centres: Vec<f32> = (0..groups * dim).map(|_| rng.random_range(-1.0f32..1.0)).collect();
    let text = |at: usize| centres[(at / dim) % groups * dim + at % dim] + rng.random_range(-0.7f32..0.7);
    let data: Vec<f32> = (0..items * dim).map(text).collect();
    let provenance =
        Provenance { model: "generated".into(), revision: "1".into(), pooling: "mean".into(), normalised: false };
    (log, ItemVectors::new(dim, data, vec![true; items], provenance).unwrap())
}

/// Peak resident memory of this process, bytes; `None` where the system does not say.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb * 1024)
}

#[test]
fn a_hundred_thousand_items_fit_below_two_gigabytes() {
    if std::env::var_os("LINGXI_SLOW").is_none() {
        println!(
            "SKIPPED: the fit of 100,000 items runs with LINGXI_SLOW=1, best in its own process and with --release"
        );
        return;
    }
    let each = std::env::var("LINGXI_EVENTS_EACH").ok().and_then(|n| n.parse().ok()).unwrap_or(15);
    let (log, vectors) = large(100_000, 100_000, each);
    let events = log.for_purpose(Purpose::Training);
    let begin = std::time::Instant::now();
    let model = fit(&ItemModelConfig::default(), &events, Some(&vectors), &mut |_, _| {}).unwrap();
    let fitted = begin.elapsed().as_secs_f32();
    let contexts: Vec<_> =
        (0..256u32).map(|u| lingxi_data::Context { user: None, history: events.of(UserId(u * 300)), now: 0 }).collect();
    let mut rows = vec![0.0; contexts.len() * model.n_items()];
    let begin = std::time::Instant::now();
    model.score_all(&contexts, &mut rows);
    let scored = begin.elapsed().as_secs_f32();
    let peak = peak_memory().map_or(f64::NAN, |bytes| bytes as f64 / 1e9);
    println!(
        "{} events: fitted in {fitted:.1} s, 256 rows in {scored:.2} s, peak {peak:.2} GB with the data",
        events.len()
    );
    assert!(peak.is_nan() || peak < 2.0, "peak memory {peak:.2} GB");
}
