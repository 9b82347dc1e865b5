//! The figures are those of ranx and scikit-learn.
//!
//! `reference.json` is what `reference.py` printed; the slow test (`LINGXI_SLOW=1`) prints it anew in a virtual
//! environment of pinned releases and compares with that as well.

use crate::venv;
use lingxi_data::{Context, ItemId, ItemVectors, Provenance, Rows, Score};
use lingxi_eval::{Case, EvalConfig, Goods, evaluate, rating_errors};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What the reference must hold to, and what we must agree with it to.
const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Reference {
    items: usize,
    dim: usize,
    ks: Vec<usize>,
    scores: Vec<f32>,
    masked: Vec<Vec<u32>>,
    relevant: Vec<Vec<u32>>,
    grades: Vec<Vec<f32>>,
    vectors: Vec<f32>,
    counts: Vec<u32>,
    predicted: Vec<f32>,
    truth: Vec<f32>,
    /// One value per case, or a single one for figures over all cases.
    figures: BTreeMap<String, Vec<f64>>,
}

/// Scores that are given: the shopper of the context is the row.
struct Given<'a>(&'a Reference);

impl Score for Given<'_> {
    fn name(&self) -> &'static str {
        "given"
    }
    fn n_items(&self) -> usize {
        self.0.items
    }
    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        let row = context.user.map_or(0, |u| u.index()) * self.0.items;
        out.iter_mut().zip(items).for_each(|(out, item)| *out = self.0.scores[row + item.index()]);
    }
    fn contributions(&self, _: &Context<'_>, _: ItemId) -> Vec<lingxi_data::Contribution> {
        Vec::new()
    }
}

fn ids(raw: &[u32]) -> Vec<ItemId> {
    raw.iter().map(|&id| ItemId(id)).collect()
}

fn cases(reference: &Reference, graded: bool) -> Vec<Case<'static>> {
    let case = |c: usize| Case {
        context: Context { user: Some(lingxi_data::UserId(c as u32)), history: Rows::default(), now: 0 },
        relevant: ids(&reference.relevant[c]),
        grades: if graded { reference.grades[c].clone() } else { Vec::new() },
        masked: ids(&reference.masked[c]),
    };
    (0..reference.relevant.len()).map(case).collect()
}

fn check_agreement(reference: &Reference) {
    let space = Provenance { model: "m".into(), revision: "r".into(), pooling: "p".into(), normalised: false };
    let present = vec![true; reference.items];
    let vectors = ItemVectors::new(reference.dim, reference.vectors.clone(), present, space).unwrap();
    let goods = Goods { counts: Some(&reference.counts), vectors: Some(&vectors) };
    let config = EvalConfig { ks: reference.ks.clone(), protocol: "given".into(), ..EvalConfig::default() };
    let run = |graded| evaluate(&Given(reference), &cases(reference, graded), &goods, &config, &mut |_, _| {}).unwrap();
    let (plain, graded) = (run(false), run(true));
    let ratings = rating_errors("given", &reference.predicted, &reference.truth, &config).unwrap();
    let mut compared = 0;
    for (name, expected) in &reference.figures {
        let (report, metric) = match name.strip_prefix("graded_") {
            Some(metric) => (&graded, metric),
            None if ["mae", "rmse"].contains(&name.as_str()) => (&ratings, name.as_str()),
            None => (&plain, name.as_str()),
        };
        let got = report.per_case(metric).unwrap_or_else(|| vec![report.metrics[metric]]);
        assert_eq!(got.len(), expected.len(), "{name}");
        for (case, (got, expected)) in got.iter().zip(expected).enumerate() {
            assert!((got - expected).abs() < TOLERANCE, "{name}, case {case}: {got} instead of {expected}");
            compared += 1;
        }
        let mean = expected.iter().sum::<f64>() / expected.len() as f64;
        assert!((report.metrics[metric] - mean).abs() < TOLERANCE, "mean {name}");
    }
    assert!(compared > 1000, "only {compared} figures compared");
}

fn committed() -> Reference {
    serde_json::from_str(include_str!("reference.json")).unwrap()
}

#[test]
fn every_figure_is_that_of_ranx_and_scikit_learn_on_the_committed_fixture() {
    check_agreement(&committed());
}

#[test]
fn the_reference_is_what_pinned_releases_print_today() {
    if !venv::slow("install ranx and scikit-learn and compare with them") {
        return;
    }
    let printed = venv::printed(&venv::reference(), "reference.py", &[]);
    let fresh: Reference = serde_json::from_slice(&printed).unwrap();
    check_agreement(&fresh);
    for (name, expected) in &committed().figures {
        let same = fresh.figures[name].iter().zip(expected).all(|(a, b)| (a - b).abs() < TOLERANCE);
        assert!(same, "{name}: the committed reference is not what reference.py prints");
    }
}
