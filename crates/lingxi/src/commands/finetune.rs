//! `lingxi finetune`: makes the encoder a shop's own, and says what that earned.

use crate::cli::FinetuneArgs;
use crate::failure::UserError;
use crate::figures;
use crate::finetune::compare::{self, Cost};
use crate::finetune::recipe::FinetuneRecipe;
use crate::finetune::run::{self, Outcome, Row};
use crate::progress::Progress;
use crate::report::{ResultLine, bytes, count, duration, metric, say, table};
use crate::site::{Site, data_of};
use lingxi_eval::Report;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Answers `lingxi finetune`.
///
/// # Errors
/// A recipe, data, a model or a folder that cannot be used.
pub fn run(args: &FinetuneArgs) -> anyhow::Result<()> {
    let progress = Progress::new(args.json);
    let recipe = FinetuneRecipe::open(&args.recipe)?;
    let named = named(args, &recipe)?;
    let site = Site::new(data_of(named.clone(), &recipe.name), args.seed, progress, false)?;
    if let Some(way) = args.strategy {
        return Ok(say(&serde_json::to_string(&compare::one(&recipe, way, &site)?)?)?);
    }
    if args.strategies {
        let child = compare::Child { recipe: &args.recipe, data: &named, seed: args.seed };
        let costs = compare::all(&recipe, &child, &site)?;
        return if args.json { compared_line(&recipe, &costs).print() } else { Ok(say(&compared(&recipe, &costs))?) };
    }
    let outcome = run::run(&recipe, &site)?;
    if args.json {
        return line(&recipe, &outcome).print();
    }
    say(&rows(&recipe, &outcome))?;
    if !outcome.unlabelled.is_empty() {
        say(&format!("to be labelled next:\n  {}", outcome.unlabelled.join("\n  ")))?;
    }
    for member in outcome.members.iter().filter(|member| member.kept) {
        say(&format!("kept in {}", member.model.display()))?;
    }
    Ok(())
}

/// The folder that was named, or the place of the data sets.
fn named(args: &FinetuneArgs, recipe: &FinetuneRecipe) -> anyhow::Result<PathBuf> {
    args.data.clone().or_else(|| std::env::var_os("LINGXI_DATA").map(PathBuf::from)).ok_or_else(|| {
        let message = format!("{}: no folder of data was named", recipe.name);
        UserError::new(message, "give --data FOLDER, or set LINGXI_DATA to it").into()
    })
}

fn line(recipe: &FinetuneRecipe, outcome: &Outcome) -> ResultLine<Value> {
    let of = |row: &Row| {
        let mut line = json!(&row.test);
        line["validation"] = json!(row.valid.metrics);
        line["matrix_bytes"] = json!(row.bytes);
        line
    };
    let mut line = ResultLine::new("finetune", Some(&recipe.name), of(&outcome.result));
    line.result["seconds"] = json!(outcome.members.iter().map(|member| member.seconds).sum::<f64>());
    line.result["trained"] = json!(outcome.trained);
    line.result["members"] = json!(recipe.members);
    line.result["peak_bytes"] = json!(crate::report::peak_bytes());
    line.result["kept"] =
        outcome.members.iter().filter(|member| member.kept).map(|member| json!(&member.model)).collect();
    if !outcome.unlabelled.is_empty() {
        line.result["to_label"] = json!(&outcome.unlabelled);
    }
    if let Some(gained) = &outcome.gained {
        line.result["gained"] = json!(gained);
    }
    line.others.extend(outcome.others.iter().map(of));
    line.others.extend(figures::published_rows(&recipe.published));
    line
}

