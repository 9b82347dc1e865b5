//! A handler that does nothing, behind the same HTTP library: what a request costs before anybody thinks about it.
//! `cargo run --release --example empty -- 127.0.0.1:8099`

use axum::Router;
use std::future::{IntoFuture, ready};
use std::io;

fn main() -> io::Result<()> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8099".into());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(at))?;
    let router = Router::new().fallback(|| ready(""));
    runtime.block_on(axum::serve(listener, router).into_future())
}
