//! `lingxi policy`: ask a running server what its policy has learnt, to keep it, or to go back to a kept one.

use crate::cli::{PolicyAction, PolicyArgs};
use crate::client::Client;
use crate::report::{ResultLine, count, metric, say, table};
use serde_json::{Value, json};

/// Stretches of the curve that are shown.
const STRETCHES: usize = 8;

/// Answers `lingxi policy`.
///
/// # Errors
/// Nothing answers there, or the server refuses.
pub fn run(args: &PolicyArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.at, args.key.as_deref())?;
    match args.action {
        PolicyAction::Show => {}
        PolicyAction::Keep => drop(client.post("/api/policy", &json!({}))?),
        PolicyAction::Use { id } => drop(client.post(&format!("/api/policy/{id}/use"), &json!({}))?),
    }
    let told = client.get("/api/policy")?;
    if args.json {
        return ResultLine::new("policy", None, told).print();
    }
    Ok(say(&words(&told))?)
}

fn words(told: &Value) -> String {
    let version = told["Version"].as_str().unwrap_or_default();
    if told["Learns"] != true {
        return format!("{version} answers. It does not learn from what comes of its slates.");
    }
    let mut said = vec![format!("{version} answers, after {} lessons.", number(&told["Lessons"]))];
    said.push(match &told["Drift"]["Last"] {
        Value::Null => "What slates bring has not changed noticeably.".into(),
        last => format!(
            "What slates bring changed {} times, last after {} slates: {} before, {} after.",
            told["Drift"]["Changes"],
            number(&last["Slates"]),
            figure(&last["Before"]),
            figure(&last["After"])
        ),
    });
    let curve = told["Curve"].as_array().map_or(&[][..], Vec::as_slice);
    let rows: Vec<Vec<String>> = curve[curve.len().saturating_sub(STRETCHES)..].iter().map(stretch).collect();
    if !rows.is_empty() {
        said.push(String::new());
        said.push(table(
            &["until", "slates", "reward", "explored", "a best place", "an explored one"],
            &rows,
            &[1, 2, 3, 4, 5],
        ));
    }
    let rows: Vec<Vec<String>> = told["Kept"].as_array().into_iter().flatten().map(kept).collect();
    if !rows.is_empty() {
        said.push(String::new());
        said.push(table(&["kept", "at", "lessons", "reward", ""], &rows, &[0, 2, 3]));
    }
    said.join("\n")
}

fn stretch(point: &Value) -> Vec<String> {
    vec![
        point["Until"].as_str().unwrap_or_default().to_owned(),
        number(&point["Slates"]),
        figure(&point["Reward"]),
        format!("{:.1}%", 100.0 * point["Explored"].as_f64().unwrap_or(0.0)),
        figure(&point["BestReward"]),
        figure(&point["ExploredReward"]),
    ]
}

fn kept(policy: &Value) -> Vec<String> {
    vec![
        policy["Id"].to_string(),
        policy["At"].as_str().unwrap_or_default().to_owned(),
        number(&policy["Lessons"]),
        figure(&policy["Reward"]),
        policy["BackTo"].as_i64().map_or_else(String::new, |id| format!("gone back to {id}")),
    ]
}

fn number(value: &Value) -> String {
    count(value.as_u64().unwrap_or(0))
}

fn figure(value: &Value) -> String {
    value.as_f64().map_or_else(|| "none".to_owned(), metric)
}
