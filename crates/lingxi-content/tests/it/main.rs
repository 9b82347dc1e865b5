//! From a model directory to vectors: against PyTorch, against itself, and against broken input.

mod cache;
mod folder;
mod minilm;
mod tiny;
