//! Integration tests, one binary.
#![allow(clippy::unwrap_used)]

mod decide;
mod explore;
mod hnsw;
mod recall;
mod rerank;
mod rules;
mod shop;
