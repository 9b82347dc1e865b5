//! `lingxi experiment start|list|show|stop|remove`: experiments of a running server.

use crate::cli::ServerArgs;
use crate::client::Client;
use crate::experiments::ExperimentConfig;
use crate::report::{ResultLine, count, metric, say, table};
use anyhow::Result;
use serde_json::{Value, json};
use std::path::Path;

/// Starts the experiment of a file.
pub fn start(file: &Path, server: &ServerArgs, as_json: bool) -> Result<()> {
    let config = ExperimentConfig::read(file)?;
    let told = client(server)?.post("/api/experiments", &json!(config))?;
    print("start", &told, as_json, words)
}

/// All experiments, one line each.
pub fn list(server: &ServerArgs, as_json: bool) -> Result<()> {
    let told = client(server)?.get("/api/experiments")?;
    print("list", &told, as_json, lines)
}

/// What one says now.
pub fn show(name: &str, server: &ServerArgs, as_json: bool) -> Result<()> {
    let told = client(server)?.get(&path(name))?;
    print("show", &told, as_json, words)
}

/// Stops one.
pub fn stop(name: &str, why: Option<&str>, server: &ServerArgs, as_json: bool) -> Result<()> {
    let told = client(server)?.post(&format!("{}/stop", path(name)), &json!({ "Why": why }))?;
    print("stop", &told, as_json, words)
}

/// Takes one that ended away.
pub fn remove(name: &str, server: &ServerArgs, as_json: bool) -> Result<()> {
    let told = client(server)?.delete(&path(name))?;
    print("remove", &told, as_json, |told| format!("removed {}", text(&told["Removed"])))
}

fn client(server: &ServerArgs) -> Result<Client> {
    Client::new(&server.at, server.key.as_deref())
}

/// A name may be anything that somebody typed.
fn path(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let byte = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    format!("/api/experiments/{}", name.bytes().map(byte).collect::<String>())
}

fn print(name: &str, told: &Value, as_json: bool, words: impl Fn(&Value) -> String) -> Result<()> {
    if as_json {
        return ResultLine::new("experiment", Some(name), told).print();
    }
    Ok(say(&words(told))?)
}

fn lines(told: &Value) -> String {
    let row = |one: &Value| {
        let shoppers: u64 = each(&one["Arms"]).filter_map(|arm| arm["Shoppers"].as_u64()).sum();
        let stopped = each(&one["Arms"]).filter(|arm| !arm["Stopped"].is_null()).map(|arm| text(&arm["Name"]));
        let stopped: Vec<String> = stopped.collect();
        vec![
            text(&one["Name"]),
            text(&one["State"]),
            text(&one["Layer"]),
            text(&one["Started"]),
            count(shoppers),
            stopped.join(", "),
        ]
    };
    let rows: Vec<Vec<String>> = each(&told["Experiments"]).map(row).collect();
    table(&["experiment", "state", "layer", "started", "shoppers", "stopped arms"], &rows, &[4])
}

/// All that one says.
fn words(one: &Value) -> String {
    let arm = |arm: &Value| {
        let state = if arm["Stopped"].is_null() { String::new() } else { format!("stopped {}", text(&arm["Stopped"])) };
        let share = format!("{:.1}%", 100.0 * arm["Share"].as_f64().unwrap_or(0.0));
        vec![text(&arm["Name"]), share, settings(arm), count(arm["Shoppers"].as_u64().unwrap_or(0)), state]
    };
    let arms: Vec<Vec<String>> = each(&one["Arms"]).map(arm).collect();
    let mut said = vec![
        format!("{}: {} since {}", text(&one["Name"]), text(&one["State"]), text(&one["Started"])),
        table(&["arm", "share", "gets", "shoppers", ""], &arms, &[1, 3]),
    ];
    if !one["Ended"].is_null() {
        said.push(format!("ended {}: {}", text(&one["Ended"]), text(&one["Why"])));
    }
    if let Some(sound) = one["SampleRatio"]["Sound"].as_bool() {
        let sizes = if sound { "as they should be" } else { "NOT as they should be: believe nothing below" };
        said.push(format!("sizes are {sizes} (p = {:.4})", one["SampleRatio"]["PValue"].as_f64().unwrap_or(1.0)));
    }
    let rows: Vec<Vec<String>> = each(&one["Metrics"]).flat_map(compared).collect();
    let header = ["metric", "arm", "control", "difference", "always valid", "CUPED saved", "says"];
    said.push(table(&header, &rows, &[2, 3, 5]));
    said.extend(each(&one["Guardrails"]).flat_map(guards));
    said.extend(each(&one["Arms"]).filter_map(|arm| Some(format!("{}: {}", text(&arm["Name"]), arm["Why"].as_str()?))));
    said.join("\n")
}

fn settings(arm: &Value) -> String {
    let policy = arm["Policy"]["kind"].as_str().map(|kind| match &arm["Policy"] {
        Value::Object(fields) => {
            let values: Vec<String> =
                fields.iter().filter(|(name, _)| *name != "kind").map(|(n, v)| format!(" {n} {v}")).collect();
            format!("{kind}{}", values.concat())
        }
        _ => kind.to_owned(),
    });
    let explore = arm["Explore"].as_f64().map(|explore| format!("explore {explore}"));
    let all: Vec<String> = policy.into_iter().chain(explore).collect();
    if all.is_empty() { "what is served".into() } else { all.join(", ") }
}

fn compared(of: &Value) -> Vec<Vec<String>> {
    let control = metric(of["Means"][0].as_f64().unwrap_or(0.0));
    let row = |one: &Value| {
        let bound = |i: usize| one["Interval"][i].as_f64();
        let interval =
            bound(0).zip(bound(1)).map_or_else(|| "too early".into(), |(l, h)| format!("{l:+.4} to {h:+.4}"));
        vec![
            text(&of["Metric"]),
            text(&one["Arm"]),
            control.clone(),
            format!("{:+.4}", one["Difference"].as_f64().unwrap_or(0.0)),
            interval,
            super::percent(one["VarianceSaved"].as_f64().unwrap_or(0.0)),
            text(&one["Verdict"]),
        ]
    };
    each(&of["Compared"]).filter(|one| !one.is_null()).map(row).collect()
}

fn guards(guard: &Value) -> Vec<String> {
    let (name, bar) = (text(&guard["Metric"]), guard["Bar"].as_f64().unwrap_or(0.0));
    let line = |arm: &Value| format!("guardrail {name} at {bar:+.4}: {} {}", text(&arm["Arm"]), text(&arm["State"]));
    each(&guard["Arms"]).map(line).collect()
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
