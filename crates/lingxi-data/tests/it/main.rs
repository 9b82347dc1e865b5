//! Integration tests, one binary.
#![allow(clippy::unwrap_used)]

mod ingest;
mod split;
