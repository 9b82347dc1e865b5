//! Integration tests, one binary.

mod agreement;
mod laws;
