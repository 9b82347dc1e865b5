//! How is each command answered?
//!
//! One file per command of [`crate::cli`]: it reads its arguments, calls the rooms that do the work, and prints a
//! table or, with `--json`, the one result line.

pub mod assets;
pub mod build;
pub mod demo;
pub mod evaluate;
pub mod experiment;
pub mod export;
pub mod finetune;
pub mod generate;
pub mod import;
pub mod ingest;
pub mod keys;
pub mod label;
pub mod ope;
pub mod policy;
pub mod predict;
pub mod reproduce;
pub mod serve;
pub mod simulate;
pub mod snapshots;
pub mod tune;
