//! Each kernel against its plain reference, over odd shapes, zeros and extremes, on each path that the machine has.
#![allow(clippy::unwrap_used)]

mod laws;
mod levels;
mod packed;
mod tables;
mod training;
mod writing;

/// Numbers around zero of about this size, from a seed.
fn numbers(seed: u64, n: usize, size: f32) -> Vec<f32> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 2.0 * size
    };
    (0..n).map(|_| next()).collect()
}
