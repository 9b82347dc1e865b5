//! Integration tests, one binary.

mod decide;
mod hnsw;
mod policy;
mod recall;
mod rules;
mod shop;
