//! `POST /api/import/{what}?format=jsonl|parquet` -> 202 and the import's number, once its body is on disk; `GET /api/imports`
//! and `GET /api/imports/{id}` -> how far it is.
//!
//! The body goes straight into a file beside the store. Its `Idempotency-Key`, or its hash where there is none, is the key of
//! its rows: what was imported once is not stored again, however often it is sent.

use super::desk::{Desk, Import, Stage};
use super::{MAX_IMPORT, PATIENCE, PIECES, What, form};
use crate::http::App;
use crate::http::error::{Answer, Refusal};
use crate::http::feedback::batch_key;
use crate::http::goods;
use crate::http::params::{Id, Query};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use tokio::sync::mpsc;

/// What can be imported.
const TAKEN: &[What] = &[What::Events, What::Items];

/// All imports that are remembered.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    imports: Vec<Import>,
}

/// Takes a body of any length up to the limit.
pub async fn import(State(app): State<App>, Id(what): Id, query: Query, request: Request) -> Answer<Response> {
    let what = What::parse(TAKEN, &what)?;
    let format = form(query)?;
    if what == What::Items && !app.serving().engine().reads_goods() {
        return Err(goods::cannot_read());
    }
    let key = batch_key(request.headers())?.map(str::to_owned);
    if announced(request.headers()).is_some_and(|bytes| bytes > MAX_IMPORT) {
        return Err(too_large());
    }
    let place = app.bulk.desk.place()?;
    let (bytes, hash) = spool(request.into_body(), &place.rows).await?;
    if bytes == 0 {
        return Err(Refusal::input("body", "rows", "nothing"));
    }
    let hash = hash.to_hex().to_string();
    let import = Import {
        id: place.id,
        what,
        format,
        key: key.unwrap_or_else(|| hash.clone()),
        hash,
        bytes,
        created: app.now(),
        stage: Stage::Waiting,
        share: 0.0,
        rows: 0,
        stored: 0,
        duplicates: 0,
        refused: 0,
        refusals: Vec::new(),
        rate: 0.0,
        seconds_left: None,
        finished: None,
        error: None,
    };
    let import = app.bulk.desk.accept(place, import)?;
    Desk::work_through(&app);
    let at = [(header::LOCATION, format!("/api/imports/{}", import.id))];
    Ok((StatusCode::ACCEPTED, at, Json(import)).into_response())
}

/// How far one import is.
pub async fn progress(State(app): State<App>, Id(id): Id, query: Query) -> Answer<Json<Import>> {
    query.only(&[])?;
    let import = id.parse().ok().and_then(|id| app.bulk.desk.get(id));
    import.map(Json).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "unknown_import", format!("there is no import {id:?}"))
            .remedy("GET /api/imports lists those that are remembered")
    })
}

/// All imports, the newest first.
pub async fn imports(State(app): State<App>, query: Query) -> Answer<Json<Listed>> {
    query.only(&[])?;
    Ok(Json(Listed { imports: app.bulk.desk.all() }))
}

/// Writes a body into a file, synced; its length and hash.
async fn spool(body: Body, path: &Path) -> Answer<(u64, blake3::Hash)> {
    let file = File::create(path).map_err(unwritten)?;
    let (tell, told) = mpsc::channel(PIECES);
    let written = tokio::task::spawn_blocking(move || write(file, told));
    let mut pieces = body.into_data_stream();
    let mut bytes = 0;
    let sent = loop {
        let piece = match tokio::time::timeout(PATIENCE, pieces.next()).await {
            Ok(None) => break Ok(()),
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(why))) => {
                break Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_body", format!("the body broke off: {why}"))
                    .remedy("send it again"));
            }
            Err(_) => {
                let message = format!("nothing came for {} seconds", PATIENCE.as_secs());
                break Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "too_slow", message).remedy("send it again"));
            }
        };
        bytes += piece.len() as u64;
        if bytes > MAX_IMPORT {
            break Err(too_large());
        }
        if tell.send(piece).await.is_err() {
            // The file could not be written: the thread says why.
            break Ok(());
        }
    };
    drop(tell);
    let hash = written.await.map_err(Refusal::internal)?.map_err(unwritten)?;
    sent.map(|()| (bytes, hash))
}

fn write(mut file: File, mut pieces: mpsc::Receiver<Bytes>) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    while let Some(piece) = pieces.blocking_recv() {
        hasher.update(&piece);
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    Ok(hasher.finalize())
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large() -> Refusal {
    let message = format!("the body is over the limit of {} GiB", MAX_IMPORT >> 30);
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message).remedy("send it in several imports")
}

fn unwritten(why: io::Error) -> Refusal {
    match why.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let message = "there is no room on the server's disk for this import; nothing was stored";
            Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", message)
                .remedy("make room on the server's disk, then send it again")
        }
        _ => Refusal::internal(why),
    }
}
