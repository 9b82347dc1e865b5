//! Laws of measuring that hold for every model and every set of cases.

use lingxi_data::{Context, Contribution, EventKind, ItemId, Rows, Score, UserId};
use lingxi_eval::{
    Case, EvalConfig, Goods, Report, evaluate, evaluate_sampled, evaluate_vectors, measure, paired_test, slices,
};
use proptest::prelude::*;

/// A model that is a dot product, item by item.
#[derive(Debug)]
struct Vectors {
    queries: Vec<f32>,
    items: Vec<f32>,
    d: usize,
}

impl Score for Vectors {
    fn name(&self) -> &'static str {
        "vectors"
    }
    fn n_items(&self) -> usize {
        self.items.len() / self.d
    }
    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        let user = context.user.map_or(0, UserId::index);
        let query = &self.queries[user * self.d..(user + 1) * self.d];
        for (out, item) in out.iter_mut().zip(items) {
            let vector = &self.items[item.index() * self.d..(item.index() + 1) * self.d];
            *out = query.iter().zip(vector).map(|(a, b)| a * b).sum();
        }
    }
    fn contributions(&self, _: &Context<'_>, _: ItemId) -> Vec<Contribution> {
        Vec::new()
    }
}

const ITEMS: usize = 30;
const D: usize = 3;

fn sorted(mut ids: Vec<u32>) -> Vec<ItemId> {
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(ItemId).collect()
}

/// Whole numbers, so that products are exact, every path must agree to the last bit, and ties are many.
fn model_and_cases() -> impl Strategy<Value = (Vectors, Vec<Case<'static>>)> {
    let ids = || proptest::collection::vec(0..ITEMS as u32, 0..6);
    (1usize..40).prop_flat_map(move |n| {
        let numbers = |rows: usize| proptest::collection::vec((-3i8..4).prop_map(f32::from), rows * D);
        let cases = proptest::collection::vec((ids(), ids()), n);
        (numbers(n), numbers(ITEMS), cases).prop_map(|(queries, items, cases)| {
            let case = |(user, (relevant, masked)): (usize, (Vec<u32>, Vec<u32>))| Case {
                context: Context { user: Some(UserId(user as u32)), history: Rows::default(), now: 0 },
                relevant: sorted(relevant),
                grades: Vec::new(),
                masked: sorted(masked),
            };
            (Vectors { queries, items, d: D }, cases.into_iter().enumerate().map(case).collect())
        })
    })
}

fn config() -> EvalConfig {
    EvalConfig { ks: vec![1, 4, 50], protocol: "random".into(), resamples: 20, ..EvalConfig::default() }
}

fn run(model: &Vectors, cases: &[Case<'_>], config: &EvalConfig) -> Option<Report> {
    let counts: Vec<u32> = (0..ITEMS as u32).collect();
    let goods = Goods { counts: Some(&counts), vectors: None };
    evaluate(model, cases, &goods, config, &mut |_, _| {}).ok()
}

/// The list by its definition: score all, leave out the masked, sort by score and then id.
fn plain_list(model: &Vectors, case: &Case<'_>) -> Vec<ItemId> {
    let items: Vec<ItemId> = (0..ITEMS as u32).map(ItemId).filter(|item| !case.masked.contains(item)).collect();
    let mut scores = vec![0.0; items.len()];
    model.score(&case.context, &items, &mut scores);
    let mut order: Vec<(f32, ItemId)> = scores.into_iter().zip(items).collect();
    order.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap().then(a.1.cmp(&b.1)));
    order.into_iter().map(|(_, item)| item).collect()
}

