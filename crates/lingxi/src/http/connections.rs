//! Who is connected, and how long may they take?
//!
//! A listener, the endpoints and the moment to stop come in. A connection that does not send its next request's head in time
//! is closed, so that slow or silent ones cannot hold the server (slow loris); only so many are held at once, the next
//! wait to be accepted. After the stop no connection is accepted, and each one that is held ends with the answer under way.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longest time for the head of a request, also for the first byte of the next one on a connection that is kept.
const HEAD: Duration = Duration::from_secs(10);

/// Longest head, in bytes; a longer one is refused with 431.
const MAX_HEAD: usize = 64 << 10;

/// Most connections held at once; below the usual limit of 1,024 open files.
const MOST: usize = 960;

/// After an error of the system (no more files), the time until the next connection is accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers until `stop` is ready, then until the last answer under way is sent.
pub async fn serve(listener: TcpListener, endpoints: Router, stop: impl Future<Output = ()>) {
    let (stopping, stopped) = watch::channel(());
    let mut held = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = held.join_next() => {}
            accepted = listener.accept(), if held.len() < MOST => match accepted {
                Ok((stream, _)) => drop(held.spawn(answer(stream, endpoints.clone(), stopped.clone()))),
                Err(e) => {
                    tracing::warn!("a connection was not accepted: {e}");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop((listener, stopping));
    while held.join_next().await.is_some() {}
}

/// One connection, to its end.
async fn answer(stream: TcpStream, endpoints: Router, mut stopped: watch::Receiver<()>) {
    // An answer is one small packet: do not wait for a second one to join it.
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!("a connection keeps its delay: {e}");
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(endpoints)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // The sender is gone: the server stops.
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!("a connection ended: {e}");
    }
}
