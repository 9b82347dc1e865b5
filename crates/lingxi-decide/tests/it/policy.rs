//! Propensities are what happens.

use lingxi_data::{ItemId, Scored, Slot};
use lingxi_decide::PolicyConfig;
use lingxi_decide::conformance::check_policy;
use lingxi_decide::policy::{Distribution, EpsilonGreedy, Greedy, Softmax};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn scored(scores: &[f32]) -> Scored {
    Scored { items: (0..scores.len() as u32).map(|i| ItemId(10 + i)).collect(), scores: scores.to_vec() }
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
                check_policy(&*policy, &scored(&scores), n, &|_, _| true, 3000).unwrap();
                check_policy(&*policy, &scored(&scores), n, &one_even, 3000).unwrap();
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
        fn choose(
            &self,
            scored: &Scored,
            n: usize,
            eligible: &dyn Fn(&[Slot], ItemId) -> bool,
            rng: &mut ChaCha8Rng,
        ) -> Vec<Slot> {
            let mut slots =
                PolicyConfig::EpsilonGreedy { epsilon: 0.5 }.build().unwrap().choose(scored, n, eligible, rng);
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
            let slate = policy.choose(&scored(&[f32::NAN, 1.0, f32::NAN, 2.0]), 9, &|_, _| true, &mut rng);
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
    ) {
        scores.sort_by(|a, b| b.partial_cmp(a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())));
        let all: [Box<dyn Distribution>; 3] = [
            Box::new(Greedy),
            Box::new(EpsilonGreedy::new(epsilon).unwrap()),
            Box::new(Softmax::new(temperature).unwrap()),
        ];
        for distribution in all {
            let p = distribution.probabilities(&scores);
            prop_assert_eq!(p.len(), scores.len());
            prop_assert!(p.iter().all(|p| (0.0..=1.0 + 1e-12).contains(p)), "{:?}", p);
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{:?}", p);
            prop_assert!(p.iter().all(|x| *x <= p[0] + 1e-12), "the best is never less likely: {:?}", p);
        }
    }
}
