//! Propensities are what happens.

use lingxi_data::{ItemId, Lesson, Policy, Scored, Slot, Terms};
use lingxi_decide::conformance::check_policy;
use lingxi_decide::explore::{
    Beliefs, BudgetConfig, Distribution, EpsilonGreedy, Greedy, LinUcbConfig, NeuralThompsonConfig, Place, Softmax,
    SquareCbConfig, ThompsonConfig, UcbConfig,
};
use lingxi_decide::{Explorer, PolicyConfig};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn scored(scores: &[f32]) -> Scored {
    Scored::new((0..scores.len() as u32).map(|i| ItemId(10 + i)).collect(), scores.to_vec())
}

fn policies() -> Vec<PolicyConfig> {
    vec![
        PolicyConfig::Greedy {},
        PolicyConfig::EpsilonGreedy { epsilon: 0.0 },
        PolicyConfig::EpsilonGreedy { epsilon: 0.3 },
        PolicyConfig::EpsilonGreedy { epsilon: 1.0 },
        PolicyConfig::Softmax { temperature: 0.7 },
        PolicyConfig::Softmax { temperature: 1e-6 },
    ]
}

/// At most one even and no item 13: a rule that depends on what is on the slate.
fn one_even(slots: &[Slot], item: ItemId) -> bool {
    item != ItemId(13) && (item.0 % 2 == 1 || slots.iter().all(|s| s.item.0 % 2 == 1))
}

#[test]
fn every_policy_conforms_with_and_without_rules() {
    for scores in [vec![2.0, 1.5, 1.0, 0.5, 0.0], vec![1.0; 4], vec![3.0], vec![], vec![1.0, 0.0, f32::NAN, f32::NAN]] {
        for config in policies() {
            let policy = config.build().unwrap();
            for n in [0, 1, 3, 9] {
                check_policy(&policy, &scored(&scores), n, &|_, _| true, 3000).unwrap();
                check_policy(&policy, &scored(&scores), n, &one_even, 3000).unwrap();
            }
        }
    }
}

#[test]
fn a_policy_that_lies_about_its_propensity_is_caught() {
    struct Liar;
    impl lingxi_data::Policy for Liar {
        fn version(&self) -> String {
            "liar/1".into()
        }
        fn choose(&self, scored: &Scored, n: usize, terms: &mut dyn Terms, rng: &mut ChaCha8Rng) -> Vec<Slot> {
            let mut slots = PolicyConfig::EpsilonGreedy { epsilon: 0.5 }.build().unwrap().choose(scored, n, terms, rng);
            slots.iter_mut().for_each(|s| s.propensity *= 0.8);
            slots
        }
    }
    let law = check_policy(&Liar, &scored(&[1.0, 0.0]), 2, &|_, _| true, 3000).unwrap_err();
    assert!(law.contains("propensity"), "{law}");
}

#[test]
fn a_score_that_is_not_a_number_comes_last_and_never_crowds_out_a_number() {
    for config in policies() {
        let policy = config.build().unwrap();
        let greedy_enough = !matches!(config, PolicyConfig::EpsilonGreedy { epsilon } if epsilon > 0.0);
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let slate = policy.choose(&scored(&[f32::NAN, 1.0, f32::NAN, 2.0]), 9, &mut |_: &[Slot], _| true, &mut rng);
            assert_eq!(slate.len(), 4);
            if greedy_enough {
                assert!(slate[..2].iter().all(|s| s.score.is_finite()), "{slate:?}");
            }
        }
    }
}

