//! lingxi-behaviour.
