//! lingxi-eval.
