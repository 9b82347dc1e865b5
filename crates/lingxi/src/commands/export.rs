//! `lingxi export`: everything of one sort from a running server into a file, whole or not at all.

use super::import::name;
use crate::cli::ExportArgs;
use crate::client::Client;
use crate::failure::UserError;
use crate::progress::{Progress, Unit};
use crate::report::{ResultLine, say};
use anyhow::{Context as _, Result};
use lingxi_data::records::Form;
use serde_json::json;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// Answers `lingxi export`.
///
/// # Errors
/// A server that does not answer or refuses, a file that cannot be written, an answer that broke off.
pub fn run(args: &ExportArgs) -> Result<()> {
    let what = name(args.what);
    let client = Client::new(&args.server.at, args.server.key.as_deref())?;
    let form = Form::of_path(&args.out);
    let (rows, body) = client.download(&format!("/api/export/{what}?format={}", form.name()))?;
    let mut beside = args.out.as_os_str().to_owned();
    beside.push(".part");
    let written = write(body, Path::new(&beside), form, rows, &what, Progress::new(args.json));
    if written.is_err() {
        // What is half is of no use to anybody; if it cannot be deleted it still has a name that says so.
        let _ = std::fs::remove_file(&beside);
    }
    let written = written?;
    std::fs::rename(&beside, &args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    if args.json {
        let outcome = json!({"bytes": written.bytes, "rows": written.rows, "out": args.out});
        return ResultLine::new("export", Some(&what), outcome).print();
    }
    Ok(say(&format!("written to {}", args.out.display()))?)
}

/// What was written; rows where they are lines.
struct Written {
    bytes: u64,
    rows: Option<u64>,
}

fn write(
    mut body: impl Read,
    path: &Path,
    form: Form,
    total: Option<u64>,
    what: &str,
    progress: Progress,
) -> Result<Written> {
    let unwritable = |why: io::Error| {
        UserError::new(format!("cannot write {}", path.display()), "give --out a place with room").because(why)
    };
    let mut file = File::create(path).map_err(unwritable)?;
    let lines = form == Form::Jsonl;
    let stage = match lines {
        true => progress.stage(&format!("export {what}"), total, Unit::Of("rows")),
        false => progress.stage(&format!("export {what}"), None, Unit::Bytes),
    };
    let mut written = Written { bytes: 0, rows: lines.then_some(0) };
    let mut piece = vec![0; PIECE];
    loop {
        let n = body.read(&mut piece).map_err(|why| {
            UserError::new("the export broke off", "see the server's log, and run the command again").because(why)
        })?;
        if n == 0 {
            break;
        }
        file.write_all(&piece[..n]).map_err(unwritable)?;
        written.bytes += n as u64;
        if let Some(rows) = &mut written.rows {
            *rows += piece[..n].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        stage.set(written.rows.unwrap_or(written.bytes));
    }
    file.sync_all().map_err(unwritable)?;
    stage.finish("");
    Ok(written)
}
