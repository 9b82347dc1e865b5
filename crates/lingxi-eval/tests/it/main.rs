//! Integration tests, one binary.
#![allow(clippy::unwrap_used)]

mod agreement;
mod experiment;
mod laws;
mod obp;
mod ope;
mod venv;
