//! `lingxi assets list|fetch|verify`: shows, gets and checks models and data.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::assets::{Asset, Cache, State};
use crate::cli::{AssetsAction, AssetsArgs};
use crate::failure::UserError;
use crate::progress::Progress;
use crate::report::{self, ResultLine, say};

/// Answers `lingxi assets`.
///
/// # Errors
/// Unknown names, no source with the right bytes, damaged files.
pub fn run(args: &AssetsArgs) -> anyhow::Result<()> {
    let cache = Cache::from_env()?;
    match &args.action {
        AssetsAction::List { json } => list(&cache, *json),
        AssetsAction::Fetch { names, from, json } => fetch(&cache.with_local_source(from.clone()), names, *json),
        AssetsAction::Verify { names, json } => verify(&cache, names, *json),
    }
}

/// One asset in the JSON of `list` and `verify`.
#[derive(Serialize)]
struct AssetRow<'a> {
    name: &'a str,
    kind: String,
    bytes: u64,
    licence: &'a str,
    note: &'a str,
    state: &'static str,
    wrong: Vec<String>,
    path: PathBuf,
    sources: Vec<String>,
}

/// One asset in the JSON of `fetch`.
#[derive(Serialize)]
struct FetchRow<'a> {
    name: &'a str,
    path: PathBuf,
    bytes: u64,
    /// The sources that delivered; empty if it was here already.
    sources: Vec<String>,
    seconds: f64,
}

fn list(cache: &Cache, json: bool) -> anyhow::Result<()> {
    let progress = Progress::new(json);
    let assets = cache.manifest().assets.iter();
    let rows: Vec<_> = assets.map(|asset| row(cache, asset, cache.state(asset, &progress))).collect();
    if json {
        return ResultLine::new("assets", Some("list"), serde_json::json!({ "assets": rows })).print();
    }
    say(&table(&rows))?;
    for row in &rows {
        say(&format!("\n{}: {}\n  in {}", row.name, row.note, row.path.display()))?;
        row.wrong.iter().try_for_each(|wrong| say(&format!("  damaged: {wrong}")))?;
        say(&format!("  sources: {}", row.sources.join(", then ")))?;
    }
    Ok(())
}

fn fetch(cache: &Cache, names: &[String], json: bool) -> anyhow::Result<()> {
    let progress = Progress::new(json);
    let mut rows = Vec::new();
    for asset in cache.manifest().select(names)? {
        let started = Instant::now();
        let fetched = cache.fetch(asset, &progress)?;
        if !json {
            let how = if fetched.sources.is_empty() { "here already".to_owned() } else { fetched.sources.join(", ") };
            say(&format!("{}  {}  {}  {how}", asset.name, report::bytes(asset.size()), fetched.place.display()))?;
        }
        rows.push(FetchRow {
            name: &asset.name,
            path: fetched.place,
            bytes: asset.size(),
            sources: fetched.sources,
            seconds: started.elapsed().as_secs_f64(),
        });
    }
    if json {
        ResultLine::new("assets", Some("fetch"), serde_json::json!({ "assets": rows })).print()?;
    }
    Ok(())
}

/// Damage is an error; what is merely missing is one only if it was named.
fn verify(cache: &Cache, names: &[String], json: bool) -> anyhow::Result<()> {
    let progress = Progress::new(json);
    let assets = cache.manifest().select(names)?;
    let rows: Vec<_> = assets.iter().map(|asset| row(cache, asset, cache.verify(asset, &progress))).collect();
    if json {
        ResultLine::new("assets", Some("verify"), serde_json::json!({ "assets": rows })).print()?;
    } else {
        say(&table(&rows))?;
    }
    let bad: Vec<_> =
        rows.iter().filter(|row| row.state == "damaged" || (row.state == "missing" && !names.is_empty())).collect();
    if bad.is_empty() {
        return Ok(());
    }
    let mut message = "assets are not as they should be".to_owned();
    for row in &bad {
        message.push_str(&format!("\n  {} is {} in {}", row.name, row.state, row.path.display()));
        row.wrong.iter().for_each(|wrong| message.push_str(&format!("\n    {wrong}")));
    }
    let names: Vec<_> = bad.iter().map(|row| row.name).collect();
    Err(UserError::new(message, format!("lingxi assets fetch {}", names.join(" "))).into())
}

fn row<'a>(cache: &Cache, asset: &'a Asset, state: State) -> AssetRow<'a> {
    let (state, wrong) = match state {
        State::Here => ("here", Vec::new()),
        State::Missing { .. } => ("missing", Vec::new()),
        State::Damaged(wrong) => ("damaged", wrong),
    };
    AssetRow {
        name: &asset.name,
        kind: asset.kind.to_string(),
        bytes: asset.size(),
        licence: &asset.licence,
        note: &asset.note,
        state,
        wrong,
        path: cache.place(asset),
        sources: asset.sources.iter().map(ToString::to_string).collect(),
    }
}

fn table(rows: &[AssetRow<'_>]) -> String {
    let cells = rows.iter().map(|row| {
        let size = report::bytes(row.bytes);
        vec![row.name.into(), row.kind.clone(), size, row.state.into(), row.licence.into()]
    });
    report::table(&["asset", "kind", "size", "state", "licence"], &cells.collect::<Vec<_>>(), &[2])
}
