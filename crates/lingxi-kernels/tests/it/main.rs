//! Each kernel against its plain reference, over odd shapes, zeros and extremes.
#![allow(clippy::unwrap_used)]

mod laws;
