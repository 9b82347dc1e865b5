//! `GET /api/export/{what}?format=jsonl|parquet`: everything, as a stream.
//!
//! One thread makes the rows and writes them into a bounded channel, from which the connection takes them: a slow reader holds
//! up this thread and nothing else, and memory holds a few pieces, whatever the size of the shop. If something breaks, so
//! does the connection: a stream that ends properly is whole.

use super::rows::{self, Columns};
use super::{PATIENCE, PIECES, What, form};
use crate::http::App;
use crate::http::error::{Answer, Refusal};
use crate::http::params::{Id, Query};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use lingxi_data::records::{Form, ParquetWriter};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Bytes that are gathered before they are handed to the connection.
const PIECE: usize = 64 * 1024;

/// Rows that are turned into columns at once.
const ROWS: usize = 1024;

/// Streams everything of one sort.
pub async fn export(State(app): State<App>, Id(what): Id, query: Query) -> Answer<Response> {
    let what = What::parse(&What::ALL, &what)?;
    let form = form(query)?;
    let permit = app.bulk.exports.clone().try_acquire_owned().map_err(|_| {
        let message = format!("{} exports are under way already", super::MAX_EXPORTS);
        Refusal::too_many("exports_full", message).remedy("wait until one of them has ended")
    })?;
    let total = app.compute(move |app, serving| Ok(rows::count(app, serving, what)?)).await?;
    let (tell, mut told) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let pipe = Pipe { to: tell.clone(), runtime: Handle::current(), piece: Vec::with_capacity(PIECE) };
        let written = Sheet::new(form, pipe, rows::columns(what)).and_then(|mut sheet| {
            rows::visit(&app, what, &mut sheet)?;
            sheet.finish()
        });
        match written {
            Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
                tracing::error!("an export of {} broke off: {why}", what.name());
                // Without a proper end the reader knows that it is not whole.
                let _ = tell.blocking_send(Err(why));
            }
            _ => {}
        }
    });
    let stream = futures_util::stream::poll_fn(move |context| told.poll_recv(context));
    let kind = match form {
        Form::Jsonl => "application/x-ndjson",
        Form::Parquet => "application/vnd.apache.parquet",
    };
    let name = format!("attachment; filename=\"{}.{}\"", what.name(), form.name());
    let headers = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, [("lingxi-rows", total.to_string())], Body::from_stream(stream)).into_response())
}

/// Writes into a connection, a piece at a time.
struct Pipe {
    to: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
    piece: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let sent = self.runtime.block_on(self.to.send_timeout(Ok(piece.into()), PATIENCE));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader has left or stands still"))
    }
}

/// Rows on their way out.
pub enum Sheet {
    Lines(PipeLines),
    Columns(Box<ParquetWriter<PipeLines>>, Vec<Value>),
}

/// Where rows are written.
type PipeLines = Box<dyn Write + Send>;

impl Sheet {
    fn new(form: Form, pipe: Pipe, columns: Columns) -> io::Result<Sheet> {
        let pipe: PipeLines = Box::new(pipe);
        Ok(match form {
            Form::Jsonl => Sheet::Lines(pipe),
            Form::Parquet => Sheet::Columns(Box::new(ParquetWriter::new(pipe, columns)?), Vec::new()),
        })
    }

    /// Writes a row.
    pub fn row(&mut self, row: &impl Serialize) -> io::Result<()> {
        match self {
            Sheet::Lines(to) => {
                serde_json::to_writer(&mut *to, row)?;
                to.write_all(b"\n")
            }
            Sheet::Columns(to, rows) => {
                rows.push(serde_json::to_value(row)?);
                if rows.len() == ROWS { to.push(std::mem::take(rows)) } else { Ok(()) }
            }
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Sheet::Lines(mut to) => to.flush(),
            Sheet::Columns(mut to, rows) => {
                to.push(rows)?;
                to.finish()
            }
        }
    }
}
