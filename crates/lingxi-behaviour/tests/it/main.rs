//! Integration tests, one binary: the laws that every behaviour model keeps.

mod conformance;
mod item_model;
mod shop;
