//! No division leaks: laws that hold for every log.

use lingxi_data::split::*;
use lingxi_data::{Event, EventKind, Interactions, ItemId, Purpose, UserId};
use proptest::prelude::*;
use std::collections::BTreeSet;

const USERS: usize = 9;
const ITEMS: usize = 15;

/// A random log in which the value of each event is a number of its own, so that an event can be followed.
fn log() -> impl Strategy<Value = Interactions> {
    let row = (0..USERS as u32, 0..ITEMS as u32, 0i64..40, any::<bool>());
    let consent = prop_oneof![Just(Vec::new()), proptest::collection::vec(0u8..8, USERS)];
    (proptest::collection::vec(row, 0..120), consent).prop_map(|(rows, consent)| {
        let numbered = rows.into_iter().enumerate().map(|(n, (user, item, at, buy))| Event {
            user: UserId(user),
            item: ItemId(item),
            at,
            kind: if buy { EventKind::Buy } else { EventKind::View },
            value: n as f32,
        });
        let log = Interactions::from_events(numbered.collect(), USERS, ITEMS).unwrap();
        if consent.is_empty() { log } else { log.with_consent(consent).unwrap() }
    })
}

/// The numbers of the events, whatever was agreed to.
fn numbers(log: &Interactions) -> BTreeSet<u32> {
    let log = log.clone();
    let users = log.n_users();
    let open = log.with_consent(vec![7; users]).unwrap();
    open.for_purpose(Purpose::Training).iter().map(|e| e.value as u32).collect()
}

/// What must hold for each split: nothing held out is in training, no case sees its answer, nothing is there twice, each
/// case has relevant items that were held out, and the shopper agreed.
fn check_no_leak(all: &Interactions, split: &Split) {
    let train = numbers(&split.train);
    for holdout in [&split.valid, &split.test] {
        let held = numbers(&holdout.held);
        assert!(train.is_disjoint(&held), "a held-out event trains");
        assert_eq!(numbers(&holdout.history).len(), holdout.history.len(), "an event is in the history twice");
        for case in &holdout.cases {
            let context = holdout.context(case);
            assert_eq!(context.history.len(), case.history_len);
            assert!(context.history.at.iter().all(|&at| at <= case.at), "the history is later than the question");
            assert!(!case.relevant.is_empty() && case.relevant.is_sorted_by(|a, b| a < b));
            assert!(!all.for_purpose(Purpose::Evaluation).of(case.user).is_empty(), "asked without consent");
            let known: BTreeSet<u32> = context.history.values.iter().map(|v| *v as u32).collect();
            let answers = holdout.held.for_purpose(Purpose::Evaluation).of(case.user);
            for item in &case.relevant {
                let mut answer = answers.iter(case.user).filter(|e| e.item == *item);
                assert!(answer.any(|e| !known.contains(&(e.value as u32))), "every answer {item:?} is in the history");
            }
        }
    }
    assert!(numbers(&split.test.held).is_disjoint(&numbers(&split.valid.held)), "an event is held out twice");
    assert!(numbers(&split.test.held).is_disjoint(&numbers(&split.valid.history)), "validation knows the test");
}

/// Every event is in a part, or counted as unused.
fn check_nothing_lost(all: &Interactions, split: &Split) {
    let mut seen = numbers(&split.train);
    for holdout in [&split.valid, &split.test] {
        seen.extend(numbers(&holdout.held));
        seen.extend(numbers(&holdout.history));
    }
    assert_eq!(seen.len() + split.unused, all.len());
}

