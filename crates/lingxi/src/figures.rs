//! Figures as people and programs read them: one table, one JSON line.

use crate::recipe::{Published, Recipe};
use crate::report::{ResultLine, metric, table as rows_as_table};
use crate::stages::cold::Cold;
use crate::stages::measure::Measured;
use lingxi_eval::Report;
use serde_json::{Value, json};

/// Most rows of groups that a table shows; the JSON line has all.
const SHOWN_GROUPS: usize = 12;

/// The line for programs: the blend is the result, everything else stands beside it.
pub fn line(command: &'static str, name: &str, measured: &Measured) -> ResultLine<Value> {
    let mut line = ResultLine::new(command, Some(name), json!(&measured.result));
    line.result["weights"] = measured.weights.iter().map(|(name, w)| json!({ "model": name, "weight": w })).collect();
    line.result["draws"] = json!(measured.draws);
    line.result["long_tail"] = json!(measured.tail);
    line.others.extend(measured.models.iter().map(|r| as_row("model", r)));
    for ((_, milliseconds), row) in measured.costs.iter().zip(line.others.iter_mut().chain([&mut line.result])) {
        row["milliseconds"] = json!(milliseconds);
    }
    line.others.extend(measured.protocols.iter().map(|r| as_row("protocol", r)));
    line.others.extend(measured.ratings.iter().map(|r| as_row("ratings", r)));
    line.others.extend(measured.slices.iter().map(|r| as_row("slice", r)));
    line.others.extend(measured.tests.iter().map(|(name, test)| {
        json!({ "kind": "paired test", "model": "blend", "against": name, "metric": test.metric,
            "difference": test.difference, "interval": test.interval, "p": test.p_randomisation })
    }));
    line
}

/// A report in `others`, with what it is of.
fn as_row(kind: &str, report: &Report) -> Value {
    let mut row = json!(report);
    row["kind"] = kind.into();
    row
}

/// What each index finds, for `others`.
pub fn index_rows(quality: &[Report]) -> impl Iterator<Item = Value> {
    quality.iter().map(|report| as_row("index", report))
}

/// What each index finds, a line each for people.
pub fn index_lines(quality: &[Report]) -> String {
    let line = |report: &Report| {
        let of = |(metric, value): (&String, &f64)| format!("{metric} {}", metric_with(report, metric, *value));
        let figures: Vec<String> = report.metrics.iter().map(of).collect();
        format!("{}: {} ({})\n", report.model, figures.join(", "), report.protocol)
    };
    quality.iter().map(line).collect()
}

/// A figure of a report with its interval; a dash where it has none.
pub fn with_interval(report: &Report, key: &str) -> String {
    report.metrics.get(key).map_or_else(|| "-".into(), |value| metric_with(report, key, *value))
}

/// A figure with its interval.
fn metric_with(report: &Report, key: &str, value: f64) -> String {
    let bounds = report.interval.get(key).map(|[low, high]| format!(" [{}, {}]", metric(*low), metric(*high)));
    metric(value) + &bounds.unwrap_or_default()
}

/// The same line with the published rows of the recipe.
pub fn line_with_published(command: &'static str, recipe: &Recipe, measured: &Measured) -> ResultLine<Value> {
    let mut line = line(command, &recipe.name, measured);
    line.others.extend(published_rows(&recipe.published));
    line
}

/// Published rows, for `others`.
pub fn published_rows(rows: &[Published]) -> impl Iterator<Item = Value> {
    rows.iter().map(|row| json!({ "kind": "published", "model": row.model, "metrics": row.metrics }))
}

/// The line for programs of goods that nobody took.
pub fn cold_line(name: &str, cold: &Cold) -> ResultLine<Value> {
    let mut line = ResultLine::new("reproduce", Some(name), json!(&cold.result));
    line.result["strengths"] = json!({ "texts": cold.chosen[0], "inherited": cold.chosen[1] });
    line.result["times_nearest"] = json!(cold.times_nearest);
    line.result["lift"] = json!(cold.lift);
    line.result["warm_loss"] = json!(cold.warm_loss);
    line.others.extend(cold.others.iter().map(|r| as_row("model", r)));
    line
}