proptest! {
    #[test]
    fn lists_are_the_whole_catalogue_in_order_without_the_masked((model, cases) in model_and_cases()) {
        let Some(report) = run(&model, &cases, &config()) else { return Ok(()) };
        for (row, &case) in report.asked.iter().enumerate() {
            prop_assert_eq!(report.lists.of(row), &plain_list(&model, &cases[case as usize])[..]);
        }
        prop_assert_eq!(report.skipped, cases.iter().filter(|case| case.relevant.is_empty()).count());
        for (metric, value) in &report.metrics {
            let [low, high] = report.interval[metric];
            prop_assert!(low <= high && value.is_finite(), "{} {} {:?}", metric, value, (low, high));
        }
    }

    #[test]
    fn vectors_and_models_give_the_same_figures_with_and_without_auc((model, cases) in model_and_cases()) {
        let counts: Vec<u32> = (0..ITEMS as u32).collect();
        let goods = Goods { counts: Some(&counts), vectors: None };
        let Some(expected) = run(&model, &cases, &config()) else { return Ok(()) };
        for auc in [true, false] {
            let config = EvalConfig { auc, ..config() };
            let got = evaluate_vectors("vectors", &model.queries, &model.items, D, &cases, &goods, &config).unwrap();
            prop_assert_eq!(&got.lists, &expected.lists);
            for (metric, value) in &got.metrics {
                prop_assert_eq!(value, &expected.metrics[metric], "{}", metric);
            }
            prop_assert_eq!(got.metrics.contains_key("auc"), auc);
        }
    }

    #[test]
    fn a_report_does_not_depend_on_the_number_of_threads((model, cases) in model_and_cases()) {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(&model, &cases, &config()))
        };
        prop_assert_eq!(with(1), with(3));
    }

    #[test]
    fn groups_that_cover_all_cases_average_to_the_whole((model, cases) in model_and_cases()) {
        let Some(report) = run(&model, &cases, &config()) else { return Ok(()) };
        let counts: Vec<u32> = (0..ITEMS as u32).collect();
        let goods = Goods { counts: Some(&counts), vectors: None };
        let label = |user: UserId| Some(["even", "odd"][user.index() % 2]);
        let groups = slices::by_label(&cases, "number", label);
        let reports: Vec<Report> = groups
            .iter()
            .filter_map(|slice| measure(&report, slice, &cases, ITEMS, &goods, &config()).unwrap())
            .collect();
        for metric in ["ndcg@4", "hr@50", "auc", "novelty@4"] {
            let total: f64 = reports.iter().map(|r| r.metrics[metric] * r.cases as f64).sum();
            prop_assert!((total / report.cases as f64 - report.metrics[metric]).abs() < 1e-9, "{}", metric);
        }
    }

    #[test]
    fn among_all_other_items_sampled_ranking_is_the_full_one((model, cases) in model_and_cases()) {
        let Some(full) = run(&model, &cases, &config()) else { return Ok(()) };
        let goods = Goods::default();
        let sampled = evaluate_sampled(&model, &cases, ITEMS, &goods, &config(), &mut |_, _| {}).unwrap();
        prop_assert_eq!(&sampled.lists, &full.lists);
        prop_assert!(sampled.protocol.contains("SAMPLED") && full.protocol.ends_with("all items"));
        prop_assert!(!sampled.metrics.contains_key("coverage@4"));
    }
}

/// Ten cases; the better model puts the right item first, the other one last.
fn two_models() -> (Report, Report) {
    let n = 10;
    let right = |c: usize| ItemId(c as u32);
    let case = |c: usize| Case {
        context: Context { user: Some(UserId(c as u32)), history: Rows::default(), now: 0 },
        relevant: vec![right(c)],
        grades: Vec::new(),
        masked: Vec::new(),
    };
    let cases: Vec<Case<'_>> = (0..n).map(case).collect();
    let identity: Vec<f32> = (0..n * n).map(|i| f32::from(u8::from(i / n == i % n))).collect();
    let opposite: Vec<f32> = identity.iter().map(|x| -x).collect();
    let config = EvalConfig { ks: vec![1], protocol: "made up".into(), ..EvalConfig::default() };
    let run =
        |queries: &[f32]| evaluate_vectors("m", queries, &identity, n, &cases, &Goods::default(), &config).unwrap();
    (run(&identity), run(&opposite))
}

#[test]
fn a_clearly_better_model_is_found_so_and_a_model_is_no_better_than_itself() {
    let (better, worse) = two_models();
    assert_eq!((better.metrics["hr@1"], worse.metrics["hr@1"]), (1.0, 0.0));
    assert_eq!((better.metrics["auc"], worse.metrics["auc"]), (1.0, 0.0));
    let paired = paired_test(&better, &worse, "hr@1", 10_000, 1).unwrap();
    assert_eq!((paired.difference, paired.differing), (1.0, 10));
    // All ten signs must agree by chance: 2 / 2^10.
    assert!((paired.p_randomisation - 2.0 / 1024.0).abs() < 1e-3, "{paired:?}");
    let same = paired_test(&better, &better, "hr@1", 1000, 1).unwrap();
    assert_eq!((same.p_randomisation, same.p_t, same.differing), (1.0, 1.0, 0));
    assert!(paired_test(&better, &worse, "coverage@1", 10, 1).unwrap_err().to_string().contains("per case"));
}