#[test]
fn settings_outside_their_range_are_named() {
    for (config, what) in [
        (PolicyConfig::EpsilonGreedy { epsilon: -0.1 }, "epsilon"),
        (PolicyConfig::EpsilonGreedy { epsilon: f64::NAN }, "epsilon"),
        (PolicyConfig::Softmax { temperature: 0.0 }, "temperature"),
        (PolicyConfig::Softmax { temperature: f64::INFINITY }, "temperature"),
    ] {
        let error = config.build().err().unwrap().to_string();
        assert!(error.contains(what), "{error}");
    }
    assert!(serde_json::from_str::<PolicyConfig>(r#"{"kind":"epsilon-greedy","epsilon":0.1,"decay":2}"#).is_err());
    let read: PolicyConfig = serde_json::from_str(r#"{"kind":"softmax","temperature":0.5}"#).unwrap();
    assert_eq!(read.build().unwrap().version(), "softmax(0.5)/1");
}

proptest! {
    #[test]
    fn the_probabilities_of_all_eligible_candidates_add_up_to_one(
        mut scores in prop::collection::vec(prop_oneof![5 => -50f32..50.0, 1 => Just(f32::NAN), 1 => Just(f32::NEG_INFINITY)], 1..40),
        epsilon in 0f64..=1.0,
        temperature in 1e-3f64..100.0,
        explore in prop_oneof![Just(0.0), Just(1.0), 0f64..1.0],
    ) {
        scores.sort_by(|a, b| b.partial_cmp(a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())));
        let all: [Box<dyn Distribution>; 3] = [
            Box::new(Greedy),
            Box::new(EpsilonGreedy::new(epsilon).unwrap()),
            Box::new(Softmax::new(temperature).unwrap()),
        ];
        for distribution in all {
            let beliefs = Beliefs { worth: scores.clone(), ..Beliefs::default() };
            let candidates: Vec<usize> = (0..scores.len()).collect();
            let p = distribution.probabilities(&Place::of(&candidates, &beliefs, explore));
            prop_assert_eq!(p.len(), scores.len());
            prop_assert!(p.iter().all(|p| (0.0..=1.0 + 1e-12).contains(p)), "{:?}", p);
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{:?}", p);
            prop_assert!(p.iter().all(|x| *x <= p[0] + 1e-12), "the best is never less likely: {:?}", p);
        }
    }
}

/// Policies that learn, quick enough to be asked thousands of times.
fn learners() -> Vec<PolicyConfig> {
    vec![
        PolicyConfig::Ucb(UcbConfig { floor: 0.2, half_life: Some(50.0), ..UcbConfig::default() }),
        PolicyConfig::LinUcb(LinUcbConfig { floor: 0.1, ..LinUcbConfig::default() }),
        PolicyConfig::LinUcb(LinUcbConfig::default()),
        PolicyConfig::Thompson(ThompsonConfig { draws: 16, half_life: Some(100.0), ..ThompsonConfig::default() }),
        PolicyConfig::NeuralThompson(NeuralThompsonConfig { hidden: 4, refit: 100, draws: 16, ..Default::default() }),
        PolicyConfig::SquareCb(SquareCbConfig { gamma: 2.0, ..SquareCbConfig::default() }),
        PolicyConfig::LinUcb(LinUcbConfig { floor: 0.1, own: Some(20.0), ..LinUcbConfig::default() }),
        PolicyConfig::Thompson(ThompsonConfig { draws: 16, own: Some(20.0), ..ThompsonConfig::default() }),
        PolicyConfig::SquareCb(SquareCbConfig {
            gamma: 2.0,
            own: Some(20.0),
            half_life: Some(90.0),
            ..Default::default()
        }),
    ]
}

/// Goods 10.. of three features; what the second says is what they bring, what the first says is what they score.
fn seen(n: u32) -> Scored {
    let row = |i: u32| [1.0, (i * 7 % n.max(1)) as f32 / n as f32, (i % 2) as f32];
    let mut scored = scored(&(0..n).map(|i| -(i as f32)).collect::<Vec<_>>());
    scored.features = (0..n).flat_map(row).collect();
    scored
}

fn lessons(n: usize) -> Vec<Lesson> {
    let goods = seen(10);
    let of = |i: usize| {
        let features = goods.features[i % 10 * 3..][..3].to_vec();
        // One in seven lessons says the contrary, so that there is something to doubt.
        let reward = if i.is_multiple_of(7) { 1.0 - features[1] } else { features[1] };
        Lesson { item: goods.items[i % 10], features, reward, weight: 1.0 }
    };
    (0..n).map(of).collect()
}

fn taught(config: &PolicyConfig, n: usize) -> Explorer {
    let mut policy = config.build().unwrap();
    policy.learn(&lessons(n));
    policy
}

#[test]
fn every_learning_policy_conforms_before_and_after_its_lessons() {
    for config in learners() {
        for n in [0, 7, 150] {
            let policy = taught(&config, n);
            check_policy(&policy, &seen(6), 3, &one_even, 2000).unwrap();
            check_policy(&policy, &scored(&[1.0, 0.5, f32::NAN]), 3, &|_, _| true, 500).unwrap();
        }
    }
}

#[test]
fn places_for_new_interests_conform_and_hold_what_is_novel() {
    let mut candidates = seen(6);
    candidates.novelty = vec![0.0, 0.0, 0.0, 3.0, 1.0, 0.0];
    for config in learners().into_iter().chain(policies()) {
        let policy = taught(&config, 30).with_budget(BudgetConfig { places: 1 });
        check_policy(&policy, &candidates, 3, &|_, _| true, 1500).unwrap();
        for seed in 0..50 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let slate = policy.choose(&candidates, 3, &mut |_: &[Slot], _| true, &mut rng);
            // Unless earlier places took all that is novel, the last place is one of those.
            let before = slate[..2].iter().filter(|s| [ItemId(13), ItemId(14)].contains(&s.item)).count();
            assert!(before == 2 || [ItemId(13), ItemId(14)].contains(&slate[2].item), "{slate:?}");
        }
    }
}

/// Terms that turn exploring down.
struct Knob(f64);

impl Terms for Knob {
    fn eligible(&self, _slots: &[Slot], _item: ItemId) -> bool {
        true
    }
    fn explore(&self) -> f64 {
        self.0
    }
}

#[test]
fn without_exploring_every_policy_takes_the_best_and_is_certain() {
    let mut candidates = seen(6);
    candidates.novelty = vec![0.0, 0.0, 0.0, 3.0, 1.0, 0.0];
    for config in learners().into_iter().chain(policies()) {
        let policy = taught(&config, 150).with_budget(BudgetConfig { places: 2 });
        for seed in 0..20 {
            let slate = policy.choose(&candidates, 3, &mut Knob(0.0), &mut ChaCha8Rng::seed_from_u64(seed));
            assert!(slate.iter().all(|s| s.propensity == 1.0 && !s.explored), "{config:?}: {slate:?}");
        }
    }
}

#[test]
fn lessons_teach_which_goods_bring_more_than_their_scores_say() {
    for config in learners() {
        let policy = taught(&config, 2000);
        let best = policy.choose(&seen(10), 1, &mut Knob(0.0), &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(best[0].item, ItemId(17), "{config:?}: 7 * 7 mod 10 is the greatest");
    }
}

#[test]
fn what_a_policy_learnt_reads_back_to_the_same_bits_and_replays_to_them() {
    for config in learners() {
        let all = lessons(400);
        let policy = taught(&config, 400);
        let saved = policy.to_json();
        let mut read = Explorer::from_json(&saved).unwrap();
        assert_eq!(policy, read);
        let mut replayed = config.build().unwrap();
        all.chunks(13).for_each(|some| replayed.learn(some));
        assert_eq!(saved, replayed.to_json(), "in whatever pieces the lessons come");
        read.learn(&all[..50]);
        replayed.learn(&all[..50]);
        assert_eq!(read, replayed);
    }
}

#[test]
fn settings_of_learning_policies_are_checked_and_a_misspelt_one_is_refused() {
    for (text, what) in [
        (r#"{"kind":"ucb","bonus":-1}"#, "bonus"),
        (r#"{"kind":"ucb","half_life":0}"#, "half_life"),
        (r#"{"kind":"lin-ucb","ridge":0}"#, "ridge"),
        (r#"{"kind":"lin-ucb","floor":1.5}"#, "floor"),
        (r#"{"kind":"square-cb","own":0}"#, "own"),
        (r#"{"kind":"thompson","draws":0}"#, "draws"),
        (r#"{"kind":"neural-thompson","hidden":1000}"#, "hidden"),
        (r#"{"kind":"square-cb","gamma":-2}"#, "gamma"),
    ] {
        let config: PolicyConfig = serde_json::from_str(text).unwrap();
        let error = config.build().err().unwrap().to_string();
        assert!(error.contains(what), "{error}");
    }
    for text in [r#"{"kind":"lin-ucb","alfa":1}"#, r#"{"kind":"thompson","prior":1}"#] {
        assert!(serde_json::from_str::<PolicyConfig>(text).is_err(), "{text}");
    }
}

#[test]
fn the_probability_that_a_replay_asks_for_is_the_one_that_is_drawn_with() {
    for config in learners().into_iter().chain(policies()) {
        let policy = taught(&config, 60);
        let candidates = seen(6);
        let sum: f64 = (0..6).map(|i| policy.probability(&candidates, i)).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{config:?}: {sum}");
        for seed in 0..30 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let slot = policy.choose(&candidates, 1, &mut |_: &[Slot], _| true, &mut rng).remove(0);
            let asked = policy.probability(&candidates, (slot.item.0 - 10) as usize);
            assert!((asked - f64::from(slot.propensity)).abs() < 1e-6, "{config:?}");
        }
    }
}

#[test]
fn a_policy_whose_file_was_tampered_with_is_refused() {
    for config in learners() {
        let saved = taught(&config, 30).to_json();
        assert!(Explorer::from_json(&saved[..saved.len() / 2]).is_err());
        let resized = saved.replacen("\"dim\":", "\"dim\":1", 1);
        if resized != saved {
            let why = Explorer::from_json(&resized).unwrap_err().to_string();
            assert!(why.contains("do not fit together") && why.contains("replay"), "{why}");
        }
    }
}

#[test]
fn an_item_that_is_better_than_it_looks_is_found_only_where_goods_have_something_of_their_own() {
    let mut candidates = seen(4);
    candidates.features = [1.0, 0.0, 0.0].repeat(4);
    let lesson = |i: usize| Lesson {
        item: ItemId(10 + (i % 4) as u32),
        features: vec![1.0, 0.0, 0.0],
        reward: f32::from(u8::from(i % 4 == 2)),
        weight: 1.0,
    };
    for own in [None, Some(20.0)] {
        for config in [
            PolicyConfig::LinUcb(LinUcbConfig { own, ..LinUcbConfig::default() }),
            PolicyConfig::Thompson(ThompsonConfig { draws: 16, own, ..ThompsonConfig::default() }),
            PolicyConfig::SquareCb(SquareCbConfig { own, ..SquareCbConfig::default() }),
        ] {
            let mut policy = config.build().unwrap();
            policy.learn(&(0..200).map(lesson).collect::<Vec<_>>());
            let best = policy.choose(&candidates, 1, &mut Knob(0.0), &mut ChaCha8Rng::seed_from_u64(1))[0].item;
            assert_eq!(best, if own.is_some() { ItemId(12) } else { ItemId(10) }, "{config:?}");
        }
    }
}

#[test]
fn what_is_known_of_single_goods_goes_with_them_to_another_catalogue() {
    let own = |kind: &str| serde_json::from_value(serde_json::json!({"kind": kind, "own": 5.0})).unwrap();
    let configs: [PolicyConfig; 3] = [PolicyConfig::Ucb(Default::default()), own("lin-ucb"), own("thompson")];
    for config in configs {
        let mut policy = config.build().unwrap();
        let lesson = |item: u32, reward| Lesson { item: ItemId(item), features: vec![1.0, 0.5], reward, weight: 1.0 };
        policy.learn(&(0..40).map(|i| lesson(i % 2, (i % 2) as f32)).collect::<Vec<_>>());
        assert_eq!(policy.goods(), [0, 1].map(ItemId));
        let best = |policy: &Explorer, goods: [u32; 2]| {
            let mut scored = Scored::new(goods.map(ItemId).to_vec(), vec![1.0, 1.0]);
            scored.features = vec![1.0, 0.5, 1.0, 0.5];
            let all = |_: &[Slot], _: ItemId| true;
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            policy.choose(&scored, 1, &mut { all }, &mut rng)[0].item.0
        };
        assert_eq!(best(&policy, [0, 1]), 1, "{}", policy.version());
        policy.rename(|item| (item.0 == 1).then_some(ItemId(7)));
        assert_eq!((policy.goods(), best(&policy, [1, 7])), (vec![ItemId(7)], 7), "{}", policy.version());
    }
}
