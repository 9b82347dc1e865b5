//! `lingxi finetune`: makes the encoder a shop's own, and says what that earned.

use crate::cli::FinetuneArgs;
use crate::failure::UserError;
use crate::figures;
use crate::finetune::recipe::FinetuneRecipe;
use crate::finetune::run::{self, Outcome, Row};
use crate::progress::Progress;
use crate::report::{ResultLine, count, metric, say, table};
use crate::site::{Site, data_of};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Answers `lingxi finetune`.
///
/// # Errors
/// A recipe, data, a model or a folder that cannot be used.
pub fn run(args: &FinetuneArgs) -> anyhow::Result<()> {
    let progress = Progress::new(args.json);
    let recipe = FinetuneRecipe::open(&args.recipe)?;
    let outcome = run::run(&recipe, &Site::new(data(args, &recipe)?, args.seed, progress, false)?)?;
    if args.json {
        return line(&recipe, &outcome).print();
    }
    say(&rows(&recipe, &outcome))?;
    for member in &outcome.members {
        say(&format!("kept in {}", member.model.display()))?;
    }
    Ok(())
}

/// The folder of a recipe's files: the one that was named, the one of that name in it, or the place of the data sets.
fn data(args: &FinetuneArgs, recipe: &FinetuneRecipe) -> anyhow::Result<PathBuf> {
    let named = args.data.clone().or_else(|| std::env::var_os("LINGXI_DATA").map(PathBuf::from)).ok_or_else(|| {
        let message = format!("{}: no folder of data was named", recipe.name);
        UserError::new(message, "give --data FOLDER, or set LINGXI_DATA to it")
    })?;
    Ok(data_of(named, &recipe.name))
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
    line.result["kept"] = json!(outcome.members.iter().map(|member| &member.model).collect::<Vec<_>>());
    line.others.extend(outcome.others.iter().map(of));
    line.others.extend(figures::published_rows(&recipe.published));
    line
}

fn rows(recipe: &FinetuneRecipe, outcome: &Outcome) -> String {
    let result = &outcome.result;
    let wanted = ["accuracy", "oos_recall", "macro_f1", "ece"].into_iter();
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
    format!(
        "{}\n{}\n{} parameters trained in {:.0} s; {}",
        recipe.about,
        table(&header, &rows, &(2..header.len()).collect::<Vec<_>>()),
        count((outcome.trained * outcome.members.len()) as u64),
        outcome.members.iter().map(|member| member.seconds).sum::<f64>(),
        result.test.protocol
    )
}
