//! What are the figures of a model, and how sure are they?
//!
//! [`evaluate`] takes cases from ranking to a [`Report`]; the report serialises to the `result` that every measuring
//! command prints, and [`table`] shows several side by side.

use crate::rank::{Lists, Ranked, rank, rank_vectors};
use crate::{Case, EvalError, Goods, Result, accuracy, beyond_accuracy, interval};
use lingxi_data::Score;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};
use std::collections::BTreeMap;

/// What is measured, and under which name it is reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// `test` or `valid`.
    pub split: String,
    /// How the log was divided and what is masked, in words; what is ranked is added to it. Must not be empty.
    pub protocol: String,
    /// Seed of resampling and of sampled negatives.
    pub seed: u64,
    /// Where lists are cut.
    pub ks: Vec<usize>,
    /// Bootstrap resamples; 0 leaves intervals out (each is then the value twice).
    pub resamples: usize,
    /// Share of resamples that an interval holds.
    pub confidence: f64,
    /// Whether to compute the ranking AUC, which must look at every score.
    pub auc: bool,
}

impl Default for EvalConfig {
    fn default() -> Self {
        EvalConfig {
            split: "test".into(),
            protocol: String::new(),
            seed: 1,
            ks: vec![5, 10, 20],
            resamples: 1000,
            confidence: 0.95,
            auc: true,
        }
    }
}

impl EvalConfig {
    /// Checks that something is measured and can be named.
    ///
    /// # Errors
    /// [`EvalError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        let fail = |field, expected, got: String| Err(EvalError::Config { field, expected, got });
        if self.split.is_empty() || self.protocol.is_empty() {
            return fail("split and protocol", "a text each, as no figure stands without them", "an empty one".into());
        }
        if self.ks.is_empty() || self.ks.contains(&0) {
            return fail("ks", "at least one length, all above 0", format!("{:?}", self.ks));
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return fail("confidence", "a share between 0 and 1", self.confidence.to_string());
        }
        Ok(())
    }

    /// The longest list that is looked at.
    pub(crate) fn longest(&self) -> usize {
        self.ks.iter().copied().max().unwrap_or(0)
    }
}

/// The figures of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The model's name; for a slice, with the name of the slice.
    pub model: String,
    /// `test` or `valid`.
    pub split: String,
    /// How it was measured, in words.
    pub protocol: String,
    /// Seed of resampling.
    pub seed: u64,
    /// Seconds that it took; set by whoever holds a clock.
    pub seconds: f64,
    /// Number of cases behind each figure.
    pub cases: usize,
    /// Cases left out because nothing was relevant.
    pub skipped: usize,
    /// Relevant items that were masked and so could only be missed.
    pub masked_relevant: usize,
    /// Scores that were not a number.
    pub nan_scores: u64,
    /// Lower-case `name@k` to value.
    pub metrics: BTreeMap<String, f64>,
    /// Lower-case `name@k` to the interval of the configured confidence.
    pub interval: BTreeMap<String, [f64; 2]>,
    /// Indices of the cases that were asked, in the order of the rows of the per-case figures and lists.
    #[serde(skip)]
    pub asked: Vec<u32>,
    /// The lists behind the figures, one per asked case.
    #[serde(skip)]
    pub lists: Lists,
    #[serde(skip)]
    pub(crate) columns: Vec<String>,
    /// Row-major `[asked, columns]`.
    #[serde(skip)]
    pub(crate) values: Vec<f64>,
}

impl Report {
    /// A metric's value for each asked case; `None` for metrics that exist only over all cases.
    pub fn per_case(&self, metric: &str) -> Option<Vec<f64>> {
        let column = self.columns.iter().position(|name| name == metric)?;
        Some(self.values.iter().skip(column).step_by(self.columns.len()).copied().collect())
    }
}

