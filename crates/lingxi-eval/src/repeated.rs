//! What if a figure was measured several times, on folds or with other seeds, or on something that is not a ranking?

use crate::interval::{bootstrap, means, of_mean};
use crate::{EvalConfig, Report};

/// Level of the interval of a mean of folds.
const CONFIDENCE: f64 = 0.95;

impl Report {
    /// The mean of one model's reports on several folds, with the interval of that mean from the spread between the folds
    /// (Student's t, 95%). Counts are added up. Only metrics of the first report are kept.
    pub fn mean(protocol: String, folds: &[&Report]) -> Report {
        let sum = |of: fn(&Report) -> usize| folds.iter().map(|fold| of(fold)).sum();
        let mut mean = Report { protocol, ..Report::default() };
        let Some(first) = folds.first() else { return mean };
        (mean.model, mean.split, mean.seed) = (first.model.clone(), first.split.clone(), first.seed);
        (mean.cases, mean.skipped) = (sum(|fold| fold.cases), sum(|fold| fold.skipped));
        mean.masked_relevant = sum(|fold| fold.masked_relevant);
        mean.nan_scores = folds.iter().map(|fold| fold.nan_scores).sum();
        for metric in first.metrics.keys() {
            let values: Vec<f64> = folds.iter().filter_map(|fold| fold.metrics.get(metric)).copied().collect();
            let (value, bounds) = of_mean(&values, CONFIDENCE);
            mean.metrics.insert(metric.clone(), value);
            mean.interval.insert(metric.clone(), bounds);
        }
        mean
    }

    /// A figure that is a mean of `values`, one per case, with its bootstrap interval.
    pub fn of_values(model: String, metric: String, values: &[f64], config: &EvalConfig) -> Report {
        let bounds = bootstrap(values, 1, config.resamples, config.confidence, config.seed)[0];
        Report {
            model,
            split: config.split.clone(),
            protocol: config.protocol.clone(),
            seed: config.seed,
            cases: values.len(),
            metrics: [(metric.clone(), means(values, 1)[0])].into(),
            interval: [(metric, bounds)].into(),
            ..Report::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_give_their_mean_and_the_sum_of_their_cases() {
        let config = EvalConfig { protocol: "fold".into(), ..EvalConfig::default() };
        let fold = |x: f64| Report::of_values("m".into(), "hr@1".into(), &[x, x], &config);
        let mean = Report::mean("mean of 2".into(), &[&fold(0.2), &fold(0.4)]);
        assert_eq!((mean.model.as_str(), mean.protocol.as_str(), mean.cases), ("m", "mean of 2", 4));
        assert!((mean.metrics["hr@1"] - 0.3).abs() < 1e-12);
        let [low, high] = mean.interval["hr@1"];
        assert!(low < 0.2 && high > 0.4, "two folds say little: {low} {high}");
    }
}
