//! lingxi-content.