fn rows(recipe: &FinetuneRecipe, outcome: &Outcome) -> String {
    let result = &outcome.result;
    let wanted = ["accuracy", "oos_recall", "macro_f1", "ece", "rmse", "mae", "r2", "ndcg@10"].into_iter();
    let keys: Vec<&str> = wanted.filter(|key| result.test.metrics.contains_key(*key)).collect();
    let cell = |value: Option<&f64>| value.map_or_else(|| "-".to_owned(), |x| metric(*x));
    let published = recipe.published.iter().map(|row| {
        let cells = keys.iter().map(|key| cell(row.metrics.get(*key)));
        [row.model.clone(), "published".into()].into_iter().chain(cells).collect::<Vec<_>>()
    });
    let reports = [&result.valid, &result.test].into_iter().chain(outcome.others.iter().map(|row| &row.test));
    let ours = reports.map(|report| {
        let cells = keys.iter().map(|key| figures::with_interval(report, key));
        [report.model.clone(), report.split.clone()].into_iter().chain(cells).collect()
    });
    let header: Vec<&str> = ["model", "split"].into_iter().chain(keys.iter().copied()).collect();
    let rows: Vec<Vec<String>> = published.chain(ours).collect();
    let gained = outcome.gained.as_ref().map_or_else(String::new, |gained| {
        let [low, high] = gained.interval.map(metric);
        let base = result.test.metrics.get(&gained.metric).map_or(f64::NAN, |value| value - gained.difference);
        let share = 100.0 * gained.difference / base;
        let (difference, p) = (metric(gained.difference), metric(gained.p_randomisation));
        format!("{} by {difference} [{low}, {high}] more than before, {share:+.1}%, p {p}\n", gained.metric)
    });
    format!(
        "{}\n{}\n{gained}{} parameters trained in {:.0} s; {}",
        recipe.about,
        table(&header, &rows, &(2..header.len()).collect::<Vec<_>>()),
        count((outcome.trained * outcome.members.len()) as u64),
        outcome.members.iter().map(|member| member.seconds).sum::<f64>(),
        result.test.protocol
    )
}

/// Every way a row: the one that validation prefers is the result.
fn compared_line(recipe: &FinetuneRecipe, costs: &[Cost]) -> ResultLine<Value> {
    let of = |cost: &Cost| {
        let mut row = json!(&cost.test);
        row["kind"] = "strategy".into();
        row["mistyped"] = json!(&cost.mistyped);
        row["validation"] = json!(&cost.valid.metrics);
        (row["trained"], row["seconds"], row["peak_bytes"]) =
            (json!(cost.trained), json!(cost.seconds), json!(cost.peak_bytes));
        if let Some([second, first]) = &cost.then {
            row["then"] = json!({ "second": second, "first": first });
        }
        row
    };
    let accuracy = |cost: &&Cost| cost.valid.metrics.get("accuracy").copied().unwrap_or(f64::NEG_INFINITY);
    let best = costs.iter().max_by(|a, b| accuracy(a).total_cmp(&accuracy(b)));
    let mut line = ResultLine::new("finetune", Some(&recipe.name), best.map_or(Value::Null, of));
    line.others = costs.iter().map(of).collect();
    line
}

fn compared(recipe: &FinetuneRecipe, costs: &[Cost]) -> String {
    let then = recipe.compare.as_ref().and_then(|compare| compare.then.as_deref());
    let left = format!("{} after", recipe.name);
    let mut header = vec!["strategy", "accuracy", "declined", "mistyped", "trained", "time", "memory"];
    header.extend(then.iter().flat_map(|second| [*second, left.as_str()]));
    let figure = |report: &Report, key: &str| report.metrics.get(key).map_or("-".into(), |x| metric(*x));
    let row = |cost: &Cost| {
        let mut row = vec![cost.test.model.clone(), figures::with_interval(&cost.test, "accuracy")];
        row.extend([figure(&cost.test, "oos_recall"), figure(&cost.mistyped, "accuracy")]);
        row.extend([count(cost.trained as u64), duration(cost.seconds), cost.peak_bytes.map_or("-".into(), bytes)]);
        row.extend(cost.then.iter().flatten().map(|report| figure(report, "accuracy")));
        row
    };
    let rows: Vec<Vec<String>> = costs.iter().map(row).collect();
    let epochs = recipe.compare.as_ref().map_or(0, |compare| compare.epochs);
    let table = table(&header, &rows, &(1..header.len()).collect::<Vec<_>>());
    format!("{}\n{table}\n{epochs} epochs each; declined: recall of texts out of scope", recipe.about)
}
