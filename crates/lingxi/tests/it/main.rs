//! The app as its users meet it.
#![allow(clippy::unwrap_used)]

mod assets;
mod bulk;
mod catalogue;
mod clients;
mod corpus;
mod crash;
mod damage;
#[path = "../../../lingxi-content/tests/it/draft.rs"]
mod draft;
mod erase;
mod experiments;
mod finetune;
mod gate;
mod gorse;
mod http;
mod hub;
mod ingest;
mod interests;
mod learn;
mod load;
mod models;
mod openapi;
mod overload;
mod page;
mod phrase;
mod predict;
mod proof;
mod python;
mod reasons;
mod rebuild;
mod reproduce;
mod resume;
mod shaping;
mod shop;
mod simulate;
mod store;
mod tidy;
mod told;
mod tune;
mod users;
mod vectors;
mod whole;