#[test]
fn settings_and_cases_that_do_not_fit_are_refused_with_what_was_expected() {
    let model = Vectors { queries: vec![1.0; D], items: vec![1.0; ITEMS * D], d: D };
    let case = |relevant: &[u32], grades: &[f32]| Case {
        context: Context { user: None, history: Rows::default(), now: 0 },
        relevant: relevant.iter().map(|&i| ItemId(i)).collect(),
        grades: grades.to_vec(),
        masked: Vec::new(),
    };
    let check = |case: Case<'_>, goods: Goods<'_>, config: EvalConfig, says: &str| {
        let err = evaluate(&model, &[case], &goods, &config, &mut |_, _| {}).unwrap_err().to_string();
        assert!(err.contains(says), "{err}");
    };
    let none = Goods::default;
    check(case(&[1], &[]), none(), EvalConfig { protocol: String::new(), ..config() }, "no figure stands without");
    check(case(&[1], &[]), none(), EvalConfig { ks: vec![0], ..config() }, "above 0");
    check(case(&[2, 1], &[]), none(), config(), "case 0, relevant");
    check(case(&[ITEMS as u32], &[]), none(), config(), "below 30");
    check(case(&[1], &[0.0]), none(), config(), "case 0, grades");
    check(case(&[], &[]), none(), config(), "no case has a relevant item");
    check(case(&[1], &[]), Goods { counts: Some(&[1]), vectors: None }, config(), "expected length 30, got 1");
    let short = evaluate_vectors("m", &[1.0], &model.items, D, &[case(&[1], &[])], &none(), &config());
    assert!(short.unwrap_err().to_string().contains("queries"));
}

#[test]
fn the_report_prints_the_shape_that_other_programs_rely_on() {
    let (better, _) = two_models();
    let json = serde_json::to_value(&better).unwrap();
    assert_eq!(json["split"], "test");
    assert_eq!(json["protocol"], "made up, all items");
    assert_eq!(json["seed"], 1);
    assert_eq!(json["metrics"]["hr@1"], 1.0);
    assert_eq!(json["interval"]["hr@1"], serde_json::json!([1.0, 1.0]));
    assert!(json.get("values").is_none() && json.get("lists").is_none());
    let text = lingxi_eval::table(&[&better, &better], &["hr@1", "ndcg@1", "mrr@1"]);
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    assert!(text.contains("1.0000 [1.0000, 1.0000]") && text.contains("made up, all items"));
}

#[test]
fn groups_are_those_that_their_names_say() {
    let kinds = [EventKind::Buy; 12];
    let (items, at, values) = ([ItemId(0); 12], [0i64; 12], [1.0f32; 12]);
    let all = Rows { items: &items, at: &at, kinds: &kinds, values: &values };
    let case = |n: usize, item: u32| Case {
        context: Context { user: None, history: all.first(n), now: 0 },
        relevant: vec![ItemId(item)],
        grades: Vec::new(),
        masked: Vec::new(),
    };
    let cases = [case(0, 0), case(1, 1), case(5, 2), case(12, 3), case(1, 4)];
    let names: Vec<(String, Vec<u32>)> = slices::by_history(&cases).into_iter().map(|s| (s.name, s.cases)).collect();
    let expected =
        [("history 0", vec![0]), ("history 1", vec![1, 4]), ("history 4-5", vec![2]), ("history 11+", vec![3])];
    assert_eq!(names, expected.map(|(name, cases)| (name.to_string(), cases)));
    let counts = [9, 0, 5, 1, 0];
    assert_eq!(slices::new_goods(&cases, &counts).cases, [1, 4]);
    // The least popular 80% of five items is all but the best seller.
    assert_eq!(slices::long_tail(&cases, &counts, 0.8).cases, [1, 2, 3, 4]);
    assert_eq!(cases[3].knowing_last(2).context.history.len(), 2);
}
