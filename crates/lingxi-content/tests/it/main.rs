//! From a model directory to vectors: against PyTorch, against itself, and against broken input.
#![allow(clippy::unwrap_used)]

mod cache;
mod dense;
mod draft;
mod families;
mod finetune;
mod folder;
mod gguf;
mod minilm;
mod smollm;
mod tiny;
mod writes;