proptest! {
    #[test]
    fn leave_one_out_holds_the_last_two_events(all in log()) {
        let split = leave_one_out(&all, LeaveOneOut::default()).unwrap();
        check_no_leak(&all, &split);
        check_nothing_lost(&all, &split);
        prop_assert_eq!(split.unused, 0);
        let events = all.for_purpose(Purpose::Evaluation);
        prop_assert_eq!(split.test.cases.len(), events.users().filter(|(_, rows)| rows.len() >= 3).count());
        for case in &split.test.cases {
            let rows = events.of(case.user);
            prop_assert_eq!(case.relevant[0], rows.items[rows.len() - 1]);
            prop_assert_eq!(split.test.context(case).history, rows.first(rows.len() - 1));
        }
    }

    #[test]
    fn by_time_respects_the_order_of_time(all in log(), a in 0i64..40, b in 0i64..40, new_only: bool, min_history in 0usize..3) {
        let (valid_from, test_from) = (a.min(b), a.max(b));
        let split = by_time(&all, ByTime { valid_from, test_from, new_only, min_history }).unwrap();
        check_no_leak(&all, &split);
        check_nothing_lost(&all, &split);
        let times = |log: &Interactions| log.for_purpose(Purpose::Evaluation).iter().map(|e| e.at).collect::<Vec<_>>();
        prop_assert!(times(&split.train).iter().all(|&at| at < valid_from));
        prop_assert!(times(&split.valid.held).iter().all(|&at| valid_from <= at && at < test_from));
        prop_assert!(times(&split.test.held).iter().all(|&at| at >= test_from));
        prop_assert!(times(&split.test.history).iter().all(|&at| at < test_from));
        if new_only {
            for case in &split.test.cases {
                let context = split.test.context(case);
                prop_assert!(case.relevant.iter().all(|item| !context.history.items.contains(item)));
            }
        }
    }

    #[test]
    fn a_ratio_is_kept_for_each_shopper_and_repeats_for_a_seed(all in log(), seed: u64) {
        let options = ByRatio { valid: 0.1, test: 0.3, seed };
        let split = by_ratio(&all, options).unwrap();
        check_no_leak(&all, &split);
        check_nothing_lost(&all, &split);
        for (user, rows) in all.for_purpose(Purpose::Evaluation).users() {
            let held = split.test.held.for_purpose(Purpose::Evaluation).of(user).len();
            prop_assert!((held as f64 - rows.len() as f64 * 0.3).abs() <= 1.0);
        }
        prop_assert_eq!(&split, &by_ratio(&all, options).unwrap());
    }

    #[test]
    fn folds_by_event_test_each_event_once(all in log(), seed: u64, k in 3usize..6) {
        let options = KFold { k, seed, ..KFold::default() };
        let splits = k_fold(&all, options).unwrap();
        let mut tested = Vec::new();
        for split in &splits {
            check_no_leak(&all, split);
            check_nothing_lost(&all, split);
            tested.extend(numbers(&split.test.held));
        }
        let distinct: BTreeSet<u32> = tested.iter().copied().collect();
        prop_assert_eq!(distinct.len(), tested.len());
        prop_assert_eq!(tested.len(), all.for_purpose(Purpose::Evaluation).len());
        prop_assert_eq!(splits, k_fold(&all, options).unwrap());
    }

    #[test]
    fn folds_by_shopper_test_strangers(all in log(), seed: u64) {
        let splits = k_fold(&all, KFold { k: 3, of: FoldOf::User, seed, turn: None }).unwrap();
        let mut cases = 0;
        for split in &splits {
            check_no_leak(&all, split);
            check_nothing_lost(&all, split);
            let train = numbers(&split.train);
            for case in split.test.cases.iter().chain(&split.valid.cases) {
                let rows = all.for_purpose(Purpose::Evaluation).of(case.user);
                prop_assert!(rows.values.iter().all(|v| !train.contains(&(*v as u32))));
            }
            cases += split.test.cases.len();
        }
        prop_assert_eq!(cases, all.for_purpose(Purpose::Evaluation).users().filter(|(_, rows)| !rows.is_empty()).count());
    }

    #[test]
    fn cold_items_are_nowhere_but_in_the_answers(all in log(), seed: u64) {
        let options = ColdItems { fraction: 0.4, min_events: 2, seed };
        let ColdSplit { cold, split, warm_valid, warm_test } = cold_items(&all, options).unwrap();
        check_no_leak(&all, &split);
        let warm = Split { valid: warm_valid, test: warm_test, ..split.clone() };
        check_no_leak(&all, &warm);
        let counts = all.clone().with_consent(vec![7; USERS]).unwrap();
        let counts = counts.for_purpose(Purpose::Training).item_counts();
        let enough = counts.iter().filter(|&&c| c >= 2).count();
        prop_assert_eq!(cold.len(), (enough as f64 * 0.4).round() as usize);
        for log in [&split.train, &split.valid.history, &split.test.history, &warm.test.history] {
            prop_assert!(log.for_purpose(Purpose::Training).iter().all(|e| !cold.contains(&e.item)));
        }
        prop_assert!(split.test.cases.iter().all(|case| cold.contains(&case.relevant[0])));
        prop_assert!(warm.test.cases.iter().all(|case| !cold.contains(&case.relevant[0])));
        let asked = all.for_purpose(Purpose::Evaluation).users().filter(|(_, rows)| rows.len() >= 3).count();
        prop_assert_eq!(split.test.cases.len() + warm.test.cases.len(), asked);
        prop_assert_eq!(cold, cold_items(&all, options).unwrap().cold);
    }

    #[test]
    fn each_prefix_of_a_test_session_is_asked(all in log(), a in 0i64..40, b in 0i64..40) {
        let split = sessions(&all, Sessions { valid_from: Some(a.min(b)), test_from: Some(a.max(b)), gap_minutes: None }).unwrap();
        check_no_leak(&all, &split);
        check_nothing_lost(&all, &split);
        for case in &split.test.cases {
            let rows = all.for_purpose(Purpose::Evaluation).of(case.user);
            prop_assert_eq!(case.relevant[0], rows.items[case.history_len]);
            prop_assert_eq!(split.test.context(case).history, rows.first(case.history_len));
        }
    }

    #[test]
    fn a_purchase_is_asked_with_what_was_strictly_before_it(all in log()) {
        let split = next_purchase(&all, NextPurchase::default()).unwrap();
        check_no_leak(&all, &split);
        check_nothing_lost(&all, &split);
        for case in &split.test.cases {
            let rows = all.for_purpose(Purpose::Evaluation).of(case.user);
            let last_buy = (0..rows.len()).rev().find(|&i| rows.kinds[i] == EventKind::Buy).unwrap();
            prop_assert_eq!(case.relevant[0], rows.items[last_buy]);
            prop_assert_eq!(split.test.context(case).history, rows.before(rows.at[last_buy]));
        }
    }

    #[test]
    fn published_parts_come_back_as_they_were(all in log(), seed: u64) {
        let drawn = by_ratio(&all, ByRatio { valid: 0.2, test: 0.2, seed }).unwrap();
        let split = from_parts(&drawn.train, Some(&drawn.valid.held), &drawn.test.held).unwrap();
        check_no_leak(&all, &split);
        // Events of one second may change their order between parts, so the histories are compared as sets.
        prop_assert_eq!(&split.train, &drawn.train);
        for (ours, theirs) in [(&split.valid, &drawn.valid), (&split.test, &drawn.test)] {
            let plain = |cases: &[HeldCase]| -> Vec<_> {
                cases.iter().map(|c| (c.user, c.relevant.clone(), c.history_len)).collect()
            };
            prop_assert_eq!(plain(&ours.cases), plain(&theirs.cases));
            prop_assert_eq!(numbers(&ours.history), numbers(&theirs.history));
        }
    }

    #[test]
    fn cut_sessions_keep_every_event_and_no_long_pause(all in log(), gap in 0i64..10) {
        let (cut, owners) = cut_sessions(&all, gap).unwrap();
        prop_assert_eq!(numbers(&cut), numbers(&all));
        for (session, rows) in cut.for_purpose(Purpose::Serving).users() {
            prop_assert!(rows.at.windows(2).all(|w| w[1] - w[0] <= gap));
            let owner = all.for_purpose(Purpose::Serving).of(owners[session.index()]);
            prop_assert!(rows.values.iter().all(|v| owner.values.contains(v)));
        }
    }
}

