//! lingxi-train.
