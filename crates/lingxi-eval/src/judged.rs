//! How well are judged things ordered? For each question the scores that a model gave to the things that people judged for it, with their
//! grades, come in; out goes a [`Report`]. Nothing that nobody judged is ranked, so nothing is taken for bad because nobody looked.
//!
//! `ndcg@k` adds `(2^grade - 1) / log2(rank + 1)` over the first `k` and divides by the largest sum that any order could reach (Järvelin and
//! Kekäläinen 2002, with the gain of Burges et al. 2005). Equal scores keep the order in which they came. A question without a grade above 0
//! is skipped and counted.

use crate::{EvalConfig, EvalError, Report, Result, interval};

/// A judged thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// What the model says.
    pub score: f32,
    /// What people say; 0 is not relevant.
    pub grade: f32,
}

/// The first `k` of a list, compared with the best order; `None` if nothing is relevant.
pub fn ndcg(list: &[Judged], k: usize) -> Option<f64> {
    let sum = |order: &[&Judged]| -> f64 {
        let gains = order.iter().take(k).map(|judged| f64::from(judged.grade.max(0.0)).exp2() - 1.0);
        (2u32..).zip(gains).map(|(rank, gain)| gain / f64::from(rank).log2()).sum()
    };
    let mut order: Vec<&Judged> = list.iter().collect();
    order.sort_by(|a, b| b.grade.total_cmp(&a.grade));
    let best = sum(&order);
    let mut order: Vec<&Judged> = list.iter().collect();
    // What is no number ranks last.
    let score = |judged: &Judged| if judged.score.is_nan() { f32::NEG_INFINITY } else { judged.score };
    order.sort_by(|a, b| score(b).total_cmp(&score(a)));
    (best > 0.0).then(|| sum(&order) / best)
}

/// The mean of `ndcg@k` over the lists of all questions, with its bootstrap interval by question.
///
/// # Errors
/// [`EvalError::Nothing`] if no question has a relevant thing, [`EvalError::Config`] for settings that name no protocol.
pub fn measure_judged(model: &str, lists: &[Vec<Judged>], k: usize, config: &EvalConfig) -> Result<Report> {
    config.validate()?;
    let figures: Vec<Option<f64>> = lists.iter().map(|list| ndcg(list, k)).collect();
    let asked: Vec<u32> = (0u32..).zip(&figures).filter(|(_, figure)| figure.is_some()).map(|(at, _)| at).collect();
    let values: Vec<f64> = figures.into_iter().flatten().collect();
    if values.is_empty() {
        return Err(EvalError::Nothing { what: format!("judged lists by {model}") });
    }
    let metric = format!("ndcg@{k}");
    let bounds = interval::bootstrap(&values, 1, config.resamples, config.confidence, config.seed)[0];
    Ok(Report {
        model: model.into(),
        split: config.split.clone(),
        protocol: config.protocol.clone(),
        seed: config.seed,
        cases: values.len(),
        skipped: lists.len() - values.len(),
        metrics: [(metric.clone(), interval::means(&values, 1)[0])].into(),
        interval: [(metric.clone(), bounds)].into(),
        asked,
        columns: vec![metric],
        values,
        ..Report::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paired_test;

    fn list(rows: &[(f32, f32)]) -> Vec<Judged> {
        rows.iter().map(|&(score, grade)| Judged { score, grade }).collect()
    }

    #[test]
    fn a_list_has_the_figure_done_by_hand() {
        // Gains in the order of the scores: 1, 7, 0; best 7, 1.
        let got = ndcg(&list(&[(0.1, 0.0), (0.9, 1.0), (0.5, 3.0)]), 10).unwrap();
        let expected = (1.0 + 7.0 / 3f64.log2()) / (7.0 + 1.0 / 3f64.log2());
        assert!((got - expected).abs() < 1e-12, "{got} and {expected}");
        assert_eq!(ndcg(&list(&[(0.1, 3.0), (0.9, 0.0)]), 1), Some(0.0));
        assert_eq!(ndcg(&list(&[(0.1, 0.0)]), 10), None);
        assert_eq!(ndcg(&list(&[(f32::NAN, 3.0), (-1.0, 0.0)]), 1), Some(0.0));
    }

    #[test]
    fn two_models_are_paired_by_question_and_questions_without_an_answer_are_counted() {
        let config = EvalConfig { protocol: "judged".into(), ..EvalConfig::default() };
        let good = [list(&[(1.0, 3.0), (0.0, 0.0)]), list(&[(1.0, 0.0)]), list(&[(2.0, 1.0), (1.0, 0.0)])];
        let bad = [list(&[(0.0, 3.0), (1.0, 0.0)]), list(&[(1.0, 0.0)]), list(&[(2.0, 1.0), (1.0, 0.0)])];
        let [good, bad] = [good, bad].map(|lists| measure_judged("m", &lists, 1, &config).unwrap());
        assert_eq!((good.cases, good.skipped, good.metrics["ndcg@1"], bad.metrics["ndcg@1"]), (2, 1, 1.0, 0.5));
        let paired = paired_test(&good, &bad, "ndcg@1", 100, 1).unwrap();
        assert_eq!((paired.difference, paired.differing), (0.5, 1));
        assert!(measure_judged("m", &[list(&[(1.0, 0.0)])], 1, &config).is_err());
    }
}
