//! `lingxi import`: sends a file of events or goods to a running server and watches until all of it is taken in.
//!
//! The server keeps the file before it answers and goes on by itself; a command that is run again finds its rows known.

use crate::cli::ImportArgs;
use crate::client::Client;
use crate::failure::UserError;
use crate::progress::{Progress, Stage, Unit};
use crate::report::{ResultLine, count, duration, say};
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use lingxi_data::records::Form;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// How often the server is asked how far it is.
const PACE: Duration = Duration::from_millis(200);

/// How long the server may be away while it takes a file in: long enough to be started again.
const AWAY: Duration = Duration::from_secs(60);

/// Answers `lingxi import`.
///
/// # Errors
/// A file that cannot be read, a server that does not answer or refuses, rows that were refused.
pub fn run(args: &ImportArgs) -> Result<()> {
    let what = name(args.what);
    let client = Client::new(&args.server.at, args.server.key.as_deref())?;
    let progress = Progress::new(args.json);
    let unreadable =
        |why: io::Error| UserError::new(format!("cannot read {}", args.file.display()), "check the path").because(why);
    let file = File::open(&args.file).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let path = format!("/api/import/{what}?format={}", Form::of_path(&args.file).name());
    let mut sending = Watched { file, stage: progress.stage("send", Some(length), Unit::Bytes) };
    let sent = client.upload(&path, args.once.as_deref(), length, &mut sending)?;
    sending.stage.finish("");
    let done = follow(&client, &sent, progress.stage(&format!("import {what}"), None, Unit::Of("rows")))?;
    if args.json {
        ResultLine::new("import", Some(&what), &done).print()?;
    } else {
        tell(&done)?;
    }
    judge(&done)
}

/// The name of a choice, as typed.
pub(super) fn name(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Asks how far the import is until it is over.
fn follow(client: &Client, sent: &Value, stage: Stage) -> Result<Value> {
    let path = format!("/api/imports/{}", sent["Id"].as_u64().context("the server named no import")?);
    let mut heard = Instant::now();
    loop {
        match client.get(&path) {
            Ok(import) => {
                heard = Instant::now();
                let (rows, share) = (number(&import, "Rows"), import["Share"].as_f64().unwrap_or_default());
                if share > 0.0 {
                    stage.set_total((rows as f64 / share) as u64);
                }
                stage.set(rows);
                if import["Finished"].is_u64() {
                    stage.finish("");
                    return Ok(import);
                }
            }
            Err(why) if heard.elapsed() > AWAY => return Err(why),
            Err(_) => {}
        }
        std::thread::sleep(PACE);
    }
}

fn tell(import: &Value) -> Result<()> {
    let of = |field: &str| count(number(import, field));
    let seconds = number(import, "Rows") as f64 / import["Rate"].as_f64().unwrap_or_default().max(f64::MIN_POSITIVE);
    say(&format!(
        "{} rows: {} stored, {} known before, {} refused; {}",
        of("Rows"),
        of("Stored"),
        of("Duplicates"),
        of("Refused"),
        duration(seconds)
    ))?;
    for row in import["Refusals"].as_array().into_iter().flatten() {
        say(&format!("  row {}: {}", row["Row"], row["Message"].as_str().unwrap_or_default()))?;
    }
    Ok(())
}

/// Not everything was taken: that is for the person to put right.
fn judge(import: &Value) -> Result<()> {
    if let Some(why) = import["Error"].as_str() {
        return Err(
            UserError::new(format!("the import broke off: {why}"), "send it again once that is put right").into()
        );
    }
    match number(import, "Refused") {
        0 => Ok(()),
        refused => {
            let message = format!("{} of {} rows were refused", count(refused), count(number(import, "Rows")));
            Err(UserError::new(message, "mend these rows and send them in a file of their own: the others are stored")
                .into())
        }
    }
}

fn number(import: &Value, field: &str) -> u64 {
    import[field].as_u64().unwrap_or_default()
}

/// A file that shows how much of it was read.
struct Watched {
    file: File,
    stage: Stage,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.stage.add(n as u64);
        Ok(n)
    }
}
