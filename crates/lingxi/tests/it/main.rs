//! The app as its users meet it.
#![allow(clippy::unwrap_used)]

mod assets;
mod bulk;
mod catalogue;
mod corpus;
mod crash;
mod damage;
mod gate;
mod http;
mod hub;
mod ingest;
mod load;
mod overload;
mod page;
mod reasons;
mod rebuild;
mod shop;
mod store;
mod tidy;
mod whole;