#[test]
fn options_that_make_no_sense_are_refused_with_what_was_expected() {
    let all = Interactions::from_events(Vec::new(), 1, 1).unwrap();
    let other = Interactions::from_events(Vec::new(), 1, 2).unwrap();
    let check = |err: lingxi_data::DataError, says: &str| assert!(err.to_string().contains(says), "{err}");
    check(leave_one_out(&all, LeaveOneOut { min_events: 2 }).unwrap_err(), "at least 3, got 2");
    check(by_ratio(&all, ByRatio { valid: 0.5, test: 0.5, seed: 1 }).unwrap_err(), "less than 1");
    check(by_ratio(&all, ByRatio { valid: f64::NAN, test: 0.5, seed: 1 }).unwrap_err(), "less than 1");
    check(k_fold(&all, KFold { k: 2, ..KFold::default() }).unwrap_err(), "at least 3");
    check(from_parts(&all, None, &other).unwrap_err(), "1 shoppers and 2 items");
    check(cold_items(&all, ColdItems { fraction: 1.0, ..ColdItems::default() }).unwrap_err(), "between 0 and 1");
    let windows = ByTime { valid_from: 5, test_from: 4, new_only: false, min_history: 0 };
    check(by_time(&all, windows).unwrap_err(), "at or after valid_from 5, got 4");
}

#[test]
fn a_recipe_names_the_division_and_an_unknown_option_is_refused() {
    let read = |text: &str| toml::from_str::<SplitConfig>(text);
    assert_eq!(read("by = 'leave_one_out'").unwrap(), SplitConfig::LeaveOneOut(LeaveOneOut { min_events: 3 }));
    let by_time = read("by = 'time'\nvalid_from = 5\ntest_from = 9\nnew_only = true").unwrap();
    assert!(by_time.describe().contains("new items only"), "{}", by_time.describe());
    assert!(read("by = 'leave_one_out'\nmin_event = 5").unwrap_err().to_string().contains("min_event"));
    assert!(read("by = 'magic'").is_err());
}
