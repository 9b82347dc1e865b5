//! Integration tests, one binary: the laws that every behaviour model keeps.
// The lint knows test functions, but not the helpers beside them.
#![allow(clippy::unwrap_used)]

mod conformance;
mod item_model;
mod published;
mod shop;
