//! The app as its users meet it.
#![allow(clippy::unwrap_used)]

mod assets;
mod catalogue;
mod clients;
mod erase;
mod gorse;
mod http;
mod hub;
mod ingest;
mod load;
mod openapi;
mod page;
mod python;
mod reasons;
mod shop;
mod store;
mod tidy;
mod users;
mod whole;
