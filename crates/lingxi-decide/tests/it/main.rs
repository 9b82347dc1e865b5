//! Integration tests, one binary.
#![allow(clippy::unwrap_used)]

mod decide;
mod hnsw;
mod policy;
mod recall;
mod rules;
mod shop;
