//! lingxi.

pub mod http;
pub mod live;
pub mod store;
