//! The same measurement with several seeds -> the mean of each figure, and how far apart the seeds lie.

use crate::report::{ResultLine, metric, table};
use anyhow::Result;
use lingxi_eval::Report;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Figures by seed.
pub struct Seeds {
    /// One report a seed.
    pub each: Vec<Report>,
    /// The mean of each figure, with an interval from the spread between seeds (Student's t).
    pub mean: Report,
    /// Standard deviation of each figure between seeds.
    pub spread: BTreeMap<String, f64>,
}

/// Measures with the seeds `first`, `first + 1`, ... `count` of them.
///
/// # Errors
/// Those of `run`.
pub fn seeds(first: u64, count: u64, run: impl FnMut(u64) -> Result<Report>) -> Result<Seeds> {
    let each = (first..first + count).map(run).collect::<Result<Vec<_>>>()?;
    let protocol = format!("mean of {count} seeds: {}", each.first().map_or("", |report| &report.protocol));
    let mean = Report::mean(protocol, &each.iter().collect::<Vec<_>>());
    let spread = mean.metrics.iter().map(|(metric, &middle)| {
        let off = each.iter().filter_map(|report| report.metrics.get(metric)).map(|x| (x - middle).powi(2));
        (metric.clone(), (off.sum::<f64>() / (count.max(2) - 1) as f64).sqrt())
    });
    Ok(Seeds { spread: spread.collect(), mean, each })
}

impl Seeds {
    /// The line for programs.
    pub fn line(&self, name: &str) -> ResultLine<Value> {
        let mut line = ResultLine::new("reproduce", Some(name), json!(&self.mean));
        line.result["spread"] = json!(self.spread);
        line.result["seeds"] = self.each.iter().map(|report| report.seed).collect();
        line.others.extend(self.each.iter().map(|report| {
            let mut row = json!(report);
            row["kind"] = "seed".into();
            row
        }));
        line
    }

    /// The table for people: the columns are `metrics`.
    pub fn table(&self, metrics: &[String]) -> String {
        let shown: Vec<&String> = metrics.iter().filter(|key| self.mean.metrics.contains_key(*key)).collect();
        let row = |name: String, of: &BTreeMap<String, f64>| {
            std::iter::once(name).chain(shown.iter().map(|key| metric(of[*key]))).collect::<Vec<_>>()
        };
        let mut rows: Vec<_> = self.each.iter().map(|report| row(report.seed.to_string(), &report.metrics)).collect();
        rows.push(row("mean".into(), &self.mean.metrics));
        rows.push(row("standard deviation".into(), &self.spread));
        let header: Vec<&str> = std::iter::once("seed").chain(shown.iter().map(|key| key.as_str())).collect();
        let numbers: Vec<usize> = (1..header.len()).collect();
        format!("{}\n{}", self.mean.protocol, table(&header, &rows, &numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_eval::EvalConfig;

    #[test]
    fn seeds_give_their_mean_and_how_far_apart_they_lie() {
        let run = |seed: u64| {
            let config = EvalConfig { seed, protocol: "p".into(), ..EvalConfig::default() };
            Ok(Report::of_values("m".into(), "ndcg@10".into(), &[0.1 * seed as f64], &config))
        };
        let seeds = seeds(1, 3, run).unwrap();
        assert!((seeds.mean.metrics["ndcg@10"] - 0.2).abs() < 1e-12);
        assert!((seeds.spread["ndcg@10"] - 0.1).abs() < 1e-12);
        assert_eq!(seeds.each.iter().map(|report| report.seed).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(seeds.mean.protocol, "mean of 3 seeds: p");
        assert!(seeds.table(&["ndcg@10".into()]).contains("0.2000"));
    }
}
