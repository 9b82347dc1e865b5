//! lingxi-decide.
