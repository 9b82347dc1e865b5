//! lingxi.
