//! Lingxi: from a shop's logs to explained recommendations, with one command.
//!
//! This crate is the door of the house: it puts the rooms (the other `lingxi-*` crates) together and holds what needs a
//! terminal, a disk or a socket. In reading order:
//!
//! - what a person can ask for: [`cli`], and one file per answer: [`commands`]
//! - where models and demo data come from: [`assets`]
//! - how logs become a snapshot and a shopper a slate: [`pipeline`], which calls the [`stages`] by name; [`recipe`] is what
//!   the shop asks for, [`site`] and [`shelf`] where it happens, [`seal`] whether that is still as it was, [`snapshot`] what comes out,
//!   [`reasons`] why each item
//! - what is kept to go back to: [`kept`]; how a shop learns while it serves: [`workshop`]
//! - what keeps and answers: [`store`] makes events durable, [`live`] knows what each shopper did since the models were
//!   trained, [`fresh`] what came to be sold since, [`http`] is the door for other programs
//! - who may ask: [`keys`]
//! - why an item is on a slate, in parts that add up to its score: [`reasons`]
//! - does a change help, tried on some of the shoppers: [`experiments`]
//! - what the small model that writes does, where a recipe names one: [`generate`]
//! - will it come true, and how sure is that: [`mod@predict`]
//! - what a language model is fine-tuned on: [`finetune`]
//! - which settings are best, found on validation: [`tune`]
//! - how a command asks a running server: [`client`]
//! - does exploring pay: [`simulate`], shoppers with hidden interests against every policy
//! - what every command uses: [`progress`] how far it is, [`report`] what people and programs read, [`figures`] what
//!   was measured, [`failure`] whose
//!   turn it is when something goes wrong

pub mod cli;
pub mod commands;

pub mod assets;

pub mod pipeline;
pub mod reasons;
pub mod recipe;
pub mod seal;
pub mod shelf;
pub mod site;
pub mod snapshot;
pub mod stages;

pub mod kept;
pub mod workshop;

pub mod store;

pub mod keys;

pub mod live;

pub mod learner;
pub mod sight;

pub mod crowd;

pub mod experiments;

pub mod fresh;

pub mod finetune;

pub mod tune;

pub mod generate;

pub mod predict;

pub mod http;

pub mod client;

pub mod simulate;

pub mod failure;
pub mod figures;
pub mod progress;
pub mod report;
pub mod reproduce;
