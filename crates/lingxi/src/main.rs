//! lingxi.
fn main() {}
