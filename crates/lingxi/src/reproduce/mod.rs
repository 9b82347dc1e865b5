//! How sure are the figures of a recipe, and what does each part of it give? One recipe, run several times.
//!
//! [`seeds`] repeats it with other seeds; [`parts`] takes its parts away, one at a time. Both read the test part as often as they
//! run, and choose nothing by it.

pub mod parts;
pub mod seeds;