/// The same for people.
pub fn cold_table(cold: &Cold) -> String {
    let keys = ["recall@20", "ndcg@20", "hr@10", "ndcg@10"];
    let row = |report: &Report| {
        let cell = |key: &str| report.metrics.get(key).map_or_else(|| "-".into(), |x| metric(*x));
        std::iter::once(report.model.clone()).chain(keys.map(cell)).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = std::iter::once(&cold.result).chain(&cold.others).map(row).collect();
    let header: Vec<&str> = std::iter::once("model").chain(keys).collect();
    let lift = cold.lift.map(|lift| format!("; the tuned encoder finds {lift:.2} times what the frozen one does"));
    format!(
        "{}\n{}\nnew goods: {:.2} times nearest text{}; known goods lost {:.2}%; strengths chosen on validation: texts {}, inherited {}",
        cold.result.protocol,
        rows_as_table(&header, &rows, &[1, 2, 3, 4]),
        cold.times_nearest,
        lift.unwrap_or_default(),
        100.0 * cold.warm_loss,
        cold.chosen[0],
        cold.chosen[1]
    )
}

/// The tables for people: published rows, our models, other protocols, groups.
pub fn table(recipe: &Recipe, measured: &Measured) -> String {
    let shown = columns(recipe);
    let mut header = vec!["model"];
    header.extend(shown.iter().map(String::as_str));
    header.push("95% interval");
    let mut rows: Vec<Vec<String>> = recipe.published.iter().map(|row| published(row, &shown)).collect();
    rows.extend(measured.models.iter().map(|r| ours(r, &r.model, recipe, &shown)));
    rows.push(ours(&measured.result, "blend (chosen)", recipe, &shown));
    let numbers: Vec<usize> = (1..header.len()).collect();
    let first = &measured.result;
    let mut out = format!("{} split: {}\n", first.split, first.protocol);
    out += &format!(
        "{} cases, seed {}; every model ranks the whole catalogue unless said otherwise\n",
        first.cases, first.seed
    );
    out += &rows_as_table(&header, &rows, &numbers);
    if !measured.draws.is_empty() {
        let each: Vec<String> = measured.draws.iter().map(|x| metric(*x)).collect();
        out += &format!("{} by draw: {}\n", recipe.evaluate.main, each.join(", "));
    }
    for report in &measured.protocols {
        let row = ours(report, "blend", recipe, &shown);
        out += &format!("\n{}\n{}", report.protocol, rows_as_table(&header, &[row], &numbers));
    }
    if let Some(first) = measured.ratings.first() {
        out += &format!("\n{} ({} ratings)\n{}", first.protocol, first.cases, ratings_table(&measured.ratings));
    }
    let groups: Vec<Vec<String>> =
        measured.slices.iter().take(SHOWN_GROUPS).map(|r| ours(r, &of_group(r), recipe, &shown)).collect();
    if !groups.is_empty() {
        header[0] = "blend, by group";
        out += &format!("\n{}", rows_as_table(&header, &groups, &numbers));
        if measured.slices.len() > SHOWN_GROUPS {
            out += &format!("({} more groups with --json)\n", measured.slices.len() - SHOWN_GROUPS);
        }
    }
    if !measured.weights.is_empty() {
        let weights: Vec<String> = measured.weights.iter().map(|(name, w)| format!("{name} {w:.2}")).collect();
        out += &format!("\nweights, chosen on validation: {}\n", weights.join(", "));
    }
    if !measured.costs.is_empty() {
        let costs: Vec<String> = measured.costs.iter().map(|(name, ms)| format!("{name} {ms:.2}")).collect();
        let goods = recipe.serve.candidates;
        out += &format!("milliseconds to score {goods} goods for a shopper: {}\n", costs.join(", "));
    }
    if let Some(tail) = measured.tail {
        let [before, after, taken] = [tail.before, tail.after, tail.taken].map(|share| 100.0 * share);
        out += &format!(
            "rare goods, lifted by {:.3}: {after:.1}% of the places on validation ({before:.1}% before), {taken:.1}% of what is taken\n",
            tail.lift
        );
    }
    if let Some((against, test)) = measured.tests.iter().min_by(|a, b| a.1.difference.total_cmp(&b.1.difference)) {
        out += &format!(
            "blend against {against}, paired: {} {:+.4} [{:+.4}, {:+.4}], p = {:.4}\n",
            test.metric, test.difference, test.interval[0], test.interval[1], test.p_randomisation
        );
    }
    out
}

/// Predicted ratings against the true ones.
fn ratings_table(reports: &[Report]) -> String {
    let keys = ["mae", "rmse"];
    let row = |report: &Report| {
        let cell = |key: &str| report.metrics.get(key).map_or_else(|| "-".into(), |x| metric_with(report, key, *x));
        std::iter::once(report.model.clone()).chain(keys.map(cell)).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = reports.iter().map(row).collect();
    rows_as_table(&["model", keys[0], keys[1]], &rows, &[1, 2])
}

/// The figures with a column: those that the published rows have, or the accuracy at the main cut-off.
pub fn columns(recipe: &Recipe) -> Vec<String> {
    let mut keys: Vec<String> = recipe.published.iter().flat_map(|row| row.metrics.keys().cloned()).collect();
    keys.sort();
    keys.dedup();
    if keys.is_empty() {
        let cut = recipe.evaluate.main.rsplit('@').next().unwrap_or("10");
        keys = ["ndcg", "recall", "hr", "mrr", "coverage"].iter().map(|name| format!("{name}@{cut}")).collect();
    }
    keys
}

fn published(row: &Published, shown: &[String]) -> Vec<String> {
    let cell = |key: &String| row.metrics.get(key).map_or_else(|| "-".into(), |x| metric(*x));
    let mut cells = vec![format!("{} (published)", row.model)];
    cells.extend(shown.iter().map(cell));
    cells.push("-".into());
    cells
}

fn ours(report: &Report, name: &str, recipe: &Recipe, shown: &[String]) -> Vec<String> {
    let cell = |key: &String| report.metrics.get(key).map_or_else(|| "-".into(), |x| metric(*x));
    let mut cells = vec![name.to_owned()];
    cells.extend(shown.iter().map(cell));
    cells.push(
        report
            .interval
            .get(&recipe.evaluate.main)
            .map_or_else(|| "-".into(), |[low, high]| format!("{}-{}", metric(*low), metric(*high))),
    );
    cells
}

/// `history 1 (n)` from `blend, history 1`.
fn of_group(report: &Report) -> String {
    let name = report.model.split_once(", ").map_or(report.model.as_str(), |(_, group)| group);
    format!("{name} ({})", report.cases)
}
