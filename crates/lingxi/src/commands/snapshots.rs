//! `lingxi snapshots`: ask a running server what it keeps, to build a new snapshot, or to go back to a kept one.

use crate::cli::{SnapshotsAction, SnapshotsArgs};
use crate::client::Client;
use crate::failure::UserError;
use crate::progress::{Progress, Unit};
use crate::report::{ResultLine, count, metric, say, table};
use serde_json::{Value, json};
use std::time::Duration;

/// Time between two questions how far a build is.
const LOOK: Duration = Duration::from_millis(300);

/// Answers `lingxi snapshots`.
///
/// # Errors
/// Nothing answers there, the server refuses, or the build fails.
pub fn run(args: &SnapshotsArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.at, args.key.as_deref())?;
    match args.action {
        SnapshotsAction::List => {}
        SnapshotsAction::Build => {
            client.post("/api/builds", &json!({}))?;
            follow(&client, Progress::new(args.json))?;
        }
        SnapshotsAction::Use { id } => {
            client.post(&format!("/api/builds/{id}/publish"), &json!({}))?;
        }
    }
    let told = client.get("/api/builds")?;
    if args.json {
        return ResultLine::new("snapshots", None, told).print();
    }
    Ok(say(&kept(&told))?)
}

/// Shows how far the build is until it ends.
fn follow(client: &Client, progress: Progress) -> anyhow::Result<()> {
    let mut shown = None;
    loop {
        let told = client.get("/api/builds")?;
        let Some(running) = told["Running"].as_object() else {
            drop(shown);
            return outcome(&told["Last"], progress);
        };
        let name = running["Stage"].as_str().unwrap_or_default().to_owned();
        if shown.as_ref().is_none_or(|(stage, _)| *stage != name) {
            shown = Some((name.clone(), progress.stage(&name, None, Unit::Of("done"))));
        }
        if let Some((_, stage)) = &shown {
            if let Some(total) = running["Total"].as_u64() {
                stage.set_total(total);
            }
            stage.set(running["Done"].as_u64().unwrap_or(0));
        }
        std::thread::sleep(LOOK);
    }
}

fn outcome(last: &Value, progress: Progress) -> anyhow::Result<()> {
    if let Some(why) = last["Error"].as_str() {
        let remedy = "mend what it says and build again; the snapshot before goes on serving";
        return Err(UserError::new(format!("the build failed: {why}"), remedy).into());
    }
    let took = crate::report::duration(last["Seconds"].as_f64().unwrap_or(0.0));
    progress.note(&format!("built and put in place after {took}"));
    Ok(())
}

/// The kept snapshots as a table.
fn kept(told: &Value) -> String {
    let rows = told["Kept"].as_array().into_iter().flatten().map(|card| {
        let number = |field: &str| count(card[field].as_u64().unwrap_or(0));
        let figure = card["Value"].as_f64().map_or_else(|| "not measured".to_owned(), metric);
        vec![
            card["Id"].to_string(),
            card["Built"].as_str().unwrap_or_default().to_owned(),
            number("Events"),
            number("Items"),
            format!("{} {figure}", card["Metric"].as_str().unwrap_or_default()),
            if card["Serving"] == true { "answers".into() } else { String::new() },
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    table(&["snapshot", "built", "events", "goods", "figure", ""], &rows, &[0, 2, 3])
}