/// Ranks all items for every case and measures the lists. `progress` is told how many cases of how many are ranked.
///
/// # Errors
/// [`EvalError::Config`] for settings that measure nothing, [`EvalError::Case`] for a case that does not fit the model's
/// items, [`EvalError::Length`] for counts or vectors of another catalogue, [`EvalError::Nothing`] if no case can be asked.
pub fn evaluate(
    model: &dyn Score,
    cases: &[Case<'_>],
    goods: &Goods<'_>,
    config: &EvalConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Report> {
    let asked = Asked::of(cases, model.n_items(), goods, config)?;
    let ranked = rank(model, &asked.cases, config.longest(), config.auc, progress);
    Ok(asked.report(model.name(), ranked, goods, config, Scope::AllItems))
}

/// The same for a model that is plain vectors: the score of an item is the dot product of its row of `items[n,d]` with
/// the case's row of `queries[cases,d]`. The fast way, above all without AUC.
///
/// # Errors
/// Those of [`evaluate`], and [`EvalError::Length`] if a slice does not have the length of its shape.
pub fn evaluate_vectors(
    name: &str,
    queries: &[f32],
    items: &[f32],
    d: usize,
    cases: &[Case<'_>],
    goods: &Goods<'_>,
    config: &EvalConfig,
) -> Result<Report> {
    let n_items = items.len().checked_div(d).unwrap_or(0);
    for (what, got, expected) in
        [("item vectors", items.len(), n_items * d), ("queries", queries.len(), cases.len() * d)]
    {
        if got != expected || d == 0 {
            return Err(EvalError::Length { what, expected, got });
        }
    }
    let asked = Asked::of(cases, n_items, goods, config)?;
    let rows = asked.index.iter().flat_map(|&c| &queries[c as usize * d..(c as usize + 1) * d]);
    let of_asked: Vec<f32> = if asked.skipped == 0 { Vec::new() } else { rows.copied().collect() };
    let queries = if asked.skipped == 0 { queries } else { &of_asked };
    let ranked = rank_vectors(queries, items, d, &asked.cases, config.longest(), config.auc);
    Ok(asked.report(name, ranked, goods, config, Scope::AllItems))
}

/// Among which items was ranked?
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope {
    /// The whole catalogue: coverage and Gini make sense.
    AllItems,
    /// The relevant items and this many drawn ones.
    Sampled(usize),
    /// As the protocol of the settings says already.
    AsSaid,
}

/// The cases that have something relevant, checked.
pub(crate) struct Asked<'c, 'a> {
    pub cases: Vec<&'c Case<'a>>,
    pub index: Vec<u32>,
    pub skipped: usize,
    pub n_items: usize,
}

impl<'c, 'a> Asked<'c, 'a> {
    pub fn of(cases: &'c [Case<'a>], n_items: usize, goods: &Goods<'_>, config: &EvalConfig) -> Result<Asked<'c, 'a>> {
        config.validate()?;
        let lengths =
            [("item counts", goods.counts.map(<[u32]>::len)), ("vectors of the goods", goods.vectors.map(|v| v.len()))];
        for (what, got) in lengths {
            if let Some(got) = got.filter(|got| *got != n_items) {
                return Err(EvalError::Length { what, expected: n_items, got });
            }
        }
        cases.iter().enumerate().try_for_each(|(i, case)| check_case(i, case, n_items))?;
        let with_answer = cases.iter().enumerate().filter(|(_, case)| !case.relevant.is_empty());
        let (index, asked): (Vec<u32>, Vec<&Case<'_>>) = with_answer.map(|(i, case)| (i as u32, case)).unzip();
        if asked.is_empty() {
            return Err(EvalError::Nothing { what: format!("split {}, {}", config.split, config.protocol) });
        }
        Ok(Asked { skipped: cases.len() - asked.len(), cases: asked, index, n_items })
    }

    /// Measures ranked lists.
    pub fn report(&self, model: &str, ranked: Ranked, goods: &Goods<'_>, config: &EvalConfig, scope: Scope) -> Report {
        let Ranked { lists, auc, nan_scores } = ranked;
        let ks = &config.ks;
        let mut columns: Vec<String> = accuracy::names(ks).chain(beyond_accuracy::names(goods, ks)).collect();
        let parts =
            [accuracy::measure(&self.cases, &lists, ks), beyond_accuracy::measure(&self.cases, &lists, goods, ks)];
        if !auc.is_empty() {
            columns.push("auc".into());
        }
        let values = beside(&[&parts[0], &parts[1], &auc], self.cases.len());
        let means = interval::means(&values, columns.len());
        let bounds = interval::bootstrap(&values, columns.len(), config.resamples, config.confidence, config.seed);
        let masked = |case: &&Case<'_>| case.relevant.iter().filter(|i| case.masked.binary_search(i).is_ok()).count();
        let mut report = Report {
            model: model.into(),
            split: config.split.clone(),
            protocol: match scope {
                Scope::AllItems => format!("{}, all items", config.protocol),
                Scope::Sampled(n) => {
                    format!("{}, {n} SAMPLED negatives a case (not comparable with all items)", config.protocol)
                }
                Scope::AsSaid => config.protocol.clone(),
            },
            seed: config.seed,
            cases: self.cases.len(),
            skipped: self.skipped,
            masked_relevant: self.cases.iter().map(masked).sum(),
            nan_scores,
            metrics: columns.iter().cloned().zip(means).collect(),
            interval: columns.iter().cloned().zip(bounds).collect(),
            asked: self.index.clone(),
            ..Report::default()
        };
        if !matches!(scope, Scope::Sampled(_)) {
            add_exposure(&mut report, &lists, self.n_items, config);
        }
        Report { lists, columns, values, ..report }
    }
}

fn check_case(index: usize, case: &Case<'_>, n_items: usize) -> Result<()> {
    let fail = |field, expected: String| Err(EvalError::Case { case: index, field, expected });
    for (field, items) in [("relevant", &case.relevant), ("masked", &case.masked)] {
        if !items.is_sorted_by(|a, b| a < b) || items.last().is_some_and(|last| last.index() >= n_items) {
            return fail(field, format!("ascending item ids below {n_items}, no item twice"));
        }
    }
    let good = |grade: &f32| grade.is_finite() && *grade > 0.0;
    if !case.grades.is_empty() && (case.grades.len() != case.relevant.len() || !case.grades.iter().all(good)) {
        return fail("grades", format!("none, or {} positive ones", case.relevant.len()));
    }
    Ok(())
}

/// Joins row-major parts of `n` rows each side by side.
fn beside(parts: &[&[f64]], n: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for row in 0..n {
        for part in parts {
            let width = part.len() / n.max(1);
            out.extend_from_slice(&part[row * width..(row + 1) * width]);
        }
    }
    out
}

fn add_exposure(report: &mut Report, lists: &Lists, n_items: usize, config: &EvalConfig) {
    let normal = Normal::standard();
    let z = normal.inverse_cdf(0.5 + config.confidence / 2.0);
    for &k in &config.ks {
        let exposure = beyond_accuracy::exposure(lists, n_items, k, config.seed, config.resamples, z);
        for (name, (value, bounds)) in ["coverage", "gini"].iter().zip(exposure.value.iter().zip(exposure.interval)) {
            report.metrics.insert(format!("{name}@{k}"), *value);
            report.interval.insert(format!("{name}@{k}"), bounds);
        }
    }
}

/// A text table of several reports, at most 100 columns wide: one row each, with intervals where there is room. Split,
/// protocol, seed and number of cases stand above it; a row whose own differ says so below.
pub fn table(reports: &[&Report], metrics: &[&str]) -> String {
    let Some(first) = reports.first() else { return String::new() };
    let with_interval = metrics.len() <= 3;
    let width = if with_interval { 24 } else { 10 };
    let metrics = &metrics[..metrics.len().min(if with_interval { 3 } else { 7 })];
    let mut out = format!("{}: {}; seed {}, {} cases\n", first.split, first.protocol, first.seed, first.cases);
    out += &format!("{:<24}", "model");
    metrics.iter().for_each(|metric| out += &format!(" {metric:>width$}"));
    for report in reports {
        out += &format!("\n{:<24}", report.model.chars().take(24).collect::<String>());
        for metric in metrics {
            let cell = match (report.metrics.get(*metric), report.interval.get(*metric)) {
                (Some(x), Some([low, high])) if with_interval => format!("{x:.4} [{low:.4}, {high:.4}]"),
                (Some(x), _) => format!("{x:.4}"),
                _ => "n/a".into(),
            };
            out += &format!(" {cell:>width$}");
        }
        if (&report.split, &report.protocol, report.cases) != (&first.split, &first.protocol, first.cases) {
            out += &format!("\n  ({}: {}; {} cases)", report.split, report.protocol, report.cases);
        }
    }
    out + "\n"
}
